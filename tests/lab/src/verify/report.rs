//! The verdict: a table for people, JSON for machines, and whether it is good enough.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::parts::Kind;
use crate::screen;

use super::array_check::ArrayReport;
use super::cycle::Cycle;
use super::ledger::Counts;
use super::mailbox_check::MailboxReport;

/// A takeover's outage: the median and the worst one allowed.
pub const OUTAGE_MEDIAN_MAX_MS: u64 = 5_000;
/// See [`OUTAGE_MEDIAN_MAX_MS`].
pub const OUTAGE_WORST_MAX_MS: u64 = 10_000;
/// An ordered switch-over's outage allowed.
pub const SWITCH_OVER_MAX_MS: u64 = 2_000;

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
        none("takeovers without need", self.needless());
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
        list.extend(self.slow());
        list
    }

    /// Cables with a spare, and noise, are no reason to move the service.
    fn needless(&self) -> usize {
        let spare = |kind| matches!(kind, Kind::CutSerial | Kind::CutPrivate | Kind::GarbageSerial);
        self.cycles.iter().filter(|cycle| spare(cycle.kind) && cycle.takeover.is_some()).count()
    }

    fn slow(&self) -> Vec<String> {
        let mut list = Vec::new();
        for (kind, outages) in self.outages() {
            let (median, worst) = median_and_worst(&outages);
            let (median_max, worst_max) = match kind {
                Kind::SwitchOver => (SWITCH_OVER_MAX_MS, SWITCH_OVER_MAX_MS),
                Kind::PowerCut => (OUTAGE_MEDIAN_MAX_MS, OUTAGE_WORST_MAX_MS),
                _ => continue,
            };
            if median > median_max || worst > worst_max {
                list.push(format!(
                    "{kind}: median outage {median} ms (at most {median_max}), worst {worst} ms (at most {worst_max})"
                ));
            }
        }
        list
    }

    fn outages(&self) -> Vec<(Kind, Vec<u64>)> {
        let mut list: Vec<(Kind, Vec<u64>)> = Vec::new();
        for cycle in &self.cycles {
            match list.iter_mut().find(|(kind, _)| *kind == cycle.kind) {
                Some((_, outages)) => outages.push(cycle.outage_ms),
                None => list.push((cycle.kind, vec![cycle.outage_ms])),
            }
        }
        list
    }

    /// For a machine.
    pub fn json(&self) -> Value {
        let outages = self.outages().into_iter().map(|(kind, outages)| {
            let (median, worst) = median_and_worst(&outages);
            json!({ "kind": kind, "faults": outages.len(), "median_ms": median, "worst_ms": worst })
        });
        json!({
            "passed": self.complaints().is_empty(),
            "complaints": self.complaints(),
            "seed": self.seed,
            "seconds": self.took.as_secs(),
            "usual_gap_ms": self.usual_gap_ms,
            "outages": outages.collect::<Vec<_>>(),
            "faults": self.cycles,
            "clients": self.counts,
            "unanswered": self.unanswered,
            "mailboxes": self.mailboxes,
            "store": match &self.store { Ok(check) => check.clone(), Err(reason) => json!({ "error": reason }) },
            "array": self.array,
            "certificates": self.certificates,
        })
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut text =
            String::from("\n  no  fault          box  outage ms  whole after ms  takeover, ms a phase\n");
        for cycle in &self.cycles {
            let takeover = cycle.takeover.as_ref().map_or("none".into(), |takeover| {
                format!("noticed {}, {}", takeover["detect_ms"], screen::phases(takeover))
            });
            let _ = writeln!(
                text,
                "  {:>2}  {:<14} {:<3} {:>10} {:>15}  {takeover}",
                cycle.number,
                cycle.kind.to_string(),
                cycle.name.to_string(),
                cycle.outage_ms,
                cycle.whole_after_ms
            );
        }
        text.push_str("\n  fault          faults  median ms  worst ms\n");
        for (kind, outages) in self.outages() {
            let (median, worst) = median_and_worst(&outages);
            let _ = writeln!(text, "  {:<14} {:>6} {median:>10} {worst:>9}", kind.to_string(), outages.len());
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
            ("file system", self.array.file_system.clone()),
            ("database", self.array.database.clone()),
        ];
        text.push('\n');
        for (what, value) in rows {
            let _ = writeln!(text, "  {what:<26} {value}");
        }
    }
}

/// Median and worst of some outages.
pub fn median_and_worst(outages: &[u64]) -> (u64, u64) {
    let mut sorted = outages.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    (median, sorted.last().copied().unwrap_or_default())
}
