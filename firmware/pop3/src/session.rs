//! One client's session.
//!
//! The shell calls [`Session::feed`] with what it read, then [`Session::poll`] until that says
//! [`Step::Read`]. It sends [`Session::take_output`] before it reads, starts TLS or closes, and at
//! [`Step::Send`]. A [`Step::Ask`] must be answered with [`Session::answer`] before the next poll.

use std::sync::Arc;

use bytes::Bytes;
use sasl::{ChannelBinding, Claim, Exchange, Stored};
use smtp::line::{Input, Line};

use crate::command::{self, Command, LINE_MAX_BYTES};
use crate::language::{Language, Text};
use crate::maildrop::{Maildrop, Open, SEND_STEP_BYTES, Sending};

/// Commands that were not understood or came out of order, after which a session is closed.
pub const FAULTS_MAX: usize = 20;
/// Failed authentications in one session.
pub const AUTH_FAILURES_MAX: usize = 5;

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
    /// What is stored of this user for SCRAM? Answer [`Answer::Stored`] or a refusal.
    Stored {
        /// User name.
        user: String,
    },
    /// Is this right, and what is in the maildrop? Answer [`Answer::Maildrop`] or a refusal. What an
    /// earlier login of this session opened is given back first: that exchange was not finished.
    Login(Claim),
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
    /// This is stored.
    Stored(Stored),
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
    /// The account is switched off.
    Disabled,
    /// The account may not use POP3.
    NotAllowed,
    /// Another session has the maildrop.
    InUse,
    /// It cannot be done now.
    Unavailable,
    /// Another session removed the message.
    Gone,
}

/// A response code (RFC 2449 8, RFC 3206, RFC 6856 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No code.
    None,
    /// `[AUTH]`
    Auth,
    /// `[IN-USE]`
    InUse,
    /// `[SYS/PERM]`
    Permanent,
    /// `[SYS/TEMP]`
    Temporary,
}

impl Code {
    fn prefix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Auth => "[AUTH] ",
            Self::InUse => "[IN-USE] ",
            Self::Permanent => "[SYS/PERM] ",
            Self::Temporary => "[SYS/TEMP] ",
        }
    }
}

impl Refusal {
    pub(crate) fn told(self) -> (Code, Text) {
        match self {
            Self::BadCredentials => (Code::Auth, Text::BadCredentials),
            Self::Disabled => (Code::Permanent, Text::Disabled),
            Self::NotAllowed => (Code::Permanent, Text::NotAllowed),
            Self::InUse => (Code::InUse, Text::InUse),
            Self::Unavailable => (Code::Temporary, Text::Unavailable),
            Self::Gone => (Code::None, Text::Gone),
        }
    }
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    pub(crate) policy: Arc<Policy>,
    input: Input,
    pub(crate) output: Vec<u8>,
    pub(crate) tls: bool,
    pub(crate) binding: ChannelBinding,
    pub(crate) language: Language,
    pub(crate) utf8: bool,
    pub(crate) user: Option<String>,
    pub(crate) exchange: Option<Exchange<Maildrop>>,
    pub(crate) open: Option<Open>,
    asked: Option<Asked>,
    pub(crate) sending: Option<Sending>,
    faults: usize,
    auth_failures: usize,
    closing: bool,
}

#[derive(Debug)]
pub(crate) enum Asked {
    Stored,
    Login,
    Text { lines: Option<usize> },
    Remove,
}

impl Session {
    /// A session that begins with its greeting. With TLS there is something to bind logins to.
    pub fn new(policy: Arc<Policy>, tls: Option<ChannelBinding>) -> Self {
        let mut session = Self {
            input: Input::default(),
            output: Vec::new(),
            tls: tls.is_some(),
            binding: tls.unwrap_or_default(),
            language: Language::default(),
            utf8: false,
            user: None,
            exchange: None,
            open: None,
            asked: None,
            sending: None,
            faults: 0,
            auth_failures: 0,
            closing: false,
            policy,
        };
        // Without a time stamp in angle brackets: APOP is not offered.
        let greeting = format!("+OK {} POP3 Twinmail\r\n", session.policy.host_name);
        session.output.extend_from_slice(greeting.as_bytes());
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
    pub fn tls_started(&mut self, binding: ChannelBinding) {
        self.input.clear();
        self.tls = true;
        self.binding = binding;
        self.user = None;
    }

    /// The service ends this session now, and removes nothing.
    pub fn end(&mut self, code: Code, text: Text) {
        self.err(code, text);
        self.closing = true;
    }

    /// Goes on as far as it can.
    pub fn poll(&mut self) -> Step {
        loop {
            if let (Some(sending), Some(open)) = (self.sending.take(), &self.open) {
                self.sending = sending.piece(open, &mut self.output);
                if self.sending.is_some() {
                    return Step::Send;
                }
            }
            if self.closing {
                return Step::Close;
            }
            // Whoever sends commands and does not read the answers waits with the next one.
            if self.output.len() >= SEND_STEP_BYTES {
                return Step::Send;
            }
            let line = match self.input.take_line(LINE_MAX_BYTES) {
                None => return Step::Read,
                Some(Line::TooLong) => {
                    self.exchange = None;
                    self.fault(Code::None, Text::TooLong);
                    continue;
                }
                // A lone LF cannot smuggle anything here; some hand-made clients send it.
                Some(Line::Whole(line) | Line::BareLf(line)) => line,
            };
            let step = if self.exchange.is_some() { self.exchange_line(&line) } else { self.line(&line) };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Takes the answer to the last question.
    pub fn answer(&mut self, answer: Answer) {
        match (self.asked.take(), answer) {
            (Some(Asked::Stored), Answer::Stored(stored)) => self.stored(stored),
            (Some(Asked::Login), Answer::Maildrop(maildrop)) => self.accepted(maildrop),
            (Some(Asked::Stored | Asked::Login), answer) => self.denied(refusal(&answer)),
            (Some(Asked::Text { lines }), Answer::Text(text)) => self.send_text(text, lines),
            (Some(Asked::Text { .. }), answer) => {
                let (code, text) = refusal(&answer).told();
                self.err(code, text);
            }
            (Some(Asked::Remove), Answer::Done) => self.bye(),
            (Some(Asked::Remove), _) => self.end(Code::Temporary, Text::NotRemoved),
            (None, _) => {}
        }
    }

    pub(crate) fn ok(&mut self, text: Text) {
        let text = text.say(self.language);
        self.output.extend_from_slice(format!("+OK {text}\r\n").as_bytes());
    }

    pub(crate) fn err(&mut self, code: Code, text: Text) {
        let text = text.say(self.language);
        self.output.extend_from_slice(format!("-ERR {}{text}\r\n", code.prefix()).as_bytes());
    }

    pub(crate) fn bye(&mut self) {
        self.ok(Text::Bye);
        self.closing = true;
    }

    /// An answer to something that a well-made client does not do.
    pub(crate) fn fault(&mut self, code: Code, text: Text) {
        self.err(code, text);
        self.faults += 1;
        if self.faults >= FAULTS_MAX {
            self.end(Code::None, Text::TooManyErrors);
        }
    }

    /// An answer to a login that failed.
    pub(crate) fn login_failed(&mut self, code: Code, text: Text) {
        self.err(code, text);
        self.auth_failures += 1;
        if self.auth_failures >= AUTH_FAILURES_MAX {
            self.end(Code::None, Text::TooManyFailures);
        }
    }

    pub(crate) fn ask(&mut self, asked: Asked, question: Question) -> Step {
        self.asked = Some(asked);
        Step::Ask(question)
    }

    fn line(&mut self, line: &[u8]) -> Option<Step> {
        match command::parse(line) {
            Err(text) => self.fault(Code::None, text),
            Ok(Command::Capa) => self.capabilities(),
            Ok(Command::Lang(None)) => self.list_languages(),
            Ok(Command::Lang(Some(tag))) => self.set_language(&tag),
            Ok(command) if self.open.is_some() => return self.transaction(command),
            Ok(command) => return self.authorization(command),
        }
        None
    }

    /// CAPA (RFC 2449 5, 6).
    fn capabilities(&mut self) {
        let mut text = format!("+OK {}\r\n", Text::Capabilities.say(self.language));
        text += "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8 USER\r\n\
                 LANG\r\nIMPLEMENTATION Twinmail\r\n";
        if self.open.is_none() {
            if self.policy.stls && !self.tls {
                text += "STLS\r\n";
            }
            if self.may_log_in() {
                text += &format!("USER\r\nSASL {}\r\n", self.offer());
            }
        }
        text += ".\r\n";
        self.output.extend_from_slice(text.as_bytes());
    }

    fn list_languages(&mut self) {
        let mut text = format!("+OK {}\r\n", Text::LanguageList.say(self.language));
        for language in Language::ALL {
            text += &format!("{} {}\r\n", language.tag(), language.name());
        }
        text += ".\r\n";
        self.output.extend_from_slice(text.as_bytes());
    }

    fn set_language(&mut self, tag: &str) {
        match Language::find(tag) {
            Some(language) => {
                self.language = language;
                let text = Text::LanguageChanged.say(language);
                self.output.extend_from_slice(format!("+OK {} {text}\r\n", language.tag()).as_bytes());
            }
            None => self.err(Code::None, Text::LanguageUnknown),
        }
    }
}

/// What an answer that is not the hoped-for one means.
fn refusal(answer: &Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => *refusal,
        Answer::Stored(_) | Answer::Maildrop(_) | Answer::Text(_) | Answer::Done => Refusal::Unavailable,
    }
}
