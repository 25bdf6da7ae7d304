//! Looks at the array from outside, with the boxes off: is the file system clean, is the database?

use std::path::Path;

use serde::Serialize;

use crate::error::{Doing, Result};
use crate::{partition, tool};

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
    let offset = partition::find(lun, partition::DATA)?;
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
