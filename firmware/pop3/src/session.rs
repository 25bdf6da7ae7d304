//! One client's session.
//!
//! The shell calls [`Session::feed`] with what it read, then [`Session::poll`] until that says
//! [`Step::Read`]. It sends [`Session::take_output`] before it reads, starts TLS or closes, and at
//! [`Step::Send`]. A [`Step::Ask`] must be answered with [`Session::answer`] before the next poll.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use smtp::dots::Stuffer;
use smtp::line::{Input, Line};
use smtp::server::Credentials;

use crate::command::{self, Command, LINE_MAX_BYTES};

/// Commands that were not understood or came out of order, after which a session is closed.
pub const FAULTS_MAX: usize = 20;
/// Failed authentications in one session.
pub const AUTH_FAILURES_MAX: usize = 5;
/// A message is sent in pieces of about so many octets.
pub const SEND_STEP_BYTES: usize = 64 * 1024;

/// What the service allows.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Name the service greets with.
    pub host_name: Arc<str>,
    /// Whether STLS is offered while the connection is in clear.
    pub stls: bool,
    /// Whether a password may come in clear. Only for try-outs on one machine.
    pub auth_in_clear: bool,
}

/// One message of a maildrop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its UID in the mailbox.
    pub uid: u32,
    /// Size in octets.
    pub size_bytes: u32,
}

/// What a session sees from its login to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildrop {
    /// UIDVALIDITY of the mailbox; with the UID it makes the unique-id of UIDL.
    pub uid_validity: u32,
    /// Messages by ascending UID.
    pub messages: Vec<Message>,
}

/// What the shell does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the output, read, feed.
    Read,
    /// Send the output, poll again.
    Send,
    /// Answer, then poll again.
    Ask(Question),
    /// Send the output, do the handshake, call [`Session::tls_started`].
    StartTls,
    /// Send the output and close.
    Close,
}

/// What only the shell can know.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// Is this the password, and what is in the maildrop? Answer [`Answer::Maildrop`] or a refusal.
    Login(Credentials),
    /// The text of a message, by UID. Answer [`Answer::Text`] or a refusal.
    Text {
        /// Its UID.
        uid: u32,
    },
    /// Remove these messages, by ascending UID. Answer [`Answer::Done`] once it is durable, or a refusal.
    Remove {
        /// Their UIDs.
        uids: Vec<u32>,
    },
}

/// The shell's answer to a [`Question`].
#[derive(Debug)]
pub enum Answer {
    /// The login is good; this is there.
    Maildrop(Maildrop),
    /// The text of the message.
    Text(Bytes),
    /// It is done, and durable.
    Done,
    /// No.
    Refused(Refusal),
}

/// Why the shell says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// User or password is wrong.
    BadCredentials,
    /// Another session has the maildrop.
    InUse,
    /// It cannot be done now.
    Unavailable,
    /// Another session removed the message.
    Gone,
}

impl Refusal {
    /// What the client is told, with its response code (RFC 2449 8, RFC 3206).
    fn text(self) -> &'static str {
        match self {
            Self::BadCredentials => "[AUTH] User name or password is wrong",
            Self::InUse => "[IN-USE] Another session has the mailbox open",
            Self::Unavailable => "[SYS/TEMP] That is not possible now, try again later",
            Self::Gone => "The message was removed by another session",
        }
    }
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    input: Input,
    output: Vec<u8>,
    tls: bool,
    user: Option<String>,
    expecting_plain: bool,
    open: Option<Open>,
    asked: Option<Asked>,
    sending: Option<Sending>,
    faults: usize,
    auth_failures: usize,
    closing: bool,
}

/// The TRANSACTION state.
#[derive(Debug)]
struct Open {
    maildrop: Maildrop,
    deleted: Vec<bool>,
}

#[derive(Debug)]
enum Asked {
    Login,
    Text { lines: Option<usize> },
    Remove,
}

/// A message on its way to the client.
#[derive(Debug)]
struct Sending {
    text: Bytes,
    stuffer: Stuffer,
}

impl Session {
    /// A session that begins with its greeting.
    pub fn new(policy: Arc<Policy>, tls: bool) -> Self {
        let mut session = Self {
            input: Input::default(),
            output: Vec::new(),
            tls,
            user: None,
            expecting_plain: false,
            open: None,
            asked: None,
            sending: None,
            faults: 0,
            auth_failures: 0,
            closing: false,
            policy,
        };
        let greeting = format!("{} POP3 Twinmail", session.policy.host_name);
        session.ok(&greeting);
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

    /// Whether somebody has logged in.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Commands so far that were not understood or came out of order.
    pub fn faults(&self) -> usize {
        self.faults
    }

    /// TLS is on (RFC 2595 4).
    pub fn tls_started(&mut self) {
        self.input.clear();
        self.tls = true;
        self.user = None;
    }

    /// The service ends this session now, and removes nothing.
    pub fn end(&mut self, reason: &str) {
        self.err(reason);
        self.closing = true;
    }

    /// Goes on as far as it can.
    pub fn poll(&mut self) -> Step {
        loop {
            if self.sending.is_some() {
                self.send_piece();
                return Step::Send;
            }
            if self.closing {
                return Step::Close;
            }
            let line = match self.input.take_line(LINE_MAX_BYTES) {
                None => return Step::Read,
                Some(Line::TooLong) => {
                    self.fault("The line is too long");
                    continue;
                }
                // A lone LF cannot smuggle anything here; some hand-made clients send it.
                Some(Line::Whole(line) | Line::BareLf(line)) => line,
            };
            let step = if self.expecting_plain { self.plain_line(&line) } else { self.line(&line) };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Takes the answer to the last question.
    pub fn answer(&mut self, answer: Answer) {
        match (self.asked.take(), answer) {
            (Some(Asked::Login), Answer::Maildrop(maildrop)) => {
                let count = maildrop.messages.len();
                self.ok(&format!("{count} messages"));
                self.open = Some(Open { deleted: vec![false; count], maildrop });
            }
            (Some(Asked::Login), answer) => {
                self.err(refusal(&answer).text());
                self.auth_failures += 1;
                if self.auth_failures >= AUTH_FAILURES_MAX {
                    self.end("Too many failed attempts, closing");
                }
            }
            (Some(Asked::Text { lines }), Answer::Text(text)) => {
                self.ok(&format!("{} octets", text.len()));
                let text = lines.map_or_else(|| text.clone(), |lines| text.slice(..top_bytes(&text, lines)));
                self.sending = Some(Sending { text, stuffer: Stuffer::default() });
            }
            (Some(Asked::Remove), Answer::Done) => self.bye(),
            (Some(Asked::Remove), _) => self.end("[SYS/TEMP] The deleted messages could not be removed"),
            (Some(Asked::Text { .. }), answer) => self.err(refusal(&answer).text()),
            (None, _) => {}
        }
    }

    fn ok(&mut self, text: &str) {
        self.output.extend_from_slice(format!("+OK {text}\r\n").as_bytes());
    }

    fn err(&mut self, text: &str) {
        self.output.extend_from_slice(format!("-ERR {text}\r\n").as_bytes());
    }

    fn bye(&mut self) {
        self.ok("Bye");
        self.closing = true;
    }

    /// An answer to something that a well-made client does not do.
    fn fault(&mut self, text: &str) {
        self.err(text);
        self.faults += 1;
        if self.faults >= FAULTS_MAX {
            self.end("Too many errors, closing");
        }
    }

    fn ask(&mut self, asked: Asked, question: Question) -> Step {
        self.asked = Some(asked);
        Step::Ask(question)
    }

    fn send_piece(&mut self) {
        let Some(mut sending) = self.sending.take() else { return };
        let piece = sending.text.split_to(sending.text.len().min(SEND_STEP_BYTES));
        sending.stuffer.encode(&piece, &mut self.output);
        if sending.text.is_empty() {
            sending.stuffer.finish(&mut self.output);
        } else {
            self.sending = Some(sending);
        }
    }

    fn line(&mut self, line: &[u8]) -> Option<Step> {
        match command::parse(line) {
            Err(text) => {
                self.fault(text);
                None
            }
            Ok(Command::Capa) => {
                self.capabilities();
                None
            }
            Ok(command) if self.open.is_some() => self.transaction(command),
            Ok(command) => self.authorization(command),
        }
    }

    fn capabilities(&mut self) {
        let mut text = "+OK What is here\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n\
                        EXPIRE NEVER\r\nIMPLEMENTATION Twinmail\r\n"
            .to_owned();
        if self.policy.stls && !self.tls {
            text += "STLS\r\n";
        }
        if self.may_log_in() {
            text += "USER\r\nSASL PLAIN\r\n";
        }
        text += ".\r\n";
        self.output.extend_from_slice(text.as_bytes());
    }

    fn may_log_in(&self) -> bool {
        self.tls || self.policy.auth_in_clear
    }

    fn authorization(&mut self, command: Command) -> Option<Step> {
        match command {
            Command::Quit => self.bye(),
            Command::Stls if self.policy.stls && !self.tls => {
                self.ok("Begin TLS");
                // What was sent in clear behind STLS is not answered (RFC 2595 4).
                self.input.clear();
                return Some(Step::StartTls);
            }
            Command::Stls => self.fault("TLS cannot begin now"),
            Command::User(_) | Command::Pass(_) | Command::Auth { .. } if !self.may_log_in() => {
                self.fault("[AUTH] Begin TLS first");
            }
            Command::User(name) => {
                self.user = Some(name);
                self.ok("Now the password");
            }
            Command::Pass(password) => match self.user.take() {
                Some(user) => return self.log_in(Some(Credentials { user, password })),
                None => self.fault("Send USER first"),
            },
            Command::Auth { mechanism: None, .. } => {
                self.output.extend_from_slice(b"+OK What is here\r\nPLAIN\r\n.\r\n");
            }
            Command::Auth { mechanism: Some(mechanism), initial } if mechanism == "PLAIN" => {
                if let Some(response) = initial {
                    return self.plain_line(response.as_bytes());
                }
                self.expecting_plain = true;
                self.output.extend_from_slice(b"+ \r\n");
            }
            Command::Auth { .. } => self.fault("That mechanism is not offered"),
            _ => self.fault("Log in first"),
        }
        None
    }

    /// The response of AUTH PLAIN (RFC 5034).
    fn plain_line(&mut self, line: &[u8]) -> Option<Step> {
        self.expecting_plain = false;
        if line == b"*" {
            self.err("Authentication was given up");
            return None;
        }
        let response = STANDARD.decode(line).ok();
        self.log_in(response.and_then(|response| Credentials::from_plain(&response)))
    }

    fn log_in(&mut self, credentials: Option<Credentials>) -> Option<Step> {
        let fits = |c: &Credentials| c.user.len() <= 1024 && (1..=1024).contains(&c.password.len());
        let Some(credentials) = credentials.filter(fits) else {
            self.fault("The response is not understood");
            return None;
        };
        Some(self.ask(Asked::Login, Question::Login(credentials)))
    }

    fn transaction(&mut self, command: Command) -> Option<Step> {
        let Some(open) = &mut self.open else { return None };
        match command {
            Command::Stat => {
                let (count, bytes) = open
                    .left()
                    .fold((0, 0), |(count, bytes), (_, m)| (count + 1, bytes + u64::from(m.size_bytes)));
                self.ok(&format!("{count} {bytes}"));
            }
            Command::List(None) => self.list(|_, message| message.size_bytes.to_string()),
            Command::Uidl(None) => self.list(Maildrop::unique_id),
            Command::List(Some(number)) => self.list_one(number, |_, message| message.size_bytes.to_string()),
            Command::Uidl(Some(number)) => self.list_one(number, Maildrop::unique_id),
            Command::Retr(number) => return self.text(number, None),
            Command::Top { number, lines } => return self.text(number, Some(lines)),
            Command::Dele(number) => match open.index(number) {
                Some(index) => {
                    if let Some(deleted) = open.deleted.get_mut(index) {
                        *deleted = true;
                    }
                    self.ok("It goes at QUIT");
                }
                None => self.err(NO_MESSAGE),
            },
            Command::Noop => self.ok("Here"),
            Command::Rset => {
                open.deleted.fill(false);
                self.ok("Nothing is deleted");
            }
            Command::Quit => {
                let gone = |(message, deleted): (&Message, &bool)| deleted.then_some(message.uid);
                let uids: Vec<u32> =
                    open.maildrop.messages.iter().zip(&open.deleted).filter_map(gone).collect();
                if !uids.is_empty() {
                    return Some(self.ask(Asked::Remove, Question::Remove { uids }));
                }
                self.bye();
            }
            _ => self.fault("You are logged in already"),
        }
        None
    }

    fn list(&mut self, show: impl Fn(&Maildrop, Message) -> String) {
        let Some(open) = &self.open else { return };
        let mut text = "+OK\r\n".to_owned();
        for (index, message) in open.left() {
            let _ = write!(text, "{} {}\r\n", index + 1, show(&open.maildrop, *message));
        }
        text += ".\r\n";
        self.output.extend_from_slice(text.as_bytes());
    }

    fn list_one(&mut self, number: usize, show: impl Fn(&Maildrop, Message) -> String) {
        match self.open.as_ref().and_then(|open| Some((open, open.message(number)?))) {
            Some((open, message)) => {
                let line = format!("{number} {}", show(&open.maildrop, message));
                self.ok(&line);
            }
            None => self.err(NO_MESSAGE),
        }
    }

    fn text(&mut self, number: usize, lines: Option<usize>) -> Option<Step> {
        let Some(message) = self.open.as_ref().and_then(|open| open.message(number)) else {
            self.err(NO_MESSAGE);
            return None;
        };
        Some(self.ask(Asked::Text { lines }, Question::Text { uid: message.uid }))
    }
}

const NO_MESSAGE: &str = "There is no such message";

/// What an answer that is not the hoped-for one means.
fn refusal(answer: &Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => *refusal,
        Answer::Maildrop(_) | Answer::Text(_) | Answer::Done => Refusal::Unavailable,
    }
}

impl Maildrop {
    fn unique_id(&self, message: Message) -> String {
        format!("{}.{}", self.uid_validity, message.uid)
    }
}

impl Open {
    /// Messages that are not deleted, with their index.
    fn left(&self) -> impl Iterator<Item = (usize, &Message)> {
        let kept = |(index, message)| {
            (!self.deleted.get(index).copied().unwrap_or(true)).then_some((index, message))
        };
        self.maildrop.messages.iter().enumerate().filter_map(kept)
    }

    /// Index of a message that exists and is not deleted.
    fn index(&self, number: usize) -> Option<usize> {
        let index = number.checked_sub(1)?;
        (self.deleted.get(index) == Some(&false)).then_some(index)
    }

    fn message(&self, number: usize) -> Option<Message> {
        self.index(number).and_then(|index| self.maildrop.messages.get(index).copied())
    }
}

/// Length of the header, the empty line and `lines` lines of the body (RFC 1939 7, TOP).
fn top_bytes(text: &[u8], lines: usize) -> usize {
    let header = memchr::memmem::find(text, b"\r\n\r\n").map_or(text.len(), |at| at + 4);
    let body = text.get(header..).unwrap_or(&[]);
    let Some(last) = lines.checked_sub(1) else { return header };
    header + memchr::memchr_iter(b'\n', body).nth(last).map_or(body.len(), |at| at + 1)
}
