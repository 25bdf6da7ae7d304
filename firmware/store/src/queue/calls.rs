//! What others ask of the queue.

use std::sync::{MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{
    DestinationState, DueItem, QueueChange, QueueEntry, QueueFilter, QueueId, QueueTotals, Settled, due, list,
};
use crate::store::growing_by;
use crate::{Delivered, Delivery, Store, StoreError};

impl Store {
    /// Destinations with something due, those that have waited longest first; at most `limit`. `skip`
    /// names those that are being worked on.
    pub fn queue_destinations(
        &self,
        now_ms: u64,
        limit: usize,
        skip: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, StoreError> {
        self.inner.readers.read(|database| due::destinations(database, now_ms, limit, &skip))
    }

    /// When the first destination that is not skipped has something due, milliseconds since 1970.
    pub fn queue_next_ms(&self, skip: impl Fn(&str) -> bool) -> Result<Option<u64>, StoreError> {
        self.inner.readers.read(|database| due::next_ready_ms(database, &skip))
    }

    /// Due recipients of one message at one destination, claimed until settled or released. Claims live
    /// in memory: after a restart everything unsettled is due again.
    pub fn queue_claim(
        &self,
        destination: &str,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<DueItem>, StoreError> {
        let mut claimed = self.claimed();
        let items =
            self.inner.readers.read(|database| due::claim(database, destination, now_ms, limit, &claimed))?;
        claimed.extend(items.iter().map(|item| item.id));
        Ok(items)
    }

    /// Recipients about whom something is to be said although nobody tries them now, claimed likewise.
    pub fn queue_claim_alarms(&self, now_ms: u64, limit: usize) -> Result<Vec<DueItem>, StoreError> {
        let mut claimed = self.claimed();
        let items = self.inner.readers.read(|database| due::alarms(database, now_ms, limit, &claimed))?;
        claimed.extend(items.iter().map(|item| item.id));
        Ok(items)
    }

    /// When the first alarm comes, milliseconds since 1970.
    pub fn queue_next_alarm_ms(&self) -> Result<Option<u64>, StoreError> {
        self.inner.readers.read(due::next_alarm_ms)
    }

    /// Claims one recipient by its number, for giving it up; `None` if it is gone or under way.
    pub fn queue_claim_one(&self, id: QueueId) -> Result<Option<DueItem>, StoreError> {
        let mut claimed = self.claimed();
        if claimed.contains(&id) {
            return Ok(None);
        }
        let item = self.inner.readers.read(|database| due::item(database, id))?;
        claimed.extend(item.iter().map(|item| item.id));
        Ok(item)
    }

    /// Gives claims back unsettled.
    pub fn release_claims(&self, ids: &[QueueId]) {
        let mut claimed = self.claimed();
        for id in ids {
            claimed.remove(id);
        }
    }

    /// Whether somebody is at work on a recipient.
    pub fn queue_is_claimed(&self, id: QueueId) -> bool {
        self.claimed().contains(&id)
    }

    /// Stores several messages in one transaction, or none of them.
    pub async fn deliver_all(&self, deliveries: Vec<Delivery>) -> Result<Vec<Delivered>, StoreError> {
        let cost = growing_by(deliveries.iter().map(|delivery| &delivery.body))?;
        let run = move |ledger: &mut crate::writer::Ledger| {
            deliveries.iter().map(|delivery| ledger.deliver(delivery)).collect()
        };
        self.inner.writer.submit(cost, run).await
    }

    /// Records outcomes and, in the same transaction, delivers the notices about them. The claims end
    /// when it succeeds; after an error they stay, so that it can be tried again.
    pub async fn settle(&self, settled: Settled) -> Result<Vec<Delivered>, StoreError> {
        let ids: Vec<QueueId> = settled.outcomes.iter().map(|settlement| settlement.id).collect();
        let cost = if settled.notices.is_empty() {
            crate::writer::Cost::SMALL
        } else {
            growing_by(settled.notices.iter().map(|notice| &notice.body))?
        };
        let run = move |ledger: &mut crate::writer::Ledger| ledger.settle(&settled);
        let delivered = self.inner.writer.submit(cost, run).await?;
        self.release_claims(&ids);
        Ok(delivered)
    }

    /// Finds out anew when a destination has something due.
    pub async fn queue_refresh(&self, destination: &str) -> Result<(), StoreError> {
        let name = destination.to_owned();
        self.small(move |ledger| ledger.refresh_destination(&name)).await
    }

    /// What is known about a destination that has something waiting.
    pub fn queue_destination(&self, name: &str) -> Result<Option<DestinationState>, StoreError> {
        self.inner.readers.read(|database| due::destination(database, name))
    }

    /// Recipients in the order of their numbers, those behind `after`, at most `limit`, and where to go
    /// on if there are more.
    pub fn queue(
        &self,
        filter: &QueueFilter,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<QueueEntry>, Option<u64>), StoreError> {
        self.inner.readers.read(|database| list::list(database, filter, after, limit))
    }

    /// One recipient by its number, claimed or not, and whether it is held.
    pub fn queue_item(&self, id: QueueId) -> Result<Option<(DueItem, bool)>, StoreError> {
        self.inner.readers.read(|database| {
            let Some(item) = due::item(database, id)? else { return Ok(None) };
            Ok(Some((item, list::is_held(database, id)?)))
        })
    }

    /// When a recipient was tried, milliseconds since 1970, and what was said; the latest last.
    pub fn queue_tries(&self, id: QueueId) -> Result<Vec<(u64, String)>, StoreError> {
        self.inner.readers.read(|database| list::tries(database, id))
    }

    /// The queue in numbers.
    pub fn queue_totals(&self) -> Result<QueueTotals, StoreError> {
        self.inner.readers.read(list::totals)
    }

    /// Holds, releases or hurries recipients; returns how many of them there are.
    pub async fn queue_change(
        &self,
        ids: Vec<QueueId>,
        change: QueueChange,
        now_ms: u64,
    ) -> Result<usize, StoreError> {
        self.small(move |ledger| ledger.queue_change(&ids, change, now_ms)).await
    }

    /// Changes when something was queued, settled or made due.
    pub fn watch_queue(&self) -> watch::Receiver<u64> {
        self.inner.shared.queue.subscribe()
    }

    fn claimed(&self) -> MutexGuard<'_, std::collections::HashSet<QueueId>> {
        self.inner.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
