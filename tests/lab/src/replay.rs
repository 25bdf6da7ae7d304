//! Plays a plan of the simulator against the real boxes, and compares what both decided.
//!
//! The simulator's clock and the boxes' are not the same, so times are not compared. What must be the
//! same, fault by fault: which boxes took the group, in which order, and who had it in the end. All
//! other decisions are shown side by side.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{LabError, Result};
use crate::kind::Kind;
use crate::parts::{BoxName, Which};
use crate::place::Place;
use crate::protocol::{Request, ask};

/// The boxes are asked for their records so often; what a box decided just before it lost its memory
/// may stay unknown.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// After the last fault everything has so long to end.
const LAST: Duration = Duration::from_secs(45);
/// The pair is whole within this time, before and after.
const WHOLE_MAX: Duration = Duration::from_mins(3);
/// The word of the decision that completes a take.
const TAKEN: &str = "taken";

/// One decision of either world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The box that decided.
    pub on: BoxName,
    /// The word.
    pub decision: String,
    /// What was seen.
    pub cause: String,
}

/// What one fault led to in both worlds.
#[derive(Debug, Clone, Serialize)]
pub struct Act {
    /// The fault, a sentence.
    pub fault: String,
    /// What the simulator's boxes decided.
    pub simulated: Vec<Decision>,
    /// What the lab's boxes decided.
    pub real: Vec<Decision>,
    /// What could not be done to the real boxes, as nothing was done to the simulated ones either.
    pub note: Option<String>,
}

/// The whole comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Seed of the plan.
    pub seed: u64,
    /// Fault by fault.
    pub acts: Vec<Act>,
    /// Who had the group in the end: simulated, real.
    pub owners: [Option<BoxName>; 2],
}

/// Plays the lab's plan of `seed`. The lab must be up.
pub fn replay(place: &Place, seed: u64, say: &mut dyn FnMut(&str)) -> Result<Comparison> {
    let plan = sim::Plan::for_lab(seed);
    let simulated = sim::play(&plan, sim::Setting::default());
    if let Some(violation) = simulated.violation {
        return Err(LabError::Refused(format!("the simulator itself ends this plan early: {violation}")));
    }
    let first_ms = plan.faults.first().map_or(0, |fault| fault.at_ms);
    let mut stage = Stage { place, known: BTreeSet::new(), real: Vec::new(), say };
    stage.set(owner_before(&simulated.decisions, first_ms))?;
    let began = Instant::now();
    let until = |ms: u64| Duration::from_millis(ms.saturating_sub(first_ms));
    let mut acts = Vec::new();
    for (index, fault) in plan.faults.iter().enumerate() {
        stage.watch_until(began, until(fault.at_ms));
        let name = box_of(fault.on);
        let kind = Kind::from_str(&fault.kind.word(), false)
            .map_err(|_| LabError::Refused(format!("the lab cannot do {}", fault.kind.word())))?;
        (stage.say)(&fault.to_string());
        let done = ask(place, &Request::Fault { which: Which::from(name), kind, heal_after_ms: None });
        stage.watch_until(began, until(fault.at_ms + fault.for_ms));
        if kind.lasts() {
            ask(place, &Request::Heal { name: Some(name), kind: Some(kind) })?;
        }
        let next = plan.faults.get(index + 1).map(|fault| fault.at_ms);
        let end = next.map_or(until(fault.at_ms + fault.for_ms) + LAST, until);
        stage.watch_until(began, end);
        let between = |at_ms: u64| at_ms >= fault.at_ms && next.is_none_or(|next| at_ms < next);
        let decisions = simulated.decisions.iter().filter(|decision| between(decision.at_ms));
        let act = Act {
            fault: fault.to_string(),
            simulated: decisions.map(Decision::simulated).collect(),
            real: std::mem::take(&mut stage.real),
            note: done.err().map(|error| error.to_string()),
        };
        (stage.say)(if act.agrees() { "  as in the simulator" } else { "  NOT as in the simulator" });
        acts.push(act);
    }
    let real = stage.wait_until_whole()?;
    Ok(Comparison { seed, acts, owners: [owner_before(&simulated.decisions, u64::MAX), Some(real)] })
}

/// The real boxes while they play.
struct Stage<'a> {
    place: &'a Place,
    /// Records that were seen: box, number, milliseconds since its boot.
    known: BTreeSet<(BoxName, u64, u64)>,
    /// What was decided since the last act.
    real: Vec<Decision>,
    say: &'a mut dyn FnMut(&str),
}

impl Stage<'_> {
    /// The pair is whole and the right box serves.
    fn set(&mut self, owner: Option<BoxName>) -> Result<()> {
        let serving = self.wait_until_whole()?;
        if owner.is_some_and(|owner| owner != serving) {
            let which = Which::from(serving);
            ask(self.place, &Request::Fault { which, kind: Kind::SwitchOver, heal_after_ms: None })?;
            self.wait_until_whole()?;
        }
        self.look();
        self.real.clear();
        Ok(())
    }

    /// Collects decisions until so long after `began`.
    fn watch_until(&mut self, began: Instant, end: Duration) {
        while let Some(left) = end.checked_sub(began.elapsed()) {
            if left > 2 * ASK_EVERY {
                self.look();
            }
            std::thread::sleep(left.min(ASK_EVERY));
        }
    }

    fn look(&mut self) {
        let mut seen = Vec::new();
        for name in BoxName::ALL {
            let request = Request::Command { name, words: "records --json".into() };
            // A box that is off or still has nothing to say.
            let Ok(answer) = ask(self.place, &request) else { continue };
            seen.extend(records(answer["printed"].as_str().unwrap_or_default()));
        }
        for (key, decision) in seen {
            if self.known.insert(key) {
                self.real.push(decision);
            }
        }
    }

    fn wait_until_whole(&mut self) -> Result<BoxName> {
        let began = Instant::now();
        loop {
            let status = ask(self.place, &Request::Status)?;
            let active: Option<BoxName> =
                serde_json::from_value(status["active"].clone()).unwrap_or_default();
            let of = |name: BoxName| &status["boxes"][name.to_string()]["status"];
            if let Some(active) = active
                && of(active)["peer"]["ready"] == true
                && of(active.other())["groups"][0]["role"] == "standby"
            {
                return Ok(active);
            }
            if began.elapsed() > WHOLE_MAX {
                let what = "a whole pair".into();
                return Err(LabError::TooLate {
                    what,
                    seconds: WHOLE_MAX.as_secs(),
                    hint: format!(": {status}"),
                });
            }
            std::thread::sleep(ASK_EVERY);
        }
    }
}

/// What a box printed: its own decisions, which it also tells of the other box.
fn records(printed: &str) -> Vec<((BoxName, u64, u64), Decision)> {
    let start = printed.find(['{', '[']).unwrap_or(printed.len());
    let mut values = serde_json::Deserializer::from_str(&printed[start..]).into_iter::<Value>();
    let Some(Ok(value)) = values.next() else { return Vec::new() };
    let list = value.as_array().or_else(|| value["records"].as_array()).cloned().unwrap_or_default();
    let read = |record: &Value| {
        let text = |field: &str| Some(record[field].as_str()?.to_owned());
        let on =
            BoxName::ALL.into_iter().find(|name| record["box_name"] == crate::phrases::box_name(*name))?;
        let key = (on, record["number"].as_u64()?, record["at_ms"].as_u64()?);
        Some((key, Decision { on, decision: text("decision")?, cause: text("cause")? }))
    };
    list.iter().filter_map(read).collect()
}

/// Who had completed the last take before a moment of the simulation.
fn owner_before(decisions: &[sim::Decision], before_ms: u64) -> Option<BoxName> {
    let mut takes = decisions.iter().filter(|one| one.decision == TAKEN && one.at_ms < before_ms);
    takes.next_back().map(|one| box_of(one.on))
}

fn box_of(place: sim::Place) -> BoxName {
    match place {
        sim::Place::A => BoxName::A,
        sim::Place::B => BoxName::B,
    }
}

impl Decision {
    fn simulated(decision: &sim::Decision) -> Self {
        let sim::Decision { on, decision, cause, .. } = decision;
        Self { on: box_of(*on), decision: decision.clone(), cause: cause.clone() }
    }
}

impl Act {
    /// Whether both worlds moved the group in the same way.
    pub fn agrees(&self) -> bool {
        let takes = |list: &[Decision]| -> Vec<BoxName> {
            list.iter().filter(|one| one.decision == TAKEN).map(|one| one.on).collect()
        };
        takes(&self.simulated) == takes(&self.real)
    }
}

impl Comparison {
    /// Whether both worlds did the same.
    pub fn agrees(&self) -> bool {
        self.acts.iter().all(Act::agrees) && self.owners[0] == self.owners[1]
    }

    /// For a machine.
    pub fn json(&self) -> Value {
        json!({ "agrees": self.agrees(), "comparison": self })
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for act in &self.acts {
            let verdict = if act.agrees() { "same" } else { "DIFFERENT" };
            let _ = writeln!(text, "\n  {}: {verdict}", act.fault);
            for (world, list) in [("simulated", &act.simulated), ("real", &act.real)] {
                for Decision { on, decision, cause } in list {
                    let _ = writeln!(text, "    {world:<10} box {on}  {decision:<13} {cause}");
                }
            }
            if let Some(note) = &act.note {
                let _ = writeln!(text, "    not done: {note}");
            }
        }
        let owner = |owner: Option<BoxName>| owner.map_or("nobody".into(), |name| format!("box {name}"));
        let [simulated, real] = self.owners.map(owner);
        let verdict =
            if self.agrees() { "the boxes did what the simulator did" } else { "the worlds differ" };
        let _ = write!(
            text,
            "\n  in the end: simulated {simulated}, real {real}\n  {verdict}, seed {}",
            self.seed
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_can_do_all_that_a_plan_for_the_lab_asks_for() {
        for kind in sim::Kind::LAB {
            let word = kind.word();
            assert_eq!(Kind::from_str(&word, false).map(|kind| kind.to_string()), Ok(word));
        }
    }

    #[test]
    fn printed_records_are_read_whatever_stands_around_them() {
        let printed = "records --json\r\n[{\"number\":3,\"at_ms\":75525,\"box_name\":\"box-a\",\"group\":\"mail\",\
            \"decision\":\"taken\",\"cause\":\"silence\",\"epoch\":3,\"phases\":[]}]\r\n";
        let list = records(printed);
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].0, (BoxName::A, 3, 75_525));
        assert_eq!(list[0].1.decision, TAKEN);
    }

    #[test]
    fn only_takes_must_agree() {
        let one = |on, decision: &str| Decision { on, decision: decision.into(), cause: String::new() };
        let act = |real: Vec<Decision>| Act {
            fault: String::new(),
            simulated: vec![one(BoxName::B, "take"), one(BoxName::B, TAKEN)],
            real,
            note: None,
        };
        assert!(act(vec![one(BoxName::A, "suspend"), one(BoxName::B, TAKEN)]).agrees());
        assert!(!act(vec![one(BoxName::A, TAKEN)]).agrees());
        assert!(!act(Vec::new()).agrees());
    }
}
