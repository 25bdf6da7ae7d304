//! Were there ever two writers? Judged by the array's own record alone, whatever the boxes say.
//!
//! A write is lawful when its initiator was the last to take the reservation. Commands overlap, so
//! each is given the benefit of its whole time at the array: from being handed over to the answer.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::array::pdu::RESERVATION_CONFLICT;
use crate::array::record::{Entry, What};

/// Service actions of PERSISTENT RESERVE OUT (SPC-4 table 206).
const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const CLEAR: u8 = 3;
const PREEMPT: u8 = 4;
const PREEMPT_AND_ABORT: u8 = 5;
/// So many faults are told in full.
const TOLD_MAX: usize = 20;

/// What the record says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WritersReport {
    /// Writes that the array did, by initiator.
    pub written: BTreeMap<String, u64>,
    /// Writes that the array refused because the reservation was another's, by initiator.
    pub kept_out: BTreeMap<String, u64>,
    /// How often the reservation was taken.
    pub takes: u64,
    /// Writes that the array did for one box while another had taken the reservation last.
    pub two_writers: u64,
    /// The first of them, a sentence each.
    pub told: Vec<String>,
    /// Writes that the array did while there was no reservation.
    pub unreserved: u64,
}

/// A moment at which the reservation changed hands, or was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    sent_us: u64,
    done_us: u64,
    holder: Option<String>,
}

/// Judges what came to the array from `from_us` on; what came before tells who held it then.
pub fn judge(entries: &[Entry], from_us: u64) -> WritersReport {
    let changes = changes(entries);
    let takes: Vec<&Change> = changes.iter().filter(|change| change.holder.is_some()).collect();
    let mut report = WritersReport {
        takes: takes.iter().filter(|take| take.done_us >= from_us).count() as u64,
        ..WritersReport::default()
    };
    let writes = entries.iter().filter(|entry| matches!(entry.what, What::Write { .. }));
    for write in writes.filter(|write| write.sent_us >= from_us) {
        let Some(done_us) = write.done_us else { continue };
        let who = &write.initiator;
        if write.status == Some(RESERVATION_CONFLICT) {
            *report.kept_out.entry(who.clone()).or_default() += 1;
        }
        if !write.is_good() {
            continue;
        }
        *report.written.entry(who.clone()).or_default() += 1;
        let held = |change: &Change| change.holder.as_ref() == Some(who);
        let (before, meanwhile) = split(&changes, write.sent_us, done_us);
        if before.is_some_and(held) || meanwhile.iter().any(held) {
            continue;
        }
        if before.is_none_or(|change| change.holder.is_none())
            || meanwhile.iter().any(|change| change.holder.is_none())
        {
            report.unreserved += 1;
        }
        // Without a reservation the array lets everybody write; still only the last taker may.
        let last = takes.iter().rev().find(|take| take.done_us < write.sent_us);
        let took_meanwhile =
            takes.iter().any(|take| held(take) && take.done_us >= write.sent_us && take.sent_us <= done_us);
        if let Some(last) = last
            && !held(last)
            && !took_meanwhile
        {
            report.two_writers += 1;
            if report.told.len() < TOLD_MAX {
                report.told.push(format!(
                    "{who} wrote ({:?}) {} ms after {} had taken the reservation",
                    write.what,
                    (write.sent_us - last.done_us) / 1000,
                    last.holder.as_deref().unwrap_or("nobody")
                ));
            }
        }
    }
    report
}

/// The last change that was over before a command was sent, and those that overlap it.
fn split(changes: &[Change], sent_us: u64, done_us: u64) -> (Option<&Change>, &[Change]) {
    let first = changes.partition_point(|change| change.done_us < sent_us);
    let overlapping = changes[first..].iter().take_while(|change| change.sent_us <= done_us).count();
    (first.checked_sub(1).and_then(|last| changes.get(last)), &changes[first..first + overlapping])
}

/// Every change of the holder in the order of the array's answers.
fn changes(entries: &[Entry]) -> Vec<Change> {
    let mut commands: Vec<&Entry> =
        entries.iter().filter(|entry| entry.is_good() && !matches!(entry.what, What::Write { .. })).collect();
    commands.sort_by_key(|entry| entry.done_us);
    let mut list: Vec<Change> = Vec::new();
    for command in commands {
        let who = &command.initiator;
        let holds = list.last().is_some_and(|last| last.holder.as_ref() == Some(who));
        let holder = match command.what {
            What::Reserve { action: RESERVE | PREEMPT | PREEMPT_AND_ABORT, .. } => Some(who.clone()),
            What::Reserve { action: RELEASE, .. } | What::Reserve { action: REGISTER, other_key: 0, .. }
                if holds =>
            {
                None
            }
            What::Reserve { action: CLEAR, .. } | What::PowerCycle => None,
            _ => continue,
        };
        let done_us = command.done_us.unwrap_or(command.sent_us);
        list.push(Change { sent_us: command.sent_us, done_us, holder });
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sent_us: u64, initiator: &str, what: What, status: u8) -> Entry {
        Entry {
            sent_us,
            done_us: Some(sent_us + 10),
            initiator: initiator.into(),
            what,
            status: Some(status),
        }
    }

    fn reserve(at_us: u64, initiator: &str, action: u8) -> Entry {
        entry(at_us, initiator, What::Reserve { action, own_key: 1, other_key: 2 }, 0)
    }

    fn write(at_us: u64, initiator: &str) -> Entry {
        entry(at_us, initiator, What::Write { block: 1, blocks: 8 }, 0)
    }

    #[test]
    fn a_takeover_by_the_book_is_no_fault() {
        let refused = Entry { status: Some(RESERVATION_CONFLICT), ..write(210, "a") };
        let entries =
            [reserve(0, "a", RESERVE), write(100, "a"), reserve(200, "b", PREEMPT), refused, write(300, "b")];
        let report = judge(&entries, 0);
        assert_eq!((report.two_writers, report.unreserved, report.takes), (0, 0, 2), "{report:?}");
        assert_eq!(report.kept_out["a"], 1);
        assert_eq!((report.written["a"], report.written["b"]), (1, 1));
    }

    #[test]
    fn a_write_behind_a_takeover_is_found() {
        let entries =
            [reserve(0, "a", RESERVE), reserve(200, "b", PREEMPT), write(300, "a"), write(310, "b")];
        let report = judge(&entries, 0);
        assert_eq!((report.two_writers, report.told.len()), (1, 1));
    }

    #[test]
    fn a_write_that_overlaps_the_takeover_may_have_come_first() {
        let entries =
            [reserve(0, "a", RESERVE), write(195, "a"), reserve(200, "b", PREEMPT), write(203, "a")];
        assert_eq!(judge(&entries, 0).two_writers, 0);
    }

    #[test]
    fn an_array_that_forgets_does_not_excuse_two_writers() {
        let forgets = entry(250, "array", What::PowerCycle, 0);
        let entries =
            [reserve(0, "a", RESERVE), reserve(200, "b", PREEMPT), forgets, write(300, "b"), write(320, "a")];
        let report = judge(&entries, 0);
        assert_eq!((report.two_writers, report.unreserved), (1, 2), "{report:?}");
    }

    #[test]
    fn only_its_holder_gives_a_reservation_up() {
        let entries = [
            reserve(0, "a", RESERVE),
            reserve(50, "b", RELEASE),
            write(100, "a"),
            reserve(200, "a", RELEASE),
            write(300, "a"),
        ];
        assert_eq!(judge(&entries, 0).unreserved, 1);
    }
}
