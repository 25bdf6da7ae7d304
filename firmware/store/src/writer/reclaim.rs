//! Giving space back, in bounded pieces: messages of deleted mailboxes, empty segments, and the live
//! bodies of mostly dead ones.
//!
//! A segment goes in two steps. First a transaction says that nothing names it; when that is durable
//! its file is unlinked. Readers that have it open go on reading; others find the body's new place.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::params;
use rustix::fs::{FallocateFlags, fallocate};

use super::Ledger;
use super::appender::{SegmentRow, SegmentState};
use crate::segment::{HEAD_BYTES, Head, record_bytes};
use crate::{BodyId, StoreError};

/// Messages of a deleted mailbox removed in one step.
const MESSAGES_PER_STEP: i64 = 500;
/// Bytes of a segment looked at in one step.
const BYTES_PER_STEP: u64 = 1024 * 1024;
/// A segment is compacted when less than this share of it lives, in percent.
const LIVE_PERCENT_MIN: u64 = 50;
/// The same when the disk is full: whatever there is to be had.
const LIVE_PERCENT_MIN_SHORT: u64 = 95;
/// Pause after the disk was too full even for this.
const PUT_OFF: Duration = Duration::from_secs(2);

/// A piece of a segment whose live bodies have been moved.
struct Piece {
    segment: u32,
    /// Where it ends.
    end: u64,
    is_last: bool,
}

/// What is being reclaimed.
pub(super) struct Reclaim {
    /// The last step found something to do.
    busy: bool,
    compacting: Option<u32>,
    /// Segments with a damaged record: left as they are, for repair.
    damaged: Vec<u32>,
    /// Segments for whose live bodies there was no room elsewhere; others are tried before them.
    stuck: Vec<u32>,
    put_off_until: Option<Instant>,
}

impl Reclaim {
    /// What an earlier run left undone is found by the first step.
    pub fn new() -> Self {
        Self { busy: true, compacting: None, damaged: Vec::new(), stuck: Vec::new(), put_off_until: None }
    }

    /// Whether another step is worth while now.
    pub fn has_work(&self) -> bool {
        self.busy && self.put_off_until.is_none_or(|until| Instant::now() >= until)
    }

    /// There was no room for the last step: another segment is tried; where there is none, it waits until
    /// there may be space again.
    pub fn put_off(&mut self) {
        if let Some(segment) = self.compacting.take() {
            self.stuck.push(segment);
        } else {
            self.stuck.clear();
            self.put_off_until = Some(Instant::now() + PUT_OFF);
        }
    }

    /// One bounded step, durable when it returns. What frees space without needing any comes first, and in
    /// a transaction of its own. `short`: the disk is full.
    pub fn step(&mut self, ledger: &mut Ledger, short: bool) -> Result<(), StoreError> {
        if self.put_off_until.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        self.put_off_until = None;
        ledger.begin(false)?;
        let forgotten = ledger.forget_unwanted_texts()?;
        let removed = remove_dead_files(ledger)?;
        if short {
            seal_half_dead(ledger);
        }
        let buried = bury_empty(ledger);
        let reaped = reap_doomed(ledger)?;
        let freed = forgotten || removed || buried || reaped;
        let compacted = if freed { None } else { self.compact(ledger, short)? };
        ledger.commit()?;
        if let Some(piece) = &compacted {
            punch(ledger, piece.segment, piece.end);
            // Only now: a piece that did not fit must be known as this segment's.
            self.compacting = (!piece.is_last).then_some(piece.segment);
        }
        self.busy = freed || compacted.is_some();
        if !self.busy && !self.stuck.is_empty() {
            // What is stuck is tried again when others may have made room for it.
            self.put_off();
        }
        Ok(())
    }

    /// Moves the live bodies of one piece of a mostly dead segment; returns the piece.
    fn compact(&mut self, ledger: &mut Ledger, short: bool) -> Result<Option<Piece>, StoreError> {
        let sealed = ledger.appender.in_state(SegmentState::Sealed);
        let chosen = self.compacting.and_then(|id| sealed.iter().find(|(known, _)| *known == id));
        let live_percent_min = if short { LIVE_PERCENT_MIN_SHORT } else { LIVE_PERCENT_MIN };
        let mostly_dead = |(id, row): &&(u32, SegmentRow)| {
            row.live_bytes * 100 < row.bytes * live_percent_min
                && !self.damaged.contains(id)
                && !self.stuck.contains(id)
        };
        let chosen =
            chosen.or_else(|| sealed.iter().filter(mostly_dead).min_by_key(|(_, row)| row.live_bytes));
        let Some(&(segment, row)) = chosen else {
            self.compacting = None;
            return Ok(None);
        };
        self.compacting = Some(segment);
        let Some(end) = move_live(ledger, segment, &row)? else {
            tracing::error!("segment {segment} has a damaged record; it is not compacted");
            self.damaged.push(segment);
            self.compacting = None;
            return Ok(None);
        };
        ledger.appender.set_compacted(segment, end);
        Ok(Some(Piece { segment, end, is_last: end >= row.bytes }))
    }
}

/// Unlinks the files of segments that are durably dead.
fn remove_dead_files(ledger: &mut Ledger) -> Result<bool, StoreError> {
    let dead = ledger.appender.in_state(SegmentState::Dead);
    for (segment, _) in &dead {
        ledger.appender.files().remove(*segment)?;
        ledger.appender.forget(*segment);
    }
    Ok(!dead.is_empty())
}

/// The segment that grows may hold the very bodies that were deleted to make room: it grows no more.
fn seal_half_dead(ledger: &mut Ledger) {
    if let Some((segment, row)) = ledger.appender.settled_open()
        && row.live_bytes * 100 < row.bytes * LIVE_PERCENT_MIN
    {
        ledger.appender.close_early(segment);
    }
}

fn bury_empty(ledger: &mut Ledger) -> bool {
    let sealed = ledger.appender.in_state(SegmentState::Sealed);
    let empty: Vec<u32> = sealed.iter().filter(|(_, row)| row.live_bytes == 0).map(|(id, _)| *id).collect();
    for segment in &empty {
        ledger.appender.bury(*segment);
    }
    !empty.is_empty()
}

/// Removes some messages of a deleted mailbox.
fn reap_doomed(ledger: &mut Ledger) -> Result<bool, StoreError> {
    let mailbox = ledger.find("SELECT mailbox FROM doomed LIMIT 1", [], |row| row.get::<_, i64>(0))?;
    let Some(mailbox) = mailbox else { return Ok(false) };
    let bodies = ledger.list(
        "DELETE FROM messages WHERE mailbox = ?1 AND uid IN (
             SELECT uid FROM messages WHERE mailbox = ?1 ORDER BY uid LIMIT ?2) RETURNING body",
        params![mailbox, MESSAGES_PER_STEP],
        |row| row.get::<_, i64>(0),
    )?;
    for body in &bodies {
        ledger.release_body(BodyId(*body as u64))?;
    }
    if bodies.is_empty() {
        ledger.run("DELETE FROM expunged WHERE mailbox = ?1", [mailbox])?;
        ledger.run("DELETE FROM doomed WHERE mailbox = ?1", [mailbox])?;
    }
    Ok(true)
}

/// Moves the live bodies of the next piece; returns where the piece ends, `None` at a damaged record.
fn move_live(ledger: &mut Ledger, segment: u32, row: &SegmentRow) -> Result<Option<u64>, StoreError> {
    let file = ledger.appender.files().file(segment)?;
    let stop = (row.compacted_bytes + BYTES_PER_STEP).min(row.bytes);
    let mut at = row.compacted_bytes;
    while at < stop {
        let mut head = [0; HEAD_BYTES];
        file.read_exact_at(&mut head, at)?;
        let Some(head) = Head::decode(&head) else { return Ok(None) };
        let place =
            ledger.find("SELECT segment, offset FROM bodies WHERE id = ?1", [head.body.0 as i64], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?))
            })?;
        if place == Some((segment, at as i64)) {
            let mut message = vec![0; head.length as usize];
            file.read_exact_at(&mut message, at + HEAD_BYTES as u64)?;
            // The checksum goes along unchecked: a damaged body must stay recognisable as damaged.
            let moved = ledger.appender.place_again(head, Bytes::from(message));
            ledger.run(
                "UPDATE bodies SET segment = ?2, offset = ?3 WHERE id = ?1",
                params![head.body.0 as i64, moved.segment, moved.offset as i64],
            )?;
            ledger.appender.release(segment, head.length);
        }
        at += record_bytes(head.length);
    }
    Ok(Some(at))
}

/// Frees the moved piece at once: on a full disk there would be no room to move the rest. Only a help.
fn punch(ledger: &Ledger, segment: u32, end: u64) {
    let Ok(file) = OpenOptions::new().write(true).open(ledger.appender.files().path(segment)) else { return };
    let _ = fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, end);
}
