//! Is the mail service alive? Judged from what it answers and from what its process does meanwhile. Pure.
//!
//! A service that is slow must not be killed for it, and one that is dead must not be waited for. What
//! tells them apart is whether its process comes forward: one that gets processor time, waits for a
//! processor or waits for the disk is slow; one that does nothing of the kind while a question waits
//! for its answer is dead.

use std::time::Duration;

/// A question without an answer for so long, from a process that does nothing meanwhile: it is dead.
/// On a busy machine even an idle process is run at least this often.
pub const DEAD_AFTER: Duration = Duration::from_millis(1_500);
/// A question without an answer for so long: whatever the process does, it is of no use.
pub const USELESS_AFTER: Duration = Duration::from_secs(6);
/// From the start of a process to its first answer; recovery of a large store is part of it.
pub const START_MAX: Duration = Duration::from_secs(20);

/// What the mail service's process did so far, as the kernel counts it (proc(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Processor time it got, in any unit.
    pub ran: u64,
    /// Time it waited for a processor, in any unit.
    pub waited: u64,
    /// A thread of it waits for a disk now.
    pub in_disk: bool,
}

impl Pulse {
    /// Whether the process came forward since `before`, or was kept from it by somebody else.
    pub fn is_life_since(self, before: Self) -> bool {
        self.ran > before.ran || self.waited > before.waited || self.in_disk
    }
}

/// What is thought of the mail service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Well,
    /// Nothing can be said yet.
    Wait,
    /// It does not work, for this reason.
    Ill(Illness),
}

/// In what way it does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Illness {
    /// It does not answer, and does nothing.
    Dead,
    /// It is busy with something, but does not answer.
    Useless,
    /// It answers that something does not work, or answers something else; in its own words.
    Wrong(String),
    /// It runs and lets nobody in.
    Closed,
}

impl std::fmt::Display for Illness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dead => f.write_str("the mail service does not answer and does nothing"),
            Self::Useless => f.write_str("the mail service is busy and does not answer"),
            Self::Wrong(words) => write!(f, "the mail service does not answer as it should: {words}"),
            Self::Closed => f.write_str("the mail service lets nobody in"),
        }
    }
}

/// One question to the mail service, from when it was put.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pulse: Option<Pulse>,
    still: Duration,
    waited: Duration,
}

impl Patience {
    /// A question is put now.
    pub fn new() -> Self {
        Self { pulse: None, still: Duration::ZERO, waited: Duration::ZERO }
    }

    /// Another `passed` went by without an answer, and this is what the process has done by now; none
    /// if there is no process, which is init's to mend.
    pub fn wait(&mut self, passed: Duration, pulse: Option<Pulse>) -> Verdict {
        self.waited += passed;
        let Some(pulse) = pulse else { return Verdict::Wait };
        let lives = self.pulse.is_none_or(|before| pulse.is_life_since(before));
        self.pulse = Some(pulse);
        self.still = if lives { Duration::ZERO } else { self.still + passed };
        if self.still >= DEAD_AFTER {
            Verdict::Ill(Illness::Dead)
        } else if self.waited >= USELESS_AFTER {
            Verdict::Ill(Illness::Useless)
        } else {
            Verdict::Wait
        }
    }
}

/// Nobody listens; the process has been there for `age`, or is not there at all.
pub fn judge_silence(age: Option<Duration>) -> Verdict {
    match age {
        Some(age) if age >= START_MAX => Verdict::Ill(Illness::Closed),
        _ => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(250);

    /// How long until a verdict, when each step the process does this.
    fn judged(mut step: impl FnMut(u64) -> Option<Pulse>) -> Option<(Duration, Illness)> {
        let mut patience = Patience::new();
        (1..=400).find_map(|number| match patience.wait(STEP, step(number)) {
            Verdict::Ill(illness) => Some((STEP * number as u32, illness)),
            Verdict::Well | Verdict::Wait => None,
        })
    }

    #[test]
    fn a_process_that_stands_still_is_dead_soon() {
        let (after, illness) = judged(|_| Some(Pulse::default())).unwrap();
        assert_eq!(illness, Illness::Dead);
        assert!(after <= Duration::from_secs(2), "{after:?}");
    }

    #[test]
    fn a_starved_or_blocked_process_is_waited_for_longer() {
        let starved = judged(|n| Some(Pulse { waited: n, ..Pulse::default() }));
        let blocked = judged(|_| Some(Pulse { in_disk: true, ..Pulse::default() }));
        let spinning = judged(|n| Some(Pulse { ran: n, ..Pulse::default() }));
        for slow in [starved, blocked, spinning] {
            assert_eq!(slow, Some((USELESS_AFTER, Illness::Useless)));
        }
    }

    #[test]
    fn a_rare_sign_of_life_is_one() {
        // Run once a second: slow, not dead.
        let rare = judged(|n| Some(Pulse { ran: n / 4, ..Pulse::default() }));
        assert_eq!(rare, Some((USELESS_AFTER, Illness::Useless)));
    }

    #[test]
    fn without_a_process_there_is_nothing_to_judge() {
        assert_eq!(judged(|_| None), None);
        assert_eq!(judge_silence(None), Verdict::Wait);
        assert_eq!(judge_silence(Some(Duration::from_secs(5))), Verdict::Wait);
        assert_eq!(judge_silence(Some(START_MAX)), Verdict::Ill(Illness::Closed));
    }
}
