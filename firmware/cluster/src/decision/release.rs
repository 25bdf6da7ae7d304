//! Releasing the group: halt, withdraw, unmount, unreserve. The mail service is halted while the addresses
//! are still here, so that whoever is being served hears the end of it.

use super::{Core, State};
use crate::config::{GRANT_MS, RACE_LOST_MS, STEP_TRIES_MAX};
use crate::mutant::Mutant;
use crate::situation::{HandOverReason, PeerSeen};
use crate::{Action, Decided, Order, Phase, Role, Step, StepFault, Time};

/// A release under way.
#[derive(Debug, Clone)]
pub(super) struct Release {
    pub step: Step,
    pub why: ReleaseWhy,
    run: Option<u32>,
    begun: Time,
    tries: u8,
    phases: Vec<Phase>,
}

/// Why the group is released, and so what comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReleaseWhy {
    /// The other box shall take it.
    HandOver(HandOverReason),
    /// The other box won; this one may look again soon.
    RaceLost,
    /// Taking failed; this box waits before it tries again.
    TakeFailed,
    /// To be taken again by this box: mounting afresh is the last thing to try for the mail service.
    Remount,
    /// The box goes down; the command with this number is answered at the end.
    Stop { id: u32 },
}

impl Release {
    pub fn new(why: ReleaseWhy, from: Step, now: Time) -> Self {
        Self { step: from, why, run: None, begun: now, tries: 0, phases: Vec::new() }
    }
}

impl Core {
    pub(super) fn start_release(&mut self, why: ReleaseWhy, cause: String, out: &mut Vec<Action>) {
        self.record(Decided::Release, cause, Vec::new(), out);
        self.state = State::Releasing(Release::new(why, Step::Halt, self.now));
        self.pursue_release(out);
    }

    /// Goes on with the release as far as it can without waiting.
    pub(super) fn pursue_release(&mut self, out: &mut Vec<Action>) {
        let State::Releasing(release) = &self.state else { return };
        let step = release.step;
        let unbounded = self.lacks(Mutant::StepWithoutBound);
        if self.now.since_ms(release.begun) >= step.deadline_ms() && !unbounded {
            return self
                .give_release_step_up(format!("it did not end within {} ms", step.deadline_ms()), out);
        }
        if release.run.is_some() {
            return;
        }
        let order = match step {
            Step::Halt => Some(Order::Halt),
            Step::Withdraw => Some(Order::Withdraw),
            // Unmounting flushes, so it waits for a proof like any other write.
            Step::Unmount => self.valid_proof().map(|proof| Order::Unmount { proof }),
            _ => self.lease.key.map(|key| Order::Unreserve { key, release: self.peer_is_harmless() }),
        };
        if let Some(order) = order {
            let run = self.next_run();
            if let State::Releasing(release) = &mut self.state {
                release.run = Some(run);
            }
            out.push(Action::Run { run, order, deadline_ms: step.deadline_ms() });
        }
    }

    /// Whether the other box is heard and has nothing mounted, so that the LUN may be without a
    /// reservation. A box that stands still may go on writing the moment it is let.
    fn peer_is_harmless(&self) -> bool {
        match self.peer_seen() {
            _ if self.lacks(Mutant::ReleasedBlindly) => true,
            PeerSeen::Alive { role, .. } => matches!(role, Role::Starting | Role::Standby | Role::Undecided),
            PeerSeen::Unclear | PeerSeen::Silent => false,
        }
    }

    /// An order of the release came to its end.
    pub(super) fn release_step_done(
        &mut self,
        run: u32,
        result: Result<(), StepFault>,
        out: &mut Vec<Action>,
    ) {
        let State::Releasing(release) = &mut self.state else { return };
        if release.run != Some(run) {
            return;
        }
        release.run = None;
        match result {
            Ok(()) => self.finish_release_step(out),
            Err(fault) => {
                release.tries += 1;
                if release.tries >= STEP_TRIES_MAX {
                    self.give_release_step_up(fault.to_string(), out);
                }
            }
        }
    }

    /// What must stop and cannot be stopped ends in a reset. A reservation that stays is no danger:
    /// this box does not write, and the other one may preempt it.
    fn give_release_step_up(&mut self, words: String, out: &mut Vec<Action>) {
        let State::Releasing(release) = &self.state else { return };
        match release.step {
            Step::Unreserve => self.finish_release(out),
            step => self.fence(format!("the step {step} failed: {words}"), out),
        }
    }

    fn finish_release_step(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        let (too_soon, never, stays) = (
            self.lacks(Mutant::ReleasedBeforeUnmounted),
            self.lacks(Mutant::NeverUnmounted),
            self.lacks(Mutant::StaysRegistered),
        );
        let State::Releasing(release) = &mut self.state else { return };
        release.phases.push(Phase { step: release.step, ms: now.since_ms(release.begun) });
        release.begun = now;
        release.tries = 0;
        release.step = match release.step {
            Step::Halt => Step::Withdraw,
            Step::Withdraw if too_soon || never => Step::Unreserve,
            Step::Unreserve if too_soon => Step::Unmount,
            Step::Unmount if too_soon || stays => return self.finish_release(out),
            Step::Withdraw => Step::Unmount,
            Step::Unmount => Step::Unreserve,
            _ => return self.finish_release(out),
        };
        if release.step == Step::Unreserve {
            // Nothing is mounted any more: nothing is held still, and not even the slot is written.
            self.lease.lapsed_at = None;
            self.lease.in_force = None;
            self.lease.proof = None;
        }
        self.pursue_release(out);
    }

    fn finish_release(&mut self, out: &mut Vec<Action>) {
        let State::Releasing(release) = std::mem::replace(&mut self.state, State::Watching) else { return };
        self.lease.key = None;
        self.lease.in_force = None;
        self.lease.proof = None;
        self.lease.lapsed_at = None;
        self.lease.wants_repair = false;
        // What was read while holding says nothing about now.
        self.array.last = None;
        self.array.due = self.now;
        match release.why {
            ReleaseWhy::HandOver(_) => self.granted_until = Some(self.now + GRANT_MS),
            ReleaseWhy::RaceLost => self.retry_at = Some(self.now + RACE_LOST_MS),
            ReleaseWhy::TakeFailed => {
                let wait_ms = self.next_retry_ms();
                self.take_failures = self.take_failures.saturating_add(1);
                self.retry_at = Some(self.now + wait_ms);
            }
            ReleaseWhy::Remount => {}
            // Announced, like any hand-over: the other box need not wait for the silence.
            ReleaseWhy::Stop { id } => {
                self.granted_until = Some(self.now + GRANT_MS);
                out.push(Action::Answer { id, result: Ok(()) });
            }
        }
        self.record(Decided::Released, release.why.to_string(), release.phases, out);
    }
}

impl std::fmt::Display for ReleaseWhy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HandOver(reason) => reason.fmt(f),
            Self::RaceLost => f.write_str("the other box was quicker"),
            Self::TakeFailed => f.write_str("what was taken is given back after a failure"),
            Self::Remount => f.write_str("the group is to be mounted afresh"),
            Self::Stop { .. } => f.write_str("this box is going down"),
        }
    }
}

#[cfg(any(test, feature = "checking"))]
impl Release {
    pub fn digest<H: core::hash::Hasher>(&self, digest: &mut super::digest::Digest<H>) {
        let Self { step, why, run, begun, tries, phases: _ } = self;
        digest.plain((step, std::mem::discriminant(why), run.is_some(), tries));
        digest.moment(*begun);
    }
}
