//! Notices to senders: who gets them, and how.

use bytes::Bytes;
use smtp::notice::{Kind, Notice, Recipient};
use store::{Body, Delivery, Resolution, Store, Target};

use crate::clock::unix_ms;
use crate::delivery::outgoing;

/// What a notice is about.
pub(crate) struct About<'a> {
    /// Envelope sender of the original; empty for a notice, which gets no notice.
    pub(crate) sender: &'a str,
    /// Name of the original in the log; the notice's own name comes from it.
    pub(crate) id: &'a str,
    /// Whom it is about.
    pub(crate) recipients: &'a [Recipient],
    /// The original.
    pub(crate) original: &'a [u8],
}

/// When the original was accepted and will be given up, milliseconds since 1970, and what its sender
/// asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) accepted_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) envelope_id: Option<&'a str>,
    pub(crate) return_full: bool,
    /// The original was SMTPUTF8.
    pub(crate) utf8: bool,
}

/// Writes the notice; none where the original was a notice itself (RFC 5321 4.5.5).
pub(crate) fn compose(
    kind: Kind,
    about: &About<'_>,
    host_name: &str,
    terms: Option<Terms<'_>>,
) -> Option<Vec<u8>> {
    if about.sender.is_empty() || about.recipients.is_empty() {
        return None;
    }
    let now_ms = unix_ms();
    let now =
        Terms { accepted_ms: now_ms, expires_ms: now_ms, envelope_id: None, return_full: false, utf8: false };
    let terms = terms.unwrap_or(now);
    let letter = match kind {
        Kind::Failed => 'f',
        Kind::Delayed => 'd',
        Kind::Delivered => 's',
        Kind::Relayed => 'r',
        Kind::Expanded => 'e',
    };
    let notice = Notice {
        kind,
        host_name,
        id: &format!("{}.{letter}{:x}", about.id, now_ms),
        to: about.sender,
        envelope_id: terms.envelope_id,
        arrived_unix_s: terms.accepted_ms / 1000,
        expires_unix_s: terms.expires_ms / 1000,
        now_unix_s: now_ms / 1000,
        recipients: about.recipients,
        original: about.original,
        return_full: terms.return_full,
        utf8: terms.utf8,
    };
    Some(notice.compose())
}

/// Puts a notice on its way: into a mailbox here, or into the queue with the null sender. None if there
/// is nobody to take it.
pub(crate) async fn address(store: &Store, sender: &str, notice: Vec<u8>) -> Option<Delivery> {
    let now_ms = unix_ms();
    let targets = match store.resolve(sender) {
        Ok(Resolution::Account(account)) => vec![Target::Account(account)],
        Ok(Resolution::Alias(targets)) => targets,
        Ok(Resolution::UnknownDomain) => vec![Target::Remote(sender.to_owned())],
        Ok(Resolution::UnknownUser) => Vec::new(),
        Err(error) => {
            tracing::error!("notice to <{sender}> cannot be made: {error}");
            return None;
        }
    };
    let (mut accounts, mut remote) = (Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Account(account) => accounts.push(store::Recipient::inbox(account)),
            Target::Remote(address) => remote.push(address),
        }
    }
    if accounts.is_empty() && remote.is_empty() {
        tracing::warn!("notice to <{sender}> dropped: there is no such user here");
        return None;
    }
    let eight_bit = !notice.is_ascii();
    let body = tokio::task::spawn_blocking(move || Body::new(Bytes::from(notice))).await.ok()?;
    Some(Delivery {
        body,
        internal_date_s: (now_ms / 1000) as i64,
        recipients: accounts,
        outgoing: outgoing("", remote, eight_bit, now_ms),
    })
}
