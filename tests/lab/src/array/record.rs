//! The array's own record: every write and every reservation command, by whom, when, and what the
//! array answered. A JSON object a line in `array.record`; times are the machine's monotonic clock,
//! the same in all processes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Result};

/// One command that came to the array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was handed to the array, in microseconds.
    pub sent_us: u64,
    /// When the array answered; none if it never did.
    pub done_us: Option<u64>,
    /// Who sent it: `a`, `b`, `stranger`, or `array` for the array itself.
    pub initiator: String,
    /// What it was.
    pub what: What,
    /// SCSI status of the answer; 0 is GOOD.
    pub status: Option<u8>,
}

/// What came to the array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A command that changes blocks.
    Write {
        /// First block.
        block: u64,
        /// How many.
        blocks: u64,
    },
    /// PERSISTENT RESERVE OUT (SPC-4 section 6.14).
    Reserve {
        /// Its service action.
        action: u8,
        /// The key of the sender.
        own_key: u64,
        /// The key acted upon.
        other_key: u64,
    },
    /// The array lost its power, and with it its reservations.
    PowerCycle,
}

impl Entry {
    /// Whether the array did it.
    pub fn is_good(&self) -> bool {
        self.status == Some(0)
    }
}

impl What {
    /// What a command descriptor block with this data asks for; none for what changes nothing.
    pub fn of(cdb: &[u8], data: &[u8]) -> Option<Self> {
        use super::pdu::number;
        let ten = || Self::Write { block: number(&cdb[2..6]), blocks: number(&cdb[7..9]) };
        let twelve = || Self::Write { block: number(&cdb[2..6]), blocks: number(&cdb[6..10]) };
        let sixteen = || Self::Write { block: number(&cdb[2..10]), blocks: number(&cdb[10..14]) };
        match cdb.first()? {
            // FORMAT UNIT, WRITE(6), UNMAP: where they write is of no matter here.
            0x04 | 0x0A | 0x42 => Some(Self::Write { block: 0, blocks: 0 }),
            // WRITE(10), WRITE AND VERIFY(10), WRITE SAME(10).
            0x2A | 0x2E | 0x41 => Some(ten()),
            // WRITE(12), WRITE AND VERIFY(12).
            0xAA | 0xAE => Some(twelve()),
            // WRITE(16), WRITE AND VERIFY(16), COMPARE AND WRITE, WRITE SAME(16), ORWRITE.
            0x8A | 0x8E | 0x89 | 0x93 | 0x8B => Some(sixteen()),
            0x5F => Some(Self::Reserve {
                action: cdb[1] & 0x1F,
                own_key: data.get(..8).map_or(0, number),
                other_key: data.get(8..16).map_or(0, number),
            }),
            _ => None,
        }
    }
}

/// The record while it is written.
#[derive(Debug)]
pub struct Record {
    file: Mutex<File>,
}

impl Record {
    /// Begins a record at `path`; an earlier one is forgotten.
    pub fn begin(path: &Path) -> Result<Self> {
        let file = File::create(path).doing(|| format!("{} cannot be made", path.display()))?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Adds a line.
    pub fn add(&self, entry: &Entry) {
        let Ok(mut line) = serde_json::to_vec(entry) else { return };
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&line) {
            eprintln!("the array's record cannot be written: {error}");
        }
    }

    /// The array lost its power now.
    pub fn power_cycle(&self) {
        let now = now_us();
        self.add(&Entry {
            sent_us: now,
            done_us: Some(now),
            initiator: "array".into(),
            what: What::PowerCycle,
            status: Some(0),
        });
    }
}

/// Everything on record at `path`.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).doing(|| format!("{} cannot be read", path.display()))?;
    // The last line may be in the middle of being written.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The machine's monotonic clock.
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reservations_are_told_from_the_rest() {
        let mut write = [0; 16];
        write[0] = 0x8A;
        write[9] = 7;
        write[13] = 8;
        assert_eq!(What::of(&write, &[]), Some(What::Write { block: 7, blocks: 8 }));
        let mut preempt = [0; 16];
        preempt[..2].copy_from_slice(&[0x5F, 4]);
        let mut keys = [0; 24];
        keys[7] = 1;
        keys[15] = 2;
        assert_eq!(What::of(&preempt, &keys), Some(What::Reserve { action: 4, own_key: 1, other_key: 2 }));
        assert_eq!(What::of(&[0x88; 16], &[]), None, "reading");
    }

    #[test]
    fn what_is_added_is_read_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        Record::begin(&path).unwrap().power_cycle();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"sent_us\":12,").unwrap();
        let entries = read(&path).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].what, What::PowerCycle);
    }
}
