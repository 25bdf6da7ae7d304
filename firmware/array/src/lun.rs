//! The LUNs this box sees, found through sysfs and asked for their names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::content::{self, Content};
use crate::device::{Device, ScsiError};
use crate::pages::Pages;

/// Most LUNs that are looked at.
pub const LUNS_MAX: usize = 256;
/// Seconds the kernel waits for a read or write before it calls the only path to the array dead.
pub const PATH_TIMEOUT_S: u32 = 10;
/// The same where another path can carry it: what a path that stalls has swallowed comes back so soon.
pub const ONE_OF_PATHS_TIMEOUT_S: u32 = 3;

const SYS_BLOCK: &str = "/sys/block";
const SYS_HOSTS: &str = "/sys/class/scsi_host";
/// `/sys/block/*/size` counts in these, whatever the block size is.
const SECTOR_BYTES: u64 = 512;
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// One LUN, over one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lun {
    /// Its own name, the same from every box and over every path.
    pub id: String,
    /// Device node.
    pub device: PathBuf,
    /// Vendor and product.
    pub model: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// Why a LUN could not be found.
#[derive(Debug, Error)]
pub enum LunError {
    /// It is not there.
    #[error("the LUN {0} is not visible to this box; check host card, cable and the array's host mapping")]
    NotFound(String),
    /// Its partitions do not show.
    #[error("the partition {0} of the LUN did not appear; the LUN may have been changed elsewhere")]
    NoPartition(PathBuf),
    /// The array takes no writes.
    #[error("the array says that {0} is write protected; allow writing in the array's own settings")]
    WriteProtected(PathBuf),
    /// The kernel refuses to look again.
    #[error("the partition table of {device} cannot be read again: {source}")]
    Reread {
        /// Device node.
        device: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// All LUNs behind host adapters with the kernel driver `driver`, or behind any.
///
/// A LUN that does not give its name is left out, with a line in the log.
pub fn discover(driver: Option<&str>) -> Vec<Lun> {
    let mut luns = Vec::new();
    for (name, directory) in scsi_disks(driver).into_iter().take(LUNS_MAX) {
        let device = Path::new("/dev").join(&name);
        match Device::open(&device).and_then(|device| device.identification()) {
            Ok(id) => {
                let (model, size_bytes) = (model(&directory), size_bytes(&directory));
                luns.push(Lun { id, device, model, size_bytes });
            }
            Err(error) => tracing::warn!("{}", not_named(&device, &error)),
        }
    }
    luns.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.device.cmp(&b.device)));
    luns
}

/// Every SCSI disk behind host adapters with the kernel driver `driver`, without a word to any: its name
/// and its place, `host:channel:target:lun`.
pub fn disks(driver: &str) -> Vec<(String, String)> {
    let place = |directory: &Path| fs::canonicalize(directory.join("device")).ok();
    let disks = scsi_disks(Some(driver)).into_iter().take(LUNS_MAX);
    disks
        .filter_map(|(name, directory)| {
            let place = place(&directory)?.file_name()?.to_string_lossy().into_owned();
            Some((name, place))
        })
        .collect()
}

/// How many host channels with the kernel driver `driver` this box has, whatever hangs on them.
pub fn hosts(driver: &str) -> usize {
    let entries = fs::read_dir(SYS_HOSTS).into_iter().flatten().flatten();
    entries.filter(|entry| read(&entry.path().join("proc_name")) == driver).count()
}

/// The first working path to the LUN `id`.
pub fn find(id: &str, driver: Option<&str>) -> Result<Lun, LunError> {
    let found = discover(driver).into_iter().find(|lun| lun.id == id);
    found.ok_or_else(|| LunError::NotFound(id.to_owned()))
}

/// Has every host adapter look for LUNs that came or came back without saying so. This asks every
/// possible target and takes many seconds.
pub fn rescan_hosts() {
    for entry in fs::read_dir(SYS_HOSTS).into_iter().flatten().flatten() {
        if let Err(error) = fs::write(entry.path().join("scan"), "- - -") {
            tracing::warn!("{} does not look for LUNs: {error}", entry.path().display());
        }
    }
}

impl Lun {
    /// What is on it.
    pub fn content(&self) -> Content {
        match Pages::open(&self.device, false) {
            Ok(pages) => content::detect(&pages, self.size_bytes),
            Err(error) => Content::Unreadable { reason: error.to_string() },
        }
    }

    /// The LUN `id` over the path with the block device `name`, without a word to the array.
    pub fn over(id: &str, name: &str) -> Self {
        let directory = Path::new(SYS_BLOCK).join(name);
        let (model, size_bytes) = (model(&directory), size_bytes(&directory));
        Self { id: id.to_owned(), device: Path::new("/dev").join(name), model, size_bytes }
    }

    /// Has the kernel give a dead path up after `seconds` instead of half a minute.
    pub fn bound_waiting(&self, seconds: u32) {
        let device = Path::new(SYS_BLOCK).join(self.name()).join("device");
        for file in ["timeout", "eh_timeout"] {
            if let Err(error) = fs::write(device.join(file), seconds.to_string()) {
                tracing::warn!("{}/{file} cannot be set: {error}", device.display());
            }
        }
    }

    /// Device node of the data partition, after a fresh look at the partition table; `within` is how
    /// long its node may take to appear.
    pub fn data_partition(&self, within: Duration) -> Result<PathBuf, LunError> {
        let partition = PathBuf::from(format!("{}2", self.device.display()));
        let reread = |source| LunError::Reread { device: self.device.clone(), source };
        self.check_protection()?;
        let device = fs::File::open(&self.device).map_err(reread)?;
        crate::kernel::reread_partitions(&device).map_err(reread)?;
        let deadline = Instant::now() + within;
        while !partition.exists() {
            if Instant::now() >= deadline {
                return Err(LunError::NoPartition(partition));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(partition)
    }

    /// Whether the array lets this box write at all, reservations aside.
    ///
    /// The kernel asks a disk once whether it is write protected, refuses to open it for writing, and
    /// believes that until it is told to look again; so it is told. An array that takes writes again would
    /// stay read-only for this box for ever. A box that is not registered may get no answer (SPC-4 5.12.1),
    /// so ask this after the fence.
    pub fn check_protection(&self) -> Result<(), LunError> {
        let directory = Path::new(SYS_BLOCK).join(self.name());
        // Its `ro` in sysfs says less: it is cleared when the array refuses the question.
        let is_protected = || {
            let opened = fs::OpenOptions::new().read(true).write(true).open(&self.device);
            opened.is_err_and(|error| error.raw_os_error() == Some(libc::EROFS))
        };
        if !is_protected() {
            return Ok(());
        }
        if let Err(error) = fs::write(directory.join("device/rescan"), "1") {
            tracing::warn!("{} cannot be looked at again: {error}", directory.display());
        }
        if is_protected() {
            return Err(LunError::WriteProtected(self.device.clone()));
        }
        tracing::info!("{} is no longer write protected", self.device.display());
        Ok(())
    }

    fn name(&self) -> String {
        self.device.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Name and sysfs directory of every SCSI disk behind `driver`.
fn scsi_disks(driver: Option<&str>) -> Vec<(String, PathBuf)> {
    let mut disks = Vec::new();
    for entry in fs::read_dir(SYS_BLOCK).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let directory = entry.path();
        let behind = driver.is_none_or(|wanted| driver_of(&directory).as_deref() == Some(wanted));
        if name.starts_with("sd") && behind {
            disks.push((name, directory));
        }
    }
    disks.sort();
    disks
}

/// The kernel driver of the host adapter a disk hangs on.
fn driver_of(directory: &Path) -> Option<String> {
    let real = fs::canonicalize(directory).ok()?;
    let is_host = |part: &str| part.strip_prefix("host").is_some_and(|n| n.parse::<u32>().is_ok());
    let mut parts = real.iter().filter_map(|part| part.to_str());
    let host = parts.find(|part| is_host(part))?.to_owned();
    Some(read(&Path::new(SYS_HOSTS).join(host).join("proc_name")))
}

fn model(directory: &Path) -> String {
    let vendor = read(&directory.join("device/vendor"));
    let product = read(&directory.join("device/model"));
    format!("{vendor} {product}").trim().to_owned()
}

fn size_bytes(directory: &Path) -> u64 {
    read(&directory.join("size")).parse::<u64>().map_or(0, |sectors| sectors * SECTOR_BYTES)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn not_named(device: &Path, error: &ScsiError) -> String {
    format!("{} is left out, it does not give its name: {error}", device.display())
}
