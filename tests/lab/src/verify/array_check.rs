//! Looks at the array from outside, with the boxes off: is the file system clean, is the database?

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Serialize;

use crate::error::{Doing, LabError, Result};
use crate::tool;

/// The LUN's partition table has 128 entries of 128 bytes from the third sector on (UEFI 5.3).
const SECTOR_BYTES: u64 = 512;
const HEADER_OFFSET: u64 = SECTOR_BYTES;
const ENTRY_BYTES: usize = 128;
const ENTRIES_MAX: usize = 128;
/// Name of the partition that holds the mail.
const DATA_PARTITION: &str = "twinmail-data";
/// The database and its log, from the file system's root.
const DATABASE: [&str; 2] = ["mail.db", "mail.db-wal"];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArrayReport {
    /// `clean`, or what e2fsck said.
    pub file_system: String,
    /// `clean`, or what SQLite said.
    pub database: String,
}

impl ArrayReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.file_system == "clean" && self.database == "clean"
    }
}

/// Checks file system and database on the LUN's file; `folder` is for the database's copy.
pub fn check(lun: &Path, folder: &Path) -> Result<ArrayReport> {
    let offset = data_partition(lun)?;
    // Both tools take the place of a file system in a larger file like this (e2fsck(8), debugfs(8)).
    let place = format!("{}?offset={offset}", lun.display());
    let fsck = tool::output("e2fsck", &["-f", "-n", &place], "")?;
    let said = String::from_utf8_lossy(&fsck.stdout);
    let file_system = if fsck.status.success() { "clean".into() } else { said.trim().to_owned() };
    Ok(ArrayReport { file_system, database: check_database(&place, folder)? })
}

fn check_database(place: &str, folder: &Path) -> Result<String> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).doing(|| format!("{} cannot be made", folder.display()))?;
    for name in DATABASE {
        let copy = folder.join(name);
        tool::run("debugfs", &["-R", &format!("dump /{name} {}", copy.display()), place], "")?;
    }
    let copy = folder.join(DATABASE[0]).display().to_string();
    if std::fs::metadata(&copy).map_or(0, |file| file.len()) == 0 {
        return Ok(format!("there is no {} on the file system", DATABASE[0]));
    }
    let said = tool::run("sqlite3", &[&copy, "PRAGMA integrity_check; PRAGMA foreign_key_check;"], "")?;
    Ok(if said.trim() == "ok" { "clean".into() } else { said.trim().to_owned() })
}

/// Where the partition with the mail begins, in bytes.
fn data_partition(lun: &Path) -> Result<u64> {
    let file = File::open(lun).doing(|| format!("{} cannot be read", lun.display()))?;
    let unreadable = || format!("the partition table of {} cannot be read", lun.display());
    let mut header = [0; 92];
    file.read_exact_at(&mut header, HEADER_OFFSET).doing(unreadable)?;
    let table = SECTOR_BYTES * number(&header[72..80]);
    for index in 0..ENTRIES_MAX {
        let mut entry = [0; ENTRY_BYTES];
        file.read_exact_at(&mut entry, table + (index * ENTRY_BYTES) as u64).doing(unreadable)?;
        let name = entry[56..].chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let name: Vec<u16> = name.take_while(|unit| *unit != 0).collect();
        if String::from_utf16_lossy(&name) == DATA_PARTITION {
            return Ok(SECTOR_BYTES * number(&entry[32..40]));
        }
    }
    Err(LabError::Refused(format!("the LUN has no partition called {DATA_PARTITION}")))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
