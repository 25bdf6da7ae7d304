//! One message within a session: envelope, text, verdicts (RFC 5321 3.3, RFC 2920, RFC 3030).

use std::collections::VecDeque;
use std::fmt::Write;

use super::{Client, Envelope, Form, State, Verdict, verdict};
use crate::Reply;

/// A message under way.
#[derive(Debug)]
pub(super) struct Transaction {
    envelope: Envelope,
    form: Form,
    to_send: VecDeque<Command>,
    expected: VecDeque<Command>,
    pub(super) verdicts: Vec<Option<Verdict>>,
    /// MAIL has been answered.
    answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
}

impl Transaction {
    /// Everybody without a verdict gets this one.
    pub(super) fn finish_all(&mut self, reply: &Reply) {
        let verdict = verdict(reply);
        for open in self.verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
            *open = Some(verdict.clone());
        }
    }

    fn nobody_left(&self) -> bool {
        self.verdicts.iter().all(Option::is_some)
    }

    pub(super) fn was_answered(&self) -> bool {
        self.answered
    }
}

impl Client {
    /// Begins a message on a session that is ready; [`Self::poll`] goes on with it. What the server cannot
    /// take at all is decided here.
    pub fn begin(&mut self, envelope: Envelope) {
        let form = if envelope.binary || (envelope.eight_bit && self.offers.chunking) {
            Form::Chunk
        } else {
            Form::Dots
        };
        let mut transaction = Transaction {
            verdicts: vec![None; envelope.recipients.len()],
            form,
            envelope,
            to_send: VecDeque::new(),
            expected: VecDeque::new(),
            answered: false,
        };
        if let Some(refusal) = self.cannot_take(&transaction.envelope) {
            transaction.finish_all(&refusal);
        }
        self.refuse_utf8_recipients(&mut transaction);
        if transaction.nobody_left() {
            self.transaction = Some(transaction);
            return;
        }
        if std::mem::take(&mut self.dirty) {
            transaction.to_send.push_back(Command::Reset);
        }
        transaction.to_send.push_back(Command::Mail);
        let open = transaction.verdicts.iter().enumerate().filter(|(_, verdict)| verdict.is_none());
        let open: Vec<usize> = open.map(|(index, _)| index).collect();
        transaction.to_send.extend(open.into_iter().map(Command::Rcpt));
        if form == Form::Dots {
            transaction.to_send.push_back(Command::Data);
        }
        self.transaction = Some(transaction);
        self.state = State::Envelope;
        self.send_envelope();
    }

    /// What of the message this server does not carry.
    fn cannot_take(&self, envelope: &Envelope) -> Option<Reply> {
        let limit = self.offers.size.unwrap_or(0);
        if limit > 0 && envelope.size_bytes > limit {
            let text = format!("The message is larger than the {limit} octets that server takes");
            return Some(Reply::with_text(552, "5.3.4", text));
        }
        if envelope.utf8 && !self.offers.smtp_utf8 {
            return Some(NO_UTF8);
        }
        if (envelope.binary && !self.offers.binary) || (envelope.eight_bit && !self.offers.eight_bit) {
            let text = "The message cannot be converted to what that server takes";
            return Some(Reply::new(554, "5.6.3", text));
        }
        if envelope.require_tls && !self.offers.require_tls {
            let text = "The sender demands TLS all the way, and that server does not promise it";
            return Some(Reply::new(550, "5.7.30", text));
        }
        // RFC 2852 4.1.4: what must be returned when it is late goes only to who will do so.
        let by = envelope.deliver_by.as_ref().filter(|by| by.return_late)?;
        match self.offers.deliver_by {
            None => Some(Reply::new(550, "5.3.3", "That server does not know deadlines (DELIVERBY)")),
            Some(least) if by.seconds < i64::try_from(least).unwrap_or(i64::MAX) || by.seconds <= 0 => {
                Some(Reply::new(550, "5.4.7", "The deadline is too near for that server"))
            }
            Some(_) => None,
        }
    }

    /// RFC 6531 3.2: an address outside ASCII does not pass a server without SMTPUTF8; the others do.
    fn refuse_utf8_recipients(&self, transaction: &mut Transaction) {
        if self.offers.smtp_utf8 {
            return;
        }
        for (recipient, open) in transaction.envelope.recipients.iter().zip(&mut transaction.verdicts) {
            if !recipient.address.is_ascii() && open.is_none() {
                *open = Some(Verdict::Refused(NO_UTF8));
            }
        }
    }

    /// Sends all of it at once where the server allows it, else the next command.
    fn send_envelope(&mut self) {
        loop {
            let Some(transaction) = &mut self.transaction else { return };
            let Some(command) = transaction.to_send.pop_front() else { return };
            transaction.expected.push_back(command);
            let line = match command {
                Command::Reset => "RSET".to_owned(),
                Command::Mail => self.mail_line(),
                Command::Rcpt(index) => self.rcpt_line(index),
                Command::Data => "DATA".to_owned(),
            };
            self.say(&line);
            if !self.offers.pipelining {
                return;
            }
        }
    }

    fn mail_line(&self) -> String {
        let Some(Transaction { envelope, .. }) = &self.transaction else { return String::new() };
        let offers = &self.offers;
        let mut line = format!("MAIL FROM:<{}>", envelope.sender);
        if offers.size.is_some() {
            let _ = write!(line, " SIZE={}", envelope.size_bytes);
        }
        if envelope.binary {
            line += " BODY=BINARYMIME";
        } else if envelope.eight_bit {
            line += " BODY=8BITMIME";
        }
        if envelope.utf8 || (offers.smtp_utf8 && envelope.recipients.iter().any(|r| !r.address.is_ascii())) {
            line += " SMTPUTF8";
        }
        if envelope.require_tls {
            line += " REQUIRETLS";
        }
        if offers.dsn {
            match envelope.return_full {
                Some(true) => line += " RET=FULL",
                Some(false) => line += " RET=HDRS",
                None => {}
            }
            if let Some(id) = &envelope.envelope_id {
                let _ = write!(line, " ENVID={id}");
            }
        }
        if let (Some(by), true) = (&envelope.deliver_by, offers.deliver_by.is_some()) {
            let (mode, trace) = (if by.return_late { 'R' } else { 'N' }, if by.trace { "T" } else { "" });
            let _ = write!(line, " BY={};{mode}{trace}", by.seconds.clamp(-999_999_999, 999_999_999));
        }
        if offers.priority && envelope.priority != 0 {
            let _ = write!(line, " MT-PRIORITY={}", envelope.priority);
        }
        line
    }

    fn rcpt_line(&self, index: usize) -> String {
        let recipient = self.transaction.as_ref().and_then(|t| t.envelope.recipients.get(index));
        let Some(recipient) = recipient else { return String::new() };
        let mut line = format!("RCPT TO:<{}>", recipient.address);
        if self.offers.dsn {
            if let Some(notify) = recipient.notify {
                let names = [(1, "SUCCESS"), (2, "FAILURE"), (4, "DELAY")];
                let names: Vec<_> =
                    names.iter().filter(|(bit, _)| notify & bit != 0).map(|(_, n)| *n).collect();
                let _ = write!(
                    line,
                    " NOTIFY={}",
                    if names.is_empty() { "NEVER".into() } else { names.join(",") }
                );
            }
            if let Some(original) = &recipient.original {
                let _ = write!(line, " ORCPT={original}");
            }
        }
        line
    }

    pub(super) fn handle_envelope(&mut self, reply: &Reply) {
        let Some(transaction) = &mut self.transaction else { return self.give_up(reply) };
        match transaction.expected.pop_front() {
            Some(Command::Reset) if reply.is_positive() => {}
            Some(Command::Reset) => return self.give_up(reply),
            Some(Command::Mail) => {
                transaction.answered = true;
                if !reply.is_positive() {
                    transaction.finish_all(reply);
                    // What was not sent yet need not be.
                    transaction.to_send.clear();
                }
            }
            Some(Command::Rcpt(index)) if !reply.is_positive() => {
                if let Some(open @ None) = transaction.verdicts.get_mut(index) {
                    // RFC 5321 4.5.3.1.10: an old way to say that these are too many at once.
                    let too_many = reply.code == 552 && matches!(&*reply.status, "" | "5.5.3");
                    *open = Some(if too_many { Verdict::Deferred(TOO_MANY) } else { verdict(reply) });
                }
            }
            Some(Command::Rcpt(_)) => {}
            Some(Command::Data) if reply.code == 354 => {
                self.state = State::Message { real: !transaction.nobody_left() };
                return;
            }
            Some(Command::Data) => {
                transaction.finish_all(&sensible(reply));
                return self.end_transaction(true);
            }
            None => return self.give_up(reply),
        }
        if reply.code == 421 {
            return self.give_up(reply);
        }
        let Some(transaction) = &mut self.transaction else { return };
        if !transaction.expected.is_empty() {
            return;
        }
        if transaction.nobody_left() {
            self.end_transaction(true);
        } else if !transaction.to_send.is_empty() {
            self.send_envelope();
        } else {
            let line = format!("BDAT {} LAST", transaction.envelope.size_bytes);
            self.say(&line);
            self.state = State::Message { real: true };
        }
    }

    /// How the text is to be sent.
    pub(super) fn form(&self) -> Form {
        self.transaction.as_ref().map_or(Form::Dots, |transaction| transaction.form)
    }

    /// The session is free for the next message. `dirty` is one that the server may still think of.
    pub(super) fn end_transaction(&mut self, dirty: bool) {
        self.dirty = dirty;
        self.state = State::Ready;
    }
}

const TOO_MANY: Reply = Reply::new(452, "4.5.3", "Too many recipients for one message");
const NO_UTF8: Reply =
    Reply::new(550, "5.6.7", "That server does not take addresses or headers outside ASCII (SMTPUTF8)");

/// A positive reply that makes no sense here is the server's fault and may pass.
pub(super) fn sensible(reply: &Reply) -> Reply {
    if reply.is_positive() {
        return Reply::with_text(451, "4.5.0", format!("Unexpected answer: {reply}"));
    }
    reply.clone()
}
