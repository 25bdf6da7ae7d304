//! Appending bodies to the current segment, and what every segment holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::ahead::{Ahead, BLOCK_BYTES, Space};
use crate::segment::{HEAD_BYTES, Head, SEGMENT_BYTES, SegmentFiles, record_bytes};
use crate::{Body, BodyId, BodyRef, StoreError, writeback};

/// Space asked of the file system ahead of the tail, so that appends do not each grow the file.
const AHEAD_BYTES: u64 = 8 * 1024 * 1024;
/// Slices in one write call (IOV_MAX is 1024).
const SLICES_MAX: usize = 512;

/// State of a segment, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentState {
    /// The one that grows.
    Open = 0,
    /// Full.
    Sealed = 1,
    /// Without live bodies; its file goes.
    Dead = 2,
}

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    /// Committed end: what lies behind it does not exist.
    pub bytes: u64,
    /// Bytes of records that rows name.
    pub live_bytes: u64,
    /// Records before this offset have been moved elsewhere.
    pub compacted_bytes: u64,
    /// Records before this offset were durable before the last commit that added some. Those behind it
    /// became durable together with their rows, and are looked at when the store is opened.
    pub settled_bytes: u64,
    pub state: SegmentState,
}

/// A segment without records; its file is made with the first.
const NEW_SEGMENT: SegmentRow =
    SegmentRow { bytes: 0, live_bytes: 0, compacted_bytes: 0, settled_bytes: 0, state: SegmentState::Open };

/// A record waiting to be written.
struct Pending {
    segment: u32,
    offset: u64,
    head: [u8; HEAD_BYTES],
    message: Bytes,
}

/// The segment being appended to.
struct Current {
    id: u32,
    file: Arc<File>,
    /// End of the space asked for.
    ahead: u64,
    /// Where it can be overwritten.
    space: Arc<Space>,
    /// What is on its way to the disk, to be awaited before the commit.
    begun: Option<Range<u64>>,
}

/// Where to go back to when a request fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pending: usize,
    undo: usize,
}

/// Appends bodies; nothing is written before [`Appender::write`].
pub(crate) struct Appender {
    files: Arc<SegmentFiles>,
    ahead: Ahead,
    current: Option<Current>,
    rows: BTreeMap<u32, SegmentRow>,
    /// Every change since the last commit: segment, and its row before.
    undo: Vec<(u32, Option<SegmentRow>)>,
    pending: Vec<Pending>,
    /// Bodies have been moved in this batch: the bytes they had elsewhere must not go before these are
    /// durable for certain.
    moved: bool,
}

impl Appender {
    pub fn load(files: Arc<SegmentFiles>, ahead: Ahead, database: &Connection) -> Result<Self, StoreError> {
        let rows = load_rows(database)?;
        Ok(Self { files, ahead, current: None, rows, undo: Vec::new(), pending: Vec::new(), moved: false })
    }

    pub fn files(&self) -> &Arc<SegmentFiles> {
        &self.files
    }

    /// Gives a body its place.
    pub fn place(&mut self, id: BodyId, body: &Body) -> BodyRef {
        let length = body.bytes.len() as u32;
        let head = Head { length, body: id, crc32c: body.crc32c };
        self.place_record(head, body.bytes.clone())
    }

    /// Gives a body another place; the checksum in its head is taken as it is.
    pub fn place_again(&mut self, head: Head, message: Bytes) -> BodyRef {
        self.moved = true;
        self.place_record(head, message)
    }

    fn place_record(&mut self, head: Head, message: Bytes) -> BodyRef {
        let need = record_bytes(head.length);
        let segment = self.segment_with_room(need);
        let row = self.rows.get(&segment).copied().unwrap_or(NEW_SEGMENT);
        let offset = row.bytes;
        self.set(
            segment,
            Some(SegmentRow { bytes: offset + need, live_bytes: row.live_bytes + need, ..row }),
        );
        self.pending.push(Pending { segment, offset, head: head.encode(), message });
        BodyRef { id: head.body, segment, length: head.length, offset }
    }

    /// A body of this place is no longer named.
    pub fn release(&mut self, segment: u32, length: u32) {
        if let Some(row) = self.rows.get(&segment).copied() {
            let live_bytes = row.live_bytes.saturating_sub(record_bytes(length));
            self.set(segment, Some(SegmentRow { live_bytes, ..row }));
        }
    }

    /// Segments in this state.
    pub fn in_state(&self, state: SegmentState) -> Vec<(u32, SegmentRow)> {
        self.rows.iter().filter(|(_, row)| row.state == state).map(|(id, row)| (*id, *row)).collect()
    }

    /// The segment that grows, if all of it is known to be durable.
    pub fn settled_open(&self) -> Option<(u32, SegmentRow)> {
        let last = self.rows.last_key_value().map(|(id, row)| (*id, *row));
        last.filter(|(_, row)| row.state == SegmentState::Open && row.settled_bytes == row.bytes)
    }

    /// The open segment grows no more, even with room left; the next one is listed at once, so that no
    /// number is ever used twice.
    pub fn close_early(&mut self, segment: u32) {
        self.seal(segment);
        self.set(segment + 1, Some(NEW_SEGMENT));
    }

    fn seal(&mut self, segment: u32) {
        if let Some(row) = self.rows.get(&segment).copied() {
            self.set(segment, Some(SegmentRow { state: SegmentState::Sealed, ..row }));
        }
    }

    /// Marks a segment as dead; its file goes after the commit.
    pub fn bury(&mut self, segment: u32) {
        if let Some(row) = self.rows.get(&segment).copied() {
            self.set(segment, Some(SegmentRow { state: SegmentState::Dead, ..row }));
        }
    }

    /// Forgets a segment whose file is gone.
    pub fn forget(&mut self, segment: u32) {
        self.set(segment, None);
    }

    /// Records before `offset` have been moved elsewhere in this transaction.
    pub fn set_compacted(&mut self, segment: u32, offset: u64) {
        if let Some(row) = self.rows.get(&segment).copied() {
            self.set(segment, Some(SegmentRow { compacted_bytes: offset, ..row }));
        }
    }

    pub fn mark(&self) -> Mark {
        Mark { pending: self.pending.len(), undo: self.undo.len() }
    }

    /// Forgets everything since `mark`.
    pub fn go_back(&mut self, mark: Mark) {
        self.pending.truncate(mark.pending);
        while self.undo.len() > mark.undo {
            let Some((segment, before)) = self.undo.pop() else { break };
            match before {
                Some(row) => self.rows.insert(segment, row),
                None => self.rows.remove(&segment),
            };
        }
    }

    /// Forgets everything since the last commit.
    pub fn roll_back(&mut self) {
        self.go_back(Mark { pending: 0, undo: 0 });
        self.moved = false;
        // The file stays open unless it was new: its space may be in the making.
        let rows = &self.rows;
        self.current = self.current.take().filter(|current| rows.contains_key(&current.id));
    }

    fn set(&mut self, segment: u32, row: Option<SegmentRow>) {
        let before = match row {
            Some(row) => self.rows.insert(segment, row),
            None => self.rows.remove(&segment),
        };
        self.undo.push((segment, before));
    }

    /// Writes all waiting records. What overwrites prepared space is only sent on its way, the rest is
    /// synced.
    pub fn write(&mut self) -> Result<(), StoreError> {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(first) = rest.first() {
            // Records of one segment follow each other without gaps.
            let length = rest.iter().take_while(|record| record.segment == first.segment).count();
            let (run, tail) = rest.split_at(length);
            let alone = run.len() == pending.len() && !self.moved;
            self.write_run(run, first, alone)?;
            rest = tail;
        }
        self.moved = false;
        Ok(())
    }

    /// Writes the rows of segments that have changed.
    pub fn write_rows(&self, database: &Connection) -> Result<(), StoreError> {
        let mut statement = database.prepare_cached(
            "INSERT OR REPLACE INTO segments (id, bytes, live_bytes, compacted_bytes, state, settled_bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let changed: BTreeSet<u32> = self.undo.iter().map(|(id, _)| *id).collect();
        for id in changed {
            if let Some(row) = self.rows.get(&id) {
                statement.execute(params![
                    id,
                    row.bytes as i64,
                    row.live_bytes as i64,
                    row.compacted_bytes as i64,
                    row.state as i64,
                    row.settled_bytes as i64
                ])?;
            } else {
                database.execute("DELETE FROM segments WHERE id = ?1", [id])?;
            }
        }
        Ok(())
    }

    /// Waits for what is on its way: from here on a flush of the disk makes it durable. Before the commit.
    pub fn finish_writing(&mut self) -> Result<(), StoreError> {
        if let Some(current) = &mut self.current
            && let Some(range) = current.begun.take()
        {
            writeback::finish(&current.file, &range)?;
        }
        Ok(())
    }

    /// The transaction is durable.
    pub fn committed(&mut self) {
        self.undo.clear();
        if let Some(current) = &self.current
            && let Some(row) = self.rows.get(&current.id)
        {
            self.ahead.keep_up(self.files.path(current.id), &current.space, row.bytes);
        }
    }

    /// The segment that grows and what of it became durable together with its rows, if the last commit
    /// that added records was such a one.
    pub fn unsettled(&self) -> Option<(u32, Range<u64>)> {
        let (id, row) = self.rows.last_key_value()?;
        (row.settled_bytes < row.bytes).then_some((*id, row.settled_bytes..row.bytes))
    }

    /// All of the segment is known to be durable.
    pub fn settle(&mut self, segment: u32) {
        if let Some(row) = self.rows.get(&segment).copied() {
            self.set(segment, Some(SegmentRow { settled_bytes: row.bytes, ..row }));
        }
    }

    /// The open segment, or a new one.
    fn segment_with_room(&mut self, need: u64) -> u32 {
        let last = self.rows.last_key_value().map(|(id, row)| (*id, *row));
        if let Some((id, row)) = last
            && row.state == SegmentState::Open
            && (row.bytes + need <= SEGMENT_BYTES || row.bytes == 0)
        {
            return id;
        }
        if let Some((id, row)) = last
            && row.state == SegmentState::Open
        {
            self.seal(id);
        }
        last.map_or(1, |(id, _)| id + 1)
    }

    /// Writes neighbouring records. Only a batch in one segment may be `alone`: the store looks at no more
    /// when it is opened.
    fn write_run(&mut self, run: &[Pending], first: &Pending, alone: bool) -> io::Result<()> {
        self.open(first.segment, first.offset == 0)?;
        let last = run.last().unwrap_or(first);
        let range = first.offset..last.offset + (HEAD_BYTES + last.message.len()) as u64;
        let in_place = self.ahead.is_possible();
        let Some(current) = &mut self.current else { return Ok(()) };
        if !in_place {
            current.ask_ahead(range.end);
        }
        let covered = current.space.covers(&range);
        // To the end of its block, which is ours too: the kernel need not read what it held.
        let padding = if covered { range.end.next_multiple_of(BLOCK_BYTES as u64) - range.end } else { 0 };
        write_records(&current.file, run, padding as usize)?;
        let mut settled_bytes = range.end;
        if covered && alone {
            writeback::begin(&current.file, &range)?;
            settled_bytes = range.start;
            current.begun = Some(range);
        } else {
            current.file.sync_data()?;
        }
        if let Some(row) = self.rows.get(&first.segment).copied() {
            self.set(first.segment, Some(SegmentRow { settled_bytes, ..row }));
        }
        Ok(())
    }

    /// Makes `segment` the current one; a new file is durable under its name before it is used.
    fn open(&mut self, segment: u32, is_new: bool) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|current| current.id == segment) {
            return Ok(());
        }
        // Nobody knows any more, once it is let go, where zeros are on their way into the segment before.
        if let Some(before) = self.current.take() {
            before.space.wait();
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(is_new).truncate(is_new);
        let file = options.open(self.files.path(segment))?;
        if is_new {
            file.sync_all()?;
            File::open(self.files.dir())?.sync_all()?;
        }
        let ahead = file.metadata()?.len();
        let space = Arc::default();
        self.current = Some(Current { id: segment, file: Arc::new(file), ahead, space, begun: None });
        Ok(())
    }
}

impl Current {
    /// Asks for space beyond `end`. Only a help: without it the write itself tells what is missing.
    fn ask_ahead(&mut self, end: u64) {
        if end <= self.ahead || self.ahead >= SEGMENT_BYTES {
            return;
        }
        let target = (end + AHEAD_BYTES).min(SEGMENT_BYTES.max(end));
        let flags = rustix::fs::FallocateFlags::empty();
        if rustix::fs::fallocate(&self.file, flags, self.ahead, target - self.ahead).is_ok() {
            self.ahead = target;
        }
    }
}

/// Writes neighbouring records with as few calls as possible.
fn write_records(file: &File, run: &[Pending], padding: usize) -> io::Result<()> {
    let zeros = [0; BLOCK_BYTES];
    let mut pieces = run.chunks(SLICES_MAX / 2).peekable();
    while let Some(piece) = pieces.next() {
        let Some(first) = piece.first() else { break };
        let mut offset = first.offset;
        let mut slices: Vec<IoSlice<'_>> = piece
            .iter()
            .flat_map(|record| [IoSlice::new(&record.head), IoSlice::new(&record.message)])
            .collect();
        if pieces.peek().is_none() {
            slices.extend(zeros.get(..padding).map(IoSlice::new));
        }
        let mut slices = slices.as_mut_slice();
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let written = match rustix::io::pwritev(file, slices, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            offset += written as u64;
            IoSlice::advance_slices(&mut slices, written);
        }
    }
    Ok(())
}

fn load_rows(database: &Connection) -> Result<BTreeMap<u32, SegmentRow>, StoreError> {
    let mut statement = database
        .prepare("SELECT id, bytes, live_bytes, state, compacted_bytes, settled_bytes FROM segments")?;
    let rows = statement.query_map([], |row| {
        let state = match row.get::<_, i64>(3)? {
            0 => SegmentState::Open,
            1 => SegmentState::Sealed,
            _ => SegmentState::Dead,
        };
        let bytes = |at| row.get::<_, i64>(at).map(|bytes| bytes as u64);
        let (end, live_bytes, compacted_bytes) = (bytes(1)?, bytes(2)?, bytes(4)?);
        let settled_bytes = row.get::<_, Option<i64>>(5)?.map_or(end, |bytes| bytes as u64);
        Ok((row.get(0)?, SegmentRow { bytes: end, live_bytes, compacted_bytes, settled_bytes, state }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
