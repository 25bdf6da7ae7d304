//! Explores the large bound and prints the figures.

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    for (name, bound) in proof::large() {
        let begun = Instant::now();
        let explored = proof::explore(&bound);
        println!(
            "{name} ({} on the menu): {} states, {} steps, {} turns deep, {:.0} s",
            bound.menu.len(),
            explored.states,
            explored.steps,
            explored.depth,
            begun.elapsed().as_secs_f64()
        );
        if let Some(counterexample) = explored.counterexample {
            println!("{counterexample}");
            return ExitCode::FAILURE;
        }
    }
    println!("every property holds in every state");
    ExitCode::SUCCESS
}
