//! AUTH (RFC 4954): carries the exchanges of the sasl crate, on submission only.

use std::fmt;

use sasl::{Context, Denied, Exchange, Failure, Offer, Step as Sasl};

use super::{AUTH_FAILURES_MAX, Asked, Question, Refusal, Role, Session, Step};
use crate::Reply;

/// A user name and password, for a server that wants them from us.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password, in clear.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Decodes a PLAIN response: authorization identity, user and password between NULs (RFC 4616 2).
    pub fn from_plain(response: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(response).ok()?;
        let mut parts = text.split('\0');
        let (act_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = |text: &str| (1..=sasl::CREDENTIAL_MAX_BYTES).contains(&text.len());
        // Nobody may act as somebody else here.
        let usable = parts.next().is_none() && (act_as.is_empty() || act_as.eq_ignore_ascii_case(user));
        (usable && fits(user) && fits(password))
            .then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }
}

impl<R> Session<R> {
    pub(super) fn may_authenticate(&self) -> bool {
        let private = self.tls.is_some() || self.policy.auth_in_clear;
        self.policy.role == Role::Submission && private && self.account.is_none()
    }

    /// What can be bound to this connection, and the mechanisms that follow from it.
    pub(super) fn offered(&self) -> Offer {
        Offer::all(&self.context())
    }

    fn context(&self) -> Context {
        Context { binding: self.tls.as_ref().map(|tls| tls.binding.clone()).unwrap_or_default() }
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Option<Step<R>> {
        if self.policy.role != Role::Submission {
            self.fault(&Reply::new(502, "5.5.1", "Authentication is for submission only"));
        } else if self.account.is_some() || self.transaction.is_some() {
            self.fault(&Reply::new(503, "5.5.1", "Authentication is not possible at this point"));
        } else if self.helo.as_ref().is_none_or(|helo| !helo.extended) {
            self.fault(&Reply::new(503, "5.5.1", "Send EHLO first"));
        } else if !self.may_authenticate() {
            self.fault(&Reply::new(538, "5.7.11", "Begin TLS first"));
        } else if let Some(mechanism) = self.offered().find(mechanism) {
            let (exchange, step) = Exchange::begin(mechanism, self.context(), initial);
            self.exchange = Some(exchange);
            return self.go_on(step);
        } else {
            self.fault(&Reply::new(504, "5.5.4", "That mechanism is not offered"));
        }
        None
    }

    /// One line of the exchange, in base64.
    pub(super) fn auth_line(&mut self, line: &[u8]) -> Option<Step<R>> {
        let step = self.exchange.as_mut()?.line(line);
        self.go_on(step)
    }

    /// What is stored of the user has been found.
    pub(super) fn looked_up(&mut self, stored: sasl::Stored) {
        if let Some(step) = self.exchange.as_mut().map(|exchange| exchange.stored(stored)) {
            // Neither this nor accepting leads to another question.
            self.go_on(step);
        }
    }

    pub(super) fn authenticated(&mut self, account: String) {
        if let Some(step) = self.exchange.as_mut().map(|exchange| exchange.accept(account)) {
            self.go_on(step);
        }
    }

    fn go_on(&mut self, step: Sasl<String>) -> Option<Step<R>> {
        match step {
            Sasl::Challenge(challenge) => {
                self.reply(&Reply::with_text(334, "", sasl::encode(&challenge)));
                None
            }
            Sasl::Lookup { user } => Some(self.ask(Asked::Lookup, Question::Lookup { user })),
            Sasl::Verify(claim) => Some(self.ask(Asked::Authenticate, Question::Authenticate(claim))),
            Sasl::Done(account) => {
                self.exchange = None;
                self.account = Some(account);
                self.reply(&Reply::new(235, "2.7.0", "Welcome"));
                None
            }
            Sasl::Failed(failure) => {
                self.exchange = None;
                self.failed(failure);
                None
            }
        }
    }

    fn failed(&mut self, failure: Failure) {
        let said = |code, status| Reply::with_text(code, status, sentence(&failure.to_string()));
        match failure {
            Failure::Cancelled => self.reply(&said(501, "5.7.0")),
            Failure::NotBase64 | Failure::Malformed => self.fault(&said(501, "5.5.2")),
            Failure::ActsForAnother | Failure::Binding => {
                let reply = said(535, "5.7.8");
                self.count_failure(&reply);
            }
            Failure::Unavailable => self.reply(&Refusal::AuthenticationUnavailable.reply()),
        }
    }

    pub(super) fn not_authenticated(&mut self, denied: Denied) {
        self.exchange = None;
        let said = |code, status| Reply::with_text(code, status, sentence(&denied.to_string()));
        match denied {
            Denied::Credentials => self.count_failure(&Refusal::BadCredentials.reply()),
            Denied::Disabled | Denied::Protocol => self.count_failure(&said(535, "5.7.13")),
            Denied::Unavailable => self.reply(&said(454, "4.7.0")),
        }
    }

    fn count_failure(&mut self, reply: &Reply) {
        self.reply(reply);
        self.auth_failures += 1;
        if self.auth_failures >= AUTH_FAILURES_MAX {
            self.end(&Reply::new(421, "4.7.0", "Too many failed attempts, closing"));
        }
    }
}

/// Replies begin with a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
