//! Runs the pair simulator: one seed with a trace, or many with a summary.

use std::process::ExitCode;

use clap::Parser;
use sim::{Flaw, Report};

/// Two decision cores on virtual time, with faults drawn from a seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seed to start with.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Print one line an event.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.trace {
        sim::run(arguments.seed, Flaw::None, true).map(|report| vec![report])
    } else {
        sim::run_many(arguments.seed, arguments.seeds, Flaw::None)
    };
    match outcome {
        Ok(reports) => {
            summarise(&reports);
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            println!("replay: cargo run -p sim -- --seed {} --trace", violation.seed);
            ExitCode::FAILURE
        }
    }
}

fn summarise(reports: &[Report]) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let mut returned: Vec<u64> = reports.iter().map(|report| report.returned_ms).collect();
    returned.sort_unstable();
    println!(
        "{} runs: {} takes, {} resets, {} writes, {} refused by the array",
        reports.len(),
        sum(|r| r.takes),
        sum(|r| r.resets),
        sum(|r| r.writes),
        sum(|r| r.writes_refused)
    );
    let median = returned.get(returned.len() / 2).copied().unwrap_or_default();
    let worst = returned.last().copied().unwrap_or_default();
    println!("service back after the faults healed: median {median} ms, worst {worst} ms");
}
