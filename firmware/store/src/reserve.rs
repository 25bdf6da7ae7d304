//! Space kept back on the disk, so that deleting mail works when the disk is full, and so that a store can
//! be opened on a disk that is.
//!
//! Two files: the first is given to whoever deletes; the second to whoever opens the store, and to nobody
//! else. Without the second a box that takes over a full disk may not find the few pages that SQLite needs
//! for the index of its log, and nobody could serve any more.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Bytes kept back for deleting: enough for the log of many deletions and for one compaction step.
const RESERVE_BYTES: u64 = 8 * MIB;
/// Bytes kept back for opening. Opening needs far less; but a file system keeps some of what is set free
/// to itself when it is full.
const OPENING_BYTES: u64 = 8 * MIB;
/// With less free than this a store is opened at the cost of the reserve.
const NEEDED_BYTES: u64 = 4 * MIB;
/// Of what is left when a full store has been opened, so much is not kept back again.
const LEFT_BYTES: u64 = MIB;
/// The reserve is made again, and mail is taken again, when so much more is free than both take.
const BEYOND_BYTES: u64 = 4 * MIB;
const MIB: u64 = 1024 * 1024;

/// The reserve files.
pub(crate) struct Reserve {
    path: PathBuf,
    dir: PathBuf,
    held: bool,
}

/// Gives a store that is about to be opened on a full disk the room it needs; true if there was something
/// to give.
pub(crate) fn make_room(dir: &Path) -> bool {
    free_bytes(dir).is_some_and(|free| free < NEEDED_BYTES) && std::fs::remove_file(for_opening(dir)).is_ok()
}

/// The same where that was not enough, with all there is.
pub(crate) fn give_up(dir: &Path) -> bool {
    if free_bytes(dir).is_none_or(|free| free >= RESERVE_BYTES) {
        return false;
    }
    let given = [for_opening(dir), for_deleting(dir)].map(|path| std::fs::remove_file(path).is_ok());
    given.contains(&true)
}

fn for_deleting(dir: &Path) -> PathBuf {
    dir.join("reserve")
}

fn for_opening(dir: &Path) -> PathBuf {
    dir.join("reserve-opening")
}

fn free_bytes(dir: &Path) -> Option<u64> {
    statvfs(dir).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn kept_bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

impl Reserve {
    /// Takes the reserve if the disk has room for it. The store is open: what that took is spent, the rest
    /// is kept back for the next time.
    pub fn open(dir: &Path) -> Self {
        let path = for_deleting(dir);
        let held = path.metadata().is_ok_and(|file| file.len() == RESERVE_BYTES);
        let mut reserve = Self { path, dir: dir.to_owned(), held };
        reserve.restore();
        reserve.keep_for_opening();
        reserve
    }

    /// Whether the disk is so full that nothing may grow.
    pub fn is_short(&mut self) -> bool {
        if !self.held {
            self.restore();
            if self.held {
                tracing::info!("the mail disk has room again, and new mail is taken");
            }
        }
        !self.held
    }

    /// Whether there is so little room that what is deleted should be reclaimed to the last.
    pub fn is_tight(&self) -> bool {
        free_bytes(&self.dir).is_some_and(|free| free < RESERVE_BYTES)
    }

    /// Gives the space to whoever deletes, and to moving what lives out of the way.
    pub fn release(&mut self) {
        if self.held {
            tracing::error!("the mail disk is full: new mail is refused until mail has been deleted");
            self.held = false;
        }
        // What is left if this fails is only less room.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Takes the space back when there is enough again.
    fn restore(&mut self) {
        let missing = OPENING_BYTES.saturating_sub(kept_bytes(&for_opening(&self.dir)));
        let needed = missing + RESERVE_BYTES + BEYOND_BYTES;
        if self.held || free_bytes(&self.dir).is_none_or(|free| free < needed) {
            return;
        }
        self.keep_for_opening();
        self.held = keep(&self.path, RESERVE_BYTES).is_ok();
        if !self.held {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// As much of it as there is, in whole MiB.
    fn keep_for_opening(&self) {
        let path = for_opening(&self.dir);
        let kept = kept_bytes(&path);
        let free = free_bytes(&self.dir).unwrap_or(0).saturating_sub(LEFT_BYTES);
        let bytes = (kept + free).min(OPENING_BYTES) / MIB * MIB;
        if bytes > kept && keep(&path, bytes).is_err() {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn keep(path: &Path, bytes: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    if fallocate(&file, FallocateFlags::empty(), 0, bytes).is_err() {
        write_zeros(&file, bytes)?;
    }
    file.sync_all()
}

/// For file systems that cannot allocate without writing.
fn write_zeros(mut file: &File, bytes: u64) -> std::io::Result<()> {
    let zeros = vec![0; 64 * 1024];
    for _ in 0..bytes / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    Ok(())
}
