//! What is served, told by CAPABILITY and turned on by ENABLE (RFC 5161).
//!
//! Nothing is named here that is not complete.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::reply::Reply;

/// What is served before login, without the ways to log in.
const BEFORE_LOGIN: &[&str] = &["IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE"];

/// What is served after login: the session and the messages of a mailbox.
const MESSAGES: &[&str] =
    &["IMAP4rev1", "CONDSTORE", "ENABLE", "ID", "IDLE", "LITERAL+", "MOVE", "SASL-IR", "UIDPLUS", "UNSELECT"];

/// What is served after login: mailboxes.
const MAILBOXES: &[&str] = &[
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "NAMESPACE",
    "QUOTA",
    "QUOTA=RES-MESSAGE",
    "QUOTA=RES-STORAGE",
    "SPECIAL-USE",
    "STATUS=SIZE",
];

/// What is served after login: searching, sorting.
const SEARCHES: &[&str] = &["ESEARCH", "WITHIN"];

/// What the client has turned on for the rest of its session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Enabled {
    /// CONDSTORE: modification sequences are told (RFC 7162 section 3.1).
    pub condstore: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn capabilities(&self) -> String {
        if self.account.is_some() {
            let names: Vec<&str> = [MESSAGES, MAILBOXES, SEARCHES].concat();
            let most = self.context.limits.message_max_bytes;
            return format!("{} APPENDLIMIT={most}", names.join(" "));
        }
        let mut names = BEFORE_LOGIN.join(" ");
        if self.context.can_starttls && !self.context.tls {
            names.push_str(" STARTTLS");
        }
        if self.may_log_in() {
            let context = sasl::Context { binding: self.context.channel_binding.clone() };
            for mechanism in sasl::Offer::all(&context).mechanisms() {
                names.push_str(" AUTH=");
                names.push_str(mechanism.name());
            }
        } else {
            names.push_str(" LOGINDISABLED");
        }
        names
    }

    /// ENABLE: names that mean nothing here are ignored.
    pub(super) fn enable(&mut self, names: &[String]) -> Reply {
        let mut told = String::from("* ENABLED");
        for name in names {
            let known = match name.as_str() {
                "CONDSTORE" => {
                    self.enabled.condstore = true;
                    true
                }
                _ => false,
            };
            if known {
                told.push(' ');
                told.push_str(name);
            }
        }
        self.connection.line(&told);
        Reply::ok("done")
    }
}
