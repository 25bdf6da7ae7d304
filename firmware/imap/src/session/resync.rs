//! What a client has missed since a modification sequence (RFC 7162 section 3.2).

use store::{Store, StoreError, Uid};

use super::reply::range_set;
use super::view::{Telling, View, write_flag_change};
use crate::parse::Resync;

/// What is to be told: UIDs that are gone, and places of messages that have changed.
pub(super) struct Missed {
    vanished: Vec<(Uid, Uid)>,
    changed: Vec<usize>,
}

impl Missed {
    /// Writes VANISHED (EARLIER), then a FETCH for each message.
    pub fn write(&self, view: &View, telling: Telling, out: &mut Vec<u8>) {
        write_vanished(&self.vanished, out);
        for place in &self.changed {
            if let Some(entry) = view.entries().get(*place) {
                write_flag_change(out, *place, entry, &view.keywords, telling);
            }
        }
    }
}

/// Writes VANISHED (EARLIER) if there is anything to tell.
pub(super) fn write_vanished(vanished: &[(Uid, Uid)], out: &mut Vec<u8>) {
    if !vanished.is_empty() {
        out.extend_from_slice(format!("* VANISHED (EARLIER) {}\r\n", range_set(vanished)).as_bytes());
    }
}

/// What a client that selects a mailbox again has missed.
pub(super) fn missed(store: &Store, view: &View, resync: &Resync) -> Result<Missed, StoreError> {
    let known = match &resync.known {
        Some(set) => set.resolve(0),
        None => vec![(1, Uid::MAX)],
    };
    // Where number and UID still belong together, nothing below has gone (section 3.2.5.2).
    let mut certain = 0;
    if let Some((numbers, uids)) = &resync.numbers {
        for (number, uid) in numbers.numbers().zip(uids.numbers()).take(view.entries().len() + 1) {
            let now = view.entries().get(number as usize - 1).map(|entry| entry.uid);
            if now == Some(uid) {
                certain = certain.max(uid);
            }
        }
    }
    let vanished = vanished(store, view, resync.modseq, &known, certain)?;
    let changed = |(place, entry): (usize, &store::Entry)| {
        (entry.modseq > resync.modseq && contains(&known, entry.uid)).then_some(place)
    };
    Ok(Missed { vanished, changed: view.entries().iter().enumerate().filter_map(changed).collect() })
}

/// UIDs of these ranges that are gone since a modification sequence, as far as the view knows of it.
///
/// Where the store's log of expunges does not reach back far enough, every UID that is not there is told,
/// which a client takes as well; `certain` is the UID up to which it knows of all.
pub(super) fn vanished(
    store: &Store,
    view: &View,
    since: u64,
    known: &[(Uid, Uid)],
    certain: Uid,
) -> Result<Vec<(Uid, Uid)>, StoreError> {
    let changes = store.changes_since(view.mailbox, since)?;
    if !changes.complete {
        return Ok(absent(view, known, certain));
    }
    let mut ranges: Vec<(Uid, Uid)> = Vec::new();
    for uid in changes.expunged {
        // What the view still has is told when its turn comes.
        if uid >= view.uid_next || !contains(known, uid) || view.place(uid).is_some() {
            continue;
        }
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
            _ => ranges.push((uid, uid)),
        }
    }
    Ok(ranges)
}

/// The UIDs of these ranges that are not in the view.
fn absent(view: &View, known: &[(Uid, Uid)], certain: Uid) -> Vec<(Uid, Uid)> {
    let mut ranges = Vec::new();
    for (first, last) in known {
        let mut next = (*first).max(certain.saturating_add(1));
        let last = (*last).min(view.uid_next.saturating_sub(1));
        let from = view.entries().partition_point(|entry| entry.uid < next);
        for entry in view.entries().iter().skip(from).take_while(|entry| entry.uid <= last) {
            if entry.uid > next {
                ranges.push((next, entry.uid - 1));
            }
            next = entry.uid + 1;
        }
        if next <= last {
            ranges.push((next, last));
        }
    }
    ranges
}

/// Whether a number lies in ascending, separate ranges.
pub(super) fn contains(ranges: &[(Uid, Uid)], number: Uid) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= number);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| number <= *last)
}
