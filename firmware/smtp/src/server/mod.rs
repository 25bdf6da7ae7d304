//! The receiving side: one client's session.
//!
//! The shell calls [`Session::feed`] with what it read, then [`Session::poll`] until that says
//! [`Step::Read`]. Before it reads, starts TLS or closes it sends [`Session::take_output`]. A
//! [`Step::Ask`] must be answered with [`Session::answer`] before the next poll.

mod auth;
mod body;
mod greeting;
mod refusal;
#[cfg(test)]
mod tests;
mod trace;
mod transaction;

use std::net::IpAddr;
use std::sync::Arc;

use crate::Reply;
use crate::address::Mailbox;
use crate::command::{self, Command};
use crate::line::{Input, LineEnd};
use crate::parameter::{DeliverBy, MailFrom, NoticeWish, RcptTo};

pub use auth::Credentials;
pub use body::{ROOM_FREE_BYTES, ROOM_STEP_BYTES};
pub use refusal::Refusal;

use sasl::{ChannelBinding, Claim, Denied, Stored};

use transaction::{Phase, Transaction};

/// Commands that were not understood or came out of order, after which a session is closed.
pub const FAULTS_MAX: usize = 20;
/// Commands without an accepted message in between, after which a session is closed.
pub const IDLE_COMMANDS_MAX: usize = 2_000;
/// What replies to one group of commands usually need.
const OUTPUT_BYTES: usize = 512;
/// Failed authentications in one session.
pub const AUTH_FAILURES_MAX: usize = 5;

/// Which service a session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Mail from other servers, for our own domains.
    Exchange,
    /// Mail from our users, to anywhere (RFC 6409).
    Submission,
    /// Mail for our users from a server that is trusted to have it checked, over LMTP (RFC 2033).
    Local,
}

/// What one service allows.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which service this is.
    pub role: Role,
    /// Name the service greets with.
    pub host_name: Arc<str>,
    /// Largest message, in octets.
    pub message_max_bytes: u64,
    /// Most recipients of one message; RFC 5321 4.5.3.1.8 asks for 100 at least.
    pub recipients_max: usize,
    /// Whether STARTTLS is offered while the connection is in clear.
    pub starttls: bool,
    /// Whether a password may come in clear. Only for try-outs on one machine.
    pub auth_in_clear: bool,
    /// Longest time a message may ask to be held for, in seconds (RFC 4865); 0 offers none.
    pub hold_max_s: u64,
}

/// What the shell does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<R> {
    /// Send the output, read, feed.
    Read,
    /// Answer, then poll again.
    Ask(Question<R>),
    /// Send the output, do the handshake, call [`Session::tls_started`].
    StartTls,
    /// Send the output and close.
    Close,
}

/// What only the shell can know.
#[derive(Debug, PartialEq, Eq)]
pub enum Question<R> {
    /// What is stored of this user for SCRAM, real or simulated? Answer [`Answer::Stored`] or
    /// [`Answer::Denied`].
    Lookup {
        /// User name.
        user: String,
    },
    /// Is this the user? Answer [`Answer::Account`] or [`Answer::Denied`].
    Authenticate(Claim),
    /// May this sender send? Answer [`Answer::Go`] or a refusal.
    Sender {
        /// The account that logged in, on submission.
        account: Option<String>,
        /// Envelope sender.
        sender: Option<Mailbox>,
    },
    /// May this recipient be sent to? Answer [`Answer::Recipient`] or a refusal.
    Recipient {
        /// The account that logged in, on submission.
        account: Option<String>,
        /// Envelope sender.
        sender: Option<Mailbox>,
        /// Envelope recipient; the domain is empty for the bare `Postmaster`.
        recipient: Mailbox,
        /// Declared size of the message.
        size_bytes: Option<u64>,
    },
    /// May this many octets more be held in memory? Answer [`Answer::Go`] or a refusal.
    Room {
        /// How many.
        bytes: usize,
    },
    /// Here is a message. Answer [`Answer::Go`] once it is durable, or a refusal; for [`Role::Local`]
    /// also [`Answer::Each`].
    Deliver(Box<Incoming<R>>),
}

/// The shell's answer to a [`Question`].
#[derive(Debug)]
pub enum Answer<R> {
    /// Yes.
    Go,
    /// What is stored of the user.
    Stored(Stored),
    /// The claim is right, and this is the account.
    Account(String),
    /// Nobody is let in.
    Denied(Denied),
    /// The recipient is good; the shell gets its own mark of it back with the message.
    Recipient(R),
    /// What became of each recipient, in order; LMTP tells them apart (RFC 2033 4.2).
    Each(Vec<Result<(), Refusal>>),
    /// No.
    Refused(Refusal),
}

/// A message with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming<R> {
    /// Name of the message in log lines and in its `Received` field.
    pub id: String,
    /// The account that sent it, on submission.
    pub account: Option<String>,
    /// What the client calls itself.
    pub helo: String,
    /// MAIL: the sender and what was asked for.
    pub mail: MailFrom,
    /// When it may be delivered at the earliest, in seconds since 1970 (RFC 4865).
    pub release_unix_s: Option<u64>,
    /// When it must have been delivered, in seconds since 1970, and what happens then (RFC 2852).
    pub deadline: Option<(i64, DeliverBy)>,
    /// Accepted recipients, in order.
    pub recipients: Vec<Accepted<R>>,
    /// The text with `Return-Path` and `Received` on top.
    pub message: Vec<u8>,
    /// How much of `message` was put on top of it here; what the client sent begins there.
    pub trace_bytes: usize,
    /// Whether a `Delivered-To` field came with it, which may mean a loop.
    pub was_delivered: bool,
}

/// A recipient that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<R> {
    /// Envelope recipient.
    pub mailbox: Mailbox,
    /// What its sender wants to hear of it.
    pub notice: NoticeWish,
    /// The shell's mark of it.
    pub mark: R,
}

/// What is known of the TLS below a session.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Version and cipher, for trace fields.
    pub description: String,
    /// What a login can be bound to.
    pub binding: ChannelBinding,
}

/// What the session waits for, so that the shell can bound the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// A command.
    Command,
    /// The rest of a message.
    Text,
    /// The rest of a message that was already refused.
    Leftover,
}

/// One client's session.
#[derive(Debug)]
pub struct Session<R> {
    policy: Arc<Policy>,
    peer: IpAddr,
    id: String,
    messages: u64,
    tls: Option<Tls>,
    helo: Option<Helo>,
    account: Option<String>,
    input: Input,
    /// The line at hand; its memory is used again.
    line: Vec<u8>,
    output: Vec<u8>,
    exchange: Option<sasl::Exchange<String>>,
    transaction: Option<Transaction<R>>,
    phase: Phase,
    asked: Option<Asked>,
    faults: usize,
    idle_commands: usize,
    auth_failures: usize,
    closing: bool,
}

#[derive(Debug)]
struct Helo {
    name: String,
    extended: bool,
}

/// What the outstanding question was about.
#[derive(Debug)]
enum Asked {
    Lookup,
    Authenticate,
    Sender(Box<Transaction<()>>),
    Recipient(Box<RcptTo>),
    Room(usize),
    /// With the number of recipients.
    Deliver(usize),
}

impl<R> Session<R> {
    /// A session that begins with its greeting. `tls` describes the connection if TLS is already on.
    pub fn new(policy: Arc<Policy>, peer: IpAddr, id: String, tls: Option<Tls>) -> Self {
        let mut session = Self {
            peer,
            id,
            messages: 0,
            tls,
            helo: None,
            account: None,
            input: Input::default(),
            line: Vec::new(),
            output: Vec::with_capacity(OUTPUT_BYTES),
            exchange: None,
            transaction: None,
            phase: Phase::Command,
            asked: None,
            faults: 0,
            idle_commands: 0,
            auth_failures: 0,
            closing: false,
            policy,
        };
        session.banner();
        session
    }

    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.feed(bytes);
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Gives the memory of what was sent back.
    pub fn reuse_output(&mut self, mut sent: Vec<u8>) {
        if self.output.is_empty() && sent.capacity() <= 4 * OUTPUT_BYTES {
            sent.clear();
            self.output = sent;
        }
    }

    /// What the next read is for.
    pub fn waiting(&self) -> Waiting {
        match &self.phase {
            Phase::Text { replied: true } => Waiting::Leftover,
            Phase::Text { .. } | Phase::Chunk { .. } => Waiting::Text,
            Phase::Command => Waiting::Command,
        }
    }

    /// Whether a message is under way that a stop should wait for.
    pub fn in_transaction(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.recipients.is_empty())
    }

    /// Commands so far that were not understood or came out of order.
    pub fn faults(&self) -> usize {
        self.faults
    }

    /// TLS is on; the client begins again (RFC 3207 4.2).
    pub fn tls_started(&mut self, tls: Tls) {
        self.input.clear();
        self.tls = Some(tls);
        self.helo = None;
        self.exchange = None;
        self.transaction = None;
    }

    /// The client spoke before it was greeted, as no server does that waits for its turn
    /// (RFC 5321 4.3.1): it gets no greeting.
    pub fn refuse_early_talker(&mut self) {
        self.output.clear();
        self.end(&Reply::new(554, "5.5.0", "You spoke before the greeting, closing"));
    }

    /// The service ends this session now: 421 and close (RFC 5321 3.8).
    pub fn end(&mut self, reason: &Reply) {
        self.reply(reason);
        self.closing = true;
    }

    /// Goes on as far as it can. `now_unix_s` goes into trace fields.
    pub fn poll(&mut self, now_unix_s: u64) -> Step<R> {
        loop {
            if self.closing {
                return Step::Close;
            }
            let step = match self.phase {
                Phase::Command => self.poll_command(now_unix_s),
                Phase::Text { .. } => self.poll_text(),
                Phase::Chunk { .. } => self.poll_chunk(),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Takes the answer to the last question.
    pub fn answer(&mut self, answer: Answer<R>) {
        let Some(asked) = self.asked.take() else { return };
        match (asked, answer) {
            (Asked::Authenticate, Answer::Account(account)) => self.authenticated(account),
            (Asked::Lookup, Answer::Stored(stored)) => self.looked_up(stored),
            (Asked::Lookup | Asked::Authenticate, answer) => self.not_authenticated(denied(&answer)),
            (Asked::Sender(begun), Answer::Go) => self.begin(*begun),
            (Asked::Recipient(rcpt), Answer::Recipient(mark)) => self.add_recipient(*rcpt, mark),
            (Asked::Room(bytes), Answer::Go) => self.room(Some(bytes)),
            (Asked::Room(_), _) => self.room(None),
            (Asked::Sender(_) | Asked::Recipient(_), answer) => self.refused(refusal(answer)),
            (Asked::Deliver(recipients), answer) => {
                let outcomes = match answer {
                    Answer::Each(outcomes) if outcomes.len() == recipients => outcomes,
                    Answer::Go => vec![Ok(()); recipients],
                    other => vec![Err(refusal(other)); recipients],
                };
                self.delivered(&outcomes);
            }
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        self.reply(&refusal.reply());
        self.closing |= refusal.ends_session();
    }

    fn reply(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    /// A reply to something that a well-made client does not do.
    fn fault(&mut self, reply: &Reply) {
        self.reply(reply);
        self.faults += 1;
        if self.faults >= FAULTS_MAX {
            self.end(&Reply::new(421, "4.7.0", "Too many errors, closing"));
        }
    }

    fn ask(&mut self, asked: Asked, question: Question<R>) -> Step<R> {
        self.asked = Some(asked);
        Step::Ask(question)
    }

    fn poll_command(&mut self, now_unix_s: u64) -> Option<Step<R>> {
        let limit = match self.exchange {
            Some(_) => command::AUTH_LINE_MAX_BYTES,
            // RFC 4954 4: an initial response may make the line that long.
            None if self.policy.role == Role::Submission => command::AUTH_LINE_MAX_BYTES,
            None => command::COMMAND_LINE_MAX_BYTES,
        };
        let Some(end) = self.input.take_line_into(limit, &mut self.line) else { return Some(Step::Read) };
        self.idle_commands += 1;
        if self.idle_commands > IDLE_COMMANDS_MAX {
            self.end(&Reply::new(421, "4.7.0", "Too many commands without a message, closing"));
            return None;
        }
        let line = std::mem::take(&mut self.line);
        let step = match end {
            LineEnd::TooLong => {
                self.fault(&Reply::new(500, "5.5.6", "The line is too long"));
                None
            }
            LineEnd::BareLf => {
                self.fault(&Reply::new(500, "5.5.2", "A line must end with CR LF"));
                None
            }
            LineEnd::Whole if self.exchange.is_some() => self.auth_line(&line),
            LineEnd::Whole => match command::parse(&line) {
                Err(reply) => {
                    self.fault(&reply);
                    None
                }
                Ok(command) => self.command(command, now_unix_s),
            },
        };
        self.line = line;
        step
    }

    fn command(&mut self, command: Command, now_unix_s: u64) -> Option<Step<R>> {
        match command {
            // RFC 2033 4.1: LMTP has a greeting of its own, and no other.
            Command::Ehlo(_) | Command::Helo(_) if self.policy.role == Role::Local => {
                self.fault(&Reply::new(500, "5.5.1", "This is LMTP, send LHLO"));
            }
            Command::Lhlo(_) if self.policy.role != Role::Local => self.fault(&command::UNKNOWN),
            Command::Ehlo(name) | Command::Lhlo(name) => self.greet(name, true, now_unix_s),
            Command::Helo(name) => self.greet(name, false, now_unix_s),
            Command::Mail(mail) => return self.mail(mail, now_unix_s),
            Command::Rcpt(rcpt) => return self.rcpt(rcpt),
            Command::Data => self.data(now_unix_s),
            Command::Bdat { size_bytes, last } => self.bdat(size_bytes, last, now_unix_s),
            Command::Rset => {
                self.transaction = None;
                self.reply(&Reply::new(250, "2.0.0", "Done"));
            }
            Command::Noop => self.reply(&Reply::new(250, "2.0.0", "Here")),
            // RFC 5321 7.3: a server need not tell who exists.
            Command::Vrfy => self.reply(&Reply::new(252, "2.5.0", "Send mail and it will be tried")),
            Command::Expn => self.reply(&Reply::new(502, "5.5.1", "Lists are not shown")),
            Command::Help => {
                let text = match self.policy.role {
                    Role::Exchange => "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS",
                    Role::Submission => {
                        "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH"
                    }
                    Role::Local => "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT",
                };
                self.reply(&Reply::new(214, "2.0.0", text));
            }
            Command::Quit => {
                self.reply(&Reply::new(221, "2.0.0", "Bye"));
                self.closing = true;
            }
            Command::StartTls => return self.starttls(),
            Command::Auth { mechanism, initial } => return self.auth(&mechanism, initial.as_deref()),
        }
        None
    }

    fn starttls(&mut self) -> Option<Step<R>> {
        if self.tls.is_some() {
            self.fault(&Reply::new(503, "5.5.1", "TLS is already on"));
        } else if !self.policy.starttls {
            self.fault(&Reply::new(502, "5.5.1", "TLS is not available"));
        } else if self.transaction.is_some() {
            self.fault(&Reply::new(503, "5.5.1", "Finish the message first"));
        } else {
            self.reply(&Reply::new(220, "2.0.0", "Begin TLS"));
            // What was sent in clear behind STARTTLS is not answered (RFC 3207 4.2).
            self.input.clear();
            return Some(Step::StartTls);
        }
        None
    }
}

/// What an answer that is not the hoped-for one means; a shell that answers another question than
/// the one asked has failed.
fn refusal<R>(answer: Answer<R>) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        Answer::Go
        | Answer::Stored(_)
        | Answer::Account(_)
        | Answer::Denied(_)
        | Answer::Recipient(_)
        | Answer::Each(_) => Refusal::StoreUnavailable,
    }
}

fn denied<R>(answer: &Answer<R>) -> Denied {
    if let Answer::Denied(denied) = answer { *denied } else { Denied::Unavailable }
}
