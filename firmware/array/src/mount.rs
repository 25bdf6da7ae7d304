//! The file system of the group: mount, grow, unmount, and the hard stop.

use std::fs::File;
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cluster::HeldProof;
use rustix::mount::{MountFlags, UnmountFlags};
use thiserror::Error;

use crate::kernel;
use crate::layout::PAGE_BYTES;
use crate::reservation::now;

/// How the file system is mounted: metadata is written after the data it points to, barriers are on,
/// and the first error makes it read-only, so that the mail service stops acknowledging at once. (A
/// panic instead would also reset a box whose reads failed for a moment.)
pub const OPTIONS: &str = "errors=remount-ro,data=ordered,barrier=1";

const UNMOUNT_INTERVAL: Duration = Duration::from_millis(50);
const BLOCK_BYTES: u64 = PAGE_BYTES as u64;

/// Why mounting or unmounting failed.
#[derive(Debug, Error)]
pub enum MountError {
    /// The right to write has run out.
    #[error("the reservation is no longer proven; {0} is not mounted")]
    NotHeld(PathBuf),
    /// The kernel refuses.
    #[error("{device} cannot be mounted on {directory}: {source}")]
    Mount {
        /// Device node.
        device: PathBuf,
        /// Where it should go.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be grown.
    #[error("the file system on {directory} cannot be grown to the partition's size: {source}")]
    Grow {
        /// Where it is mounted.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody still uses it.
    #[error("{0} is still in use and cannot be unmounted")]
    Busy(PathBuf),
    /// The kernel refuses.
    #[error("{directory} cannot be unmounted: {source}")]
    Unmount {
        /// Where it is mounted.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Mounts the ext4 file system on `device` at `directory`, which is made if it is missing, and grows
/// it to the partition's size. Mounted there already is fine.
pub fn mount(proof: &HeldProof, device: &Path, directory: &Path) -> Result<(), MountError> {
    let failed =
        |source| MountError::Mount { device: device.to_owned(), directory: directory.to_owned(), source };
    if !proof.is_valid(now()) {
        return Err(MountError::NotHeld(device.to_owned()));
    }
    if !is_mounted(directory) {
        std::fs::create_dir_all(directory).map_err(failed)?;
        // What this box read of the partition before may be older than what the other box wrote.
        File::open(device).and_then(|file| kernel::drop_cache(&file)).map_err(failed)?;
        let flags = MountFlags::NOATIME | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        let options = std::ffi::CString::new(OPTIONS).unwrap_or_default();
        rustix::mount::mount(device, directory, "ext4", flags, options.as_c_str())
            .map_err(|error| failed(error.into()))?;
    }
    match grow(device, directory) {
        // The kernel does not grow a file system that has met an error of the array once (EPERM), until
        // somebody has checked it. It serves all the same: a pair in which neither box mounts for want
        // of room that nobody has asked for would be worse.
        Err(MountError::Grow { source, .. }) if source.raw_os_error() == Some(libc::EPERM) => {
            tracing::warn!(
                "the file system on {} has met errors of the array; check it when the mail can pause",
                directory.display()
            );
            Ok(())
        }
        result => result,
    }
}

/// Grows the mounted file system to the size of its partition; nothing to do is fine.
fn grow(device: &Path, directory: &Path) -> Result<(), MountError> {
    let failed = |source| MountError::Grow { directory: directory.to_owned(), source };
    let size = File::open(device).and_then(|mut file| io::Seek::seek(&mut file, io::SeekFrom::End(0)));
    let blocks = size.map_err(failed)? / BLOCK_BYTES;
    let root = File::open(directory).map_err(failed)?;
    kernel::resize_ext4(&root, blocks).map_err(failed)
}

/// Unmounts `directory`, waiting at most `within` for the last user. Not mounted is fine. Never
/// lazy: a file system that still writes after the reservation is given up would be fenced.
pub fn unmount(directory: &Path, within: Duration) -> Result<(), MountError> {
    let deadline = Instant::now() + within;
    loop {
        if !is_mounted(directory) {
            return Ok(());
        }
        match rustix::mount::unmount(directory, UnmountFlags::empty()) {
            Ok(()) => {}
            Err(rustix::io::Errno::BUSY) if Instant::now() >= deadline => {
                return Err(MountError::Busy(directory.to_owned()));
            }
            Err(rustix::io::Errno::BUSY) => thread::sleep(UNMOUNT_INTERVAL),
            Err(error) => {
                let (directory, source) = (directory.to_owned(), error.into());
                return Err(MountError::Unmount { directory, source });
            }
        }
    }
}

/// Stops the file system on `directory` at once, writing nothing more, not even its journal, and
/// takes it out of the way. For a box that has lost the reservation and is about to reset.
pub fn abandon(directory: &Path) {
    if !is_mounted(directory) {
        return;
    }
    if let Err(error) = File::open(directory).and_then(|root| kernel::stop_ext4(&root)) {
        tracing::error!("{} cannot be stopped: {error}", directory.display());
    }
    // Safe to do lazily: after the stop nothing can be written through it any more.
    if let Err(error) = rustix::mount::unmount(directory, UnmountFlags::DETACH) {
        tracing::error!("{} cannot be detached: {error}", directory.display());
    }
}

/// How many errors the ext4 file system at `directory` has met since it was last checked, on whichever box:
/// the count stays in the file system. None where there is no such file system (kernel documentation,
/// "ext4", sysfs `errors_count`).
pub fn errors_met(directory: &Path) -> Option<u64> {
    let device = std::fs::metadata(directory).ok()?.st_dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let node = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let count = Path::new("/sys/fs/ext4").join(node.file_name()?).join("errors_count");
    std::fs::read_to_string(count).ok()?.trim().parse().ok()
}

/// Whether a file system is mounted at `directory`.
pub fn is_mounted(directory: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let wanted = directory.to_string_lossy();
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(wanted.as_ref()))
}
