//! Taking the group: fence, prove, mount, recover, serve, announce.

use super::release::{Release, ReleaseWhy};
use super::serve::Serving;
use super::{Core, State};
use crate::config::STEP_TRIES_MAX;
use crate::mutant::Mutant;
use crate::situation::TakeReason;
use crate::{Action, Decided, HeldProof, Key, Order, Phase, Step, StepFault, Takeover, Time};

/// A take under way.
#[derive(Debug, Clone)]
pub(super) struct Take {
    pub step: Step,
    /// The order that is being carried out.
    run: Option<u32>,
    /// When the step began, the wait for its proof included.
    begun: Time,
    tries: u8,
    cause: String,
    decided_at: Time,
    detect_ms: u64,
    over: Option<u64>,
    phases: Vec<Phase>,
}

impl Take {
    /// From the last sign of the former owner to the decision, in milliseconds.
    pub fn detect_ms(&self) -> u64 {
        self.detect_ms
    }
}

impl Core {
    pub(super) fn start_take(&mut self, reason: TakeReason, out: &mut Vec<Action>) {
        let cause = format!("{reason}; {}", self.describe_evidence());
        // A later epoch than any seen makes every earlier writer known for what it is.
        if !self.lacks(Mutant::EpochNotRaised) {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.lease.key = Some(Key::new(self.config.node, self.config.pair_id, self.epoch));
        self.lease.in_force = None;
        self.lease.proof = None;
        self.asking_until = None;
        self.granted_until = None;
        self.settled = true;
        self.record(Decided::Take, cause.clone(), Vec::new(), out);
        self.state = State::Taking(Take {
            step: Step::Fence,
            run: None,
            begun: self.now,
            tries: 0,
            cause,
            decided_at: self.now,
            detect_ms: self.unheard_ms(),
            over: self.array.last.as_ref().and_then(|reading| reading.holder).map(|holder| holder.key),
            phases: Vec::new(),
        });
        self.pursue_take(out);
    }

    /// Goes on with the take as far as it can without waiting.
    pub(super) fn pursue_take(&mut self, out: &mut Vec<Action>) {
        let proof = self.valid_proof();
        let wants_repair = self.lease.wants_repair;
        let unbounded = self.lacks(Mutant::StepWithoutBound);
        let State::Taking(take) = &mut self.state else { return };
        let step = take.step;
        if self.now.since_ms(take.begun) >= step.deadline_ms() && !unbounded {
            let cause = format!("the step {step} did not end within {} ms", step.deadline_ms());
            return self.undo_take(ReleaseWhy::TakeFailed, cause, out);
        }
        if take.run.is_some() {
            return;
        }
        if step == Step::Prove {
            if proof.is_some() {
                self.finish_take_step(out);
            } else if wants_repair {
                self.repeat_fence(out);
            }
            return;
        }
        if let Some(order) = self.take_order(step, proof) {
            let run = self.next_run();
            if let State::Taking(take) = &mut self.state {
                take.run = Some(run);
            }
            out.push(Action::Run { run, order, deadline_ms: step.deadline_ms() });
        }
    }

    fn take_order(&self, step: Step, proof: Option<HeldProof>) -> Option<Order> {
        let State::Taking(take) = &self.state else { return None };
        match step {
            Step::Fence => self.lease.key.map(|key| Order::Fence { key, over: take.over }),
            Step::Mount => proof.map(|proof| Order::Mount { proof }),
            Step::Recover => proof.map(|proof| Order::Recover { proof }),
            Step::Serve => proof.map(|proof| Order::Serve { proof }),
            Step::Announce => proof.map(|proof| Order::Announce { proof }),
            Step::Prove
            | Step::RestartMail
            | Step::Withdraw
            | Step::Halt
            | Step::Unmount
            | Step::Unreserve => None,
        }
    }

    /// An earlier owner came in between: fence once more.
    fn repeat_fence(&mut self, out: &mut Vec<Action>) {
        self.lease.wants_repair = false;
        let now = self.now;
        let State::Taking(take) = &mut self.state else { return };
        take.tries += 1;
        if take.tries >= STEP_TRIES_MAX {
            let cause = "an earlier owner's registration cannot be removed from the array".to_owned();
            return self.undo_take(ReleaseWhy::TakeFailed, cause, out);
        }
        take.step = Step::Fence;
        take.begun = now;
        self.lease.in_force = None;
        self.pursue_take(out);
    }

    /// An order of the take came to its end.
    pub(super) fn take_step_done(&mut self, run: u32, result: Result<(), StepFault>, out: &mut Vec<Action>) {
        let State::Taking(take) = &mut self.state else { return };
        if take.run != Some(run) {
            return;
        }
        take.run = None;
        let step = take.step;
        match result {
            Ok(()) => self.finish_take_step(out),
            Err(StepFault::RaceLost) => self.lose_race(StepFault::RaceLost.to_string(), out),
            Err(StepFault::EpochSeen(epoch)) => {
                self.epoch = self.epoch.max(epoch);
                self.undo_take(ReleaseWhy::RaceLost, StepFault::EpochSeen(epoch).to_string(), out);
            }
            Err(StepFault::Failed(words)) => {
                take.tries += 1;
                if take.tries >= STEP_TRIES_MAX {
                    self.undo_take(ReleaseWhy::TakeFailed, format!("the step {step} failed: {words}"), out);
                }
            }
        }
    }

    fn finish_take_step(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        let wrong_order = self.lacks(Mutant::AnnouncedFirst);
        let State::Taking(take) = &mut self.state else { return };
        take.phases.push(Phase { step: take.step, ms: now.since_ms(take.begun) });
        take.begun = now;
        take.tries = 0;
        take.step = match take.step {
            Step::Fence => Step::Prove,
            Step::Prove if wrong_order => Step::Announce,
            Step::Announce if wrong_order => Step::Mount,
            Step::Serve if wrong_order => return self.finish_take(out),
            Step::Prove => Step::Mount,
            Step::Mount => Step::Recover,
            Step::Recover => Step::Serve,
            Step::Serve => Step::Announce,
            Step::Announce
            | Step::RestartMail
            | Step::Withdraw
            | Step::Halt
            | Step::Unmount
            | Step::Unreserve => return self.finish_take(out),
        };
        if take.step == Step::Prove {
            self.put_in_force();
            self.read_if_due(out);
        } else {
            self.pursue_take(out);
        }
    }

    fn finish_take(&mut self, out: &mut Vec<Action>) {
        let serving = State::Active(Serving::new(self.now));
        let State::Taking(take) = std::mem::replace(&mut self.state, serving) else { return };
        self.take_failures = 0;
        self.last_fault = None;
        let takeover = Takeover {
            cause: take.cause.clone(),
            epoch: self.lease.key.map_or(0, Key::epoch),
            decided_at: take.decided_at,
            detect_ms: take.detect_ms,
            total_ms: self.now.since_ms(take.decided_at),
            phases: take.phases.clone(),
        };
        self.last_takeover = Some(takeover);
        self.record(Decided::Taken, take.cause, take.phases, out);
    }

    /// The other box was quicker: that is no failure of this one.
    pub(super) fn lose_race(&mut self, cause: String, out: &mut Vec<Action>) {
        self.undo_take(ReleaseWhy::RaceLost, cause, out);
    }

    /// Takes back what was taken, in reverse order.
    pub(super) fn undo_take(&mut self, why: ReleaseWhy, cause: String, out: &mut Vec<Action>) {
        let State::Taking(take) = &self.state else { return };
        let from = match take.step {
            Step::Announce | Step::Recover | Step::Serve => Step::Halt,
            Step::Mount => Step::Unmount,
            Step::Fence
            | Step::Prove
            | Step::RestartMail
            | Step::Withdraw
            | Step::Halt
            | Step::Unmount
            | Step::Unreserve => Step::Unreserve,
        };
        if why == ReleaseWhy::TakeFailed {
            self.last_fault = Some(cause.clone());
        }
        self.record(Decided::TakeFailed, cause, take.phases.clone(), out);
        self.state = State::Releasing(Release::new(why, from, self.now));
        self.pursue_release(out);
    }
}

#[cfg(any(test, feature = "checking"))]
impl Take {
    pub fn digest<H: core::hash::Hasher>(&self, digest: &mut super::digest::Digest<H>) {
        let Self { step, run, begun, tries, cause: _, decided_at: _, detect_ms: _, over, phases: _ } = self;
        digest.plain((step, run.is_some(), tries, over.is_some()));
        over.iter().for_each(|raw| digest.key(*raw));
        digest.moment(*begun);
    }
}
