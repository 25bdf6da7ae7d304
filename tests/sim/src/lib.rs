//! The pair simulator: two decision cores on virtual time, with faults drawn from a seed.
//!
//! It never uses a real clock, thread or file, so that a seed and a commit replay a run to the last
//! event. The cores are the ones that ship; cables, array, boxes and operator are modelled here.
//!
//! What it checks at all times: the array never takes a write of an earlier owner, nobody writes or
//! serves without a valid proof, and nobody takes a group whose owner is alive. In the end all faults
//! heal, and service must return within [`RETURN_MAX_MS`].

mod array;
mod checks;
mod faults;
mod host;
mod rng;
mod world;

use std::fmt;

pub use world::RETURN_MAX_MS;

/// A deliberate defect of the world, to see that the checks can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// None: the world is as it should be.
    None,
    /// The array lets a box write that it has preempted.
    PreemptedMayWrite,
    /// A box goes on serving when its core says to hold still.
    SuspendIgnored,
    /// Beats arrive, but the core is not told.
    BeatsDropped,
}

/// What a run without violation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// From the healing of all faults until one box served, in milliseconds.
    pub returned_ms: u64,
    /// Takes decided.
    pub takes: u64,
    /// Resets demanded by a core.
    pub resets: u64,
    /// Writes the array let through.
    pub writes: u64,
    /// Writes the array refused.
    pub writes_refused: u64,
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

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {} ms: {} ({})", self.seed, self.at_ms, self.what, self.array)
    }
}

/// Runs one seed; prints every event if `trace`.
pub fn run(seed: u64, flaw: Flaw, trace: bool) -> Result<Report, Violation> {
    world::World::new(seed, flaw, trace).run(seed)
}

/// Runs seeds `first..first + count` on all processors; the violation of the lowest seed, if any.
pub fn run_many(first: u64, count: u64, flaw: Flaw) -> Result<Vec<Report>, Violation> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let share = |thread: u64| {
        (first..first + count)
            .filter(|seed| seed % threads == thread)
            .map(|seed| run(seed, flaw, false))
            .collect::<Result<Vec<_>, _>>()
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a run does not panic")).collect()
    });
    let (mut reports, mut violations) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(mut some) => reports.append(&mut some),
            Err(violation) => violations.push(violation),
        }
    }
    violations.into_iter().min_by_key(|violation| violation.seed).map_or(Ok(reports), Err)
}
