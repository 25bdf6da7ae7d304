//! Zeros ahead of the tail of the segment that grows.
//!
//! A write into space that was never written changes what the file system knows about the file, and to
//! sync that costs a commit of its journal. So a thread writes zeros some way ahead and syncs them; the
//! bodies then only overwrite blocks, and the sync of the log alone makes both durable (see
//! [`crate::writeback`]). It is a help: where it is not possible, or behind, the segment is synced itself.

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::statvfs;
use tokio::sync::watch;

use crate::segment::SEGMENT_BYTES;
use crate::{StoreError, writeback};

/// Zeros made at once.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;
/// More are asked for when fewer than this are left.
const LOW_BYTES: u64 = 4 * 1024 * 1024;
/// None are made when less than this is free on the disk.
const FREE_BYTES_MIN: u64 = 8 * PIECE_BYTES;
/// Bytes of one write, so that appends to the same file get their turn.
const WRITE_BYTES: usize = 256 * 1024;
/// What offsets, lengths and memory are aligned to.
pub(super) const BLOCK_BYTES: usize = 4096;

/// The prepared space of one segment.
#[derive(Default)]
pub(crate) struct Space {
    state: Mutex<State>,
    made: Condvar,
}

#[derive(Default)]
struct State {
    /// Written and durable.
    ready: Range<u64>,
    /// Being written; nobody else may write there.
    making: Option<Range<u64>>,
    given_up: bool,
}

struct Order {
    path: PathBuf,
    space: Arc<Space>,
    range: Range<u64>,
}

/// The thread that makes it.
pub(crate) struct Ahead {
    /// `None`: the file system has no use for it.
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Space {
    /// Whether all of `range` may be overwritten in place. Waits while a piece of it is being made.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        let meets = |making: &Range<u64>| making.start < range.end && range.start < making.end;
        let state = self
            .made
            .wait_while(self.lock(), |state| state.making.as_ref().is_some_and(meets))
            .unwrap_or_else(PoisonError::into_inner);
        state.ready.start <= range.start && range.end <= state.ready.end
    }

    /// Waits until nothing is being made.
    pub fn wait(&self) {
        let made = self.made.wait_while(self.lock(), |state| state.making.is_some());
        drop(made.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to make next for a segment that ends at `tail`.
    fn wanted(&self, tail: u64) -> Option<Range<u64>> {
        let state = self.lock();
        if state.given_up || state.making.is_some() || state.ready.end >= tail + LOW_BYTES {
            return None;
        }
        // The block of the tail is there already.
        let start = state.ready.end.max(tail.next_multiple_of(BLOCK_BYTES as u64));
        let end = (start + PIECE_BYTES).min(SEGMENT_BYTES);
        (start < end).then_some(start..end)
    }

    fn end_making(&self, made: bool) {
        let mut state = self.lock();
        if let Some(range) = state.making.take() {
            state.given_up |= !made;
            if made && state.ready.end == range.start {
                state.ready.end = range.end;
            } else if made {
                state.ready = range;
            }
        }
        self.made.notify_all();
    }
}

impl Ahead {
    /// Starts the thread if the file system of `dir` overwrites in place.
    pub fn start(dir: &Path, failed: watch::Sender<Option<String>>) -> Result<Self, StoreError> {
        if !writeback::overwrites_in_place(dir) {
            return Ok(Self { orders: None, thread: None });
        }
        let (orders, received) = sync_channel(1);
        let run = move || run(&received, &failed);
        let thread = std::thread::Builder::new().name("store-ahead".to_owned()).spawn(run)?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Whether bodies can be overwritten in place here at all.
    pub fn is_possible(&self) -> bool {
        self.orders.is_some()
    }

    /// Sees to it that there will be space behind `tail`, which is committed.
    pub fn keep_up(&self, path: PathBuf, space: &Arc<Space>, tail: u64) {
        let Some(orders) = &self.orders else { return };
        let Some(range) = space.wanted(tail) else { return };
        space.lock().making = Some(range.clone());
        // Full: the thread is busy with the segment before; the next commit asks again.
        if orders.try_send(Order { path, space: space.clone(), range }).is_err() {
            space.lock().making = None;
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(orders: &Receiver<Order>, failed: &watch::Sender<Option<String>>) {
    while let Ok(order) = orders.recv() {
        let made = if has_room(&order.path) { make(&order) } else { Err(io::ErrorKind::StorageFull.into()) };
        order.space.end_making(made.is_ok());
        // What the file system cannot do or has no room for is done without.
        let can_be_done_without = |error: &io::Error| error.kind() == io::ErrorKind::InvalidInput;
        let made = if made.as_ref().is_err_and(can_be_done_without) { Ok(()) } else { made };
        if let Err(error) = made.map_err(StoreError::from)
            && !error.is_disk_full()
        {
            tracing::error!("the mail store has failed in making space: {error}");
            failed.send_replace(Some(error.to_string()));
        }
    }
}

fn has_room(path: &Path) -> bool {
    statvfs(path).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= FREE_BYTES_MIN)
}

fn make(order: &Order) -> io::Result<()> {
    // A file handle of its own: an error is told once to each, so the writer's hears of its own too.
    // Past the page cache it costs little; not every file system can.
    let mut options = OpenOptions::new();
    options.write(true);
    let direct = options.clone().custom_flags(libc::O_DIRECT).open(&order.path);
    let file = direct.or_else(|_| options.open(&order.path))?;
    let zeros = vec![0; WRITE_BYTES + BLOCK_BYTES];
    let skip = zeros.as_ptr().align_offset(BLOCK_BYTES);
    let zeros = zeros.get(skip..skip + WRITE_BYTES).unwrap_or(&[]);
    let mut at = order.range.start;
    while at < order.range.end {
        let length = (order.range.end - at).min(WRITE_BYTES as u64) as usize;
        file.write_all_at(zeros.get(..length).ok_or(io::ErrorKind::InvalidInput)?, at)?;
        at += length as u64;
    }
    file.sync_data()
}
