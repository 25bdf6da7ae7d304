//! One message: MAIL, RCPT, DATA or BDAT, and the answer at its end (RFC 5321 3.3, RFC 3030).

use std::fmt::Write;

use super::body::{Body, Fault, Taken};
use super::{Asked, Incoming, Question, Role, Session, Step};
use crate::address::Mailbox;
use crate::command::MailFrom;
use crate::{Reply, date, header};

/// A message under way.
#[derive(Debug)]
pub(super) struct Transaction<R> {
    mail: MailFrom,
    pub(super) recipients: Vec<(Mailbox, R)>,
    body: Option<Body>,
    /// When the text began, in seconds since 1970.
    text_unix_s: u64,
}

/// What the next octets are.
#[derive(Debug)]
pub(super) enum Phase {
    Command,
    /// Text of DATA; `replied` when it was refused before its end.
    Text {
        replied: bool,
    },
    /// Octets of a BDAT chunk; `open` when they belong to a transaction, else they are dropped.
    Chunk {
        left_bytes: u64,
        last: bool,
        open: bool,
    },
}

const NEED_MAIL: Reply = Reply::new(503, "5.5.1", "Send MAIL first");
const NEED_RCPT: Reply = Reply::new(554, "5.5.1", "There is no valid recipient");

impl<R> Session<R> {
    pub(super) fn mail(&mut self, mail: MailFrom) -> Option<Step<R>> {
        let submission = self.policy.role == Role::Submission;
        if self.helo.is_none() {
            self.fault(&Reply::new(503, "5.5.1", "Send EHLO first"));
        } else if self.transaction.is_some() {
            self.fault(&Reply::new(503, "5.5.1", "A message is already under way"));
        } else if submission && self.account.is_none() {
            let clear = self.tls.is_none() && !self.policy.auth_in_clear;
            let text = if clear { "Begin TLS and authenticate first" } else { "Authenticate first" };
            self.fault(&Reply::new(530, "5.7.0", text));
        } else if mail.size_bytes.is_some_and(|size| size > self.policy.message_max_bytes) {
            self.reply(&Fault::TooLarge.reply());
        } else {
            let (account, sender) = (self.account.clone(), mail.sender.clone());
            let begun = Transaction { mail, recipients: Vec::new(), body: None, text_unix_s: 0 };
            return Some(self.ask(Asked::Sender(Box::new(begun)), Question::Sender { account, sender }));
        }
        None
    }

    pub(super) fn begin(&mut self, begun: Transaction<()>) {
        self.transaction =
            Some(Transaction { mail: begun.mail, recipients: Vec::new(), body: None, text_unix_s: 0 });
        self.reply(&Reply::new(250, "2.1.0", "Sender is fine"));
    }

    pub(super) fn rcpt(&mut self, recipient: Mailbox) -> Option<Step<R>> {
        let Some(transaction) = &self.transaction else {
            self.fault(&NEED_MAIL);
            return None;
        };
        if transaction.body.is_some() {
            self.fault(&Reply::new(503, "5.5.1", "The message has already begun"));
            return None;
        }
        if transaction.recipients.len() >= self.policy.recipients_max {
            self.reply(&Reply::new(452, "4.5.3", "Too many recipients, send the rest in another message"));
            return None;
        }
        let size_bytes = transaction.mail.size_bytes;
        let question =
            Question::Recipient { account: self.account.clone(), recipient: recipient.clone(), size_bytes };
        Some(self.ask(Asked::Recipient(recipient), question))
    }

    pub(super) fn add_recipient(&mut self, mailbox: Mailbox, mark: R) {
        if let Some(transaction) = &mut self.transaction {
            transaction.recipients.push((mailbox, mark));
        }
        self.reply(&Reply::new(250, "2.1.5", "Recipient is fine"));
    }

    pub(super) fn data(&mut self, now_unix_s: u64) {
        match &self.transaction {
            None => self.fault(&NEED_MAIL),
            Some(transaction) if transaction.body.is_some() => {
                self.fault(&Reply::new(503, "5.5.1", "The message was begun with BDAT"));
            }
            Some(transaction) if transaction.recipients.is_empty() => self.fault(&NEED_RCPT),
            Some(_) => {
                self.open_body(now_unix_s);
                self.phase = Phase::Text { replied: false };
                self.reply(&Reply::new(354, "", "Send the message, end it with a dot alone on a line"));
            }
        }
    }

    /// The chunk's octets follow whether or not the command is in order (RFC 3030 2).
    pub(super) fn bdat(&mut self, size_bytes: u64, last: bool, now_unix_s: u64) {
        let open = self.transaction.as_ref().is_some_and(|t| !t.recipients.is_empty());
        if open && self.transaction.as_ref().is_some_and(|t| t.body.is_none()) {
            self.open_body(now_unix_s);
        }
        self.phase = Phase::Chunk { left_bytes: size_bytes, last, open };
    }

    fn open_body(&mut self, now_unix_s: u64) {
        let trace = self.trace_fields(now_unix_s);
        if let Some(transaction) = &mut self.transaction {
            transaction.body = Some(Body::new(trace, self.policy.message_max_bytes));
            transaction.text_unix_s = now_unix_s;
        }
    }

    fn body(&mut self) -> Option<&mut Body> {
        self.transaction.as_mut().and_then(|transaction| transaction.body.as_mut())
    }

    pub(super) fn poll_text(&mut self) -> Option<Step<R>> {
        if self.input.rest().is_empty() {
            return Some(Step::Read);
        }
        let Some(body) = self.transaction.as_mut().and_then(|t| t.body.as_mut()) else {
            self.phase = Phase::Command;
            return None;
        };
        match body.take_text(self.input.rest()) {
            Taken::NeedsRoom(bytes) => return Some(self.ask(Asked::Room(bytes), Question::Room { bytes })),
            Taken::Some(used) => {
                let bare = body.fault() == Some(Fault::BareLineEnd);
                self.input.consume(used);
                // A client that ends its lines with LF alone would wait for ever for its answer.
                if bare && matches!(self.phase, Phase::Text { replied: false }) {
                    self.phase = Phase::Text { replied: true };
                    self.faults += 1;
                    self.reply(&Fault::BareLineEnd.reply());
                }
            }
            Taken::Ended(used) => {
                self.input.consume(used);
                let replied = matches!(self.phase, Phase::Text { replied: true });
                self.phase = Phase::Command;
                if replied {
                    self.transaction = None;
                } else {
                    return self.finish();
                }
            }
        }
        None
    }

    pub(super) fn poll_chunk(&mut self) -> Option<Step<R>> {
        let Phase::Chunk { left_bytes, last, open } = self.phase else { return None };
        if left_bytes == 0 {
            self.phase = Phase::Command;
            return self.end_chunk(last, open);
        }
        let ready = self.input.rest().len().min(usize::try_from(left_bytes).unwrap_or(usize::MAX));
        if ready == 0 {
            return Some(Step::Read);
        }
        let piece = self.input.rest().get(..ready).unwrap_or(&[]);
        let body = self.transaction.as_mut().and_then(|t| t.body.as_mut()).filter(|_| open);
        if let Some(Taken::NeedsRoom(bytes)) = body.map(|body| body.take_chunk(piece)) {
            return Some(self.ask(Asked::Room(bytes), Question::Room { bytes }));
        }
        self.input.consume(ready);
        self.phase = Phase::Chunk { left_bytes: left_bytes - ready as u64, last, open };
        None
    }

    fn end_chunk(&mut self, last: bool, open: bool) -> Option<Step<R>> {
        if !open {
            let reply = if self.transaction.is_none() { NEED_MAIL } else { NEED_RCPT };
            self.fault(&reply);
            return None;
        }
        if last && let Some(body) = self.body() {
            body.finish_chunks();
        }
        if let Some(fault) = self.body().and_then(|body| body.fault()) {
            // RFC 3030 2: after a failed chunk the transaction is over.
            self.transaction = None;
            self.reply(&fault.reply());
            return None;
        }
        if last {
            return self.finish();
        }
        self.reply(&Reply::new(250, "2.0.0", "Chunk is fine"));
        None
    }

    pub(super) fn room(&mut self, granted: Option<usize>) {
        match (self.body(), granted) {
            (Some(body), Some(bytes)) => body.grant(bytes),
            (Some(body), None) => body.fail(Fault::NoRoom),
            (None, _) => {}
        }
    }

    /// The whole text is here.
    fn finish(&mut self) -> Option<Step<R>> {
        let transaction = self.transaction.take()?;
        let body = transaction.body?;
        if let Some(fault) = body.fault() {
            self.reply(&fault.reply());
            return None;
        }
        let trace_bytes = body.trace_bytes();
        let mut message = body.bytes;
        let summary = header::summarize(message.get(trace_bytes..).unwrap_or(&[]));
        if summary.hops > header::HOPS_MAX {
            self.reply(&Reply::new(
                554,
                "5.4.6",
                "The message went through too many servers, it is in a loop",
            ));
            return None;
        }
        if self.policy.role == Role::Submission {
            let missing = self.missing_fields(&summary, transaction.text_unix_s);
            message.splice(trace_bytes..trace_bytes, missing);
        }
        let incoming = Incoming {
            id: self.message_id(),
            account: self.account.clone(),
            sender: transaction.mail.sender,
            recipients: transaction.recipients,
            message,
            eight_bit: transaction.mail.eight_bit,
        };
        Some(self.ask(Asked::Deliver, Question::Deliver(Box::new(incoming))))
    }

    pub(super) fn delivered(&mut self) {
        self.reply(&Reply::with_text(250, "2.0.0", format!("Stored as {}", self.message_id())));
        self.messages += 1;
        self.idle_commands = 0;
    }

    fn message_id(&self) -> String {
        format!("{}.{}", self.id, self.messages + 1)
    }

    /// `Return-Path` and `Received` (RFC 5321 4.4). The sending side takes `Return-Path` off again.
    fn trace_fields(&self, now_unix_s: u64) -> Vec<u8> {
        let Some(transaction) = &self.transaction else { return Vec::new() };
        let sender = transaction.mail.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        let helo = self.helo.as_ref();
        let name = helo.map_or("unknown", |helo| helo.name.as_str());
        let peer = match self.peer.to_canonical() {
            std::net::IpAddr::V4(address) => format!("[{address}]"),
            std::net::IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let with = self.protocol(helo.is_some_and(|helo| helo.extended));
        let tls = self.tls.as_ref().map(|tls| format!("\r\n\t({tls})")).unwrap_or_default();
        let only = match transaction.recipients.as_slice() {
            [(mailbox, _)] => format!("\r\n\tfor <{mailbox}>"),
            _ => String::new(),
        };
        let (id, host, date) = (self.message_id(), &self.policy.host_name, date::format(now_unix_s));
        format!(
            "Return-Path: <{sender}>\r\nReceived: from {name} ({peer})\r\n\tby {host} with {with}{tls} id {id}{only};\r\n\t{date}\r\n"
        )
        .into_bytes()
    }

    /// The `with` word (RFC 3848).
    fn protocol(&self, extended: bool) -> &'static str {
        match (extended, self.tls.is_some(), self.account.is_some()) {
            (false, ..) => "SMTP",
            (true, false, false) => "ESMTP",
            (true, true, false) => "ESMTPS",
            (true, false, true) => "ESMTPA",
            (true, true, true) => "ESMTPSA",
        }
    }

    /// Fields that submission adds where they are missing (RFC 6409 8.2, 8.3).
    fn missing_fields(&self, summary: &header::Summary, now_unix_s: u64) -> Vec<u8> {
        let mut fields = String::new();
        if !summary.has_date {
            let _ = write!(fields, "Date: {}\r\n", date::format(now_unix_s));
        }
        if !summary.has_message_id {
            let _ = write!(fields, "Message-ID: <{}@{}>\r\n", self.message_id(), self.policy.host_name);
        }
        if !summary.has_from
            && let Some(account) = &self.account
        {
            let _ = write!(fields, "From: <{account}>\r\n");
        }
        fields.into_bytes()
    }
}
