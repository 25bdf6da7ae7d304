//! One message: MAIL, RCPT, DATA or BDAT, and the answer at its end (RFC 5321 3.3, RFC 3030).

use super::body::{Body, Fault, Taken};
use super::{Accepted, Asked, Incoming, Question, Refusal, Role, Session, Step};
use crate::command::NOT_ASCII;
use crate::parameter::{BodyKind, DeliverBy, Hold, MailFrom, RcptTo, SYNTAX, UNKNOWN_PARAMETER};
use crate::{Reply, header};

/// A message under way.
#[derive(Debug)]
pub(super) struct Transaction<R> {
    pub(super) mail: MailFrom,
    release_unix_s: Option<u64>,
    deadline: Option<(i64, DeliverBy)>,
    pub(super) recipients: Vec<Accepted<R>>,
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

impl<R> Session<R> {
    pub(super) fn mail(&mut self, mail: MailFrom, now_unix_s: u64) -> Option<Step<R>> {
        let submission = self.policy.role == Role::Submission;
        if self.helo.is_none() {
            self.fault(&Reply::new(503, "5.5.1", "Send EHLO first"));
        } else if self.transaction.is_some() {
            self.fault(&Reply::new(503, "5.5.1", "A message is already under way"));
        } else if submission && self.account.is_none() {
            let clear = self.tls.is_none() && !self.policy.auth_in_clear;
            let text = if clear { "Begin TLS and authenticate first" } else { "Authenticate first" };
            self.fault(&Reply::new(530, "5.7.0", text));
        } else if (mail.needs_submission() && !submission) || (mail.require_tls && self.tls.is_none()) {
            self.fault(&UNKNOWN_PARAMETER);
        } else if mail.size_bytes.is_some_and(|size| size > self.policy.message_max_bytes) {
            self.reply(&Fault::TooLarge.reply());
        } else {
            let begun = match self.begun(mail, now_unix_s) {
                Ok(begun) => begun,
                Err(reply) => {
                    self.fault(&reply);
                    return None;
                }
            };
            let (account, sender) = (self.account.clone(), begun.mail.sender.clone());
            return Some(self.ask(Asked::Sender(Box::new(begun)), Question::Sender { account, sender }));
        }
        None
    }

    /// The transaction with its times fixed; they count from MAIL on.
    fn begun(&self, mail: MailFrom, now_unix_s: u64) -> Result<Transaction<()>, Reply> {
        let latest = now_unix_s + self.policy.hold_max_s;
        let release_unix_s = match mail.hold {
            None => None,
            Some(_) if self.policy.hold_max_s == 0 => return Err(UNKNOWN_PARAMETER),
            Some(Hold::For(seconds)) => Some(now_unix_s + seconds),
            Some(Hold::Until(unix_s)) => Some(unix_s),
        };
        let deadline = mail.deliver_by.map(|by| (now_unix_s as i64 + by.seconds, by));
        // RFC 4865 4: beyond what was offered, and a deadline that comes before the release.
        let too_late = release_unix_s.is_some_and(|release| release > latest);
        let never = release_unix_s.zip(deadline).is_some_and(|(release, (by, _))| by <= release as i64);
        if too_late || never {
            return Err(SYNTAX);
        }
        let release_unix_s = release_unix_s.filter(|release| *release > now_unix_s);
        Ok(Transaction { mail, release_unix_s, deadline, recipients: Vec::new(), body: None, text_unix_s: 0 })
    }

    pub(super) fn begin(&mut self, begun: Transaction<()>) {
        let Transaction { mail, release_unix_s, deadline, .. } = begun;
        self.transaction = Some(Transaction {
            mail,
            release_unix_s,
            deadline,
            recipients: Vec::new(),
            body: None,
            text_unix_s: 0,
        });
        self.reply(&Reply::new(250, "2.1.0", "Sender is fine"));
    }

    pub(super) fn rcpt(&mut self, rcpt: RcptTo) -> Option<Step<R>> {
        let Some(transaction) = &self.transaction else {
            self.fault(&NEED_MAIL);
            return None;
        };
        if transaction.body.is_some() {
            self.fault(&Reply::new(503, "5.5.1", "The message has already begun"));
            return None;
        }
        if rcpt.utf8 && !transaction.mail.smtp_utf8 {
            self.fault(&NOT_ASCII);
            return None;
        }
        if transaction.recipients.len() >= self.policy.recipients_max {
            self.reply(&Reply::new(452, "4.5.3", "Too many recipients, send the rest in another message"));
            return None;
        }
        let question = Question::Recipient {
            account: self.account.clone(),
            sender: transaction.mail.sender.clone(),
            recipient: rcpt.recipient.clone(),
            size_bytes: transaction.mail.size_bytes,
        };
        Some(self.ask(Asked::Recipient(Box::new(rcpt)), question))
    }

    pub(super) fn add_recipient(&mut self, rcpt: RcptTo, mark: R) {
        if let Some(transaction) = &mut self.transaction {
            let accepted = Accepted { mailbox: rcpt.recipient, notice: rcpt.notice, mark };
            transaction.recipients.push(accepted);
        }
        self.reply(&Reply::new(250, "2.1.5", "Recipient is fine"));
    }

    pub(super) fn data(&mut self, now_unix_s: u64) {
        match &self.transaction {
            None => self.fault(&NEED_MAIL),
            Some(transaction) if transaction.body.is_some() => {
                self.fault(&Reply::new(503, "5.5.1", "The message was begun with BDAT"));
            }
            Some(transaction) if transaction.recipients.is_empty() => self.fault(&self.need_rcpt()),
            // RFC 3030 3: octets that are no lines come in chunks only.
            Some(transaction) if transaction.mail.body == BodyKind::Binary => {
                self.fault(&Reply::new(503, "5.5.1", "A binary message must be sent with BDAT"));
            }
            Some(_) => {
                self.open_body(now_unix_s);
                self.phase = Phase::Text { replied: false };
                self.reply(&Reply::new(354, "", "Send the message, end it with a dot alone on a line"));
            }
        }
    }

    /// RFC 5321 3.3 says 554 or 503, RFC 2033 4.2 says 503.
    fn need_rcpt(&self) -> Reply {
        let code = if self.policy.role == Role::Local { 503 } else { 554 };
        Reply::new(code, "5.5.1", "There is no valid recipient")
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
            let lines = transaction.mail.body != BodyKind::Binary;
            transaction.body = Some(Body::new(trace, self.policy.message_max_bytes, lines));
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
                    self.reply_for_each(&Fault::BareLineEnd.reply());
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
            let reply = if self.transaction.is_none() { NEED_MAIL } else { self.need_rcpt() };
            self.fault(&reply);
            return None;
        }
        if last && let Some(body) = self.body() {
            body.finish_chunks();
        }
        if let Some(fault) = self.body().and_then(|body| body.fault()) {
            // RFC 3030 2: after a failed chunk the transaction is over. Before the last chunk LMTP has one
            // reply as well.
            if last {
                self.reply_for_each(&fault.reply());
            } else {
                self.reply(&fault.reply());
            }
            self.transaction = None;
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

    /// One reply, or in LMTP one for each recipient (RFC 2033 4.2).
    fn reply_for_each(&mut self, reply: &Reply) {
        let recipients = self.transaction.as_ref().map_or(1, |transaction| transaction.recipients.len());
        let replies = if self.policy.role == Role::Local { recipients } else { 1 };
        for _ in 0..replies {
            self.reply(reply);
        }
    }

    /// The whole text is here.
    fn finish(&mut self) -> Option<Step<R>> {
        if let Some(fault) = self.body().and_then(|body| body.fault()) {
            self.reply_for_each(&fault.reply());
            self.transaction = None;
            return None;
        }
        let body = self.transaction.as_mut().and_then(|transaction| transaction.body.take())?;
        let trace_bytes = body.trace_bytes();
        let mut message = body.bytes;
        let summary = header::summarize(message.get(trace_bytes..).unwrap_or(&[]));
        if summary.hops > header::HOPS_MAX {
            self.reply_for_each(&Refusal::Loop.reply());
            self.transaction = None;
            return None;
        }
        let transaction = self.transaction.take()?;
        self.clean_header(&mut message, trace_bytes, &summary);
        if self.policy.role == Role::Submission {
            let missing = self.missing_fields(&summary, transaction.text_unix_s);
            message.splice(trace_bytes..trace_bytes, missing);
        }
        let incoming = Incoming {
            id: self.message_id(),
            account: self.account.clone(),
            helo: self.helo.as_ref().map(|helo| helo.name.clone()).unwrap_or_default(),
            mail: transaction.mail,
            release_unix_s: transaction.release_unix_s,
            deadline: transaction.deadline,
            recipients: transaction.recipients,
            message,
            trace_bytes,
            was_delivered: summary.has_delivered_to,
        };
        let recipients = incoming.recipients.len();
        Some(self.ask(Asked::Deliver(recipients), Question::Deliver(Box::new(incoming))))
    }

    /// Says what became of the message: once, or in LMTP for each recipient.
    pub(super) fn delivered(&mut self, outcomes: &[Result<(), Refusal>]) {
        let stored = Reply::with_text(250, "2.0.0", format!("Stored as {}", self.message_id()));
        let replies = if self.policy.role == Role::Local { outcomes.len() } else { 1 };
        for outcome in outcomes.iter().take(replies) {
            match outcome {
                Ok(()) => self.reply(&stored),
                Err(refusal) => self.refused(*refusal),
            }
        }
        self.messages += 1;
        if outcomes.iter().any(Result::is_ok) {
            self.idle_commands = 0;
        }
    }
}
