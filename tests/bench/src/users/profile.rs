//! The published numbers: how often, how large, to how many.

use std::time::Duration;

use super::KINDS;
use super::session::Kind;
use crate::text::Random;

/// Sizes in KB and their share in hundredths of a percent.
const SIZES: [(usize, usize); 10] = [
    (1, 1_020),
    (2, 3_071),
    (3, 2_059),
    (4, 1_078),
    (5, 588),
    (6, 374),
    (10, 744),
    (100, 979),
    (1_000, 69),
    (2_675, 18),
];
/// Share of messages with 1, 2, ... 20 recipients in hundredths of a percent.
const RECIPIENTS: [usize; 20] =
    [8_573, 166, 149, 134, 120, 108, 97, 88, 79, 71, 64, 58, 52, 47, 42, 38, 34, 31, 28, 21];

/// Share of users' mail that goes elsewhere.
pub const REMOTE: f64 = 0.9;
/// Share of users on a slow line.
pub const SLOW: f64 = 0.9;
/// Bytes a second of a slow line.
pub const SLOW_BYTES_PER_S: usize = 6_000;

/// Sessions a second of each kind.
pub struct Rates([f64; 4]);

impl Rates {
    /// One message a minute stands for 200 users.
    pub fn of(messages_a_minute: u32) -> Self {
        let per_s = f64::from(messages_a_minute) / 60.0;
        Self([per_s, 0.9 * per_s, 0.5 * per_s, 1.5 * per_s])
    }

    /// Each kind with its rate.
    pub fn all(&self) -> Vec<(Kind, f64)> {
        KINDS.into_iter().zip(self.0).collect()
    }
}

/// Time to the next session: arrivals are open-loop with exponential gaps.
pub fn gap(rate_per_s: f64, random: &mut Random) -> Duration {
    Duration::from_secs_f64(-(1.0 - random.unit()).ln() / rate_per_s.max(0.001))
}

/// Bytes of one message.
pub fn size_bytes(random: &mut Random) -> usize {
    pick(random, SIZES.into_iter()) * 1_000
}

/// How many recipients.
pub fn recipients(random: &mut Random) -> usize {
    pick(random, RECIPIENTS.into_iter().enumerate().map(|(index, share)| (index + 1, share)))
}

fn pick(random: &mut Random, shares: impl Iterator<Item = (usize, usize)> + Clone) -> usize {
    let total: usize = shares.clone().map(|(_, share)| share).sum();
    let mut at = random.below(total);
    for (value, share) in shares {
        match at.checked_sub(share) {
            None => return value,
            Some(rest) => at = rest,
        }
    }
    1
}
