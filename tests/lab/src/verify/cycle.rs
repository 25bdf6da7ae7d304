//! One episode from beginning to end: a whole pair, the faults, the outage, the pair whole again.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::error::{LabError, Result};
use crate::kind::{Kind, Outcome};
use crate::parts::{BoxName, Which};
use crate::place::Place;
use crate::protocol::{Request, ask};

use super::ledger::Ledger;
use super::plan::{Blow, Deed, Episode, Target};

/// A pair that was whole is whole again within this time after a fault was healed; the box may
/// have to restart and the cluster to think.
const WHOLE_MAX: Duration = Duration::from_mins(3);
/// Service is back within this time, or the judge gives up.
const SERVICE_MAX: Duration = Duration::from_mins(1);
/// Load without fault before each fault.
const CALM: Duration = Duration::from_secs(2);
/// A lasting fault lasts at least so long: longer than any takeover should take.
const HOLD: Duration = Duration::from_secs(8);
/// A fault that does not last is watched for so long.
const WATCH: Duration = Duration::from_secs(5);
const ASK_EVERY: Duration = Duration::from_millis(700);

/// What one episode did.
#[derive(Debug, Clone, Serialize)]
pub struct Cycle {
    /// Running number from 1.
    pub number: u32,
    /// What was done.
    pub name: String,
    /// The same step by step.
    pub story: String,
    /// What the pair must make of it.
    #[serde(skip)]
    pub outcome: Outcome,
    /// The box that served when it began.
    pub serving: BoxName,
    /// The longest time without a 250, from the last one before the fault.
    pub outage_ms: u64,
    /// From the last healing until the pair was whole.
    pub whole_after_ms: u64,
    /// Whether the other box serves since.
    pub moved: bool,
    /// The new take, as the box that took reports it; none if no box took.
    pub takeover: Option<Value>,
    /// What did not come as it must, a sentence each.
    pub problems: Vec<String>,
}

/// What matters of the lab's status.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Who serves.
    pub active: BoxName,
    /// Counts takes.
    pub epoch: u64,
    /// The last take.
    pub takeover: Value,
}

/// Sees one episode through.
pub fn run(place: &Place, ledger: &Ledger, number: u32, episode: &Episode) -> Result<Cycle> {
    let before = wait_until_whole(place, ledger)?;
    std::thread::sleep(CALM);
    let mut problems = Vec::new();
    let began = Instant::now();
    for blow in &episode.blows {
        std::thread::sleep(Duration::from_millis(blow.at_ms).saturating_sub(began.elapsed()));
        if let Err(error) = strike(place, before.active, blow) {
            problems.push(format!("{}: {error}", episode.story()));
        }
    }
    let lasts = episode.kinds().any(Kind::lasts) || episode.blows.len() > 1;
    std::thread::sleep(if lasts { HOLD } else { WATCH });
    if episode.outcome != Outcome::NeedsHealing {
        problems.extend(wait_for_service(ledger).err().map(|_| "no service until it was healed".into()));
    }
    let healed = Instant::now();
    if let Err(error) = ask(place, &Request::Heal { name: None, kind: None }) {
        problems.push(format!("not healed at once: {error}"));
        ask(place, &Request::Heal { name: None, kind: None })?;
    }
    problems.extend(wait_for_service(ledger).err().map(|_| "no service after it was healed".into()));
    let after = match wait_until_whole(place, ledger) {
        Ok(after) => after,
        Err(error) => {
            problems.push(format!("the pair did not become whole by itself: {error}"));
            start_anew(place, before.active)?;
            wait_until_whole(place, ledger)?
        }
    };
    let end = Instant::now();
    let took = after.epoch > before.epoch;
    if took && episode.outcome == Outcome::Stays {
        problems.push("a take without need".into());
    }
    Ok(Cycle {
        number,
        name: episode.name.clone(),
        story: episode.story(),
        outcome: episode.outcome,
        serving: before.active,
        outage_ms: ledger.longest_gap_ms(began, end).unwrap_or_default(),
        whole_after_ms: end.duration_since(healed).as_millis() as u64,
        moved: after.active != before.active,
        takeover: took.then_some(after.takeover),
        problems,
    })
}

/// Carries out one blow of an episode that began while `serving` served.
fn strike(place: &Place, serving: BoxName, blow: &Blow) -> Result<()> {
    let name = match blow.target {
        Target::Serving => serving,
        Target::Other => serving.other(),
    };
    let request = match blow.deed {
        Deed::Break(kind) => Request::Fault { which: Which::from(name), kind, heal_after_ms: None },
        Deed::Heal(kind) => Request::Heal { name: Some(name), kind: Some(kind) },
    };
    ask(place, &request).map(drop)
}

/// Takes power from the box that does not serve, or from both, and gives it back: the last resort of an
/// operator.
fn start_anew(place: &Place, serving: BoxName) -> Result<()> {
    let active = ask(place, &Request::Status)?["active"].clone();
    let keep = serde_json::from_value::<BoxName>(active).ok().filter(|active| *active == serving);
    for name in BoxName::ALL.into_iter().filter(|name| Some(*name) != keep) {
        let which = Which::from(name);
        ask(place, &Request::Fault { which, kind: Kind::PowerCut, heal_after_ms: None })?;
    }
    ask(place, &Request::Heal { name: None, kind: None }).map(drop)
}

impl Cycle {
    /// One line for a person who watches.
    pub fn line(&self) -> String {
        let moved = if self.moved { ", the other box serves" } else { "" };
        let mut text = format!(
            "{:>3}  {:<28} box {}  {:>6} ms{moved}",
            self.number, self.name, self.serving, self.outage_ms
        );
        for problem in &self.problems {
            text.push_str("\n            PROBLEM: ");
            text.push_str(problem);
        }
        text
    }
}

fn wait_for_service(ledger: &Ledger) -> Result<()> {
    let from = Instant::now();
    while !ledger.accepted_since(from) {
        if from.elapsed() > SERVICE_MAX {
            let what = "the return of service".into();
            return Err(LabError::TooLate { what, seconds: SERVICE_MAX.as_secs(), hint: String::new() });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits for one box that serves, another that could, and a message accepted.
pub fn wait_until_whole(place: &Place, ledger: &Ledger) -> Result<Pair> {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let status = ask(place, &Request::Status)?;
        if let Some(pair) = whole(&status)
            && ledger.accepted_since(asked)
        {
            return Ok(pair);
        }
        if began.elapsed() > WHOLE_MAX {
            let what = "a whole pair: one box active, the other standing by, mail accepted".into();
            return Err(LabError::TooLate {
                what,
                seconds: WHOLE_MAX.as_secs(),
                hint: format!(": {status}"),
            });
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn whole(status: &Value) -> Option<Pair> {
    let active: BoxName = serde_json::from_value(status["active"].clone()).ok()?;
    let of = |name: BoxName| &status["boxes"][name.to_string()]["status"];
    let (serving, other) = (of(active), of(active.other()));
    let stands_by = other["groups"][0]["role"] == "standby" && serving["peer"]["ready"] == true;
    let group = &serving["groups"][0];
    stands_by.then(|| Pair {
        active,
        epoch: group["epoch"].as_u64().unwrap_or_default(),
        takeover: group["last_takeover"].clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(role_b: &str, ready: bool) -> Value {
        json!({ "active": "a", "boxes": {
            "a": { "status": { "peer": { "ready": ready }, "groups": [{ "role": "active", "epoch": 4 }] } },
            "b": { "status": { "groups": [{ "role": role_b }] } },
        }})
    }

    #[test]
    fn a_pair_is_whole_when_the_other_box_could_serve() {
        assert_eq!(
            whole(&status("standby", true)).map(|pair| (pair.active, pair.epoch)),
            Some((BoxName::A, 4))
        );
        assert_eq!(whole(&status("standby", false)), None);
        assert_eq!(whole(&status("starting", true)), None);
        assert_eq!(whole(&json!({ "active": null })), None);
    }
}
