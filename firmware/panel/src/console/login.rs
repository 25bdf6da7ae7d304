//! Who may give commands: log-in, its pace after wrong tries, its end after idleness.

/// Wrong tries that cost nothing.
const FREE_TRIES: u32 = 3;
/// Longest wait between two tries.
const WAIT_MAX_MS: u64 = 60_000;
/// Without a key for so long, the log-in ends.
pub const IDLE_MS: u64 = 300_000;

/// The administrator's log-in at this console.
#[derive(Debug, Default)]
pub struct Login {
    last_key_ms: Option<u64>,
    wrong: u32,
    closed_until_ms: u64,
}

impl Login {
    /// Whether somebody is logged in.
    pub fn is_in(&self) -> bool {
        self.last_key_ms.is_some()
    }

    /// The right password was given.
    pub fn enter(&mut self, now_ms: u64) {
        self.last_key_ms = Some(now_ms);
        self.wrong = 0;
    }

    /// A wrong password was given: from the fourth on each doubles the wait.
    pub fn refuse(&mut self, now_ms: u64) {
        self.wrong = self.wrong.saturating_add(1);
        if self.wrong >= FREE_TRIES {
            let wait_ms = 2_000_u64 << (self.wrong - FREE_TRIES).min(5);
            self.closed_until_ms = now_ms + wait_ms.min(WAIT_MAX_MS);
        }
    }

    /// Seconds until the next try is taken; none is at once.
    pub fn wait_s(&self, now_ms: u64) -> Option<u64> {
        let left_ms = self.closed_until_ms.saturating_sub(now_ms);
        (left_ms > 0).then(|| left_ms.div_ceil(1000))
    }

    /// A key was pressed.
    pub fn stir(&mut self, now_ms: u64) {
        if let Some(last) = &mut self.last_key_ms {
            *last = now_ms;
        }
    }

    /// Ends the log-in.
    pub fn leave(&mut self) {
        self.last_key_ms = None;
    }

    /// Ends the log-in after idleness; whether it just did.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        let over = self.last_key_ms.is_some_and(|last| now_ms >= last + IDLE_MS);
        if over {
            self.leave();
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_becomes_slower_up_to_a_bound() {
        let mut login = Login::default();
        let waits: Vec<_> = (0..10)
            .map(|_| {
                login.refuse(0);
                login.wait_s(0).unwrap_or(0)
            })
            .collect();
        assert_eq!(waits, [0, 0, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(login.wait_s(60_000), None);
        login.enter(60_000);
        login.refuse(60_001);
        assert_eq!(login.wait_s(60_001), None);
    }

    #[test]
    fn a_log_in_ends_by_itself() {
        let mut login = Login::default();
        login.enter(0);
        login.stir(1_000);
        assert!(!login.tick(IDLE_MS) && login.is_in());
        assert!(login.tick(IDLE_MS + 1_000) && !login.is_in());
    }
}
