//! One fault from beginning to end: a whole pair, the fault, the outage, the pair whole again.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::error::{LabError, Result};
use crate::parts::{BoxName, Kind, Which};
use crate::place::Place;
use crate::protocol::{Request, ask};

use super::ledger::Ledger;

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

/// What one fault did.
#[derive(Debug, Clone, Serialize)]
pub struct Cycle {
    /// Running number from 1.
    pub number: u32,
    /// What was done.
    pub kind: Kind,
    /// To which box; it was active.
    pub name: BoxName,
    /// The longest time without a 250, from the last one before the fault.
    pub outage_ms: u64,
    /// From the fault's end until the pair was whole.
    pub whole_after_ms: u64,
    /// Whether the other box serves since.
    pub moved: bool,
    /// The new take, as the box that took reports it; none if no box took.
    pub takeover: Option<Value>,
}

/// What matters of the lab's status.
#[derive(Debug, Clone, PartialEq)]
struct Pair {
    active: BoxName,
    epoch: u64,
    takeover: Value,
}

/// Does `kind` to the active box and sees it through.
pub fn run(place: &Place, ledger: &Ledger, number: u32, kind: Kind) -> Result<Cycle> {
    let before = wait_until_whole(place, ledger)?;
    std::thread::sleep(CALM);
    let began = Instant::now();
    let which = Which::from(before.active);
    ask(place, &Request::Fault { which, kind, heal_after_ms: None })?;
    std::thread::sleep(if kind.lasts() { HOLD } else { WATCH });
    wait_for_service(ledger, kind)?;
    let healed = Instant::now();
    if kind.lasts() {
        ask(place, &Request::Heal { name: Some(before.active), kind: Some(kind) })?;
    }
    let after = wait_until_whole(place, ledger)?;
    let end = Instant::now();
    let took = after.epoch > before.epoch;
    Ok(Cycle {
        number,
        kind,
        name: before.active,
        outage_ms: ledger.longest_gap_ms(began, end).unwrap_or_default(),
        whole_after_ms: end.duration_since(healed).as_millis() as u64,
        moved: after.active != before.active,
        takeover: took.then_some(after.takeover),
    })
}

impl Cycle {
    /// One line for a person who watches.
    pub fn line(&self) -> String {
        let moved = if self.moved { ", the other box took over" } else { "" };
        format!(
            "{:>3}  {:<14} box {}  {:>6} ms{moved}",
            self.number,
            self.kind.to_string(),
            self.name,
            self.outage_ms
        )
    }
}

fn wait_for_service(ledger: &Ledger, kind: Kind) -> Result<()> {
    let from = Instant::now();
    while !ledger.accepted_since(from) {
        if from.elapsed() > SERVICE_MAX {
            let what = format!("the return of service after {kind}");
            return Err(LabError::TooLate { what, seconds: SERVICE_MAX.as_secs(), hint: String::new() });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn wait_until_whole(place: &Place, ledger: &Ledger) -> Result<Pair> {
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
