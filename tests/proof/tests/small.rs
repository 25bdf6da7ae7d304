//! The small bound, and a rule taken out of force that only shows where nothing heals.

use cluster::Mutant;
use proof::{Bound, Trouble, explore, small};

#[test]
fn every_state_within_the_small_bound_keeps_every_property() {
    for (name, bound) in small() {
        let explored = explore(&bound);
        println!(
            "{name}: {} states, {} steps, {} turns deep",
            explored.states, explored.steps, explored.depth
        );
        assert!(explored.counterexample.is_none(), "{name}: {}", explored.counterexample.unwrap_or_default());
        assert!(explored.states > 1_000, "{name}: hardly anything was explored");
    }
}

#[test]
fn a_pair_that_never_takes_from_the_silent_is_found_out() {
    let bound = Bound { groups: 1, troubles: 1, menu: Trouble::all(), mutant: Some(Mutant::SilenceIgnored) };
    let explored = explore(&bound);
    println!("found among {} states", explored.states);
    assert!(explored.counterexample.unwrap().contains("one does within a minute"));
}
