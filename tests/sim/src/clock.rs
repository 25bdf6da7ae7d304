//! The clock of one box: it runs, drifts, jumps, and stands still with the box.

use cluster::Time;

/// A clock that is right.
pub const TRUE_RATE: u64 = 1_000;

/// A box's uptime against the time of the world.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// A moment of the world, and what the clock said then.
    at: u64,
    said: u64,
    /// How many of its milliseconds pass in a second of the world.
    rate: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { at: 0, said: 0, rate: TRUE_RATE }
    }
}

impl Clock {
    /// The box gets power: uptime begins with `said`; how fast it runs is a matter of the crystal.
    pub fn begin(&mut self, now: u64, said: u64) {
        (self.at, self.said) = (now, said);
    }

    /// What it says at `now`.
    pub fn read(&self, now: u64) -> Time {
        Time(self.said + now.saturating_sub(self.at) * self.rate / TRUE_RATE)
    }

    /// From `now` on it runs at this rate.
    pub fn set_rate(&mut self, now: u64, rate: u64) {
        self.said = self.read(now).0;
        self.at = now;
        self.rate = rate;
    }

    /// It leaps ahead.
    pub fn jump(&mut self, ms: u64) {
        self.said += ms;
    }

    /// It stood still for so long until now.
    pub fn stood_still(&mut self, ms: u64) {
        self.at += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_drifts_jumps_and_stands_still() {
        let mut clock = Clock::default();
        clock.begin(1_000, 3_000);
        assert_eq!(clock.read(2_000), Time(4_000));
        clock.set_rate(2_000, 1_100);
        assert_eq!(clock.read(3_000), Time(5_100));
        clock.jump(900);
        assert_eq!(clock.read(3_000), Time(6_000));
        clock.stood_still(500);
        assert_eq!(clock.read(3_500), Time(6_000));
    }
}
