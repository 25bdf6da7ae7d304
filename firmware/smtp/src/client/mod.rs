//! The sending side: one message to one server (RFC 5321 3.3, RFC 2920, RFC 3207, RFC 4954).
//!
//! The shell connects, then calls [`Client::poll`] and does what it says, feeding what it reads, until
//! [`Step::Done`]. Each recipient then has its [`Verdict`].

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Reply;
use crate::reply::{ReplyError, take_reply};
use crate::server::Credentials;

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

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name to greet with.
    pub host_name: String,
    /// Envelope sender; empty for a notice.
    pub sender: String,
    /// Envelope recipients, at most [`RECIPIENTS_MAX`].
    pub recipients: Vec<String>,
    /// Octets of the message.
    pub size_bytes: u64,
    /// Whether it has octets above 127.
    pub eight_bit: bool,
    /// Whether the connection is to be protected.
    pub tls: TlsUse,
    /// User and password for a smarthost; only sent over TLS.
    pub credentials: Option<Credentials>,
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

/// What the shell does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send the output, read, feed.
    Read,
    /// Send the output, do the handshake, call [`Client::tls_started`].
    StartTls,
    /// Send the output, then the message with its dots doubled and its end, call [`Client::message_sent`].
    SendMessage,
    /// Send the output and close.
    Done,
}

/// One message on its way to one server.
#[derive(Debug)]
pub struct Client {
    plan: Plan,
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    offers: Offers,
    to_send: VecDeque<Envelope>,
    expected: VecDeque<Envelope>,
    verdicts: Vec<Option<Verdict>>,
    begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    AuthUser,
    AuthPassword,
    AuthEnd,
    Envelope,
    Message { real: bool },
    End { real: bool },
    Done,
}

/// What the server offered in its answer to EHLO.
#[derive(Debug, Clone, Copy, Default)]
struct Offers {
    starttls: bool,
    pipelining: bool,
    eight_bit: bool,
    size: bool,
    size_max_bytes: u64,
    auth_plain: bool,
    auth_login: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Envelope {
    Mail,
    Rcpt(usize),
    Data,
}

impl Client {
    /// A session that waits for the server's greeting.
    pub fn new(plan: Plan) -> Self {
        Self {
            verdicts: vec![None; plan.recipients.len()],
            plan,
            state: State::Greeting,
            input: Vec::new(),
            output: Vec::new(),
            offers: Offers::default(),
            to_send: VecDeque::new(),
            expected: VecDeque::new(),
            begun: false,
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

    /// TLS is on.
    pub fn tls_started(&mut self) {
        self.input.clear();
        self.plan.tls = TlsUse::On;
        self.say_ehlo();
    }

    /// The message and its end are sent.
    pub fn message_sent(&mut self) {
        self.state = State::End { real: true };
    }

    /// The connection broke or took too long; recipients without a verdict are tried again.
    pub fn lost(&mut self, reason: &str) {
        self.finish_all(&Reply::with_text(451, "4.4.2", reason));
        self.state = State::Done;
    }

    /// Whether the server let the message begin. If not, the verdicts are about the server, and another
    /// one may take the message.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// One verdict per recipient, in order.
    pub fn into_verdicts(self) -> Vec<Verdict> {
        let lost = || Verdict::Deferred(Reply::new(451, "4.4.2", "The session ended early"));
        self.verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(lost)).collect()
    }

    /// Goes on as far as it can.
    pub fn poll(&mut self) -> Step {
        loop {
            match self.state {
                State::Done => return Step::Done,
                State::Handshake => return Step::StartTls,
                State::Message { real: true } => return Step::SendMessage,
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
        self.finish_all(&Reply::with_text(451, "4.5.0", error.to_string()));
        self.state = State::Done;
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn say_ehlo(&mut self) {
        self.say(&format!("EHLO {}", self.plan.host_name));
        self.state = State::Ehlo;
    }

    fn handle(&mut self, reply: &Reply) {
        match self.state {
            State::Greeting if reply.code == 220 => self.say_ehlo(),
            State::Ehlo if reply.is_positive() => self.greeted(reply),
            State::Ehlo if reply.is_permanent() && self.plan.tls != TlsUse::Required => {
                self.say(&format!("HELO {}", self.plan.host_name));
                self.state = State::Helo;
            }
            State::Helo if reply.is_positive() => self.secured(),
            State::StartTls if reply.code == 220 => self.state = State::Handshake,
            State::StartTls if self.plan.tls == TlsUse::Offered => self.secured(),
            State::AuthUser if reply.code == 334 => self.say_credential(|c| &c.user, State::AuthPassword),
            State::AuthPassword if reply.code == 334 => {
                self.say_credential(|c| &c.password, State::AuthEnd);
            }
            State::AuthEnd if reply.code == 235 => self.begin_envelope(),
            // A wrong password here is ours to mend, so the mail waits for it.
            State::AuthUser | State::AuthPassword | State::AuthEnd => {
                let text = format!("The smarthost refused the login: {reply}");
                self.give_up(&Reply::with_text(454, "4.7.0", text));
            }
            State::Envelope => self.handle_envelope(reply),
            State::End { real: true } => {
                self.finish_all(reply);
                self.quit();
            }
            State::End { real: false } => self.quit(),
            _ => self.give_up(reply),
        }
    }

    /// Everybody without a verdict gets this one.
    fn finish_all(&mut self, reply: &Reply) {
        let verdict = verdict(reply);
        for open in self.verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
            *open = Some(verdict.clone());
        }
    }

    fn give_up(&mut self, reply: &Reply) {
        // A positive reply that makes no sense here is the server's fault and may pass.
        let reply = if reply.is_positive() {
            Reply::with_text(451, "4.5.0", format!("Unexpected answer: {reply}"))
        } else {
            reply.clone()
        };
        self.finish_all(&reply);
        self.quit();
    }

    fn quit(&mut self) {
        self.say("QUIT");
        self.state = State::Done;
    }

    fn greeted(&mut self, reply: &Reply) {
        self.offers = Offers::parse(&reply.text);
        let starttls = self.offers.starttls;
        match self.plan.tls {
            TlsUse::Offered | TlsUse::Required if starttls => {
                self.say("STARTTLS");
                self.state = State::StartTls;
            }
            _ => self.secured(),
        }
    }

    fn secured(&mut self) {
        if self.plan.tls == TlsUse::Required {
            return self.give_up(&Reply::new(454, "4.7.0", "The server offers no TLS, which is required"));
        }
        match &self.plan.credentials {
            None => self.begin_envelope(),
            Some(_) if self.plan.tls != TlsUse::On => {
                self.give_up(&Reply::new(454, "4.7.0", "The password is not sent without TLS"));
            }
            Some(credentials) if self.offers.auth_plain => {
                let secret = format!("\0{}\0{}", credentials.user, credentials.password);
                self.say(&format!("AUTH PLAIN {}", STANDARD.encode(secret)));
                self.state = State::AuthEnd;
            }
            Some(_) if self.offers.auth_login => {
                self.say("AUTH LOGIN");
                self.state = State::AuthUser;
            }
            Some(_) => {
                self.give_up(&Reply::new(454, "4.7.0", "The smarthost offers neither AUTH PLAIN nor LOGIN"));
            }
        }
    }

    fn say_credential(&mut self, pick: fn(&Credentials) -> &String, next: State) {
        let text = self.plan.credentials.as_ref().map(|c| STANDARD.encode(pick(c))).unwrap_or_default();
        self.say(&text);
        self.state = next;
    }

    fn begin_envelope(&mut self) {
        self.begun = true;
        let limit = self.offers.size_max_bytes;
        if limit > 0 && self.plan.size_bytes > limit {
            let text = format!("The message is larger than the {limit} octets that server takes");
            return self.give_up(&Reply::with_text(552, "5.3.4", text));
        }
        self.to_send.push_back(Envelope::Mail);
        self.to_send.extend((0..self.plan.recipients.len()).map(Envelope::Rcpt));
        self.to_send.push_back(Envelope::Data);
        self.state = State::Envelope;
        self.send_envelope();
    }

    /// Sends all of it at once where the server allows it, else the next command.
    fn send_envelope(&mut self) {
        while let Some(command) = self.to_send.pop_front() {
            let line = match command {
                Envelope::Mail => self.mail_line(),
                Envelope::Rcpt(index) => {
                    format!("RCPT TO:<{}>", self.plan.recipients.get(index).map_or("", String::as_str))
                }
                Envelope::Data => "DATA".to_owned(),
            };
            self.say(&line);
            self.expected.push_back(command);
            if !self.offers.pipelining {
                return;
            }
        }
    }

    fn mail_line(&self) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.plan.sender);
        if self.offers.size {
            let _ = write!(line, " SIZE={}", self.plan.size_bytes);
        }
        if self.offers.eight_bit && self.plan.eight_bit {
            line += " BODY=8BITMIME";
        }
        line
    }

    fn handle_envelope(&mut self, reply: &Reply) {
        match self.expected.pop_front() {
            Some(Envelope::Mail) if !reply.is_positive() => self.finish_all(reply),
            Some(Envelope::Rcpt(index)) if !reply.is_positive() => {
                if let Some(open @ None) = self.verdicts.get_mut(index) {
                    *open = Some(verdict(reply));
                }
            }
            Some(Envelope::Mail | Envelope::Rcpt(_)) => {}
            Some(Envelope::Data) if reply.code == 354 => {
                let real = self.verdicts.iter().any(Option::is_none);
                self.state = State::Message { real };
                return;
            }
            Some(Envelope::Data) | None => return self.give_up(reply),
        }
        let nobody_left = self.verdicts.iter().all(Option::is_some);
        if self.expected.is_empty() && nobody_left {
            self.quit();
        } else if self.expected.is_empty() {
            self.send_envelope();
        }
    }
}

fn verdict(reply: &Reply) -> Verdict {
    match reply.code {
        200..400 => Verdict::Delivered(reply.clone()),
        500.. => Verdict::Refused(reply.clone()),
        _ => Verdict::Deferred(reply.clone()),
    }
}

impl Offers {
    fn parse(text: &str) -> Self {
        let mut offers = Self::default();
        for line in text.lines().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("PIPELINING") => offers.pipelining = true,
                Some("8BITMIME") => offers.eight_bit = true,
                Some("SIZE") => {
                    offers.size = true;
                    offers.size_max_bytes = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
                }
                Some("AUTH") => {
                    for mechanism in words {
                        offers.auth_plain |= mechanism == "PLAIN";
                        offers.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offers
    }
}
