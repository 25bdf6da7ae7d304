//! Rules taken out of force, one at a time: the simulator sees each one that shows in what happens.

use cluster::Mutant;
use sim::{Setting, run_many};

/// Runs spent on one mutant.
const SEEDS_MAX: u64 = 6_000;
const AT_A_TIME: u64 = 100;

/// What heals here before it shows; `tests/proof` shows that it sees it.
const SEEN_BY_THE_EXHAUSTIVE_CHECK: [Mutant; 1] = [Mutant::SilenceIgnored];

/// The seed at which it shows, and how.
fn first_violation(mutant: Mutant) -> Option<(u64, String)> {
    let setting = Setting { mutant: Some(mutant), ..Setting::default() };
    (0..SEEDS_MAX / AT_A_TIME)
        .find_map(|part| run_many(part * AT_A_TIME, AT_A_TIME, setting).err())
        .map(|violation| (violation.seed, violation.what))
}

#[test]
fn rules_out_of_force_are_found_out() {
    let mut missed = Vec::new();
    let seen_here = Mutant::ALL.into_iter().filter(|mutant| !SEEN_BY_THE_EXHAUSTIVE_CHECK.contains(mutant));
    for mutant in seen_here {
        match first_violation(mutant) {
            Some((seed, what)) => println!("{mutant:?}: after {} runs: {what}", seed + 1),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not seen: {missed:?}");
}
