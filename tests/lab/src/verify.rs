//! The judge: load on the virtual address, faults by a seeded plan, and at the end the count of what
//! was promised against what is there.
//!
//! It believes nobody but its own clients: a message counts as promised when its 250 arrived, a flag
//! when its OK did. What got no answer may be there or not, and may be there twice.

pub mod array_check;
pub mod cycle;
pub mod ledger;
pub mod load;
pub mod mailbox_check;
pub mod message;
pub mod plan;
pub mod report;
pub mod strain;
pub mod writers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::array::record;
use crate::bring_up::wait_for_greeting;
use crate::clients::stream::Tls;
use crate::error::{LabError, Result};
use crate::parts::Kind;
use crate::place::Place;
use crate::protocol::{Request, ask};

use cycle::Cycle;
use ledger::Ledger;
use load::Load;
use plan::Plan;
use report::Verdict;

/// Load before the first fault, to know how long a message takes when all is well.
const WARM_UP: Duration = Duration::from_secs(5);
/// The senders may take so long to get their last message answered.
const LAST_ANSWER_MAX: Duration = Duration::from_mins(1);
/// Service after a start.
const GREETING_MAX: Duration = Duration::from_mins(1);

/// What the judge is to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// Which faults, done to the box that serves; none: everything, at either box, and together.
    pub faults: Vec<Kind>,
    /// The named faults are done to the other box.
    pub at_standby: bool,
    /// Faults end after this time.
    pub time: Option<Duration>,
    /// Faults end after so many.
    pub cycles: Option<u32>,
    /// Where chance begins.
    pub seed: u64,
    /// Instead of faults: the machine's processors and disk are busy all the time.
    pub strain: bool,
}

/// Judges the running lab at `place`. The calling thread must be in the lab's network; `say` hears
/// of every step.
pub fn judge(place: &Place, task: &Task, say: &mut dyn FnMut(&str)) -> Result<Verdict> {
    let began = Instant::now();
    let tls = Tls::new().map_err(|error| LabError::Refused(format!("TLS cannot be used: {error}")))?;
    let ledger = Arc::new(Ledger::new(task.seed ^ u64::from(std::process::id())));
    wait_for_greeting(GREETING_MAX)?;
    let from_us = record::now_us();
    let load = Load::start(Arc::clone(&ledger), &tls);
    std::thread::sleep(WARM_UP);
    let usual_ms = ledger.longest_gap_ms(began, Instant::now()).unwrap_or_default();
    say(&format!(
        "load is on: seed {}, run {}, a message at least every {usual_ms} ms",
        task.seed,
        ledger.run()
    ));
    let cycles = if task.strain {
        strain::run(place, task, &ledger, say)
    } else {
        run_cycles(place, task, &ledger, say)
    };
    let unanswered = load.finish(LAST_ANSWER_MAX);
    let cycles = cycles?;
    say("load is off; the mailboxes are read from end to end");
    let mailboxes = mailbox_check::check(&ledger, &tls)?;
    let store = ask_active(place, "store check --json");
    say("both boxes are stopped in order; file system and database are checked");
    ask(place, &Request::StopInOrder)?;
    let array = array_check::check(&place.lun(), &place.file("check"))?;
    let writers = writers::judge(&record::read(&place.array_record())?, from_us);
    Ok(Verdict {
        seed: task.seed,
        took: began.elapsed(),
        usual_gap_ms: usual_ms,
        cycles,
        counts: ledger.counts(),
        unanswered,
        mailboxes,
        store,
        array,
        writers,
        certificates: tls.certificates_seen(),
    })
}

fn run_cycles(place: &Place, task: &Task, ledger: &Ledger, say: &mut dyn FnMut(&str)) -> Result<Vec<Cycle>> {
    let began = Instant::now();
    let mut plan = Plan::new(&task.faults, task.at_standby, task.seed);
    let one_round = task.time.is_none().then(|| plan.round_length() as u32);
    let cycles_max = task.cycles.or(one_round);
    let mut cycles = Vec::new();
    for episode in plan {
        let enough = cycles_max.is_some_and(|most| cycles.len() as u32 >= most);
        if enough || task.time.is_some_and(|most| began.elapsed() > most) {
            break;
        }
        let cycle = cycle::run(place, ledger, cycles.len() as u32 + 1, &episode)?;
        say(&cycle.line());
        cycles.push(cycle);
    }
    Ok(cycles)
}

/// Gives a command on the console of the active box; a refusal is a finding, not an error.
fn ask_active(place: &Place, words: &str) -> Result<Value, String> {
    let status = ask(place, &Request::Status).map_err(|error| error.to_string())?;
    let name = serde_json::from_value(status["active"].clone()).map_err(|_| "no box is active".to_owned())?;
    let answer =
        ask(place, &Request::Command { name, words: words.into() }).map_err(|error| error.to_string())?;
    let printed = answer["printed"].as_str().unwrap_or_default();
    serde_json::from_str(printed.trim()).map_err(|_| printed.trim().to_owned())
}
