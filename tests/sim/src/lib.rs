//! The pair simulator: two whole boxes on virtual time, with faults from a plan.
//!
//! It never uses a real clock, thread or file, so that a seed and a commit replay a run to the last
//! event. Cores and heartbeat codec are the ones that ship; cables, array, boxes, clients and operator
//! are modelled here.
//!
//! What it checks at all times: the array never takes a write of an earlier owner, nobody writes or
//! serves without a valid proof, nobody takes a group whose owner is alive, and no step outlasts its
//! bound. In the end all faults heal, and clients must be served within [`RETURN_MAX_MS`].

mod array;
mod checks;
mod clock;
mod coverage;
mod faults;
mod for_lab;
mod host;
mod life;
mod media;
mod plan;
mod rng;
mod service;
mod shrink;
mod target;
mod world;

use std::fmt;

use cluster::Mutant;
use serde::{Deserialize, Serialize};

pub use coverage::Coverage;
pub use plan::{Fault, Kind, Moment, Place, Plan};
pub use shrink::shrink;
pub use world::RETURN_MAX_MS;

/// A deliberate defect of the world, to see that the checks can fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flaw {
    /// None: the world is as it should be.
    #[default]
    None,
    /// The array lets a box write that it has preempted.
    PreemptedMayWrite,
    /// A box goes on serving when its core says to hold still.
    SuspendIgnored,
    /// Beats arrive, but the core is not told.
    BeatsDropped,
}

/// How a plan is played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setting {
    /// What is wrong with the world on purpose.
    pub flaw: Flaw,
    /// Which rule both cores lack on purpose.
    pub mutant: Option<Mutant>,
    /// Print one line an event.
    pub trace: bool,
}

/// What became of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its figures.
    pub report: Report,
    /// What was violated, if anything.
    pub violation: Option<Violation>,
    /// What the boxes decided, in order.
    pub decisions: Vec<Decision>,
    /// What happened, counted.
    pub coverage: Coverage,
}

/// The figures of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// From the healing of all faults until clients were served, in milliseconds.
    pub returned_ms: u64,
    /// Longest time without an answer to a client while there were faults, in milliseconds.
    pub outage_ms: u64,
    /// Takes decided.
    pub takes: u64,
    /// Resets demanded by a core.
    pub resets: u64,
    /// Writes the array let through.
    pub writes: u64,
    /// Writes the array refused.
    pub writes_refused: u64,
}

/// One decision record of one box: what the real boxes' records are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When, in milliseconds from the beginning.
    pub at_ms: u64,
    /// Which box.
    pub on: Place,
    /// The word of `cluster::Decided`.
    pub decision: String,
    /// What was seen, a sentence.
    pub cause: String,
}

/// What was violated, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Seed that replays it.
    pub seed: u64,
    /// Moment in the run, in milliseconds.
    pub at_ms: u64,
    /// What, a sentence.
    pub what: String,
    /// State of the reservation.
    pub array: String,
}

impl Violation {
    /// What kind of violation it is: the sentence without its numbers.
    pub fn kind(&self) -> String {
        self.what.chars().filter(|c| !c.is_ascii_digit()).collect()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {} ms: {} ({})", self.seed, self.at_ms, self.what, self.array)
    }
}

/// What many runs without violation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The figures of each.
    pub reports: Vec<Report>,
    /// What happened in all of them.
    pub coverage: Coverage,
}

/// Plays one plan.
pub fn play(plan: &Plan, setting: Setting) -> Outcome {
    world::World::new(plan, setting).run()
}

/// Runs one seed.
pub fn run(seed: u64, setting: Setting) -> Outcome {
    play(&Plan::draw(seed), setting)
}

/// Runs seeds `first..first + count` on all processors; the violation of the lowest seed, if any.
pub fn run_many(first: u64, count: u64, setting: Setting) -> Result<Summary, Violation> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let share = |thread: u64| {
        let mut summary = Summary::default();
        for seed in (first..first + count).filter(|seed| seed % threads == thread) {
            let outcome = run(seed, setting);
            match outcome.violation {
                Some(violation) => return Err(violation),
                None => summary.reports.push(outcome.report),
            }
            summary.coverage.add(outcome.coverage);
        }
        Ok(summary)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a run does not panic")).collect()
    });
    let (mut all, mut violations) = (Summary::default(), Vec::new());
    for result in results {
        match result {
            Ok(mut summary) => {
                all.reports.append(&mut summary.reports);
                all.coverage.add(summary.coverage);
            }
            Err(violation) => violations.push(violation),
        }
    }
    violations.into_iter().min_by_key(|violation| violation.seed).map_or(Ok(all), Err)
}
