//! No faults at all, but no rest either: every processor busy, the disk under the array busy, mail
//! coming as fast as it can. Nothing of that is a reason to move the service.

use std::fs::File;
use std::io::{Seek, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Doing, Result};
use crate::kind::Outcome;
use crate::place::Place;

use super::Task;
use super::cycle::{self, Cycle};
use super::ledger::Ledger;

/// Without a time: so long.
const TIME: Duration = Duration::from_mins(30);
/// How often the pair is looked at; each look is a minute's cycle in the report.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// What the busy disk writes at once.
const PIECE_BYTES: usize = 1 << 20;
/// It writes over the same place again and again.
const PLACE_BYTES: u64 = 256 << 20;

/// Keeps everything busy for the task's time; a cycle is what happened in a minute.
pub fn run(place: &Place, task: &Task, ledger: &Ledger, say: &mut dyn FnMut(&str)) -> Result<Vec<Cycle>> {
    let began = Instant::now();
    let most = task.time.unwrap_or(TIME);
    let mut before = cycle::wait_until_whole(place, ledger)?;
    let _busy = Busy::start(place)?;
    let mut cycles = Vec::new();
    while began.elapsed() < most {
        let minute = Instant::now();
        std::thread::sleep(LOOK_EVERY.min(most.saturating_sub(began.elapsed())));
        let after = cycle::wait_until_whole(place, ledger)?;
        let took = after.epoch > before.epoch;
        let cycle = Cycle {
            number: cycles.len() as u32 + 1,
            name: "strain".into(),
            story: "every processor and the disk are busy".into(),
            outcome: Outcome::Stays,
            serving: before.active,
            outage_ms: ledger.longest_gap_ms(minute, Instant::now()).unwrap_or_default(),
            whole_after_ms: 0,
            moved: after.active != before.active,
            takeover: took.then(|| after.takeover.clone()),
            problems: if took { vec!["a false takeover".into()] } else { Vec::new() },
        };
        say(&cycle.line());
        cycles.push(cycle);
        before = after;
    }
    Ok(cycles)
}

/// Processes that take all they can get; they end with this.
#[derive(Debug)]
struct Busy {
    children: Vec<Child>,
}

impl Busy {
    fn start(place: &Place) -> Result<Self> {
        let program = std::env::current_exe().doing(|| "the lab's own program is gone".into())?;
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let mut busy = Self { children: Vec::new() };
        let file = place.file("strain");
        for index in 0..=processors {
            let mut command = Command::new(&program);
            command.arg("busy").stdin(Stdio::piped());
            if index == processors {
                command.arg(&file);
            }
            busy.children.push(command.spawn().doing(|| "the lab cannot be busy".into())?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A busy process: writes `file` and syncs, or counts; ends when whoever started it does.
pub fn be_busy(file: Option<&Path>) -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let Some(path) = file else {
        let mut state = 1;
        loop {
            std::hint::black_box(super::plan::splitmix(&mut state));
        }
    };
    let mut file = File::create(path).doing(|| format!("{} cannot be made", path.display()))?;
    let piece = vec![0xA5; PIECE_BYTES];
    loop {
        let full = file.stream_position().unwrap_or(0) >= PLACE_BYTES;
        if full {
            file.rewind().doing(|| "the busy disk fails".into())?;
        }
        file.write_all(&piece).and_then(|()| file.sync_data()).doing(|| "the busy disk fails".into())?;
    }
}
