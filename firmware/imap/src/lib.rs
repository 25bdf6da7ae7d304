//! IMAP4rev1 for one connection: from the greeting to BYE, above an abstract socket and the mail store.
//!
//! [`parse`] turns bytes into commands without waiting for anything; `session` carries them out against
//! the store and writes the answers. A session keeps a view of its mailbox, the messages it has told the
//! client about, and tells of other sessions' changes only where the protocol allows it.
//!
//! It never opens a socket, never handles TLS, never checks a password itself, and never reads a message
//! but through `store` and `message`. It has no files and no settings of its own.
//!
//! What always holds: a tagged OK for a change is sent only after the store has it on disk; sequence
//! numbers in an answer are those the client knows; EXPUNGE is never sent during FETCH, STORE or SEARCH;
//! no client makes a session hold more than a command, a view and some MiB of answers; every wait for the
//! client has an end.

pub mod parse;
mod search;
mod session;
mod sorting;
mod thread_id;
mod threading;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use store::{AccountId, Store};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

/// What a session is given by the service around it.
#[derive(Clone)]
pub struct Context {
    /// The mail.
    pub store: Store,
    /// Who knows the passwords; paces guesses and keeps its own record of them.
    pub authenticator: Arc<dyn Authenticate>,
    /// The stream is encrypted.
    pub tls: bool,
    /// What logins can be bound to.
    pub channel_binding: sasl::ChannelBinding,
    /// The shell can upgrade this stream ([`Ended::StartTls`]).
    pub can_starttls: bool,
    /// Passwords may be sent without TLS. For tests and measurements on one machine.
    pub plain_login: bool,
    /// Where the client is.
    pub peer: IpAddr,
    /// Becomes `true` when the service stops; sessions then say BYE.
    pub shutdown: watch::Receiver<bool>,
    /// Bounds.
    pub limits: Limits,
}

/// Knows who may log in.
pub trait Authenticate: Send + Sync {
    /// What is stored of a user for SCRAM, or something that looks like it if there is no such user. May
    /// take its time to slow down guessing.
    fn stored<'a>(&'a self, user: &'a str, peer: IpAddr) -> Checking<'a, sasl::Stored>;

    /// The account of somebody whose claim is right. May take its time to slow down guessing.
    fn decide<'a>(&'a self, claim: &'a sasl::Claim, peer: IpAddr) -> Checking<'a, AccountId>;
}

/// Something being looked up or checked.
pub type Checking<'a, T> = Pin<Box<dyn Future<Output = Result<T, sasl::Denied>> + Send + 'a>>;

/// Bounds of a session. Clones share the memory for appended messages.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a client may take to log in.
    pub login_timeout: Duration,
    /// How long a client may be silent then; RFC 3501 section 5.4 asks for 30 minutes or more.
    pub idle_timeout: Duration,
    /// How long the client may take to accept the next piece of an answer, or to send the next piece of a
    /// literal.
    pub transfer_timeout: Duration,
    /// How often an idling client hears `* OK Still here`, which keeps address translators awake.
    pub keepalive_interval: Duration,
    /// How often a client hears that its command is still being worked on.
    pub progress_interval: Duration,
    /// Largest message of an APPEND, in bytes.
    pub message_max_bytes: u64,
    /// Commands in a row that are not understood before the session ends; ten times as many after login.
    pub bad_commands_max: u32,
    /// Refused passwords before the session ends.
    pub failed_logins_max: u32,
    /// Memory for large messages being appended, in KiB, shared by all sessions.
    pub append_memory_kib: Arc<Semaphore>,
}

/// Memory for large messages being appended in all sessions together, in KiB.
pub const APPEND_MEMORY_KIB: usize = 160 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_secs(30 * 60 + 30),
            transfer_timeout: Duration::from_mins(2),
            keepalive_interval: Duration::from_mins(2),
            progress_interval: Duration::from_secs(10),
            message_max_bytes: 64 * 1024 * 1024,
            bad_commands_max: 20,
            failed_logins_max: 5,
            append_memory_kib: Arc::new(Semaphore::new(APPEND_MEMORY_KIB)),
        }
    }
}

/// How a session ended.
#[derive(Debug)]
pub enum Ended<S> {
    /// The stream is done with; drop it.
    Closed,
    /// The client has been told to begin TLS: upgrade the stream and call [`serve`] again with
    /// [`Context::tls`] set. What the client sent in clear after STARTTLS is already dropped.
    StartTls(S),
}

/// Serves one connection until it ends. After [`Ended::StartTls`] call it again with the upgraded stream;
/// no second greeting is sent when `greet` is false.
pub async fn serve<S>(stream: S, context: Context, greet: bool) -> Ended<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    session::run(stream, context, greet).await
}
