//! Sending a piece of a file to the disk ahead of the sync that makes it durable.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Magic number of ext4 (and ext2, ext3, which the same driver serves) in statfs(2).
const EXT4: u64 = 0xEF53;

/// Begins to write what is dirty in `range`; does not wait for the disk.
pub(crate) fn begin(file: &File, range: &Range<u64>) -> io::Result<()> {
    sync_range(file, range, libc::SYNC_FILE_RANGE_WRITE)
}

/// Waits until the disk has taken all of `range`, into its cache at least. Tells write errors.
pub(crate) fn finish(file: &File, range: &Range<u64>) -> io::Result<()> {
    let whole =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, range, whole)
}

fn sync_range(file: &File, range: &Range<u64>, flags: libc::c_uint) -> io::Result<()> {
    let length = range.end.saturating_sub(range.start);
    // SAFETY: the descriptor is open as long as `file` is borrowed, and no memory is handed over.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), range.start as i64, length as i64, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a write over written blocks in `dir` goes to those very blocks and needs nothing else to be
/// found again, so that a flush of the disk's cache by any later sync on the same disk makes it durable:
/// ext4 that does not journal data. Where it cannot be known the answer is no.
pub(crate) fn overwrites_in_place(dir: &Path) -> bool {
    let is_ext4 = rustix::fs::statfs(dir).is_ok_and(|found| found.f_type as u64 == EXT4);
    is_ext4 && ext4_options(dir).is_some_and(|options| !options.lines().any(|line| line == "data=journal"))
}

/// All mount options of the ext4 that holds `dir`, those by default too.
fn ext4_options(dir: &Path) -> Option<String> {
    let device = dir.metadata().ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let node = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let name = node.file_name()?.to_str()?;
    std::fs::read_to_string(format!("/proc/fs/ext4/{name}/options")).ok()
}
