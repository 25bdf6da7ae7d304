//! What became of the recipients of a message that was taken, and who is told.
//!
//! SMTP has one answer for all recipients. Those that cannot get the message although others can are
//! dealt with here: the sender is told where it is known to be real; a stranger's address is not written
//! to, because it may be somebody else's. Who did not get a message because of its size or an attachment
//! is told in a short note, so that nothing vanishes unseen.

use bytes::Bytes;
use smtp::notice::Kind;
use smtp::parameter::Return;
use smtp::server::{Incoming, Refusal};
use smtp::{date, header};
use store::{AccountId, Addressee, Body, Delivery, Recipient};

use super::{DeliveryDesk, Opinion, SenderIs};
use crate::clock::unix_ms;
use crate::counters::count;
use crate::expansion::Destination;
use crate::outgoing::notice;

/// Notes and notices made about one message.
const NOTES_MAX: usize = 100;
/// Octets of a foreign field shown in a note.
const SHOWN_MAX_BYTES: usize = 200;

/// Who does not get the message.
#[derive(Debug, Default)]
pub(super) struct Refused {
    all: Vec<(String, Option<Addressee>, Refusal)>,
}

impl Refused {
    pub(super) fn add(&mut self, addressee: &Addressee, refusal: Refusal) {
        self.all.push((addressee.address.clone(), Some(addressee.clone()), refusal));
    }

    pub(super) fn add_address(&mut self, address: &str, refusal: Refusal) {
        self.all.push((address.to_owned(), None, refusal));
    }

    /// The answer when nobody gets it: one that asks to try again, if there is one.
    pub(super) fn refusal(&self) -> Refusal {
        let temporary = self.all.iter().find(|(.., refusal)| refusal.reply().is_transient());
        temporary.or(self.all.first()).map_or(Refusal::StoreUnavailable, |(.., refusal)| *refusal)
    }
}

impl DeliveryDesk {
    /// Tells those who have to know. What cannot be told is logged; the message itself is safe.
    pub(super) async fn tell(
        &self,
        incoming: &Incoming<Destination>,
        sender: &str,
        message: &Bytes,
        refused: &Refused,
        stored: &[AccountId],
        opinion: Opinion,
    ) {
        for (address, _, refusal) in &refused.all {
            tracing::info!("smtp {}: no copy for <{address}>: {}", incoming.id, refusal.reply());
        }
        let mut failed = Vec::new();
        for (address, addressee, refusal) in refused.all.iter().take(NOTES_MAX) {
            if opinion.sender == SenderIs::Known {
                let reply = refusal.reply();
                failed.push(report(address, None, &reply.status_or_class(), &reply.text));
            } else if let Some(addressee) = addressee
                && matches!(refusal, Refusal::AttachmentTooLarge | Refusal::TooLargeForMailbox)
            {
                self.leave_note(addressee, sender, message, *refusal, &incoming.id).await;
            }
        }
        self.report(Kind::Failed, &failed, incoming, sender, message).await;
        let delivered = delivered(incoming, stored);
        if opinion.sender != SenderIs::Forged {
            self.report(Kind::Delivered, &delivered, incoming, sender, message).await;
        }
    }

    /// A delivery notice to the sender.
    async fn report(
        &self,
        kind: Kind,
        recipients: &[smtp::notice::Recipient],
        incoming: &Incoming<Destination>,
        sender: &str,
        message: &Bytes,
    ) {
        let now_ms = unix_ms();
        let about = notice::About { sender, id: &incoming.id, recipients, original: message };
        let terms = notice::Terms {
            accepted_ms: now_ms,
            expires_ms: now_ms,
            envelope_id: incoming.mail.envelope_id.as_deref(),
            return_full: incoming.mail.returns == Some(Return::Full),
            utf8: incoming.mail.smtp_utf8,
        };
        let Some(text) = notice::compose(kind, &about, &self.host_name, Some(terms)) else { return };
        let Some(delivery) = notice::address(&self.store, sender, text).await else { return };
        count(&self.counters.notices, 1);
        if let Err(error) = self.store.deliver(delivery).await {
            tracing::error!("notice about {} to <{sender}> was not stored: {error}", incoming.id);
        }
    }

    /// A note to the recipient whose limits a message exceeded.
    async fn leave_note(
        &self,
        addressee: &Addressee,
        sender: &str,
        message: &[u8],
        refusal: Refusal,
        id: &str,
    ) {
        let now_ms = unix_ms();
        let text = self.note(addressee, sender, message, refusal, id, now_ms / 1000);
        let delivery = Delivery {
            body: Body::new(Bytes::from(text)),
            internal_date_s: (now_ms / 1000) as i64,
            recipients: vec![Recipient::inbox(addressee.account)],
            outgoing: None,
        };
        count(&self.counters.notices, 1);
        match self.store.deliver(delivery).await {
            Ok(delivered) => {
                for error in delivered.recipients.iter().filter_map(|outcome| outcome.as_ref().err()) {
                    tracing::warn!("a note about {id} to <{}> was not stored: {error}", addressee.address);
                }
            }
            Err(error) => tracing::error!("a note about {id} was not stored: {error}"),
        }
    }

    fn note(
        &self,
        addressee: &Addressee,
        sender: &str,
        message: &[u8],
        refusal: Refusal,
        id: &str,
        now_unix_s: u64,
    ) -> String {
        let attachment = refusal == Refusal::AttachmentTooLarge;
        let limits = &addressee.limits;
        let limit = if attachment { limits.attachment_bytes } else { limits.message_bytes };
        let limit = limit.value().unwrap_or(0);
        let size = if attachment { message::largest_attachment(message) } else { message.len() as u64 };
        let rest = header::without_return_path(message);
        let (from, subject) = (shown(rest, b"from"), shown(rest, b"subject"));
        let (title, body) = if addressee.language.starts_with("zh") {
            // "A message was not delivered to you" in an encoded-word (RFC 2047 2).
            let what = if attachment { "其附件过大" } else { "邮件过大" };
            (
                "=?utf-8?B?5pyJ5LiA5bCB6YKu5Lu25pyq6IO95oqV6YCS?=",
                format!(
                    "有一封寄给您的邮件未能投递：{what}（{size} 字节，上限 {limit} 字节）。\r\n\r\n\
                     信封发件人：{sender}\r\nFrom: {from}\r\nSubject: {subject}\r\n\r\n\
                     请让发件人用其他方式发送，或请管理员提高上限。\r\n"
                ),
            )
        } else {
            let what = if attachment { "An attachment of it is" } else { "It is" };
            (
                "A message to you was not delivered",
                format!(
                    "A message to you was not delivered. {what} too large: {size} octets, and your\r\n\
                     limit is {limit}.\r\n\r\nEnvelope sender: {sender}\r\nFrom: {from}\r\n\
                     Subject: {subject}\r\n\r\n\
                     Ask its sender to send it in another way, or your administrator for a larger limit.\r\n"
                ),
            )
        };
        let (host, to) = (&self.host_name, &addressee.address);
        format!(
            "Return-Path: <>\r\nDate: {}\r\nFrom: Mail Delivery <mailer-daemon@{host}>\r\nTo: <{to}>\r\n\
             Subject: {title}\r\nMessage-ID: <{id}.n{}@{host}>\r\nAuto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{body}",
            date::format(now_unix_s),
            addressee.account.0
        )
    }
}

/// A foreign field as one short line.
fn shown(message: &[u8], name: &'static [u8]) -> String {
    let value = header::values(message, name).next().unwrap_or(&[]);
    let text = message::decode_words(value);
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = line.len().min(SHOWN_MAX_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

/// Recipients whose sender wants to hear that they have the message, and who have it (RFC 3461 4.1).
fn delivered(incoming: &Incoming<Destination>, stored: &[AccountId]) -> Vec<smtp::notice::Recipient> {
    let wanted = incoming.recipients.iter().filter(|accepted| {
        accepted.notice.notify.is_some_and(|notify| notify.success)
            && accepted.mark.local.iter().any(|addressee| stored.contains(&addressee.account))
    });
    wanted
        .map(|accepted| {
            let original = accepted.notice.original.clone();
            report(&accepted.mailbox.to_string(), original, "2.0.0", "It is in the mailbox")
        })
        .collect()
}

fn report(address: &str, original: Option<String>, status: &str, said: &str) -> smtp::notice::Recipient {
    smtp::notice::Recipient {
        address: address.to_owned(),
        original,
        status: status.to_owned(),
        diagnostic: said.to_owned(),
        from_remote: false,
    }
}
