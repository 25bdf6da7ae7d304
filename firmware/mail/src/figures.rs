//! What the metrics show of the mail service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use control::mail::{Figures, Histogram};

use crate::counters::count;
use crate::service::Shared;

/// A session under way: it counts as ended when this is dropped.
pub(crate) struct Underway<'a>(&'a AtomicU64);

impl<'a> Underway<'a> {
    /// Begins one.
    pub(crate) fn new(begun: &AtomicU64, ended: &'a AtomicU64) -> Self {
        count(begun, 1);
        Self(ended)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        count(self.0, 1);
    }
}

/// All of them now.
pub(crate) async fn read(shared: &Arc<Shared>) -> Result<Figures, String> {
    let totals = crate::admin::aside(shared, |shared| shared.store.queue_totals()).await?;
    let commits = shared.store.commit_times();
    let counters = &shared.counters;
    let now = |begun: &AtomicU64, ended: &AtomicU64| {
        // In this order, or one that ends in between would be missed.
        let ended = ended.load(Ordering::Acquire);
        begun.load(Ordering::Acquire).saturating_sub(ended)
    };
    let sessions = [
        ("smtp", now(&counters.connections_smtp, &counters.ended_smtp)),
        ("imap", now(&counters.connections_imap, &counters.ended_imap)),
        ("pop3", now(&counters.connections_pop3, &counters.ended_pop3)),
    ];
    let replies = [
        ("2", counters.messages_received.load(Ordering::Relaxed)),
        ("4", counters.refused_for_now.load(Ordering::Relaxed)),
        ("5", counters.refused_for_good.load(Ordering::Relaxed)),
    ];
    let named =
        |list: &[(&str, u64)]| list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Ok(Figures {
        uptime_ms: shared.begun.elapsed().as_millis() as u64,
        counters: counters.read(),
        sessions: named(&sessions),
        queue_recipients: totals.recipients,
        queue_held: totals.held,
        smtp_replies: named(&replies),
        commits: Histogram { buckets: commits.buckets, count: commits.count, sum_us: commits.sum_us },
        disk_full: commits.full,
        disk_bytes: shared.store.space().ok(),
    })
}
