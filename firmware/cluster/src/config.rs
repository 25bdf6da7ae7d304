//! What a core is told once, and the limits it keeps.

use thiserror::Error;

use crate::{Node, Preference};

/// Silence after a grant in which the former owner lets the other box take, in milliseconds.
pub const GRANT_MS: u64 = 12_000;
/// How long a standby goes on asking for the group, in milliseconds.
pub const ASK_MS: u64 = 6_000;
/// How long the second choice waits for the first to take a group nobody owns, in milliseconds.
pub const YIELD_MS: u64 = 6_000;
/// How long an owner that offers the group is let alone to make a reservation again that the array
/// forgot, in milliseconds.
pub const REPAIR_YIELD_MS: u64 = 2_000;
/// Between two readings of the reservation while another box owns the group, in milliseconds.
pub const WATCH_READ_MS: u64 = 1_000;
/// Age at which a reading no longer tells anything about now, in milliseconds.
pub const READING_FRESH_MS: u64 = 4_000;
/// After so long without an answer a reading counts as failed and is asked for again, in milliseconds.
pub const READ_ANSWER_MAX_MS: u64 = 5_000;
/// Failed readings in a row after which the array counts as lost.
pub const READ_FAILURES_MAX: u32 = 2;
/// How long a lapsed owner may wait for its next proof before it resets, in milliseconds. A weak
/// array that comes back sooner costs a pause instead of a restart.
pub const LAPSE_MAX_MS: u64 = 10_000;
/// Failed probes in a row after which the mail service is restarted.
pub const MAIL_PROBES_MAX: u32 = 3;
/// Restarts of the mail service within [`HOLD_DOWN_MS`] after which this box cannot serve.
pub const MAIL_RESTARTS_MAX: u32 = 2;
/// After it failed to serve, how long a box counts as second choice, in milliseconds. Doubled with
/// every further failure, so that a group that fails on both boxes does not wander.
pub const HOLD_DOWN_MS: u64 = 60_000;
/// Longest hold-down, in milliseconds.
pub const HOLD_DOWN_MAX_MS: u64 = 3_600_000;
/// How long a lost public link is borne before the group moves, in milliseconds.
pub const PUBLIC_GRACE_MS: u64 = 3_000;
/// How long an owner stays before a lost link may move the group again, in milliseconds.
pub const STAY_MS: u64 = 10_000;
/// How long the preferred owner must be well before the group goes back, in milliseconds.
pub const FAIL_BACK_MS: u64 = 60_000;
/// Wait after a failed take, in milliseconds; doubled each time.
pub const RETRY_MS: u64 = 2_000;
/// Longest wait after a failed take, in milliseconds.
pub const RETRY_MAX_MS: u64 = 60_000;
/// Failed takes in a row after which a box believes that it will not work by itself.
pub const TAKES_MAX: u32 = 4;
/// Wait after a failed take at the second choice while the group fails at the first as well, in
/// milliseconds: it stays at the first, where it can be examined.
pub const RETRY_STAY_MS: u64 = 600_000;
/// Wait after losing a race for the reservation, in milliseconds.
pub const RACE_LOST_MS: u64 = 1_000;
/// How often one step is tried.
pub const STEP_TRIES_MAX: u8 = 2;
/// Between two demands for a reset, in milliseconds.
pub const RESET_REPEAT_MS: u64 = 1_000;

/// What a core is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// This box's place in the pair.
    pub node: Node,
    /// Identifies the pair in reservation keys.
    pub pair_id: u32,
    /// Which service group this core decides for.
    pub group: u8,
    /// Drawn at random at this start.
    pub boot: u32,
    /// Between two beats, in milliseconds.
    pub beat_ms: u64,
    /// How long a proof lasts, in milliseconds.
    pub lease_ms: u64,
    /// What the watchdog driver returned, in milliseconds.
    pub watchdog_ms: u64,
    /// Silence on all media after which the owner counts as dead, in milliseconds.
    pub dead_time_ms: u64,
    /// Preferred owner as last saved.
    pub preference: Preference,
    /// Whether the operator took this box out of service.
    pub maintenance: bool,
}

/// Why timings cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A box would serve on after its proof lapsed, or be taken for dead while it serves.
    #[error(
        "the timing rule is broken: lease {lease_ms} ms < watchdog {watchdog_ms} ms <= dead time {dead_time_ms} ms; \
         choose a longer dead time or a shorter lease"
    )]
    TimingRule {
        /// The lease.
        lease_ms: u64,
        /// The watchdog's time-out as the driver returned it.
        watchdog_ms: u64,
        /// The dead time.
        dead_time_ms: u64,
    },
    /// Too few beats fit into the dead time to bear the loss of one.
    #[error(
        "a beat every {beat_ms} ms is too slow for a dead time of {dead_time_ms} ms; at least four must fit"
    )]
    BeatTooSlow {
        /// Between two beats.
        beat_ms: u64,
        /// The dead time.
        dead_time_ms: u64,
    },
}

impl Config {
    /// Checks the timing rule `lease < watchdog <= dead time`, and that beats are frequent enough.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Self { beat_ms, lease_ms, watchdog_ms, dead_time_ms, .. } = *self;
        if lease_ms == 0 || lease_ms >= watchdog_ms || watchdog_ms > dead_time_ms {
            return Err(ConfigError::TimingRule { lease_ms, watchdog_ms, dead_time_ms });
        }
        if beat_ms == 0 || beat_ms.saturating_mul(4) > dead_time_ms {
            return Err(ConfigError::BeatTooSlow { beat_ms, dead_time_ms });
        }
        Ok(())
    }
}
