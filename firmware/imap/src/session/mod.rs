//! One session: reads commands, carries them out in order, writes what they answer.
//!
//! ```text
//! connection   the stream, buffers, time limits
//! dispatch     which command is carried out where, and in which state
//! capability   CAPABILITY and ENABLE
//! deflate      COMPRESS=DEFLATE, the layer
//! login        STARTTLS, AUTHENTICATE, LOGIN, ID
//! select       SELECT and EXAMINE
//! resync       what a client that comes back has missed
//! mailboxes    CREATE, LIST, STATUS and their like
//! listing      LIST and LSUB, worked out from names alone
//! quota        GETQUOTA and GETQUOTAROOT
//! append       APPEND
//! messages     STORE, COPY, MOVE, EXPUNGE, and telling of changes
//! fetch        FETCH: which messages, and in which pieces
//! patience     a word to the client while long work goes on
//! plan         what a FETCH needs of each message
//! render       writing the messages of a FETCH
//! text         the texts of one message: where a section lies, what is read of it
//! search       SEARCH: what was asked and how it is answered; the evaluation is crate::search
//! view         what the client has been told
//! ```

mod access;
mod append;
mod capability;
mod connection;
mod deflate;
mod dispatch;
mod fetch;
mod listing;
mod login;
mod mailboxes;
mod messages;
mod metadata;
mod multisearch;
mod notify;
mod patience;
mod place;
mod plan;
mod quota;
mod render;
mod reply;
mod results;
mod resync;
mod saved;
mod search;
mod select;
mod sort;
mod text;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use store::{AccountId, ModSeq, Rights, Store, StoreError, Uid};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use crate::parse::{self, Announced, Incoming, ReaderLimits, Tagged, announced};
use crate::{APPEND_MEMORY_KIB, Context, Ended, Limits};
use capability::Enabled;
use connection::{Connection, Stop};
use notify::Notify;
use reply::Reply;
pub(crate) use reply::flag_bit;
use view::{Telling, View};

/// Longest command line before and after login. The second leaves room for sets of many UIDs.
const LINE_BEFORE_LOGIN_BYTES: usize = 8 * 1024;
const LINE_BYTES: usize = 128 * 1024;
/// Longest literal that is not an appended message, before and after login.
const LITERAL_BEFORE_LOGIN_BYTES: u64 = 4 * 1024;
const LITERAL_BYTES: u64 = 64 * 1024;
/// Literals of one command that is no APPEND, together.
const LITERALS_BYTES: u64 = 1024 * 1024;
/// Most literals in one command, before and after login.
const LITERALS_BEFORE_LOGIN_MAX: usize = 64;
const LITERALS_MAX: usize = 4096;
/// What is read before login.
const LIMITS_BEFORE_LOGIN: ReaderLimits = ReaderLimits {
    line_max_bytes: LINE_BEFORE_LOGIN_BYTES,
    literals_max: LITERALS_BEFORE_LOGIN_MAX,
    skip_max_bytes: LITERAL_BYTES,
};
/// Appended messages up to this size need no share of the common memory.
const SMALL_APPEND_BYTES: u64 = 256 * 1024;

/// A user who is known may send so many times more commands that are not understood.
const BAD_COMMANDS_AFTER_LOGIN: u32 = 10;

/// A mailbox the client has selected.
struct Selected {
    view: View,
    /// Whose mailbox it is.
    owner: AccountId,
    /// What the user may do in it, when it was last looked.
    rights: Rights,
    /// The mailbox's highest modification sequence, as the store tells it.
    changes: watch::Receiver<ModSeq>,
}

struct Session<S> {
    connection: Connection<S>,
    context: Context,
    account: Option<AccountId>,
    selected: Option<Selected>,
    /// UIDs of the last saved search result, ascending (RFC 5182).
    saved: Vec<(Uid, Uid)>,
    /// What the client has asked to hear of all the time (RFC 5465).
    notify: Option<Notify>,
    enabled: Enabled,
    /// Of the command that is being carried out.
    tag: String,
    bad_commands: u32,
    failed_logins: u32,
    login_deadline: Instant,
    /// What the command being read holds of the memory for appended messages.
    append_share: Option<OwnedSemaphorePermit>,
}

/// See [`crate::serve`].
pub(crate) async fn run<S>(stream: S, context: Context, greet: bool) -> Ended<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let transfer_timeout = context.limits.transfer_timeout;
    let mut session = Session {
        connection: Connection::new(stream, LIMITS_BEFORE_LOGIN, transfer_timeout, context.shutdown.clone()),
        login_deadline: Instant::now() + context.limits.login_timeout,
        context,
        account: None,
        selected: None,
        saved: Vec::new(),
        notify: None,
        enabled: Enabled::default(),
        tag: String::new(),
        bad_commands: 0,
        failed_logins: 0,
        append_share: None,
    };
    if greet {
        session.greet();
    }
    let stop = match session.serve().await {
        Ok(never) => match never {},
        Err(stop) => stop,
    };
    session.leave_mailbox().await;
    match stop {
        Stop::StartTls => return Ended::StartTls(session.connection.into_stream()),
        Stop::Bye(text) => session.connection.say_bye(text).await,
        Stop::Logout => session.connection.close().await,
        Stop::Gone => {}
    }
    Ended::Closed
}

/// There is no value of this: a session only ends by stopping.
enum Never {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    async fn serve(&mut self) -> Result<Never, Stop> {
        loop {
            match self.connection.reader.next_command() {
                Incoming::More => {
                    self.connection.flush().await?;
                    let deadline = self.deadline();
                    self.wait_for_client(deadline).await?;
                }
                Incoming::Command(command) => {
                    self.command(&command).await?;
                    self.append_share = None;
                    self.connection.flush_when_large().await?;
                    self.connection.check_shutdown()?;
                }
                Incoming::Literal { length, waits } => self.literal(length, waits).await?,
                Incoming::TooLong { start } => {
                    let tag = announced(&start, self.enabled.dialect()).tag;
                    self.finish(tag.as_deref(), &Reply::bad("[LIMIT] the command is too long"))?;
                }
                Incoming::Flood => return Err(Stop::Bye("[LIMIT] the command is far too long")),
            }
        }
    }

    /// Takes or refuses an announced literal.
    async fn literal(&mut self, length: u64, waits: bool) -> Result<(), Stop> {
        let so_far = self.connection.reader.so_far();
        let Announced { tag, mailbox } = announced(&so_far, self.enabled.dialect());
        if let Some(reply) = self.refuse_literal(length, waits, mailbox.as_deref()) {
            self.connection.reader.refuse();
            self.append_share = None;
            return self.finish(tag.as_deref(), &reply);
        }
        let together = self.connection.reader.held_bytes() as u64 + length;
        if together > SMALL_APPEND_BYTES {
            match &mut self.append_share {
                None => {
                    let share = large_memory(&mut self.connection, &self.context.limits, together).await?;
                    self.append_share = Some(share);
                }
                // Two sessions that hold a part and wait for more would wait for each other.
                Some(share) => {
                    let Some(more) = try_large_memory(&self.context.limits, length) else {
                        self.connection.reader.refuse();
                        self.append_share = None;
                        let reply = Reply::no("[LIMIT] too many large messages are coming in; try again");
                        return self.finish(tag.as_deref(), &reply);
                    };
                    share.merge(more);
                }
            }
        }
        self.connection.reader.accept();
        if waits {
            self.connection.line("+ go on");
        }
        Ok(())
    }

    /// Until when the client may be silent.
    fn deadline(&self) -> Instant {
        if self.account.is_none() {
            self.login_deadline
        } else if self.connection.reader.is_empty() {
            Instant::now() + self.context.limits.idle_timeout
        } else {
            self.connection.transfer_deadline()
        }
    }

    /// Why an announced literal is not wanted, if so. The client has not sent it when it waits.
    fn refuse_literal(&mut self, length: u64, waits: bool, mailbox: Option<&str>) -> Option<Reply> {
        let Some(account) = self.account else {
            return (length > LITERAL_BEFORE_LOGIN_BYTES)
                .then(|| Reply::bad("[LIMIT] the literal is too long"));
        };
        let held = self.connection.reader.held_bytes() as u64;
        let Some(mailbox) = mailbox else {
            let too_long = length > LITERAL_BYTES || held + length > LITERALS_BYTES;
            return too_long.then(|| Reply::bad("[LIMIT] the literal is too long"));
        };
        let most = self.context.limits.message_max_bytes;
        if length > most {
            return Some(Reply::no(format!("[TOOBIG] a message can have at most {most} bytes")));
        }
        // Several messages of one command are held together.
        if held + length > most + 2 * LITERAL_BYTES {
            return Some(Reply::no(format!("[TOOBIG] one command can bring at most {most} bytes")));
        }
        // What is on its way anyhow is checked when it is here, as long as it is small.
        if !waits && length <= SMALL_APPEND_BYTES {
            return None;
        }
        match self.find_with(account, mailbox, Rights::INSERT) {
            Err(error) => Some(Reply::refused_target(&error)),
            Ok((found, _)) => {
                self.context.store.fits(&found, length, 1).err().map(|error| Reply::refused(&error))
            }
        }
    }

    /// Carries one command out and answers it.
    async fn command(&mut self, wire: &Bytes) -> Result<(), Stop> {
        match parse::parse(wire, self.enabled.dialect()) {
            Ok(Tagged { tag, command }) => {
                self.tag.clone_from(&tag);
                let reply = self.carry_out(&tag, command).await?;
                self.finish(Some(&tag), &reply)
            }
            Err(rejected) => {
                if rejected.fault == (parse::Fault::Charset { save: true }) {
                    self.saved = Vec::new();
                }
                self.finish(rejected.tag.as_deref(), &Reply::fault(&rejected.fault))
            }
        }
    }

    /// Writes a tagged reply and counts commands that were not understood.
    fn finish(&mut self, tag: Option<&str>, reply: &Reply) -> Result<(), Stop> {
        reply.write(tag, &mut self.connection.out);
        if !reply.is_bad() {
            self.bad_commands = 0;
            return Ok(());
        }
        self.bad_commands += 1;
        let patience = if self.account.is_some() { BAD_COMMANDS_AFTER_LOGIN } else { 1 };
        if self.bad_commands >= self.context.limits.bad_commands_max.saturating_mul(patience) {
            return Err(Stop::Bye("too many commands that are not understood"));
        }
        Ok(())
    }

    fn telling(&self, expunge: bool, uid: bool) -> Telling {
        let Enabled { condstore, qresync, uid_only, .. } = self.enabled;
        Telling { expunge, condstore, uid: uid || condstore, vanished: qresync || uid_only, uid_only }
    }
}

/// A share of the memory that sessions use for large messages together.
async fn large_memory<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    limits: &Limits,
    bytes: u64,
) -> Result<OwnedSemaphorePermit, Stop> {
    connection.flush().await?;
    let wanted = (bytes / 1024 + 1).min(APPEND_MEMORY_KIB as u64) as u32;
    let memory = Arc::clone(&limits.append_memory_kib);
    match timeout_at(connection.transfer_deadline(), memory.acquire_many_owned(wanted)).await {
        Ok(Ok(share)) => Ok(share),
        _ => Err(Stop::Bye("too many large messages are on their way; try again")),
    }
}

/// The same, if it is there at once.
fn try_large_memory(limits: &Limits, bytes: u64) -> Option<OwnedSemaphorePermit> {
    let wanted = (bytes / 1024 + 1).min(APPEND_MEMORY_KIB as u64) as u32;
    Arc::clone(&limits.append_memory_kib).try_acquire_many_owned(wanted).ok()
}

/// Reads from the store where it may take long: bodies, and many rows at once. Short look-ups are made
/// in place.
async fn read_long<T, F>(store: &Store, read: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
{
    let store = store.clone();
    tokio::task::spawn_blocking(move || read(&store)).await.unwrap_or(Err(StoreError::Closed))
}
