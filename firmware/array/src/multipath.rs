//! One device over all paths to a LUN: the kernel's multipath target, and the data partition on it.
//!
//! One priority group a path, so that commands go over one path and over the next when that one fails:
//! right for every array, whichever of its controllers owns the LUN. It fails fast: without a usable
//! path a command ends in an error at once. Commands that waited for a path (`queue_if_no_path`)
//! could reach the array after the box has lost its lease; an error instead ends the mail service,
//! and the group moves.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::device_mapper::{self, Target};

const WHOLE: &str = "twinmail-array";
const DATA: &str = "twinmail-data";
/// The data partition's number.
const DATA_PARTITION: u32 = 2;
const REMOVE_WAIT: Duration = Duration::from_secs(3);
const REMOVE_INTERVAL: Duration = Duration::from_millis(50);

/// Why the paths could not be put together.
#[derive(Debug, Error)]
pub enum MultipathError {
    /// The kernel refuses.
    #[error("the paths to the array cannot be put together: {what}: {source}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A path has no number, size or data partition.
    #[error("{0} is gone or has no data partition; check the cable to the array")]
    NoPath(String),
}

/// The device over all paths.
#[derive(Debug)]
pub struct Multipath {
    sectors: u64,
    data: PathBuf,
    /// Names of the paths in its table, and their numbers, `major:minor`.
    members: Vec<(String, String)>,
    suffix: String,
    whole: String,
}

impl Multipath {
    /// Whether this kernel can put paths together.
    pub fn is_possible() -> bool {
        device_mapper::is_present()
    }

    /// Puts the paths called `names` together, on each of which this box is registered; what an
    /// earlier run left behind is removed first. `suffix` tells the devices of one group from another's.
    pub fn assemble(names: &[String], suffix: &str) -> Result<Self, MultipathError> {
        let (whole_name, data_name) = device_names(suffix);
        remove_all(suffix)?;
        let members = numbered(names);
        let first = names.first().map_or("", String::as_str);
        let missing = || MultipathError::NoPath(first.to_owned());
        let sectors = number_in(first, "size").ok_or_else(missing)?;
        let partition = format!("{first}/{first}{DATA_PARTITION}");
        let start = number_in(&partition, "start").ok_or_else(missing)?;
        let length = number_in(&partition, "size").ok_or_else(missing)?;
        if members.is_empty() || length == 0 {
            return Err(missing());
        }
        let whole = device_mapper::create(&whole_name, &table(sectors, &members))
            .map_err(|source| MultipathError::Kernel { what: "the device over all paths", source })?;
        let below = number_in_text(&whole.file_name().unwrap_or_default().to_string_lossy(), "dev");
        let linear = Target {
            sectors: length,
            kind: "linear",
            parameters: format!("{} {start}", below.ok_or_else(missing)?),
        };
        match device_mapper::create(&data_name, &linear) {
            Ok(data) => Ok(Self { sectors, data, members, suffix: suffix.to_owned(), whole: whole_name }),
            Err(source) => {
                let _ = device_mapper::remove(&whole_name);
                Err(MultipathError::Kernel { what: "its data partition", source })
            }
        }
    }

    /// Node of the data partition on it.
    pub fn data_partition(&self) -> &Path {
        &self.data
    }

    /// Nothing goes over the path `name` any more; commands under way are sent again over another as
    /// soon as they fail.
    pub fn fail(&self, name: &str) -> Result<(), MultipathError> {
        let Some((_, number)) = self.members.iter().find(|(member, _)| member == name) else {
            return Ok(());
        };
        device_mapper::message(&self.whole, &format!("fail_path {number}"))
            .map_err(|source| MultipathError::Kernel { what: "a path that is to be left", source })
    }

    /// The path `name`, on which this box is registered again, is used again; `usable` are all that are.
    pub fn admit(&mut self, name: &str, usable: &[String]) -> Result<(), MultipathError> {
        let number = number_in_text(name, "dev").ok_or_else(|| MultipathError::NoPath(name.to_owned()))?;
        if self.members.contains(&(name.to_owned(), number.clone())) {
            return device_mapper::message(&self.whole, &format!("reinstate_path {number}"))
                .map_err(|source| MultipathError::Kernel { what: "a path that returns", source });
        }
        let members = numbered(usable);
        device_mapper::replace(&self.whole, &table(self.sectors, &members))
            .map_err(|source| MultipathError::Kernel { what: "a path that is new", source })?;
        self.members = members;
        Ok(())
    }

    /// Names of the paths that the kernel has given up by itself.
    pub fn failed(&self) -> Vec<String> {
        let status = device_mapper::status(&self.whole).unwrap_or_default();
        let failed = failed_numbers(&status);
        self.members
            .iter()
            .filter(|(_, number)| failed.contains(number))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Removes what an earlier run left behind; nothing may be mounted on it.
    pub fn remove_any(suffix: &str) -> Result<(), MultipathError> {
        remove_all(suffix)
    }

    /// Takes the device apart; nothing may be mounted on it.
    pub fn remove(self) -> Result<(), MultipathError> {
        remove_all(&self.suffix)
    }
}

/// Names of the device over all paths and of the data partition on it.
fn device_names(suffix: &str) -> (String, String) {
    (format!("{WHOLE}{suffix}"), format!("{DATA}{suffix}"))
}

fn remove_all(suffix: &str) -> Result<(), MultipathError> {
    let (whole, data) = device_names(suffix);
    for name in [&data, &whole] {
        let deadline = Instant::now() + REMOVE_WAIT;
        loop {
            match device_mapper::remove(name) {
                Ok(()) => break,
                // The last user has closed it, but the kernel has not noticed yet.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                    thread::sleep(REMOVE_INTERVAL);
                }
                Err(source) => {
                    return Err(MultipathError::Kernel { what: "an earlier device", source });
                }
            }
        }
    }
    Ok(())
}

/// `0 features 0 handlers, one group a path, begin with the first; each group: round-robin, 1 path
/// with 1 argument, so many commands before the next path`.
fn table(sectors: u64, members: &[(String, String)]) -> Target {
    let mut parameters = format!("0 0 {} 1", members.len());
    for (_, number) in members {
        parameters.push_str(&format!(" round-robin 0 1 1 {number} 1000"));
    }
    Target { sectors, kind: "multipath", parameters }
}

/// The device numbers that a state of the multipath target marks with `F`.
fn failed_numbers(status: &str) -> BTreeSet<String> {
    let words: Vec<&str> = status.split_whitespace().collect();
    let pairs = words.windows(2);
    pairs.filter(|pair| pair[0].contains(':') && pair[1] == "F").map(|pair| pair[0].to_owned()).collect()
}

fn numbered(names: &[String]) -> Vec<(String, String)> {
    names.iter().filter_map(|name| Some((name.clone(), number_in_text(name, "dev")?))).collect()
}

fn number_in_text(device: &str, file: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/sys/block").join(device).join(file)).ok()?;
    Some(text.trim().to_owned())
}

fn number_in(device: &str, file: &str) -> Option<u64> {
    number_in_text(device, file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_one_group_a_path_and_fails_fast() {
        let members = [("sda".to_owned(), "8:0".to_owned()), ("sdb".to_owned(), "8:16".to_owned())];
        let target = table(4_096, &members);
        assert_eq!(target.parameters, "0 0 2 1 round-robin 0 1 1 8:0 1000 round-robin 0 1 1 8:16 1000");
        assert!(!target.parameters.contains("queue_if_no_path"));
    }

    #[test]
    fn the_paths_that_the_kernel_gave_up_are_read_from_its_state() {
        let status = "2 0 1 0 2 1 A 0 1 0 8:0 F 1 E 0 1 0 8:16 A 0 ";
        assert_eq!(failed_numbers(status).into_iter().collect::<Vec<_>>(), ["8:0"]);
        assert!(failed_numbers("").is_empty());
    }
}
