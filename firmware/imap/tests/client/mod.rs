//! A client that remembers nothing, and the service it talks to: a real store in a new directory.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use imap::{Authenticate, Checking, Context, Limits};
use sasl::{Claim, Denied, Stored};
use store::{AccountId, PasswordHash, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A service with the account `alice@example.test`, password `secret`.
pub struct Service {
    pub context: Context,
    pub stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

/// Knows the one password.
struct OnePassword(Store);

impl Authenticate for OnePassword {
    fn stored<'a>(&'a self, user: &'a str, _peer: IpAddr) -> Checking<'a, Stored> {
        Box::pin(async move {
            let iterations = std::num::NonZeroU32::MIN;
            match self.0.account_by_name(user) {
                Ok(Some(_)) => Ok(Stored::derive("secret", b"a salt", iterations)),
                Ok(None) => Ok(Stored::simulated(b"key", user, 1)),
                Err(_) => Err(Denied::Unavailable),
            }
        })
    }

    fn decide<'a>(&'a self, claim: &'a Claim, _peer: IpAddr) -> Checking<'a, AccountId> {
        Box::pin(async move {
            let right = match claim {
                Claim::Password { password, .. } => password == "secret",
                Claim::Proof { pair, .. } => pair.is_some(),
            };
            match self.0.account_by_name(claim.user()) {
                Ok(Some(account)) if right => Ok(account.id),
                Ok(_) => Err(Denied::Credentials),
                Err(_) => Err(Denied::Unavailable),
            }
        })
    }
}

impl Service {
    pub async fn start() -> Self {
        Self::start_with_quota(None).await
    }

    pub async fn start_with_quota(limit_bytes: Option<u64>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = open(dir.path());
        store.add_domain("example.test").await.expect("the domain is new");
        let hash = PasswordHash("unused".to_owned());
        store.add_account("alice@example.test", hash, limit_bytes).await.expect("the account is new");
        let (stop, shutdown) = watch::channel(false);
        let context = Context {
            authenticator: Arc::new(OnePassword(store.clone())),
            store,
            tls: true,
            channel_binding: sasl::ChannelBinding::default(),
            can_starttls: true,
            plain_login: false,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            shutdown,
            limits: Limits { message_max_bytes: 4 * 1024 * 1024, ..Limits::default() },
        };
        Self { context, stop, _dir: dir }
    }

    /// A connection that has read its greeting.
    pub async fn connect(&self) -> Client {
        self.connect_with(self.context.clone()).await
    }

    pub async fn connect_with(&self, context: Context) -> Client {
        let (here, there) = tokio::io::duplex(16 * 1024);
        let session = tokio::spawn(async move {
            matches!(imap::serve(there, context, true).await, imap::Ended::StartTls(_))
        });
        let mut client = Client { stream: here, buffer: Vec::new(), tags: 0, session };
        client.greeting().await;
        client
    }

    /// A connection that is logged in.
    pub async fn login(&self) -> Client {
        let mut client = self.connect().await;
        client.ok("LOGIN alice@example.test secret").await;
        client
    }

    /// Another account of the same domain, with the same password.
    pub async fn add_account(&self, address: &str) {
        let hash = PasswordHash("unused".to_owned());
        self.context.store.add_account(address, hash, None).await.expect("the account is new");
    }

    /// A connection of another account.
    pub async fn login_as(&self, address: &str) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("LOGIN {address} secret")).await;
        client
    }

    /// A connection that is logged in and has selected a mailbox.
    pub async fn select(&self, mailbox: &str) -> Client {
        let mut client = self.login().await;
        client.ok(&format!("SELECT {mailbox}")).await;
        client
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, 1).expect("a new store opens")
}

pub struct Client {
    pub stream: DuplexStream,
    buffer: Vec<u8>,
    tags: u32,
    /// Tells whether the session ended with STARTTLS.
    pub session: JoinHandle<bool>,
}

/// What a command was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Untagged responses and continuations without their line end, literals included.
    pub untagged: Vec<String>,
    /// The tagged response without its tag.
    pub tagged: String,
}

impl Answer {
    /// The untagged responses with this word in them, for `FETCH`, `EXPUNGE`, `EXISTS`.
    pub fn of(&self, word: &str) -> Vec<&str> {
        self.untagged.iter().map(String::as_str).filter(|line| line.contains(word)).collect()
    }
}

impl Client {
    async fn greeting(&mut self) {
        let greeting = self.response().await;
        assert!(greeting.starts_with("* OK "), "{greeting}");
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the session reads");
    }

    /// One response without its line end, literals included.
    pub async fn response(&mut self) -> String {
        let mut end = 0;
        loop {
            let Some(at) = self.buffer[end..].windows(2).position(|pair| pair == b"\r\n") else {
                self.fill().await;
                continue;
            };
            let line_end = end + at;
            let line = String::from_utf8_lossy(&self.buffer[end..line_end]).into_owned();
            end = line_end + 2;
            let literal =
                line.strip_suffix('}').and_then(|line| line.rsplit_once('{')).map(|(_, digits)| digits);
            if let Some(length) = literal.and_then(|digits| digits.parse::<usize>().ok()) {
                while self.buffer.len() < end + length {
                    self.fill().await;
                }
                end += length;
                continue;
            }
            let response: Vec<u8> = self.buffer.drain(..end).collect();
            return String::from_utf8_lossy(&response[..response.len() - 2]).into_owned();
        }
    }

    async fn fill(&mut self) {
        let mut bytes = vec![0; 16 * 1024];
        let read = timeout(Duration::from_mins(1), self.stream.read(&mut bytes)).await;
        let count = read.expect("the session answers in time").expect("the stream is whole");
        assert!(count > 0, "the session closed after {:?}", String::from_utf8_lossy(&self.buffer));
        self.buffer.extend_from_slice(&bytes[..count]);
    }

    /// Whether nothing comes for a moment.
    pub async fn is_quiet(&mut self) -> bool {
        let mut bytes = vec![0; 1024];
        if !self.buffer.is_empty() {
            return false;
        }
        match timeout(Duration::from_millis(150), self.stream.read(&mut bytes)).await {
            Err(_) => true,
            Ok(read) => {
                self.buffer.extend_from_slice(&bytes[..read.expect("the stream is whole")]);
                false
            }
        }
    }

    /// Whether the session has closed; what it said before is dropped.
    pub async fn is_closed(&mut self) -> bool {
        let mut bytes = Vec::new();
        timeout(Duration::from_mins(1), self.stream.read_to_end(&mut bytes))
            .await
            .is_ok_and(|read| read.is_ok())
    }

    /// Sends a command and reads its answer. Synchronising literals are sent when asked for: write
    /// `{...}` with their text in `literals`.
    pub async fn command(&mut self, text: &str) -> Answer {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(format!("{tag} {text}\r\n")).await;
        self.answer(&tag).await
    }

    /// Sends a command and does not wait.
    pub async fn begin(&mut self, text: &str) {
        self.tags += 1;
        self.send(format!("t{} {text}\r\n", self.tags)).await;
    }

    /// The tag of the last command.
    pub fn last_tag(&self) -> String {
        format!("t{}", self.tags)
    }

    /// Reads up to the response with this tag.
    pub async fn answer(&mut self, tag: &str) -> Answer {
        let mut untagged = Vec::new();
        loop {
            let response = self.response().await;
            if let Some(tagged) = response.strip_prefix(&format!("{tag} ")) {
                return Answer { untagged, tagged: tagged.to_owned() };
            }
            assert!(response.starts_with("* ") || response.starts_with("+ "), "{response}");
            untagged.push(response);
        }
    }

    pub async fn ok(&mut self, text: &str) -> Answer {
        let answer = self.command(text).await;
        assert!(answer.tagged.starts_with("OK"), "{text}: {answer:?}");
        answer
    }

    pub async fn no(&mut self, text: &str) -> Answer {
        let answer = self.command(text).await;
        assert!(answer.tagged.starts_with("NO"), "{text}: {answer:?}");
        answer
    }

    pub async fn bad(&mut self, text: &str) -> Answer {
        let answer = self.command(text).await;
        assert!(answer.tagged.starts_with("BAD"), "{text}: {answer:?}");
        answer
    }

    /// Appends a message with a literal that does not wait.
    pub async fn append(&mut self, mailbox: &str, flags: &str, message: &str) -> Answer {
        self.ok(&format!("APPEND {mailbox} ({flags}) {{{}+}}\r\n{message}", message.len())).await
    }
}
