//! POP3: carries bytes between a socket and [`pop3::Session`], and answers its questions.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::pop3::{Answer, Maildrop, Message, Question, Refusal, Session, Step};
use sasl::{Claim, Denied};
use store::{AccountId, MailboxId, StoreError};
use tokio::sync::Notify;

use crate::counters::count;
use crate::service::Shared;
use crate::wire::Wire;

/// Octets read at once.
const READ_BYTES: usize = 4 * 1024;
/// A session that was silent for so long gives its maildrop to the next one that logs in: it may be
/// a client that lost its network.
const YIELD_AFTER: Duration = Duration::from_secs(30);

/// Who has which maildrop open (RFC 1939 4: one session at a time).
#[derive(Debug, Default)]
pub(crate) struct Maildrops {
    open: Mutex<HashMap<AccountId, Arc<Hold>>>,
}

#[derive(Debug)]
struct Hold {
    active: Mutex<Instant>,
    taken_away: Notify,
}

impl Maildrops {
    fn claim(&self, account: AccountId) -> Option<Arc<Hold>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = open.get(&account) {
            if other.active.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < YIELD_AFTER {
                return None;
            }
            other.taken_away.notify_one();
        }
        let claim = Arc::new(Hold { active: Mutex::new(Instant::now()), taken_away: Notify::new() });
        open.insert(account, Arc::clone(&claim));
        Some(claim)
    }

    fn release(&self, account: AccountId, claim: &Arc<Hold>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&account).is_some_and(|current| Arc::ptr_eq(current, claim)) {
            open.remove(&account);
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, wire: Wire, peer: IpAddr) {
    count(&shared.counters.connections_pop3, 1);
    let session = Session::new(Arc::clone(&shared.policies.pop3), wire.tls_description().is_some());
    let mut shell = Shell { session, shared, peer, begun: Instant::now(), open: None };
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
}

/// The maildrop of a session.
struct Open {
    account: AccountId,
    mailbox: MailboxId,
    claim: Arc<Hold>,
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
                    self.session.tls_started();
                }
                Step::Close => {
                    // Whoever reads the good-bye may log in again at once.
                    self.release();
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
        let limit = match &self.open {
            Some(_) => limits.command_timeout * 2,
            // However it trickles, it must come to a login.
            None => limits.greeting_timeout.min(limits.progress_timeout.saturating_sub(self.begun.elapsed())),
        };
        let taken_away = async {
            match &self.open {
                Some(open) => open.claim.taken_away.notified().await,
                None => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            biased;
            read = wire.receive(buffer, limit) => match read {
                Ok(read) => {
                    if let Some(open) = &self.open {
                        *open.claim.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    }
                    return Ok(Some(read));
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    count(&self.shared.counters.timeouts, 1);
                    tracing::info!("pop3 from {} was silent for too long", self.peer);
                    "Silent for too long, closing"
                }
                Err(error) => return Err(error),
            },
            () = self.shared.stop_ordered() => "[SYS/TEMP] The service is stopping, try again at once",
            () = taken_away => "[IN-USE] Another session took the mailbox over",
        };
        self.session.end(reason);
        Ok(None)
    }

    async fn decide(&mut self, question: Question) -> Result<Answer, Refusal> {
        match question {
            Question::Login(credentials) => {
                let claim = Claim::Password { user: credentials.user, password: credentials.password };
                let login = self.shared.passwords.decide(&claim, self.peer).await;
                let login = login.map_err(|denied| match denied {
                    Denied::Credentials | Denied::Disabled | Denied::Protocol => Refusal::BadCredentials,
                    Denied::Unavailable => Refusal::Unavailable,
                })?;
                self.open_maildrop(login.account).map(Answer::Maildrop)
            }
            Question::Text { uid } => {
                let mailbox = self.open.as_ref().ok_or(Refusal::Unavailable)?.mailbox;
                let rows = self.shared.store.rows(mailbox, &vec![uid..=uid], false).map_err(refuse)?;
                let row = rows.first().ok_or(Refusal::Gone)?;
                self.shared.store.read_body(&row.body).map(Answer::Text).map_err(refuse)
            }
            Question::Remove { uids } => {
                let mailbox = self.open.as_ref().ok_or(Refusal::Unavailable)?.mailbox;
                let ranges = uids.iter().map(|uid| *uid..=*uid).collect();
                self.shared.store.remove(mailbox, ranges).await.map_err(refuse)?;
                Ok(Answer::Done)
            }
        }
    }

    fn release(&mut self) {
        if let Some(open) = self.open.take() {
            self.shared.maildrops.release(open.account, &open.claim);
        }
    }

    fn open_maildrop(&mut self, account: AccountId) -> Result<Maildrop, Refusal> {
        let inbox =
            self.shared.store.mailbox(account, "INBOX").map_err(refuse)?.ok_or(Refusal::Unavailable)?;
        let claim = self.shared.maildrops.claim(account).ok_or(Refusal::InUse)?;
        self.open = Some(Open { account, mailbox: inbox.id, claim });
        let snapshot = self.shared.store.snapshot(inbox.id).map_err(refuse)?;
        let message = |entry: &store::Entry| Message { uid: entry.uid, size_bytes: entry.size_bytes };
        Ok(Maildrop {
            uid_validity: snapshot.mailbox.uid_validity,
            messages: snapshot.entries.iter().map(message).collect(),
        })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.release();
    }
}

fn refuse(error: StoreError) -> Refusal {
    if matches!(error, StoreError::Gone) {
        return Refusal::Gone;
    }
    tracing::error!("pop3: {error}");
    Refusal::Unavailable
}
