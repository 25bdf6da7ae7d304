//! What is served, told by CAPABILITY and turned on by ENABLE (RFC 5161).
//!
//! Nothing is named here that is not complete. Of LITERAL+ and LITERAL- a server names one (RFC 7888 section
//! 8): LITERAL+ allows all that LITERAL- does, which is part of IMAP4rev2 anyway.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::reply::Reply;
use crate::parse::Dialect;

/// What is served before login, without the ways to log in.
const BEFORE_LOGIN: &[&str] = &["IMAP4rev2", "IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE"];

/// What is served after login: the session and the messages of a mailbox.
#[rustfmt::skip]
const MESSAGES: &[&str] = &[
    "IMAP4rev2",
    "IMAP4rev1",
    "BINARY",
    "CATENATE",
    "COMPRESS=DEFLATE",
    "CONDSTORE",
    "ENABLE",
    "ID",
    "IDLE",
    "INPROGRESS",
    "LITERAL+",
    "MOVE",
    "MULTIAPPEND",
    "OBJECTID",
    "PREVIEW",
    "QRESYNC",
    "REPLACE",
    "SASL-IR",
    "SAVEDATE",
    "UIDONLY",
    "UIDPLUS",
    "UNAUTHENTICATE",
    "UNSELECT",
    "URL-PARTIAL",
    "UTF8=ACCEPT",
];

/// What is served after login: mailboxes.
#[rustfmt::skip]
const MAILBOXES: &[&str] = &[
    "ACL",
    "CHILDREN",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-METADATA",
    "LIST-MYRIGHTS",
    "LIST-STATUS",
    "METADATA",
    "NAMESPACE",
    "NOTIFY",
    "QUOTA",
    "QUOTA=RES-MESSAGE",
    "QUOTA=RES-STORAGE",
    "RIGHTS=kxte",
    "SPECIAL-USE",
    "STATUS=SIZE",
];

/// What is served after login: searching, sorting.
const SEARCHES: &[&str] = &[
    "ESEARCH",
    "ESORT",
    "MULTISEARCH",
    "PARTIAL",
    "SEARCHRES",
    "SORT",
    "SORT=DISPLAY",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "WITHIN",
];

/// What the client has turned on for the rest of its session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Enabled {
    /// CONDSTORE: modification sequences are told (RFC 7162 section 3.1).
    pub condstore: bool,
    /// QRESYNC: VANISHED instead of EXPUNGE, and UIDs everywhere (RFC 7162 section 3.2).
    pub qresync: bool,
    /// UTF8=ACCEPT (RFC 6855).
    pub utf8_accept: bool,
    /// IMAP4rev2 (RFC 9051): ESEARCH, UTF-8 names, no `\Recent`.
    pub rev2: bool,
    /// UIDONLY (RFC 9586).
    pub uid_only: bool,
}

impl Enabled {
    /// Mailbox names are UTF-8.
    pub fn utf8(self) -> bool {
        self.utf8_accept || self.rev2
    }

    /// How commands are to be read.
    pub fn dialect(self) -> Dialect {
        Dialect { utf8: self.utf8(), utf8_strings: self.utf8_accept, uid_only: self.uid_only }
    }
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
            if self.turn_on(name) {
                told.push(' ');
                // As it is in CAPABILITY: some clients compare letter by letter.
                told.push_str(if name == "IMAP4REV2" { "IMAP4rev2" } else { name });
            }
        }
        self.connection.line(&told);
        Reply::ok("done")
    }

    /// Turns one extension on; whether there is such a one.
    fn turn_on(&mut self, name: &str) -> bool {
        match name {
            "CONDSTORE" => self.enable_condstore(),
            "QRESYNC" => {
                self.enable_condstore();
                self.enabled.qresync = true;
            }
            "UTF8=ACCEPT" => self.enabled.utf8_accept = true,
            "IMAP4REV2" => {
                self.enabled.rev2 = true;
                if let Some(selected) = &mut self.selected {
                    selected.view.forget_recents();
                }
            }
            "UIDONLY" => self.enabled.uid_only = true,
            _ => return false,
        }
        true
    }
}
