//! From a plan that fails to the least that still fails.

use crate::{Outcome, Plan, Setting, play};

/// Most runs spent on one plan.
const TRIES_MAX: u32 = 2_000;

/// Drops and shortens faults as long as the run ends with the same kind of violation.
pub fn shrink(plan: &Plan, setting: Setting) -> Plan {
    let kind = |outcome: &Outcome| outcome.violation.as_ref().map(crate::Violation::kind);
    let wanted = kind(&play(plan, setting));
    let mut best = plan.clone();
    let mut tries = 0;
    let mut again = true;
    while again && wanted.is_some() && tries < TRIES_MAX {
        again = false;
        for smaller in smaller_plans(&best) {
            tries += 1;
            if kind(&play(&smaller, setting)) == wanted {
                best = smaller;
                again = true;
                break;
            }
        }
    }
    best
}

/// Plans with less in them, the boldest first.
fn smaller_plans(plan: &Plan) -> Vec<Plan> {
    let count = plan.faults.len();
    let mut smaller = Vec::new();
    let mut part = count / 2;
    while part > 0 {
        for begin in (0..count).step_by(part) {
            let mut faults = plan.faults.clone();
            faults.drain(begin..(begin + part).min(count));
            smaller.push(Plan { faults, ..plan.clone() });
        }
        part /= 2;
    }
    for (index, fault) in plan.faults.iter().enumerate() {
        let mut change = |changed: crate::Fault| {
            let mut faults = plan.faults.clone();
            faults[index] = changed;
            smaller.push(Plan { faults, ..plan.clone() });
        };
        if fault.for_ms >= 1_000 {
            change(crate::Fault { for_ms: fault.for_ms / 2, ..fault.clone() });
        }
        if fault.when.is_some() {
            change(crate::Fault { when: None, ..fault.clone() });
        }
    }
    smaller
}
