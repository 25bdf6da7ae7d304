//! AUTH PLAIN and LOGIN (RFC 4954, RFC 4616), on submission only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{AUTH_FAILURES_MAX, Asked, Question, Refusal, Role, Session, Step};
use crate::Reply;
use crate::parameter::SYNTAX;

/// Longest user name or password accepted, in octets.
pub const CREDENTIAL_MAX_BYTES: usize = 1024;

/// A user name and password to be checked.
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

/// What the next line of the client is.
#[derive(Debug)]
pub(super) enum Exchange {
    Plain,
    LoginUser,
    LoginPassword(String),
}

impl Credentials {
    /// Decodes a PLAIN response: authorization identity, user and password between NULs (RFC 4616 2).
    pub fn from_plain(response: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(response).ok()?;
        let mut parts = text.split('\0');
        let (act_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        // Nobody may act as somebody else here.
        let usable = parts.next().is_none() && (act_as.is_empty() || act_as.eq_ignore_ascii_case(user));
        (usable && fits(user) && fits(password))
            .then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }
}

fn fits(text: &str) -> bool {
    (1..=CREDENTIAL_MAX_BYTES).contains(&text.len())
}

impl<R> Session<R> {
    pub(super) fn may_authenticate(&self) -> bool {
        let private = self.tls.is_some() || self.policy.auth_in_clear;
        self.policy.role == Role::Submission && private && self.account.is_none()
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
        } else {
            return self.begin_exchange(mechanism, initial);
        }
        None
    }

    fn begin_exchange(&mut self, mechanism: &str, initial: Option<&str>) -> Option<Step<R>> {
        let (exchange, prompt) = match mechanism {
            "PLAIN" => (Exchange::Plain, ""),
            "LOGIN" => (Exchange::LoginUser, "VXNlcm5hbWU6"),
            _ => {
                self.fault(&Reply::new(504, "5.5.4", "That mechanism is not offered"));
                return None;
            }
        };
        self.exchange = Some(exchange);
        match initial {
            Some("=") => self.auth_response(&[]),
            Some(response) => self.auth_line(response.as_bytes()),
            None => {
                self.reply(&Reply::new(334, "", prompt));
                None
            }
        }
    }

    /// One line of the exchange, in base64.
    pub(super) fn auth_line(&mut self, line: &[u8]) -> Option<Step<R>> {
        if line == b"*" {
            self.exchange = None;
            self.reply(&Reply::new(501, "5.7.0", "Authentication was given up"));
            return None;
        }
        let Ok(response) = STANDARD.decode(line) else {
            self.exchange = None;
            self.fault(&Reply::new(501, "5.5.2", "The response is not base64"));
            return None;
        };
        self.auth_response(&response)
    }

    fn auth_response(&mut self, response: &[u8]) -> Option<Step<R>> {
        let text = || std::str::from_utf8(response).ok().filter(|text| fits(text)).map(str::to_owned);
        let credentials = match self.exchange.take() {
            Some(Exchange::Plain) => Credentials::from_plain(response),
            Some(Exchange::LoginUser) => match text() {
                Some(user) => {
                    self.exchange = Some(Exchange::LoginPassword(user));
                    self.reply(&Reply::new(334, "", "UGFzc3dvcmQ6"));
                    return None;
                }
                None => None,
            },
            Some(Exchange::LoginPassword(user)) => text().map(|password| Credentials { user, password }),
            None => None,
        };
        let Some(credentials) = credentials else {
            self.fault(&SYNTAX);
            return None;
        };
        Some(self.ask(Asked::Authenticate, Question::Authenticate(credentials)))
    }

    pub(super) fn authenticated(&mut self, account: String) {
        self.account = Some(account);
        self.reply(&Reply::new(235, "2.7.0", "Welcome"));
    }

    pub(super) fn not_authenticated(&mut self, refusal: Refusal) {
        self.reply(&refusal.reply());
        self.auth_failures += 1;
        if self.auth_failures >= AUTH_FAILURES_MAX {
            self.end(&Reply::new(421, "4.7.0", "Too many failed attempts, closing"));
        }
    }
}
