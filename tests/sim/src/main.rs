//! Runs the pair simulator: one seed with a trace, or many with a summary and a table.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sim::{Plan, Report, Setting, Summary, play, run_many, shrink};

/// Two whole boxes on virtual time, with faults from a plan.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
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

#[derive(Debug, Subcommand)]
enum What {
    /// Print the plan of a seed, as JSON.
    Plan {
        /// The seed.
        seed: u64,
        /// Only what the lab can do as well.
        #[arg(long)]
        lab: bool,
    },
    /// Play a plan from a file, and print what the boxes decided, as JSON.
    Replay {
        /// The file.
        plan: PathBuf,
        /// Print one line an event instead.
        #[arg(long)]
        trace: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.what {
        Some(What::Plan { seed, lab }) => print(&if lab { Plan::for_lab(seed) } else { Plan::draw(seed) }),
        Some(What::Replay { plan, trace }) => replay(&plan, trace),
        None if arguments.trace => one(&Plan::draw(arguments.seed)),
        None => many(arguments.seed, arguments.seeds),
    }
}

fn print<T: serde::Serialize>(value: &T) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format!("it cannot be written as JSON: {error}")),
    }
}

fn fail(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::FAILURE
}

fn replay(path: &PathBuf, trace: bool) -> ExitCode {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return fail(&format!("{} cannot be read: {error}", path.display())),
    };
    match serde_json::from_str::<Plan>(&text) {
        Ok(plan) if trace => one(&plan),
        Ok(plan) => print(&play(&plan, Setting::default()).decisions),
        Err(error) => fail(&format!("{} is no plan: {error}", path.display())),
    }
}

fn one(plan: &Plan) -> ExitCode {
    let outcome = play(plan, Setting { trace: true, ..Setting::default() });
    if let Some(violation) = outcome.violation {
        println!("{violation}");
        return ExitCode::FAILURE;
    }
    summarise(&[outcome.report]);
    ExitCode::SUCCESS
}

fn many(first: u64, count: u64) -> ExitCode {
    match run_many(first, count, Setting::default()) {
        Ok(Summary { reports, coverage }) => {
            summarise(&reports);
            print!("{coverage}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            println!("the least plan that still fails:");
            print(&shrink(&Plan::draw(violation.seed), Setting::default()));
            println!("replay: cargo run -p sim -- --seed {} --trace", violation.seed);
            ExitCode::FAILURE
        }
    }
}

fn summarise(reports: &[Report]) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{} runs: {} takes, {} resets, {} writes, {} refused by the array",
        reports.len(),
        sum(|r| r.takes),
        sum(|r| r.resets),
        sum(|r| r.writes),
        sum(|r| r.writes_refused)
    );
    let mut returned: Vec<u64> = reports.iter().map(|report| report.returned_ms).collect();
    returned.sort_unstable();
    let at = |per_mille: usize| {
        returned.get((returned.len() * per_mille / 1_000).min(returned.len().saturating_sub(1))).copied()
    };
    println!(
        "clients served again after the faults healed: median {} ms, 99 of 100 {} ms, worst {} ms",
        at(500).unwrap_or_default(),
        at(990).unwrap_or_default(),
        returned.last().copied().unwrap_or_default()
    );
}
