//! The clock that dates mail and records: the system's, and the hardware's, which keeps it without power.
//!
//! Nothing that decides who serves looks at it: leases, dead times and restarts are measured in time since
//! boot.

use std::fs::File;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_settime};
use thiserror::Error;

use crate::kernel;

/// The hardware clock of every board (rtc(4)).
const HARDWARE: &str = "/dev/rtc0";
/// What it can hold, and what makes sense: 2020 to 2099, in milliseconds since 1970.
const SENSIBLE_MS: std::ops::Range<u64> = 1_577_836_800_000..4_102_444_800_000;

/// Why the clock is not set, or not for long.
#[derive(Debug, Error)]
pub enum ClockError {
    /// Surely mistyped.
    #[error("the clock can be set to a time from 2020 to 2099")]
    NotSensible,
    /// The kernel refuses.
    #[error("the clock cannot be set: {0}")]
    System(io::Error),
    /// It is right until the power goes.
    #[error("the clock is set, but not that of the hardware, so it is lost with the power: {0}")]
    Hardware(io::Error),
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Sets both clocks.
pub fn set(unix_ms: u64) -> Result<(), ClockError> {
    if !SENSIBLE_MS.contains(&unix_ms) {
        return Err(ClockError::NotSensible);
    }
    let seconds = (unix_ms / 1_000) as i64;
    let time = Timespec { tv_sec: seconds, tv_nsec: (unix_ms % 1_000 * 1_000_000) as _ };
    clock_settime(ClockId::Realtime, time).map_err(|error| ClockError::System(error.into()))?;
    let set = File::open(HARDWARE).and_then(|clock| kernel::set_hardware_clock(&clock, seconds));
    set.map_err(ClockError::Hardware)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_year_is_refused() {
        for year in [0, SENSIBLE_MS.start - 1, SENSIBLE_MS.end, u64::MAX] {
            assert!(matches!(set(year), Err(ClockError::NotSensible)), "{year}");
        }
    }
}
