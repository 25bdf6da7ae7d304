//! When a failed service is started again. Pure.

use std::time::Duration;

/// A service that ran this long without failing begins with a clean slate.
const WELL: Duration = Duration::from_mins(1);

/// Limits of the pacing of one service.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// Wait before the second restart in a row, the first has none; doubled with each further one.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// Failures in a row after which it is not started any more by itself.
    pub failures_max: u32,
}

/// How often a service failed in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures(u32);

impl Failures {
    /// Takes note of a failure after `ran`; the wait before the next start, or none if it is given up.
    pub fn note(&mut self, pacing: &Pacing, ran: Duration) -> Option<Duration> {
        if ran >= WELL {
            self.0 = 0;
        }
        self.0 = self.0.saturating_add(1);
        if self.0 >= pacing.failures_max {
            return None;
        }
        let Some(doublings) = self.0.checked_sub(2) else { return Some(Duration::ZERO) };
        Some(pacing.first.saturating_mul(1 << doublings.min(16)).min(pacing.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACING: Pacing =
        Pacing { first: Duration::from_millis(100), longest: Duration::from_millis(500), failures_max: 5 };

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let mut failures = Failures::default();
        let waits: Vec<_> = (0..5).map(|_| failures.note(&PACING, Duration::ZERO)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(0), ms(100), ms(200), ms(400), None]);
    }

    #[test]
    fn a_minute_of_good_work_clears_the_slate() {
        let mut failures = Failures::default();
        for _ in 0..5 {
            failures.note(&PACING, Duration::ZERO);
        }
        assert_eq!(failures.note(&PACING, WELL), Some(Duration::ZERO));
    }
}
