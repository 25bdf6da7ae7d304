//! Space kept back on the disk, so that deleting mail works when the disk is full.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Bytes kept back: enough for the log of many deletions and for one compaction step.
const RESERVE_BYTES: u64 = 8 * 1024 * 1024;
/// The reserve is made again, and mail is taken again, when this much is free.
const FREE_BYTES_MIN: u64 = 3 * RESERVE_BYTES;

/// The reserve file.
pub(crate) struct Reserve {
    path: PathBuf,
    dir: PathBuf,
    held: bool,
}

/// Gives up the reserve of a store that cannot be opened because its disk is full; false if that is not
/// why, or there is none.
pub(crate) fn give_up(dir: &Path) -> bool {
    let free = statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    free < RESERVE_BYTES && std::fs::remove_file(dir.join("reserve")).is_ok()
}

impl Reserve {
    /// Takes the reserve if the disk has room for it.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join("reserve");
        let held = path.metadata().is_ok_and(|file| file.len() == RESERVE_BYTES);
        let mut reserve = Self { path, dir: dir.to_owned(), held };
        reserve.restore();
        reserve
    }

    /// Whether the disk is so full that nothing may grow.
    pub fn is_short(&mut self) -> bool {
        if !self.held {
            self.restore();
        }
        !self.held
    }

    /// Gives the space to whoever deletes.
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
        if self.held {
            return;
        }
        let free = statvfs(&self.dir).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if free < FREE_BYTES_MIN {
            return;
        }
        self.held = self.make().is_ok();
        if !self.held {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn make(&self) -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&self.path)?;
        if fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES).is_err() {
            write_zeros(&file)?;
        }
        file.sync_all()
    }
}

/// For file systems that cannot allocate without writing.
fn write_zeros(mut file: &File) -> std::io::Result<()> {
    let zeros = vec![0; 64 * 1024];
    for _ in 0..RESERVE_BYTES / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    Ok(())
}
