//! SMTP and submission: carries bytes between a socket and [`smtp::server::Session`], and answers its
//! questions.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::smtp::header::without_return_path;
use ::smtp::server::{Accepted, Answer, Incoming, Question, Refusal, Role, Session, Step, Tls, Waiting};
use ::smtp::{Mailbox, Reply};
use store::Protocol;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::authentication::{self, Wish, is_public};
use crate::clock::unix_s;
use crate::counters::count;
use crate::delivery::Opinion;
use crate::expansion::Destination;
use crate::figures::Underway;
use crate::probing::Probing;
use crate::receiving::Dmarc;
use crate::service::Shared;
use crate::wire::Wire;

/// Octets read at once.
const READ_BYTES: usize = 16 * 1024;
/// How long a client that sends lines with LF alone may go on after its refusal.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, wire: Wire, peer: IpAddr, role: Role) {
    let counters = Arc::clone(&shared.counters);
    let own = shared.probing.is_own(peer);
    let _underway = (!own).then(|| Underway::new(&counters.connections_smtp, &counters.ended_smtp));
    let policy = match role {
        Role::Exchange => Arc::clone(&shared.policies.exchange),
        Role::Submission => Arc::clone(&shared.policies.submission),
        Role::Local => Arc::clone(&shared.policies.local),
    };
    let id = shared.next_session_id();
    let session = Session::new(policy, peer, id.clone(), tls(&wire));
    let mut shell = Shell {
        session,
        shared,
        peer,
        own,
        role,
        id,
        room: Vec::new(),
        progress: Instant::now(),
        greeted: false,
    };
    if role == Role::Exchange && is_public(peer) && wire.has_spoken() {
        count(&shell.shared.counters.early_talkers, 1);
        shell.session.refuse_early_talker();
    }
    let ended = shell.run(wire).await;
    count(&shell.shared.counters.bad_commands, shell.session.faults() as u64);
    if let Err(error) = ended {
        tracing::info!("smtp {} from {peer} ended: {error}", shell.id);
    }
}

/// What the core knows of the TLS below it.
fn tls(wire: &Wire) -> Option<Tls> {
    let description = wire.tls_description()?;
    Some(Tls { description, binding: wire.channel_binding() })
}

struct Shell {
    session: Session<Destination>,
    shared: Arc<Shared>,
    peer: IpAddr,
    /// Somebody on this very box is at the other end.
    own: bool,
    role: Role,
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
                    let output = self.session.take_output();
                    wire.send(&output, send_timeout).await?;
                    self.session.reuse_output(output);
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
                    self.session.tls_started(tls(&wire).unwrap_or_default());
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
            Waiting::Command => self.shared.admission.patience(limits.greeting_timeout),
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
            Question::Lookup { user } => {
                return match self.shared.passwords.stored(&user) {
                    Ok(stored) => Answer::Stored(stored),
                    Err(denied) => Answer::Denied(denied),
                };
            }
            Question::Authenticate(claim) => {
                return match self.shared.passwords.decide(&claim, Protocol::Submission, self.peer).await {
                    Ok(login) => {
                        self.made_progress();
                        Answer::Account(login.address)
                    }
                    Err(denied) => Answer::Denied(denied),
                };
            }
            Question::Sender { account, sender } => {
                self.shared.delivery.may_send(account.as_deref(), sender.as_ref()).map(|()| Answer::Go)
            }
            Question::Recipient { .. } if self.shared.refuses_all.load(Ordering::Relaxed) => {
                Err(Refusal::StoreUnavailable)
            }
            Question::Recipient { account, sender, recipient, size_bytes } => self
                .may_be_probed(&recipient)
                .await
                .and_then(|()| {
                    let delivery = &self.shared.delivery;
                    delivery.destination(account.as_deref(), sender.as_ref(), &recipient, size_bytes)
                })
                .map(Answer::Recipient)
                .inspect_err(|refusal| {
                    count(&self.shared.counters.recipients_refused, 1);
                    self.shared.counters.refused(*refusal);
                    tracing::info!(
                        "smtp {} from {}: <{recipient}> refused: {}",
                        self.id,
                        self.peer,
                        refusal.reply()
                    );
                }),
            Question::Room { bytes } => self.make_room(bytes),
            Question::Deliver(incoming) => {
                let answer = self.take(*incoming).await;
                if matches!(&answer, Ok(Answer::Go | Answer::Each(_))) {
                    self.made_progress();
                }
                self.room.clear();
                answer
            }
        };
        decided.unwrap_or_else(Answer::Refused)
    }

    /// The mailbox of the box's own probes is there for nobody else, by no spelling.
    async fn may_be_probed(&self, recipient: &Mailbox) -> Result<(), Refusal> {
        if !Probing::is_hidden(&recipient.domain) {
            return Ok(());
        }
        if !(self.own && self.role == Role::Exchange && Probing::is_mailbox(&recipient.to_string())) {
            return Err(Refusal::RelayDenied);
        }
        let made = self.shared.probing.make_mailbox(&self.shared.store).await;
        made.map_err(|error| crate::delivery::temporary(&error))
    }

    async fn take(&self, mut incoming: Incoming<Destination>) -> Result<Answer<Destination>, Refusal> {
        let for_probes = |one: &Accepted<Destination>| Probing::is_mailbox(&one.mailbox.to_string());
        match self.role {
            Role::Exchange if self.own && incoming.recipients.iter().all(for_probes) => {
                self.shared.delivery.deliver_probe(incoming).await?;
            }
            Role::Exchange => {
                let opinion = self.authenticate(&mut incoming).await?;
                self.shared.delivery.deliver(incoming, self.peer, opinion).await?;
            }
            Role::Submission => self.shared.delivery.deliver(incoming, self.peer, Opinion::TRUSTED).await?,
            Role::Local => return Ok(Answer::Each(self.take_for_each(incoming).await)),
        }
        Ok(Answer::Go)
    }

    /// LMTP: what becomes of one recipient says nothing of the others (RFC 2033 4.2).
    async fn take_for_each(&self, mut incoming: Incoming<Destination>) -> Vec<Result<(), Refusal>> {
        let recipients: Vec<Accepted<Destination>> = std::mem::take(&mut incoming.recipients);
        let mut outcomes = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let one = Incoming { recipients: vec![recipient], ..incoming.clone() };
            outcomes.push(self.shared.delivery.deliver(one, self.peer, Opinion::TRUSTED).await);
        }
        outcomes
    }

    /// Checks whether the message is authentic, writes down what was found, and says what is thought of it.
    async fn authenticate(&self, incoming: &mut Incoming<Destination>) -> Result<Opinion, Refusal> {
        let question = authentication::Question {
            peer: self.peer,
            helo: &incoming.helo,
            sender: incoming.mail.sender.as_ref(),
            message: incoming.message.get(incoming.trace_bytes..).unwrap_or(&[]),
        };
        let Some(findings) = self.shared.authenticator.check(question).await else {
            return Ok(Opinion::TRUSTED);
        };
        // Above our Received, below Return-Path, which must stay on top (RFC 8601 5, RFC 5321 4.4).
        let at = incoming.message.len() - without_return_path(&incoming.message).len();
        incoming.trace_bytes += findings.field.len();
        incoming.message.splice(at..at, findings.field.into_bytes());
        let counters = &self.shared.counters;
        let sender = findings.sender;
        match (findings.wish, self.shared.receiving.now().dmarc) {
            (Wish::Deliver, _) | (_, Dmarc::Record) => Ok(Opinion { junk: false, sender }),
            (Wish::Reject, Dmarc::Honour) => {
                count(&counters.not_authentic, 1);
                tracing::info!("smtp {} from {}: {}", incoming.id, self.peer, Refusal::NotAuthentic.reply());
                Err(Refusal::NotAuthentic)
            }
            (Wish::Reject | Wish::Quarantine, _) => {
                count(&counters.junked, 1);
                Ok(Opinion { junk: true, sender })
            }
        }
    }

    fn made_progress(&mut self) {
        self.greeted = true;
        self.progress = Instant::now();
    }

    fn make_room(&mut self, bytes: usize) -> Result<Answer<Destination>, Refusal> {
        // However many large messages come: the prober's is small, and alone.
        if self.own {
            return Ok(Answer::Go);
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Refusal::Busy)?;
        let memory = Arc::clone(&self.shared.text_memory);
        let permit = memory.try_acquire_many_owned(kib).map_err(|_| Refusal::Busy)?;
        self.room.push(permit);
        Ok(Answer::Go)
    }
}
