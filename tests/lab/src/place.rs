//! Where a lab keeps its things: `.lab/NAME` in the project's root.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::error::{Doing, LabError, Result};
use crate::parts::BoxName;

/// Sockets of the boxes, on a file system that only the lab's processes see.
pub const INNER_RUN: &str = "/run/lab";

/// The folder of one lab.
#[derive(Debug, Clone)]
pub struct Place {
    /// `.lab/NAME`.
    pub dir: PathBuf,
}

impl Place {
    /// The folder of the lab called `instance`; it need not exist.
    pub fn of(instance: &str) -> Result<Self> {
        let usable = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if instance.is_empty() || !instance.chars().all(usable) {
            return Err(LabError::Refused(format!(
                "{instance:?} cannot be a lab's name; use letters, digits, - and _"
            )));
        }
        Ok(Self { dir: project_root()?.join(".lab").join(instance) })
    }

    /// Makes the folder where it is missing.
    pub fn make(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir).doing(|| format!("{} cannot be made", self.dir.display()))
    }

    /// Removes everything of an earlier lab.
    pub fn wipe(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("{} cannot be removed", self.dir.display()))
            }
            _ => self.make(),
        }
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.file("lab.log")
    }

    /// Process id of the daemon, as the host sees it.
    pub fn pid_file(&self) -> PathBuf {
        self.file("pid")
    }

    /// Everything a box ever said on its console.
    pub fn console_log(&self, name: BoxName) -> PathBuf {
        self.file(&format!("console-{name}.log"))
    }

    /// A box's own disk.
    pub fn disk(&self, name: BoxName) -> PathBuf {
        self.file(&format!("disk-{name}.img"))
    }

    /// What the array stores.
    pub fn lun(&self) -> PathBuf {
        self.file("lun.img")
    }

    /// What the array stores for the second service group.
    pub fn second_lun(&self) -> PathBuf {
        self.file("lun-2.img")
    }

    /// What came to the array.
    pub fn array_record(&self) -> PathBuf {
        self.file("array.record")
    }

    /// The daemon's socket under a name short enough for a socket address, however deep the
    /// project lies (unix(7) allows 108 bytes).
    pub fn control(&self) -> Result<ControlPath> {
        let folder =
            rustix::fs::open(&self.dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|_| LabError::NotRunning)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()));
        Ok(ControlPath { path, _folder: folder })
    }
}

/// The short name of the daemon's socket; good while it lives.
#[derive(Debug)]
pub struct ControlPath {
    path: PathBuf,
    _folder: OwnedFd,
}

impl AsRef<Path> for ControlPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// The project's root: the nearest folder upwards that holds `Cargo.lock`.
pub fn project_root() -> Result<PathBuf> {
    let here = std::env::current_dir().doing(|| "the current folder cannot be read".into())?;
    let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    Ok(root.unwrap_or(&here).to_owned())
}
