//! The verdict: a table for people, JSON for machines, and whether it is good enough.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::kind::{Bar, Outcome};
use crate::screen;

use super::array_check::ArrayReport;
use super::cycle::Cycle;
use super::ledger::Counts;
use super::mailbox_check::MailboxReport;
use super::writers::WritersReport;

/// All the judge found.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Where chance began.
    pub seed: u64,
    /// How long it took.
    pub took: Duration,
    /// The longest time without a 250 before the first fault.
    pub usual_gap_ms: u64,
    /// The faults in order.
    pub cycles: Vec<Cycle>,
    /// The clients' book.
    pub counts: Counts,
    /// Senders whose last message was never answered.
    pub unanswered: usize,
    /// What the mailboxes hold.
    pub mailboxes: MailboxReport,
    /// The store's own check, or why there is none.
    pub store: Result<Value, String>,
    /// File system and database.
    pub array: ArrayReport,
    /// The array's own record of writes.
    pub writers: WritersReport,
    /// How many different certificates the clients were shown.
    pub certificates: usize,
}

impl Verdict {
    /// What is not good enough, a sentence each; nothing is a pass.
    pub fn complaints(&self) -> Vec<String> {
        let mut list = Vec::new();
        let boxes = &self.mailboxes;
        let mut none = |what: &str, number: usize| {
            if number > 0 {
                list.push(format!("{number} {what}"));
            }
        };
        none("messages lost", boxes.lost.len());
        none("messages duplicated", boxes.duplicated.len());
        none("messages damaged", boxes.damaged.len());
        none("messages in the wrong mailbox", boxes.misdelivered.len());
        none("flags lost", boxes.flags_lost.len());
        none("messages wrong when read during the faults", self.counts.broken_reads.len());
        none("senders without a last answer", self.unanswered);
        none("certificates beyond the one both boxes share", self.certificates.saturating_sub(1));
        none("writes at the array behind another's take", self.writers.two_writers as usize);
        if self.counts.accepted == 0 {
            list.push("no message was accepted at all".into());
        }
        if !self.array.is_clean() {
            list.push(format!("file system: {}; database: {}", self.array.file_system, self.array.database));
        }
        match &self.store {
            Ok(check) if check["faults"].as_array().is_some_and(Vec::is_empty) => {}
            Ok(check) => list.push(format!("the store's own check: {check}")),
            Err(reason) => list.push(format!("the store's own check failed: {reason}")),
        }
        for cycle in &self.cycles {
            list.extend(cycle.problems.iter().map(|problem| format!("{}: {problem}", cycle.name)));
        }
        list.extend(self.slow());
        list
    }

    /// One sample has no median: that is asked of all faults of a class together, the longest of each.
    fn slow(&self) -> Vec<String> {
        let each = self.outages().into_iter().filter_map(|outages| {
            let most = outages.bar?.p99_ms;
            let Outages { name, p99_ms, .. } = outages;
            (p99_ms > most).then(|| format!("{name}: outage p99 {p99_ms} ms (at most {most})"))
        });
        let classes = self.classes().into_iter().filter_map(|outages| {
            let most = outages.bar?.p50_ms;
            let Outages { name, p50_ms, .. } = outages;
            (p50_ms > most).then(|| format!("{name}: outage p50 {p50_ms} ms (at most {most})"))
        });
        each.chain(classes).collect()
    }

    /// All outages of every fault that has the same bar.
    fn classes(&self) -> Vec<Outages> {
        let class = |name: &str, outcome: Outcome| {
            let cycles = self.cycles.iter().filter(|cycle| cycle.outcome == outcome);
            let list: Vec<u64> = cycles.map(|cycle| cycle.outage_ms).collect();
            (!list.is_empty()).then(|| Outages::of(name, outcome, &list))
        };
        let all = [
            ("ALL HARD FAULTS", Outcome::Moves),
            ("ALL PLANNED HAND-OVERS", Outcome::HandsOver),
            ("ALL HEALED ON THE SPOT", Outcome::RestartsOnTheSpot),
        ];
        all.into_iter().filter_map(|(name, outcome)| class(name, outcome)).collect()
    }

    fn outages(&self) -> Vec<Outages> {
        let mut lists: Vec<(&str, Outcome, Vec<u64>)> = Vec::new();
        for cycle in &self.cycles {
            match lists.iter_mut().find(|(name, ..)| *name == cycle.name) {
                Some((.., outages)) => outages.push(cycle.outage_ms),
                None => lists.push((&cycle.name, cycle.outcome, vec![cycle.outage_ms])),
            }
        }
        lists.into_iter().map(|(name, outcome, outages)| Outages::of(name, outcome, &outages)).collect()
    }

    /// For a machine.
    pub fn json(&self) -> Value {
        json!({
            "passed": self.complaints().is_empty(),
            "complaints": self.complaints(),
            "seed": self.seed,
            "seconds": self.took.as_secs(),
            "usual_gap_ms": self.usual_gap_ms,
            "outages": self.outages(),
            "classes": self.classes(),
            "faults": self.cycles,
            "clients": self.counts,
            "unanswered": self.unanswered,
            "mailboxes": self.mailboxes,
            "store": match &self.store { Ok(check) => check.clone(), Err(reason) => json!({ "error": reason }) },
            "array": self.array,
            "writers": self.writers,
            "certificates": self.certificates,
        })
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "\n  no  fault                        box  outage ms  whole after ms  takeover, ms a phase\n",
        );
        for cycle in &self.cycles {
            let takeover = cycle.takeover.as_ref().map_or("none".into(), |takeover| {
                format!("noticed {}, {}", takeover["detect_ms"], screen::phases(takeover))
            });
            let _ = writeln!(
                text,
                "  {:>2}  {:<28} {:<3} {:>10} {:>15}  {takeover}",
                cycle.number,
                cycle.name,
                cycle.serving.to_string(),
                cycle.outage_ms,
                cycle.whole_after_ms
            );
        }
        text.push_str("\n  fault                        times   p50 ms   p99 ms   max ms  bar: p50, p99\n");
        for outages in self.outages().into_iter().chain(self.classes()) {
            let bar = outages.bar.map_or(String::new(), |bar| format!("{}, {}", bar.p50_ms, bar.p99_ms));
            let Outages { name, times, p50_ms, p99_ms, max_ms, .. } = outages;
            let _ = writeln!(text, "  {name:<28} {times:>5} {p50_ms:>8} {p99_ms:>8} {max_ms:>8}  {bar}");
        }
        self.write_counts(&mut text);
        let complaints = self.complaints();
        for complaint in &complaints {
            let _ = writeln!(text, "  NOT GOOD ENOUGH: {complaint}");
        }
        let verdict = if complaints.is_empty() { "passed" } else { "failed" };
        let _ = write!(text, "\n  {verdict}, seed {}, {} s", self.seed, self.took.as_secs());
        text
    }

    fn write_counts(&self, text: &mut String) {
        let (counts, boxes) = (&self.counts, &self.mailboxes);
        let store = match &self.store {
            Ok(check) if check["faults"].as_array().is_some_and(Vec::is_empty) => "clean",
            _ => "not clean",
        };
        let rows = [
            ("accepted with 250", counts.accepted.to_string()),
            ("found", boxes.found.to_string()),
            ("LOST", boxes.lost.len().to_string()),
            ("DUPLICATED", boxes.duplicated.len().to_string()),
            ("damaged or misdelivered", (boxes.damaged.len() + boxes.misdelivered.len()).to_string()),
            (
                "tries without an answer",
                format!("{}, which left {} allowed copies", counts.unknown, boxes.repeated.len()),
            ),
            ("tries refused", counts.refused.to_string()),
            ("flags set with OK", counts.flags.to_string()),
            ("flags lost", boxes.flags_lost.len().to_string()),
            ("read by POP3 meanwhile", counts.reads.to_string()),
            ("certificates seen", self.certificates.to_string()),
            ("store check", store.into()),
            ("writes at the array", of_each(&self.writers.written)),
            ("writes it kept out", of_each(&self.writers.kept_out)),
            ("takes of the reservation", self.writers.takes.to_string()),
            ("TWO WRITERS", self.writers.two_writers.to_string()),
            ("writes unreserved", self.writers.unreserved.to_string()),
            ("file system", self.array.file_system.clone()),
            ("database", self.array.database.clone()),
        ];
        text.push('\n');
        for (what, value) in rows {
            let _ = writeln!(text, "  {what:<26} {value}");
        }
    }
}

fn of_each(counts: &BTreeMap<String, u64>) -> String {
    let list: Vec<String> = counts.iter().map(|(who, count)| format!("{who} {count}")).collect();
    if list.is_empty() { "none".into() } else { list.join(", ") }
}

/// The distribution of the outages of one kind of episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outages {
    /// Which.
    pub name: String,
    /// How often it was done.
    pub times: usize,
    /// Half of them were no longer.
    pub p50_ms: u64,
    /// 99 of 100 were no longer; of fewer than a hundred, none was.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
    /// What is allowed.
    pub bar: Option<Bar>,
}

impl Outages {
    fn of(name: &str, outcome: Outcome, outages: &[u64]) -> Self {
        let mut sorted = outages.to_vec();
        sorted.sort_unstable();
        // The nearest-rank method.
        let percentile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            name: name.into(),
            times: sorted.len(),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            max_ms: percentile(100),
            bar: outcome.bar(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_outages_that_were_there() {
        let outages: Vec<u64> = (1..=200).collect();
        let all = Outages::of("x", Outcome::Moves, &outages);
        assert_eq!((all.p50_ms, all.p99_ms, all.max_ms), (100, 198, 200));
        let few = Outages::of("x", Outcome::Moves, &[7, 900, 3]);
        assert_eq!((few.p50_ms, few.p99_ms, few.max_ms), (7, 900, 900));
    }

    fn verdict(outages: &[(&str, Outcome, u64)]) -> Verdict {
        let cycle = |(index, (name, outcome, outage_ms)): (usize, &(&str, Outcome, u64))| Cycle {
            number: index as u32 + 1,
            name: (*name).into(),
            story: String::new(),
            outcome: *outcome,
            serving: crate::parts::BoxName::A,
            outage_ms: *outage_ms,
            whole_after_ms: 0,
            moved: false,
            takeover: None,
            problems: Vec::new(),
        };
        Verdict {
            seed: 1,
            took: Duration::ZERO,
            usual_gap_ms: 0,
            cycles: outages.iter().enumerate().map(cycle).collect(),
            counts: Counts::default(),
            unanswered: 0,
            mailboxes: MailboxReport::default(),
            store: Ok(json!({ "faults": [] })),
            array: ArrayReport { file_system: "clean".into(), database: "clean".into() },
            writers: WritersReport::default(),
            certificates: 1,
        }
    }

    #[test]
    fn a_median_is_asked_of_a_class_and_the_longest_of_every_fault() {
        let hard = Outcome::Moves;
        let good = verdict(&[("freeze", hard, 4_900), ("panic", hard, 3_000), ("power-cut", hard, 3_100)]);
        assert_eq!(good.slow(), Vec::<String>::new());
        let slow = verdict(&[("freeze", hard, 4_900), ("panic", hard, 4_100), ("power-cut", hard, 3_100)]);
        assert_eq!(slow.slow(), ["ALL HARD FAULTS: outage p50 4100 ms (at most 4000)"]);
        let long = verdict(&[("freeze", hard, 8_001), ("panic", hard, 3_000), ("panic", hard, 1_000)]);
        assert_eq!(long.slow(), ["freeze: outage p99 8001 ms (at most 8000)"]);
        let planned = verdict(&[("switch-over", Outcome::HandsOver, 1_501), ("panic", hard, 3_000)]);
        assert_eq!(planned.slow().len(), 2, "its own, and its class");
        let free = verdict(&[("slow-array", Outcome::Serves, 60_000)]);
        assert_eq!(free.slow(), Vec::<String>::new());
    }
}
