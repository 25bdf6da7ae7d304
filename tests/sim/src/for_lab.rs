//! Plans that the lab can play as well: few faults, one after the other, each given time to end.
//!
//! The clocks of the two worlds are not the same: a box of the simulator has started as soon as it has
//! power, one under QEMU needs seconds, and what is healed by hand is healed a little late. A plan in
//! which that decides who has the group compares nothing; such a plan is drawn again.

use cluster::Decided;

use crate::plan::{Fault, Kind, Place, Plan, pick};
use crate::rng::Rng;
use crate::{Setting, play};

/// How many faults it has.
const FAULTS: u64 = 6;
/// What it waits before the first, so that both boxes are up, in milliseconds.
const FIRST_MS: u64 = 60_000;
/// A box that lost power is away for longer than the dead time in both worlds, in milliseconds.
const OFF_LEAST_MS: u64 = 4_000;
/// What a fault may last longer or shorter and a box take to start, in milliseconds.
const SLACK_MS: [(i64, i64); 4] = [(-800, 0), (0, 2_000), (400, 4_000), (1_000, 8_000)];
/// How often it is drawn; nobody has seen a seed that needed half of that.
const DRAWS_MAX: u32 = 200;

impl Plan {
    /// The plan for the lab that is drawn from `seed`.
    pub fn for_lab(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x4C41_4221);
        let mut plan = draw(seed, &mut rng);
        for _ in 1..DRAWS_MAX {
            if is_clear(&plan) {
                break;
            }
            plan = draw(seed, &mut rng);
        }
        plan
    }
}

fn draw(seed: u64, rng: &mut Rng) -> Plan {
    let mut faults = Vec::new();
    let mut at_ms = FIRST_MS;
    for _ in 0..FAULTS {
        let (kind, on) = (pick(&Kind::LAB, rng), pick(&[Place::A, Place::B], rng));
        let mut fault = Fault { when: None, ..Fault::draw(kind, at_ms, on, rng) };
        if loses_power(kind) {
            fault.for_ms = fault.for_ms.max(OFF_LEAST_MS);
        }
        // What boots or starts under QEMU needs its time.
        at_ms += fault.for_ms + rng.range(30_000, 45_000);
        faults.push(fault);
    }
    Plan { seed, power_on_ms: [0, 0], heal_at_ms: at_ms, faults }
}

fn loses_power(kind: Kind) -> bool {
    matches!(kind, Kind::PowerCut | Kind::PowerButton)
}

/// Whether the same boxes take the group after each fault, whatever the clocks of the lab make of it.
fn is_clear(plan: &Plan) -> bool {
    let takes = takes(plan);
    SLACK_MS.into_iter().zip(1..).all(|((longer_ms, start_ms), number)| {
        let mut other = plan.clone();
        other.seed = plan.seed.wrapping_add(number << 32);
        for fault in other.faults.iter_mut().filter(|fault| fault.for_ms > 0) {
            let more_ms = if loses_power(fault.kind) { start_ms } else { longer_ms };
            fault.for_ms = fault.for_ms.saturating_add_signed(more_ms).max(1);
        }
        self::takes(&other) == takes
    })
}

/// Who completed a take, and after how many of the faults.
fn takes(plan: &Plan) -> Vec<(usize, Place)> {
    let decisions = play(plan, Setting::default()).decisions;
    let taken = decisions.into_iter().filter(|decision| decision.decision == Decided::Taken.word());
    let after = |at_ms: u64| plan.faults.iter().filter(|fault| fault.at_ms <= at_ms).count();
    taken.map(|decision| (after(decision.at_ms), decision.on)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_for_the_lab_has_only_what_the_lab_can_do_and_hangs_on_no_second() {
        for seed in 0..40 {
            let plan = Plan::for_lab(seed);
            assert_eq!(plan, Plan::for_lab(seed));
            assert!(plan.faults.iter().all(|fault| Kind::LAB.contains(&fault.kind) && fault.when.is_none()));
            assert!(plan.faults.windows(2).all(|two| two[0].at_ms + two[0].for_ms < two[1].at_ms));
            assert!(is_clear(&plan), "seed {seed}");
        }
    }

    #[test]
    fn a_cut_that_one_world_hardly_notices_is_not_clear() {
        let cut = |for_ms| Plan {
            seed: 5,
            power_on_ms: [0, 0],
            heal_at_ms: 120_000,
            faults: vec![Fault { at_ms: FIRST_MS, on: Place::A, kind: Kind::PowerCut, for_ms, when: None }],
        };
        assert!(!is_clear(&cut(821)));
        assert!(is_clear(&cut(10_000)));
    }
}
