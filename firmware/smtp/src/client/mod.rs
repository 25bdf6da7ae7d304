//! The sending side: any number of messages to one server (RFC 5321 3.3, RFC 3207, RFC 4954).
//!
//! The shell connects, then calls [`Client::poll`] and does what it says, feeding what it reads. At
//! [`Step::Ready`] it takes the verdicts of the message before, and begins the next one or says good-bye.

mod offers;
#[cfg(test)]
mod tests;
mod transaction;

use sasl::ChannelBinding;

pub use offers::Offers;
use transaction::{Transaction, sensible};

use crate::Reply;
use crate::reply::{ReplyError, take_reply};

/// Most recipients in one transaction (RFC 5321 4.5.3.1.8 promises 100).
pub const RECIPIENTS_MAX: usize = 100;

/// Whether the connection is to be protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsUse {
    /// Already on.
    On,
    /// If the server offers it.
    Offered,
    /// Without it nothing is sent.
    Required,
    /// Not at all: it was tried and failed.
    Never,
}

/// User and password at a smarthost.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password, in clear.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How a session is begun.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Name to greet with.
    pub host_name: String,
    /// Whether the connection is to be protected.
    pub tls: TlsUse,
    /// User and password for a smarthost; only sent over TLS.
    pub credentials: Option<Credentials>,
    /// What SCRAM-SHA-256-PLUS binds to, where TLS is already on.
    pub binding: ChannelBinding,
}

/// One message's envelope.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// Envelope sender; empty for a notice.
    pub sender: String,
    /// Envelope recipients, at most [`RECIPIENTS_MAX`].
    pub recipients: Vec<Recipient>,
    /// Octets of the message, exactly.
    pub size_bytes: u64,
    /// Whether it has octets above 127.
    pub eight_bit: bool,
    /// Whether only BINARYMIME carries it.
    pub binary: bool,
    /// Whether sender or header need SMTPUTF8; recipients are looked at one by one.
    pub utf8: bool,
    /// Whether REQUIRETLS was demanded; TLS itself is the shell's matter.
    pub require_tls: bool,
    /// ENVID, in xtext.
    pub envelope_id: Option<String>,
    /// RET, where it was given.
    pub return_full: Option<bool>,
    /// BY, in seconds from now.
    pub deliver_by: Option<DeliverBy>,
    /// MT-PRIORITY.
    pub priority: i8,
}

/// A deadline as it is passed on (RFC 2852).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// Seconds from now; over already when negative.
    pub seconds: i64,
    /// Mode R.
    pub return_late: bool,
    /// Mode T.
    pub trace: bool,
}

/// One envelope recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipient {
    /// Its address.
    pub address: String,
    /// NOTIFY, where it was given: bit 0 SUCCESS, bit 1 FAILURE, bit 2 DELAY; 0 is NEVER.
    pub notify: Option<u8>,
    /// ORCPT, as it came.
    pub original: Option<String>,
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The server took the message for it.
    Delivered(Reply),
    /// Trying again may help.
    Deferred(Reply),
    /// Trying again is useless.
    Refused(Reply),
}

impl Verdict {
    /// What was said.
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Delivered(reply) | Self::Deferred(reply) | Self::Refused(reply) => reply,
        }
    }
}

/// How the text goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Dots doubled, and its end.
    Dots,
    /// As it is (BDAT).
    Chunk,
}

/// What the shell does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send the output, read, feed.
    Read,
    /// Send the output, do the handshake, call [`Client::tls_started`].
    StartTls,
    /// Send the output, then the message, call [`Client::message_sent`].
    SendMessage(Form),
    /// No message is under way: [`Client::take_verdicts`], then [`Client::begin`] or [`Client::quit`].
    Ready,
    /// Send the output and close.
    Done,
}

/// One session with one server.
#[derive(Debug)]
pub struct Client {
    hello: Hello,
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    offers: Offers,
    login: Option<sasl::Client>,
    transaction: Option<Transaction>,
    /// The server may still think of a message that came to nothing.
    dirty: bool,
    /// Why there is no session.
    failure: Option<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Login,
    Ready,
    Probe,
    Envelope,
    Message { real: bool },
    End { real: bool },
    Done,
}

impl Client {
    /// A session that waits for the server's greeting.
    pub fn new(hello: Hello) -> Self {
        Self {
            hello,
            state: State::Greeting,
            input: Vec::new(),
            output: Vec::new(),
            offers: Offers::default(),
            login: None,
            transaction: None,
            dirty: false,
            failure: None,
        }
    }

    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// TLS is on; what was read before is forgotten (RFC 3207 4.2).
    pub fn tls_started(&mut self, binding: ChannelBinding) {
        self.input.clear();
        self.hello.tls = TlsUse::On;
        self.hello.binding = binding;
        self.say_ehlo();
    }

    /// The message is sent, with its end where its form has one.
    pub fn message_sent(&mut self) {
        self.state = State::End { real: true };
    }

    /// The connection broke or took too long; recipients without a verdict are tried again.
    pub fn lost(&mut self, reason: &str) {
        self.end(&Reply::with_text(451, "4.4.2", reason));
        self.state = State::Done;
    }

    /// Says good-bye; only when ready.
    pub fn quit(&mut self) {
        if self.state != State::Done {
            self.say("QUIT");
            self.state = State::Done;
        }
    }

    /// Asks whether the session still lives, before a message is trusted to it; only when ready.
    pub fn probe(&mut self) {
        self.say("RSET");
        self.dirty = false;
        self.state = State::Probe;
    }

    /// What the server offers; known when ready.
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Whether TLS is on.
    pub fn is_secret(&self) -> bool {
        self.hello.tls == TlsUse::On
    }

    /// Why there is no session, once it is over.
    pub fn failure(&self) -> Option<&Reply> {
        self.failure.as_ref()
    }

    /// Whether the message under way has had any answer: if not, it may go over another connection.
    pub fn was_answered(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::was_answered)
    }

    /// One verdict per recipient of the message that came to its end, in order.
    pub fn take_verdicts(&mut self) -> Option<Vec<Verdict>> {
        let lost = || Verdict::Deferred(Reply::new(451, "4.4.2", "The session ended early"));
        let verdicts = self.transaction.take()?.verdicts;
        Some(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(lost)).collect())
    }

    /// Goes on as far as it can.
    pub fn poll(&mut self) -> Step {
        loop {
            match self.state {
                State::Done => return Step::Done,
                State::Ready => return Step::Ready,
                State::Handshake => return Step::StartTls,
                State::Message { real: true } => return Step::SendMessage(self.form()),
                State::Message { real: false } => {
                    // Every recipient was refused, but the server waits for text (RFC 2920 3.1).
                    self.output.extend_from_slice(b".\r\n");
                    self.state = State::End { real: false };
                }
                _ => match take_reply(&mut self.input) {
                    Ok(Some(reply)) => self.handle(&reply),
                    Ok(None) => return Step::Read,
                    Err(error) => self.broken(error),
                },
            }
        }
    }

    fn broken(&mut self, error: ReplyError) {
        self.end(&Reply::with_text(451, "4.5.0", error.to_string()));
        self.state = State::Done;
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn say_ehlo(&mut self) {
        self.say(&format!("EHLO {}", self.hello.host_name));
        self.state = State::Ehlo;
    }

    fn handle(&mut self, reply: &Reply) {
        match self.state {
            State::Greeting if reply.code == 220 => self.say_ehlo(),
            State::Ehlo if reply.is_positive() => self.greeted(reply),
            State::Ehlo if reply.is_permanent() && self.hello.tls != TlsUse::Required => {
                self.say(&format!("HELO {}", self.hello.host_name));
                self.state = State::Helo;
            }
            State::Helo if reply.is_positive() => self.secured(),
            State::StartTls if reply.code == 220 => self.state = State::Handshake,
            State::StartTls if self.hello.tls == TlsUse::Offered && reply.code != 421 => self.secured(),
            State::Login => self.handle_login(reply),
            State::Probe if reply.is_positive() => self.state = State::Ready,
            State::Envelope => self.handle_envelope(reply),
            State::End { real } => {
                if let Some(transaction) = self.transaction.as_mut().filter(|_| real) {
                    transaction.finish_all(reply);
                }
                if reply.code == 421 {
                    return self.give_up(reply);
                }
                self.end_transaction(!real);
            }
            _ => self.give_up(reply),
        }
    }

    /// The session and the message in it end with this.
    fn end(&mut self, reply: &Reply) {
        match &mut self.transaction {
            Some(transaction) => transaction.finish_all(reply),
            None => self.failure = Some(reply.clone()),
        }
    }

    fn give_up(&mut self, reply: &Reply) {
        self.end(&sensible(reply));
        self.quit();
    }

    fn greeted(&mut self, reply: &Reply) {
        self.offers = Offers::parse(&reply.text);
        match self.hello.tls {
            TlsUse::Offered | TlsUse::Required if self.offers.starttls => {
                self.say("STARTTLS");
                self.state = State::StartTls;
            }
            _ => self.secured(),
        }
    }

    fn secured(&mut self) {
        if self.hello.tls == TlsUse::Required {
            return self.give_up(&Reply::new(454, "4.7.0", "The server offers no TLS, which is required"));
        }
        let Some(credentials) = self.hello.credentials.clone() else {
            self.state = State::Ready;
            return;
        };
        if self.hello.tls != TlsUse::On {
            return self.give_up(&Reply::new(454, "4.7.0", "The password is not sent without TLS"));
        }
        let offered = self.offers.auth.iter().map(String::as_str);
        let Some(mechanism) = sasl::Client::choose(offered, &self.hello.binding) else {
            let text = "The smarthost offers no AUTH that is known here: SCRAM-SHA-256, PLAIN, LOGIN";
            return self.give_up(&Reply::new(454, "4.7.0", text));
        };
        match sasl::Client::new(mechanism, &credentials.user, &credentials.password, &self.hello.binding) {
            Ok(mut login) => {
                let initial = login.initial().map(|initial| format!(" {}", sasl::encode(&initial)));
                self.say(&format!("AUTH {}{}", mechanism.name(), initial.unwrap_or_default()));
                self.login = Some(login);
                self.state = State::Login;
            }
            Err(error) => self.give_up(&Reply::with_text(454, "4.7.0", error.to_string())),
        }
    }

    fn handle_login(&mut self, reply: &Reply) {
        let Some(login) = &mut self.login else { return self.give_up(reply) };
        if reply.code == 235 {
            // Some servers put the last message of SCRAM here.
            if login.is_done() || login.challenge(&reply.text).is_ok_and(|_| login.is_done()) {
                self.login = None;
                self.state = State::Ready;
                return;
            }
            let text = "The smarthost did not prove that it knows the password";
            return self.give_up(&Reply::new(454, "4.7.0", text));
        }
        let with_proof = self.offers.auth.iter().any(|name| name.starts_with("SCRAM"));
        if reply.is_permanent() && with_proof {
            // An account may have no keys for SCRAM there. TLS is on, and the server has proven its name,
            // so it may have the password itself.
            self.offers.auth.retain(|name| !name.starts_with("SCRAM"));
            if !self.offers.auth.is_empty() {
                return self.secured();
            }
        }
        if reply.code != 334 {
            // A wrong password here is ours to mend, so the mail waits for it.
            let text = format!("The smarthost refused the login: {reply}");
            return self.give_up(&Reply::with_text(454, "4.7.0", text));
        }
        match login.challenge(&reply.text) {
            Ok(answer) => {
                let line = sasl::encode(&answer);
                self.say(&line);
            }
            Err(error) => {
                self.say("*");
                self.give_up(&Reply::with_text(454, "4.7.0", format!("The login at the smarthost: {error}")));
            }
        }
    }
}

/// By the first digit of the code: an enhanced status of another class is none (RFC 2034 4).
fn verdict(reply: &Reply) -> Verdict {
    match reply.code {
        200..400 => Verdict::Delivered(reply.clone()),
        500.. => Verdict::Refused(reply.clone()),
        _ => Verdict::Deferred(reply.clone()),
    }
}
