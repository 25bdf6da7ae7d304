//! POP3: carries bytes between a socket and [`pop3::Session`], and answers its questions.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::pop3::{Answer, Code, Maildrop, Message, Question, Refusal, Session, Step, Text};
use sasl::Denied;
use store::{AccountId, MailboxId, Protocol, Row, Store, StoreError};
use tokio::sync::OwnedSemaphorePermit;

use crate::counters::count;
use crate::figures::Underway;
use crate::maildrops::Hold;
use crate::service::Shared;
use crate::wire::Wire;

/// Octets read at once.
const READ_BYTES: usize = 4 * 1024;
/// Messages up to this size are sent without asking for room: they are no more than what a connection
/// holds anyway.
const SMALL_TEXT_BYTES: u32 = 256 * 1024;
/// Messages looked up at once: clients read their mail one after the other.
const LOOK_AHEAD: u32 = 64;
/// How long a large message waits for room, while slow clients take theirs.
const ROOM_WAIT: Duration = Duration::from_secs(20);

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, wire: Wire, peer: IpAddr) {
    let counters = Arc::clone(&shared.counters);
    let _underway = Underway::new(&counters.connections_pop3, &counters.ended_pop3);
    let tls = wire.tls_description().is_some().then(|| wire.channel_binding());
    let session = Session::new(Arc::clone(&shared.policies.pop3), tls);
    let mut shell = Shell { session, shared, peer, begun: Instant::now(), open: None, room: None };
    let ended = shell.run(wire).await;
    count(&shell.shared.counters.bad_commands, shell.session.faults() as u64);
    if let Err(error) = ended {
        tracing::info!("pop3 from {peer} ended: {error}");
    }
}

struct Shell {
    session: Session,
    shared: Arc<Shared>,
    peer: IpAddr,
    begun: Instant,
    open: Option<Open>,
    /// Memory held for the message under way.
    room: Option<OwnedSemaphorePermit>,
}

/// The maildrop of a session.
struct Open {
    mailbox: MailboxId,
    hold: Hold,
    /// The messages looked up last, ascending.
    rows: Vec<Row>,
}

impl Open {
    /// Where a message is, looked up with those behind it.
    fn row(&mut self, store: &Store, uid: u32) -> Result<&Row, Refusal> {
        if !self.rows.iter().any(|row| row.entry.uid == uid) {
            let ahead = uid..=uid.saturating_add(LOOK_AHEAD - 1);
            self.rows = store.rows(self.mailbox, &vec![ahead], false).map_err(refuse)?;
        }
        self.rows.iter().find(|row| row.entry.uid == uid).ok_or(Refusal::Gone)
    }
}

impl Shell {
    async fn run(&mut self, mut wire: Wire) -> io::Result<()> {
        let send_timeout = self.shared.limits.send_timeout;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.session.poll() {
                Step::Ask(question) => {
                    let answer = self.decide(question).await.unwrap_or_else(Answer::Refused);
                    self.session.answer(answer);
                }
                Step::Send => wire.send(&self.session.take_output(), send_timeout).await?,
                Step::Read => {
                    self.room = None;
                    wire.send(&self.session.take_output(), send_timeout).await?;
                    let read = self.hear(&mut wire, &mut buffer).await?;
                    match read {
                        Some(0) => return Ok(()),
                        Some(read) => self.session.feed(buffer.get(..read).unwrap_or(&[])),
                        None => {}
                    }
                }
                Step::StartTls => {
                    wire.send(&self.session.take_output(), send_timeout).await?;
                    wire = self.shared.start_tls(wire, self.peer).await?;
                    self.session.tls_started(wire.channel_binding());
                }
                Step::Close => {
                    // Whoever reads the good-bye may log in again at once.
                    self.open = None;
                    wire.send(&self.session.take_output(), send_timeout).await?;
                    wire.close(self.shared.linger()).await;
                    return Ok(());
                }
            }
        }
    }

    /// Waits for the client; none when the session was ended instead.
    async fn hear(&mut self, wire: &mut Wire, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let limits = &self.shared.limits;
        let limit = if self.open.is_some() {
            limits.command_timeout * 2
        } else {
            // However it trickles, it must come to a login.
            let left = limits.progress_timeout.saturating_sub(self.begun.elapsed());
            self.shared.admission.patience(limits.greeting_timeout).min(left)
        };
        let taken_away = async {
            match &self.open {
                Some(open) => open.hold.taken_away().await,
                None => std::future::pending().await,
            }
        };
        let (code, text) = tokio::select! {
            biased;
            read = wire.receive(buffer, limit) => match read {
                Ok(read) => {
                    if let Some(open) = &self.open {
                        open.hold.is_active();
                    }
                    return Ok(Some(read));
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    count(&self.shared.counters.timeouts, 1);
                    tracing::info!("pop3 from {} was silent for too long", self.peer);
                    (Code::None, Text::Silent)
                }
                Err(error) => return Err(error),
            },
            () = self.shared.stop_ordered() => (Code::Temporary, Text::Stopping),
            () = taken_away => (Code::InUse, Text::TakenOver),
        };
        self.session.end(code, text);
        Ok(None)
    }

    async fn decide(&mut self, question: Question) -> Result<Answer, Refusal> {
        match question {
            Question::Stored { user } => {
                self.shared.passwords.stored(&user).map(Answer::Stored).map_err(deny)
            }
            Question::Login(claim) => {
                // What an exchange opened that was given up before its end.
                self.open = None;
                let login = self.shared.passwords.decide(&claim, Protocol::Pop3, self.peer).await;
                let login = login.map_err(deny)?;
                self.open_maildrop(login.account).await.map(Answer::Maildrop)
            }
            Question::Text { uid } => {
                let open = self.open.as_mut().ok_or(Refusal::Unavailable)?;
                let Row { entry, body, .. } = open.row(&self.shared.store, uid)?;
                let (size_bytes, body) = (entry.size_bytes, *body);
                self.make_room(size_bytes).await?;
                self.shared.store.read_body(&body).map(Answer::Text).map_err(refuse)
            }
            Question::Remove { uids } => {
                let mailbox = self.open.as_ref().ok_or(Refusal::Unavailable)?.mailbox;
                let ranges = uids.iter().map(|uid| *uid..=*uid).collect();
                self.shared.store.remove(mailbox, ranges).await.map_err(refuse)?;
                Ok(Answer::Done)
            }
        }
    }

    /// A message is in memory until the client has taken it.
    async fn make_room(&mut self, bytes: u32) -> Result<(), Refusal> {
        self.room = None;
        if bytes > SMALL_TEXT_BYTES {
            let memory = Arc::clone(&self.shared.text_memory);
            let room = tokio::time::timeout(ROOM_WAIT, memory.acquire_many_owned(bytes.div_ceil(1024)));
            let room = room.await.map_err(|_| Refusal::Unavailable)?;
            self.room = Some(room.map_err(|_| Refusal::Unavailable)?);
        }
        Ok(())
    }

    async fn open_maildrop(&mut self, account: AccountId) -> Result<Maildrop, Refusal> {
        let inbox =
            self.shared.store.mailbox(account, "INBOX").map_err(refuse)?.ok_or(Refusal::Unavailable)?;
        let hold = self.shared.maildrops.open(account).await.ok_or(Refusal::InUse)?;
        let snapshot = self.shared.store.snapshot(inbox.id).map_err(refuse)?;
        self.open = Some(Open { mailbox: inbox.id, hold, rows: Vec::new() });
        let message = |entry: &store::Entry| Message { uid: entry.uid, size_bytes: entry.size_bytes };
        Ok(Maildrop {
            uid_validity: snapshot.mailbox.uid_validity,
            messages: snapshot.entries.iter().map(message).collect(),
        })
    }
}

fn deny(denied: Denied) -> Refusal {
    match denied {
        Denied::Credentials => Refusal::BadCredentials,
        Denied::Disabled => Refusal::Disabled,
        Denied::Protocol => Refusal::NotAllowed,
        Denied::Unavailable => Refusal::Unavailable,
    }
}

fn refuse(error: StoreError) -> Refusal {
    if matches!(error, StoreError::Gone) {
        return Refusal::Gone;
    }
    tracing::error!("pop3: {error}");
    Refusal::Unavailable
}
