//! A message made ready for one server: in the form it can carry, and with the envelope it understands.

use bytes::Bytes;
use smtp::client::{DeliverBy, Envelope, Offers, Recipient};
use smtp::{downgrade, header};
use store::DueItem;

/// NOTIFY that was not given.
const NOTIFY_DEFAULT: u8 = 0b110;

/// Text and envelope.
pub(super) struct Letter {
    pub(super) envelope: Envelope,
    pub(super) text: Bytes,
}

/// For the recipients of one message, at least one. `text` is the message without its `Return-Path`.
pub(super) fn write(items: &[&DueItem], text: &Bytes, offers: &Offers, now_ms: u64) -> Letter {
    let Some(first) = items.first().map(|item| &item.envelope) else {
        return Letter { envelope: Envelope::default(), text: Bytes::new() };
    };
    let recipient = |item: &&DueItem| Recipient {
        address: item.recipient.address.clone(),
        notify: (item.recipient.notify != NOTIFY_DEFAULT || item.recipient.original.is_some())
            .then_some(item.recipient.notify),
        original: item.recipient.original.clone(),
    };
    let header_bytes = header::summarize(text).bytes;
    let header_is_ascii = text.get(..header_bytes).is_none_or(<[u8]>::is_ascii);
    let mut envelope = Envelope {
        sender: first.sender.clone(),
        recipients: items.iter().map(recipient).collect(),
        size_bytes: text.len() as u64,
        eight_bit: !text.is_ascii(),
        binary: first.binary,
        utf8: first.smtp_utf8 && !(first.sender.is_ascii() && header_is_ascii),
        require_tls: first.require_tls,
        envelope_id: first.envelope_id.clone(),
        return_full: first.return_full,
        deliver_by: first.deliver_by.map(|by| DeliverBy {
            seconds: (by.until_ms as i64 - now_ms as i64) / 1000,
            return_late: by.return_late,
            trace: by.trace,
        }),
        priority: first.priority,
    };
    let too_much = (envelope.binary && !offers.binary) || (envelope.eight_bit && !offers.eight_bit);
    // What cannot be converted keeps its marks, and is refused for them.
    if too_much && let Some(converted) = downgrade::to_seven_bit(text) {
        envelope.size_bytes = converted.len() as u64;
        (envelope.eight_bit, envelope.binary) = (false, false);
        return Letter { envelope, text: converted.into() };
    }
    Letter { envelope, text: text.clone() }
}

#[cfg(test)]
mod tests {
    use store::{BodyId, BodyRef, Outgoing, OutgoingRecipient, QueueId};

    use super::*;

    fn item(envelope: Outgoing) -> DueItem {
        DueItem {
            id: QueueId(1),
            message: 1,
            recipient: OutgoingRecipient { address: "x@far.test".into(), notify: 6, original: None },
            destination: "far.test".into(),
            attempts: 0,
            delay_noticed: false,
            accepted_ms: 0,
            last_error: None,
            envelope,
            body: BodyRef { id: BodyId(1), segment: 1, length: 1, offset: 0 },
        }
    }

    #[test]
    fn text_takes_the_form_that_the_server_carries() {
        let text = Bytes::from("Subject: x\r\n\r\nGrüße\r\n".as_bytes().to_vec());
        let plain = item(Outgoing::default());
        let carried = write(&[&plain], &text, &Offers { eight_bit: true, ..Offers::default() }, 0);
        assert!(carried.envelope.eight_bit && carried.text == text && !carried.envelope.utf8);
        let converted = write(&[&plain], &text, &Offers::default(), 0);
        assert!(!converted.envelope.eight_bit && converted.text.is_ascii());
        assert_eq!(converted.envelope.size_bytes, converted.text.len() as u64);
        let signed = Bytes::from("Subject: ü\r\n\r\nx\r\n".as_bytes().to_vec());
        assert!(write(&[&plain], &signed, &Offers::default(), 0).envelope.eight_bit);
        let international = item(Outgoing { smtp_utf8: true, ..Outgoing::default() });
        assert!(write(&[&international], &signed, &Offers::default(), 0).envelope.utf8);
        let binary = item(Outgoing { binary: true, ..Outgoing::default() });
        let bare = Bytes::from_static(b"A: b\r\n\r\nbare\nline\r\n");
        let converted = write(&[&binary], &bare, &Offers::default(), 0);
        assert!(
            !converted.envelope.binary && converted.text.ends_with(b"bare=0Aline\r\n"),
            "{:?}",
            converted.text
        );
    }
}
