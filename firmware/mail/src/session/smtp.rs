//! SMTP and submission: carries bytes between a socket and [`smtp::server::Session`], and answers its
//! questions.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::smtp::Reply;
use ::smtp::server::{Answer, Question, Refusal, Role, Session, Step, Waiting};
use sasl::{Claim, Denied};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::clock::unix_s;
use crate::counters::count;
use crate::delivery::Destination;
use crate::service::Shared;
use crate::wire::Wire;

/// Octets read at once.
const READ_BYTES: usize = 16 * 1024;
/// How long a client that sends lines with LF alone may go on after its refusal.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, wire: Wire, peer: IpAddr, role: Role) {
    count(&shared.counters.connections_smtp, 1);
    let policy = match role {
        Role::Exchange => Arc::clone(&shared.policies.exchange),
        Role::Submission | Role::Local => Arc::clone(&shared.policies.submission),
    };
    let id = shared.next_session_id();
    let session = Session::new(policy, peer, id.clone(), wire.tls_description());
    let mut shell =
        Shell { session, shared, peer, id, room: Vec::new(), progress: Instant::now(), greeted: false };
    let ended = shell.run(wire).await;
    count(&shell.shared.counters.bad_commands, shell.session.faults() as u64);
    if let Err(error) = ended {
        tracing::info!("smtp {} from {peer} ended: {error}", shell.id);
    }
}

struct Shell {
    session: Session<Destination>,
    shared: Arc<Shared>,
    peer: IpAddr,
    id: String,
    /// Memory held for the text under way.
    room: Vec<OwnedSemaphorePermit>,
    /// When the session began, or the last message or login was accepted.
    progress: Instant,
    /// Whether a message or a login has been accepted.
    greeted: bool,
}

/// What a wait for the client came to.
enum Heard {
    Bytes(usize),
    Closed,
    Silence,
    Stop,
}

impl Shell {
    async fn run(&mut self, mut wire: Wire) -> io::Result<()> {
        let send_timeout = self.shared.limits.send_timeout;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.session.poll(unix_s()) {
                Step::Ask(question) => {
                    let answer = self.decide(question).await;
                    self.session.answer(answer);
                }
                Step::Read => {
                    wire.send(&self.session.take_output(), send_timeout).await?;
                    match self.hear(&mut wire, &mut buffer).await? {
                        Heard::Bytes(read) => self.session.feed(buffer.get(..read).unwrap_or(&[])),
                        Heard::Closed => return Ok(()),
                        Heard::Stop => self.session.end(&Refusal::ShuttingDown.reply()),
                        Heard::Silence => {
                            count(&self.shared.counters.timeouts, 1);
                            tracing::info!("smtp {} from {} was silent for too long", self.id, self.peer);
                            self.session.end(&Reply::new(421, "4.4.2", "Silent for too long, closing"));
                        }
                    }
                }
                Step::StartTls => {
                    wire.send(&self.session.take_output(), send_timeout).await?;
                    wire = self.shared.start_tls(wire, self.peer).await?;
                    self.session.tls_started(wire.tls_description().unwrap_or_default());
                }
                Step::Close => {
                    wire.send(&self.session.take_output(), send_timeout).await?;
                    wire.close(self.shared.linger()).await;
                    return Ok(());
                }
            }
        }
    }

    /// Waits for the client, for as long as what it is doing may take.
    async fn hear(&mut self, wire: &mut Wire, buffer: &mut [u8]) -> io::Result<Heard> {
        let limits = &self.shared.limits;
        let silence = match self.session.waiting() {
            Waiting::Command if self.greeted => limits.command_timeout,
            Waiting::Command => limits.greeting_timeout,
            Waiting::Text => limits.text_timeout,
            Waiting::Leftover => LEFTOVER_TIMEOUT,
        };
        // However it trickles, it must come to something.
        let left = limits.progress_timeout.saturating_sub(self.progress.elapsed());
        let in_transaction = self.session.in_transaction();
        if !in_transaction {
            self.room.clear();
        }
        let heard = tokio::select! {
            biased;
            () = self.shared.stop_ordered(), if !in_transaction => return Ok(Heard::Stop),
            read = wire.receive(buffer, silence.min(left)) => read,
        };
        match heard {
            Ok(0) => Ok(Heard::Closed),
            Ok(read) => Ok(Heard::Bytes(read)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(Heard::Silence),
            Err(error) => Err(error),
        }
    }

    async fn decide(&mut self, question: Question<Destination>) -> Answer<Destination> {
        let decided = match question {
            Question::Authenticate(credentials) => {
                let claim = Claim::Password { user: credentials.user, password: credentials.password };
                match self.shared.passwords.decide(&claim, self.peer).await {
                    Ok(login) => {
                        self.made_progress();
                        Ok(Answer::Account(login.address))
                    }
                    Err(Denied::Unavailable) => Err(Refusal::AuthenticationUnavailable),
                    Err(Denied::Credentials | Denied::Disabled | Denied::Protocol) => {
                        Err(Refusal::BadCredentials)
                    }
                }
            }
            Question::Sender { account, sender } => {
                self.shared.delivery.may_send(account.as_deref(), sender.as_ref()).map(|()| Answer::Go)
            }
            Question::Recipient { account, recipient, size_bytes, .. } => self
                .shared
                .delivery
                .destination(account.is_some(), &recipient, size_bytes)
                .map(Answer::Recipient)
                .inspect_err(|refusal| {
                    count(&self.shared.counters.recipients_refused, 1);
                    tracing::info!(
                        "smtp {} from {}: <{recipient}> refused: {}",
                        self.id,
                        self.peer,
                        refusal.reply()
                    );
                }),
            Question::Room { bytes } => self.make_room(bytes),
            Question::Deliver(incoming) => {
                let delivered = self.shared.delivery.deliver(*incoming, self.peer).await;
                if delivered.is_ok() {
                    self.made_progress();
                }
                self.room.clear();
                delivered.map(|()| Answer::Go)
            }
        };
        decided.unwrap_or_else(Answer::Refused)
    }

    fn made_progress(&mut self) {
        self.greeted = true;
        self.progress = Instant::now();
    }

    fn make_room(&mut self, bytes: usize) -> Result<Answer<Destination>, Refusal> {
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Refusal::Busy)?;
        let memory = Arc::clone(&self.shared.text_memory);
        let permit = memory.try_acquire_many_owned(kib).map_err(|_| Refusal::Busy)?;
        self.room.push(permit);
        Ok(Answer::Go)
    }
}
