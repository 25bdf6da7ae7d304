//! The AUTHORIZATION state: STLS, UTF8, USER and PASS, AUTH (RFC 1939 4, RFC 2595 4, RFC 5034, RFC 6856 2).

use sasl::{Claim, Context, Exchange, Failure, Offer, Stored};

use crate::command::Command;
use crate::language::Text;
use crate::maildrop::{Maildrop, Open};
use crate::session::{Asked, Code, Question, Refusal, Session, Step};

impl Session {
    pub(crate) fn may_log_in(&self) -> bool {
        self.tls || self.policy.auth_in_clear
    }

    pub(crate) fn offer(&self) -> Offer {
        Offer::all(&self.context())
    }

    fn context(&self) -> Context {
        Context { binding: self.binding.clone() }
    }

    pub(crate) fn authorization(&mut self, command: Command) -> Option<Step> {
        match command {
            Command::Quit => self.bye(),
            Command::Stls if self.policy.stls && !self.tls => {
                self.ok(Text::BeginTls);
                // What was sent in clear behind STLS is dropped when TLS has started (RFC 2595 4).
                return Some(Step::StartTls);
            }
            Command::Stls => self.fault(Code::None, Text::TlsNotNow),
            Command::User(_) | Command::Pass(_) | Command::Auth { .. } if !self.may_log_in() => {
                self.fault(Code::Auth, Text::BeginTlsFirst);
            }
            Command::Utf8 => {
                self.utf8 = true;
                self.ok(Text::Utf8On);
            }
            Command::User(name) => {
                self.user = Some(name);
                self.ok(Text::NowPassword);
            }
            Command::Pass(password) => return self.pass(password),
            Command::Auth { mechanism: None, .. } => self.list_mechanisms(),
            Command::Auth { mechanism: Some(name), initial } => return self.begin(&name, initial.as_deref()),
            _ => self.fault(Code::None, Text::LogInFirst),
        }
        None
    }

    fn pass(&mut self, password: String) -> Option<Step> {
        let Some(user) = self.user.take() else {
            self.fault(Code::None, Text::UserFirst);
            return None;
        };
        if user.len() > sasl::CREDENTIAL_MAX_BYTES || password.len() > sasl::CREDENTIAL_MAX_BYTES {
            self.login_failed(Code::Auth, Text::BadCredentials);
            return None;
        }
        Some(self.ask(Asked::Login, Question::Login(Claim::Password { user, password })))
    }

    /// AUTH without an argument, as some clients ask although CAPA tells (RFC 1734).
    fn list_mechanisms(&mut self) {
        let mut text = format!("+OK {}\r\n", Text::Capabilities.say(self.language));
        for mechanism in self.offer().mechanisms() {
            text += mechanism.name();
            text += "\r\n";
        }
        text += ".\r\n";
        self.output.extend_from_slice(text.as_bytes());
    }

    fn begin(&mut self, name: &str, initial: Option<&str>) -> Option<Step> {
        let Some(mechanism) = self.offer().find(name) else {
            self.fault(Code::None, Text::NoMechanism);
            return None;
        };
        let (exchange, step) = Exchange::begin(mechanism, self.context(), initial);
        self.exchange = Some(exchange);
        self.go_on(step)
    }

    /// A line of the exchange under way.
    pub(crate) fn exchange_line(&mut self, line: &[u8]) -> Option<Step> {
        let step = self.exchange.as_mut()?.line(line);
        self.go_on(step)
    }

    fn go_on(&mut self, step: sasl::Step<Maildrop>) -> Option<Step> {
        match step {
            sasl::Step::Challenge(challenge) => {
                let line = format!("+ {}\r\n", sasl::encode(&challenge));
                self.output.extend_from_slice(line.as_bytes());
            }
            sasl::Step::Lookup { user } => return Some(self.ask(Asked::Stored, Question::Stored { user })),
            sasl::Step::Verify(claim) => return Some(self.ask(Asked::Login, Question::Login(claim))),
            sasl::Step::Done(maildrop) => self.enter(maildrop),
            sasl::Step::Failed(failure) => self.failed(failure),
        }
        None
    }

    pub(crate) fn stored(&mut self, stored: Stored) {
        if let Some(step) = self.exchange.as_mut().map(|exchange| exchange.stored(stored)) {
            // After this comes a challenge or a failure, never a question.
            self.go_on(step);
        }
    }

    /// The shell let them in. SCRAM has one more thing to say before it is over.
    pub(crate) fn accepted(&mut self, maildrop: Maildrop) {
        match self.exchange.as_mut() {
            Some(exchange) => {
                let step = exchange.accept(maildrop);
                self.go_on(step);
            }
            None => self.enter(maildrop),
        }
    }

    pub(crate) fn denied(&mut self, refusal: Refusal) {
        self.exchange = None;
        let (code, text) = refusal.told();
        self.login_failed(code, text);
    }

    fn failed(&mut self, failure: Failure) {
        self.exchange = None;
        match failure {
            Failure::Cancelled => self.err(Code::None, Text::GivenUp),
            Failure::NotBase64 | Failure::Malformed => self.fault(Code::None, Text::Response),
            Failure::ActsForAnother => self.login_failed(Code::Auth, Text::OtherUser),
            Failure::Binding => self.login_failed(Code::Auth, Text::NotBound),
            Failure::Unavailable => self.login_failed(Code::Temporary, Text::Unavailable),
        }
    }

    fn enter(&mut self, maildrop: Maildrop) {
        self.exchange = None;
        let (count, messages) = (maildrop.messages.len(), Text::Messages.say(self.language));
        self.output.extend_from_slice(format!("+OK {count} {messages}\r\n").as_bytes());
        self.open = Some(Open::new(maildrop));
    }
}
