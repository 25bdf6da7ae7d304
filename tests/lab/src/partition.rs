//! Finds a partition in the file behind a disk or a LUN.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Doing, LabError, Result};

/// The partition table has 128 entries of 128 bytes, where its header says (UEFI 5.3).
const SECTOR_BYTES: u64 = 512;
const HEADER_OFFSET: u64 = SECTOR_BYTES;
const ENTRY_BYTES: usize = 128;
const ENTRIES_MAX: usize = 128;

/// Name of the LUN's partition that holds the mail.
pub const DATA: &str = "twinmail-data";
/// Name of the LUN's partition that holds the heartbeat slots.
pub const SLOTS: &str = "twinmail-slots";
/// Name of the disk's partition that holds a box's settings.
pub const SYSTEM: &str = "twinmail-system";

/// Where the partition called `wanted` begins in the file at `path`, in bytes.
pub fn find(path: &Path, wanted: &str) -> Result<u64> {
    let file = File::open(path).doing(|| format!("{} cannot be read", path.display()))?;
    let unreadable = || format!("the partition table of {} cannot be read", path.display());
    let mut header = [0; 92];
    file.read_exact_at(&mut header, HEADER_OFFSET).doing(unreadable)?;
    let table = SECTOR_BYTES * number(&header[72..80]);
    for index in 0..ENTRIES_MAX {
        let mut entry = [0; ENTRY_BYTES];
        file.read_exact_at(&mut entry, table + (index * ENTRY_BYTES) as u64).doing(unreadable)?;
        let name = entry[56..].chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let name: Vec<u16> = name.take_while(|unit| *unit != 0).collect();
        if String::from_utf16_lossy(&name) == wanted {
            return Ok(SECTOR_BYTES * number(&entry[32..40]));
        }
    }
    Err(LabError::Refused(format!("{} has no partition called {wanted}", path.display())))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
