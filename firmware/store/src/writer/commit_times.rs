//! How long commits took, for those who watch the disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
pub const COMMIT_BOUNDS_US: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// Commits by the time they took, synced; and whether the disk is full.
#[derive(Debug, Default)]
pub(crate) struct CommitTimes {
    buckets: [AtomicU64; COMMIT_BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
    full: AtomicBool,
}

/// What [`crate::Store::commit_times`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitCounts {
    /// Upper bound in microseconds, and how many commits were not above it.
    pub buckets: Vec<(u64, u64)>,
    /// How many in all since the start.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_us: u64,
    /// What grows is refused, for lack of space.
    pub full: bool,
}

impl CommitTimes {
    /// Counts one commit.
    pub fn note(&self, took: Duration) {
        let us = took.as_micros().min(u128::from(u64::MAX)) as u64;
        for (bound, bucket) in COMMIT_BOUNDS_US.iter().zip(&self.buckets) {
            if us <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Notes whether what grows is refused.
    pub fn note_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn read(&self) -> CommitCounts {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        CommitCounts {
            buckets: COMMIT_BOUNDS_US.into_iter().zip(counts).collect(),
            count: self.count.load(Ordering::Relaxed),
            sum_us: self.sum_us.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_counts_in_every_bucket_that_holds_it() {
        let times = CommitTimes::default();
        times.note(Duration::from_micros(300));
        times.note(Duration::from_mins(1));
        let counts = times.read();
        assert_eq!((counts.count, counts.sum_us), (2, 60_000_300));
        assert_eq!(counts.buckets[0], (250, 0));
        assert!(counts.buckets[1..].iter().all(|(_, count)| *count == 1));
    }
}
