//! Writes back what became of recipients, with the notices about them, in one transaction.

use bytes::Bytes;
use smtp::notice::Kind;
use store::{Delivery, DestinationState, DueItem, Outcome, Settled, Settlement, StoreError};

use super::Worker;
use super::judge::{self, Judgement};
use super::notice::{self, About, Terms};
use crate::clock::unix_ms;
use crate::counters::count;

/// Recipients of one message with what became of each; written down as one.
pub(super) struct Verdicts<'a> {
    pub(super) judged: Vec<(&'a DueItem, Judgement)>,
    /// What was learned about the destination.
    pub(super) destination: Option<DestinationState>,
}

impl Verdicts<'_> {
    /// Writes it down. `body` is the message; it is only read where a notice needs it.
    pub(super) async fn settle(self, worker: &Worker, body: Option<&Bytes>) -> Result<(), StoreError> {
        for (item, judgement) in &self.judged {
            log(worker, item, judgement);
        }
        let mut notices = Vec::new();
        for kind in [Kind::Failed, Kind::Delayed, Kind::Relayed, Kind::Delivered] {
            notices.extend(self.notice(worker, kind, body).await);
        }
        let outcomes = self
            .judged
            .into_iter()
            .map(|(item, judgement)| Settlement { id: item.id, outcome: judgement.outcome });
        let settled = Settled {
            now_ms: unix_ms(),
            outcomes: outcomes.collect(),
            notices,
            destination: self.destination,
        };
        let delivered = worker.store.settle(settled).await?;
        for error in delivered.iter().flat_map(|one| &one.recipients).filter_map(|one| one.as_ref().err()) {
            tracing::warn!("a notice was not delivered: {error}");
        }
        Ok(())
    }

    async fn notice(&self, worker: &Worker, kind: Kind, body: Option<&Bytes>) -> Option<Delivery> {
        let about: Vec<_> =
            self.judged.iter().filter(|(_, judgement)| judgement.notice == Some(kind)).collect();
        let (first, _) = about.first()?;
        if first.envelope.sender.is_empty() {
            // RFC 5321 4.5.5: nobody is told about a notice.
            if kind == Kind::Failed {
                count(&worker.counters.double_bounces, about.len() as u64);
            }
            return None;
        }
        let recipients: Vec<_> = about
            .iter()
            .filter(|(item, _)| judge::wants(item, kind))
            .map(|(item, judgement)| smtp::notice::Recipient {
                address: item.recipient.address.clone(),
                original: item.recipient.original.clone(),
                status: judgement.status.clone(),
                diagnostic: judgement.said.clone(),
                from_remote: judgement.said.as_bytes().first().is_some_and(u8::is_ascii_digit),
            })
            .collect();
        let body = match body {
            Some(body) => body.clone(),
            None => worker.read(first).await.ok()?,
        };
        let id = format!("q{}", first.id.0);
        let about =
            About { sender: &first.envelope.sender, id: &id, recipients: &recipients, original: &body };
        let terms = Terms {
            accepted_ms: first.accepted_ms,
            expires_ms: first.envelope.expires_ms,
            envelope_id: first.envelope.envelope_id.as_deref(),
            return_full: first.envelope.return_full == Some(true),
            utf8: first.envelope.smtp_utf8,
        };
        let text = notice::compose(kind, &about, &worker.host_name, Some(terms))?;
        let delivery = notice::address(&worker.store, &first.envelope.sender, text).await?;
        count(&worker.counters.notices, 1);
        Some(delivery)
    }
}

fn log(worker: &Worker, item: &DueItem, judgement: &Judgement) {
    let (word, counter) = match (&judgement.outcome, judgement.notice) {
        (Outcome::Finished, Some(Kind::Failed)) => ("failed", &worker.counters.failed),
        (Outcome::Finished, _) => ("sent", &worker.counters.sent),
        (Outcome::Deferred { tried: false, .. }, _) => return,
        (Outcome::Deferred { .. }, _) => ("deferred", &worker.counters.deferred),
    };
    count(counter, 1);
    let (number, sender, recipient) = (item.id.0, &item.envelope.sender, &item.recipient.address);
    tracing::info!("queue {number} sender <{sender}> recipient <{recipient}> {word}: {}", judgement.said);
}

/// The administrator gives a recipient up; its sender hears of it where `tell` says so. The claim ends
/// with it.
pub(crate) async fn give_up(worker: &Worker, item: &DueItem, tell: bool) -> Result<(), StoreError> {
    let judgement = Judgement {
        outcome: Outcome::Finished,
        notice: tell.then_some(Kind::Failed),
        status: "5.7.0".to_owned(),
        said: "The administrator of this server took it out of the queue".to_owned(),
    };
    let verdicts = Verdicts { judged: vec![(item, judgement)], destination: None };
    let settled = verdicts.settle(worker, None).await;
    worker.store.release_claims(&[item.id]);
    settled
}
