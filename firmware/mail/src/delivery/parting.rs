//! What leaves: the queue's entries for recipients elsewhere, with what the sender asked for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use smtp::parameter::{BodyKind, ByMode, NoticeWish, Notify, Return};
use smtp::server::{Accepted, Incoming};
use store::{Addressee, DeliverBy, Outgoing, OutgoingRecipient, Store};

use crate::expansion::Destination;
use crate::outgoing::first_alarm_ms;
use crate::rewriting::Rewriting;

/// NOTIFY of a recipient that asked for nothing: failure and delay (RFC 3461 4.1).
const NOTIFY_DEFAULT: u8 = 0b110;
/// Addresses of ours that may send one message on, each with a text of its own.
const FORWARDS_MAX: usize = 100;

/// For recipients that the sender wrote to itself. A message that is held waits here for those in this
/// house, too (RFC 4865).
pub(super) fn direct(
    incoming: &Incoming<Destination>,
    sender: &str,
    message: &[u8],
    locals: &BTreeMap<i64, Addressee>,
    now_ms: u64,
) -> Option<Outgoing> {
    let mut seen = BTreeSet::new();
    let mut recipients = Vec::new();
    for accepted in &incoming.recipients {
        let remote = accepted.mark.remote.iter().filter(|copy| copy.via.is_none());
        let mut addresses: Vec<&str> = remote.map(|copy| copy.address.as_str()).collect();
        if incoming.release_unix_s.is_some() {
            let here = accepted.mark.local.iter().filter(|one| locals.contains_key(&one.account.0));
            addresses.extend(here.map(|addressee| addressee.address.as_str()));
        }
        for address in addresses {
            if seen.insert(address.to_owned()) {
                recipients.push(recipient(address, accepted));
            }
        }
    }
    envelope(incoming, sender, recipients, message, now_ms)
}

/// For recipients that an alias, a group or an account of ours sends it on to: each of these under its own
/// name, in a text that tells that it has been there.
pub(super) fn forwards(
    incoming: &Incoming<Destination>,
    sender: &str,
    message: &Bytes,
    rewriting: &Rewriting,
    store: &Store,
    now_ms: u64,
) -> Vec<(Outgoing, Bytes)> {
    let mut by_address: BTreeMap<&str, Vec<OutgoingRecipient>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for accepted in &incoming.recipients {
        for copy in &accepted.mark.remote {
            let Some(via) = copy.via.as_deref() else { continue };
            if (by_address.contains_key(via) || by_address.len() < FORWARDS_MAX) && seen.insert(&copy.address)
            {
                by_address.entry(via).or_default().push(recipient(&copy.address, accepted));
            }
        }
    }
    let forward = |(via, recipients): (&str, Vec<OutgoingRecipient>)| {
        let domain = via.rsplit_once('@').map_or("", |(_, domain)| domain);
        let own = sender.rsplit_once('@').is_some_and(|(_, host)| matches!(store.domain(host), Ok(Some(_))));
        // Our own users' mail leaves from here anyway.
        let sender = if own { sender.to_owned() } else { rewriting.sender(sender, domain, now_ms / 1000) };
        let rest = smtp::header::without_return_path(message);
        let mut text = Vec::with_capacity(message.len() + via.len() + sender.len() + 48);
        text.extend_from_slice(format!("Return-Path: <{sender}>\r\nDelivered-To: {via}\r\n").as_bytes());
        text.extend_from_slice(rest);
        envelope(incoming, &sender, recipients, message, now_ms).map(|outgoing| (outgoing, Bytes::from(text)))
    };
    by_address.into_iter().filter_map(forward).collect()
}

/// One recipient with what its sender wants to hear.
fn recipient(address: &str, accepted: &Accepted<Destination>) -> OutgoingRecipient {
    let NoticeWish { notify, original } = &accepted.notice;
    // RFC 3461 5.2.7.1: who sends on keeps whom the sender wrote to.
    let changed = notify.is_some() && accepted.mailbox.to_string() != address;
    let kept = || format!("rfc822;{}", smtp::xtext::encode(accepted.mailbox.to_string().as_bytes()));
    OutgoingRecipient {
        address: address.to_owned(),
        notify: notify.map_or(NOTIFY_DEFAULT, Notify::bits),
        original: original.clone().or_else(|| changed.then(kept)),
    }
}

fn envelope(
    incoming: &Incoming<Destination>,
    sender: &str,
    recipients: Vec<OutgoingRecipient>,
    message: &[u8],
    now_ms: u64,
) -> Option<Outgoing> {
    if recipients.is_empty() {
        return None;
    }
    let first_try_ms = incoming.release_unix_s.map_or(now_ms, |release| release * 1000);
    let expires_ms = first_try_ms + smtp::schedule::EXPIRE_S * 1000;
    let deliver_by = incoming.deadline.map(|(until_s, by)| DeliverBy {
        until_ms: until_s.max(0) as u64 * 1000,
        return_late: by.mode == ByMode::Return,
        trace: by.trace,
    });
    let mail = &incoming.mail;
    Some(Outgoing {
        sender: sender.to_owned(),
        recipients,
        first_try_ms,
        alarm_ms: first_alarm_ms(first_try_ms, expires_ms, deliver_by.map(|by| by.until_ms)),
        expires_ms,
        envelope_id: mail.envelope_id.clone(),
        return_full: mail.returns.map(|returns| returns == Return::Full),
        eight_bit: mail.body != BodyKind::SevenBit || !message.is_ascii(),
        smtp_utf8: mail.smtp_utf8,
        binary: mail.body == BodyKind::Binary,
        require_tls: mail.require_tls,
        sign: incoming.account.is_some(),
        priority: mail.priority.unwrap_or(0),
        deliver_by,
        account: incoming.account.clone(),
    })
}

/// The queue entry of a notice.
pub(crate) fn outgoing(
    sender: &str,
    recipients: Vec<String>,
    eight_bit: bool,
    now_ms: u64,
) -> Option<Outgoing> {
    let recipient = |address| OutgoingRecipient { address, notify: NOTIFY_DEFAULT, original: None };
    let expires_ms = now_ms + smtp::schedule::EXPIRE_S * 1000;
    (!recipients.is_empty()).then(|| Outgoing {
        sender: sender.to_owned(),
        recipients: recipients.into_iter().map(recipient).collect(),
        first_try_ms: now_ms,
        alarm_ms: first_alarm_ms(now_ms, expires_ms, None),
        expires_ms,
        eight_bit,
        ..Outgoing::default()
    })
}
