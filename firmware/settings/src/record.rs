//! The two-copy record on the system partition.
//!
//! ```text
//! byte 0            65536           131072
//! |  copy 0         |  copy 1       |  unused ...
//!
//! copy:  8 bytes  magic "TWINMAIL"
//!        8 bytes  sequence, big endian, counts up with every change
//!        4 bytes  length of the text
//!        4 bytes  CRC-32C of sequence, length and text
//!        n bytes  the settings as JSON
//! ```
//!
//! What was told of alarms is kept in the same way at 2 MiB; see [`crate::Ring`] for the rest.
//!
//! The valid copy with the higher sequence counts. A change is written over the other one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISCSI, Crc};
use thiserror::Error;

use crate::Settings;
use crate::ring::{Ring, RingPlace, TOLD_AT};

/// Room for one copy, in bytes.
pub const COPY_BYTES: usize = 65_536;
/// How many copies there are.
pub const COPIES: u64 = 2;

const MAGIC: &[u8; 8] = b"TWINMAIL";
const HEADER_BYTES: usize = 24;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Why settings could not be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The partition cannot be read or written.
    #[error("the system partition {path} failed: {source}")]
    Device {
        /// The partition.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is there, but neither copy is whole.
    #[error(
        "the settings on the system partition are damaged: no copy is whole; have the other box forget this one \
             (peer forget), then join it again, or set it up anew"
    )]
    Damaged,
    /// The settings are of a form this version does not know.
    #[error("the settings on the system partition are not understood by this version: {0}")]
    NotUnderstood(serde_json::Error),
    /// The settings do not fit.
    #[error("the settings take {0} bytes; there is room for {max}", max = COPY_BYTES - HEADER_BYTES)]
    TooLong(usize),
}

/// The system partition, as far as settings are concerned.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    path: PathBuf,
}

struct Copy {
    sequence: u64,
    text: Vec<u8>,
}

impl SettingsFile {
    /// Settings in the partition (or, for tests, the file) at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The partition this is about.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the settings; `None` on a box that was never set up.
    pub fn load(&self) -> Result<Option<Settings>, RecordError> {
        let file = File::open(&self.path).map_err(|e| self.device(e))?;
        let (copies, touched) = self.copies(&file, 0)?;
        match copies.into_iter().flatten().max_by_key(|copy| copy.sequence) {
            Some(copy) => serde_json::from_slice(&copy.text).map(Some).map_err(RecordError::NotUnderstood),
            None if touched => Err(RecordError::Damaged),
            None => Ok(None),
        }
    }

    /// Writes the settings over the older copy; durable when this returns.
    pub fn save(&self, settings: &Settings) -> Result<(), RecordError> {
        let text = serde_json::to_vec(settings).map_err(RecordError::NotUnderstood)?;
        self.write_copy(0, &text)
    }

    /// What was told of alarms, as text; none where nothing whole is there.
    pub fn load_told(&self) -> Result<Option<Vec<u8>>, RecordError> {
        let file = File::open(&self.path).map_err(|e| self.device(e))?;
        let (copies, _) = self.copies(&file, TOLD_AT)?;
        Ok(copies.into_iter().flatten().max_by_key(|copy| copy.sequence).map(|copy| copy.text))
    }

    /// Keeps what was told of alarms; durable when this returns.
    pub fn save_told(&self, text: &[u8]) -> Result<(), RecordError> {
        self.write_copy(TOLD_AT, text)
    }

    /// Writes `text` over the older of the two copies at `at`.
    fn write_copy(&self, at: u64, text: &[u8]) -> Result<(), RecordError> {
        if text.len() > COPY_BYTES - HEADER_BYTES {
            return Err(RecordError::TooLong(text.len()));
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(|e| self.device(e))?;
        let (copies, touched) = self.copies(&file, at)?;
        if touched && copies.iter().all(Option::is_none) {
            // What could not be read now must not win later, should it be readable again.
            let zeros = vec![0; COPY_BYTES * COPIES as usize];
            file.write_all_at(&zeros, at).map_err(|e| self.device(e))?;
        }
        let newest = copies.iter().enumerate().filter_map(|(i, c)| Some((c.as_ref()?.sequence, i))).max();
        let (sequence, slot) = newest.map_or((1, 0), |(sequence, i)| (sequence + 1, 1 - i as u64));
        let copy = encode(sequence, text);
        file.write_all_at(&copy, at + slot * COPY_BYTES as u64).map_err(|e| self.device(e))?;
        file.sync_all().map_err(|e| self.device(e))
    }

    /// Forgets everything, decisions and what was told as well: the box is as new. Cut off anywhere, it
    /// leaves the newest settings or none, never older ones.
    pub fn erase(&self) -> Result<(), RecordError> {
        for place in [RingPlace::Own, RingPlace::Peer] {
            Ring::new(&self.path, place).clear().map_err(|e| self.device(e))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(|e| self.device(e))?;
        let zeros = vec![0; COPY_BYTES];
        for at in [TOLD_AT, 0] {
            let (copies, _) = self.copies(&file, at)?;
            let mut slots: Vec<_> =
                copies.iter().map(|copy| copy.as_ref().map(|it| it.sequence)).enumerate().collect();
            slots.sort_by_key(|(_, sequence)| *sequence);
            for (slot, _) in slots {
                file.write_all_at(&zeros, at + (slot * COPY_BYTES) as u64).map_err(|e| self.device(e))?;
                file.sync_data().map_err(|e| self.device(e))?;
            }
        }
        Ok(())
    }

    /// Both copies, and whether anything but zeros is there.
    fn copies(&self, file: &File, at: u64) -> Result<([Option<Copy>; 2], bool), RecordError> {
        let mut bytes = vec![0; COPY_BYTES * COPIES as usize];
        file.read_exact_at(&mut bytes, at).map_err(|e| self.device(e))?;
        let touched = bytes.iter().any(|byte| *byte != 0);
        let (first, second) = bytes.split_at(COPY_BYTES);
        Ok(([decode(first), decode(second)], touched))
    }

    fn device(&self, source: io::Error) -> RecordError {
        RecordError::Device { path: self.path.clone(), source }
    }
}

fn encode(sequence: u64, text: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(COPY_BYTES);
    copy.extend_from_slice(MAGIC);
    copy.extend_from_slice(&sequence.to_be_bytes());
    copy.extend_from_slice(&(text.len() as u32).to_be_bytes());
    copy.extend_from_slice(&checksum(sequence, text).to_be_bytes());
    copy.extend_from_slice(text);
    copy.resize(COPY_BYTES, 0);
    copy
}

fn decode(bytes: &[u8]) -> Option<Copy> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let sequence = u64::from_be_bytes(*sequence);
    let text = rest.get(..u32::from_be_bytes(*length) as usize)?;
    let whole = magic == MAGIC && u32::from_be_bytes(*sum) == checksum(sequence, text);
    whole.then(|| Copy { sequence, text: text.to_vec() })
}

fn checksum(sequence: u64, text: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&sequence.to_be_bytes());
    digest.update(&(text.len() as u32).to_be_bytes());
    digest.update(text);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Language, Node, Secret, Timing};

    fn settings(name: &str) -> Settings {
        Settings {
            box_name: name.to_owned(),
            node: Node::A,
            peer_name: None,
            pair_id: 7,
            pair_key: Secret([3; 32]),
            public_addresses: vec!["192.0.2.1/24".to_owned()],
            gateways: vec![],
            name_servers: vec![],
            virtual_addresses: vec!["192.0.2.10/24".to_owned()],
            lun: "naa.1".to_owned(),
            domain: "example.com".to_owned(),
            password_hash: String::new(),
            language: Language::Zh,
            timing: Timing::default(),
            preferred: None,
            fail_back: false,
            preference_revision: 0,
            maintenance: false,
            telling: crate::Telling::default(),
            former_mark: None,
            further_groups: vec![],
            controllers: crate::Controllers::default(),
        }
    }

    fn partition() -> (tempfile::TempDir, SettingsFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system");
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        (dir, SettingsFile::new(path))
    }

    #[test]
    fn a_new_box_has_no_settings_and_keeps_the_last_ones_given() {
        let (_dir, file) = partition();
        assert!(file.load().unwrap().is_none());
        for name in ["one", "two", "three"] {
            file.save(&settings(name)).unwrap();
            assert_eq!(file.load().unwrap().unwrap().box_name, name);
        }
    }

    #[test]
    fn a_box_that_forgets_is_as_new() {
        let (_dir, file) = partition();
        for name in ["one", "two"] {
            file.save(&settings(name)).unwrap();
            file.save_told(name.as_bytes()).unwrap();
        }
        for place in [RingPlace::Own, RingPlace::Peer] {
            Ring::new(file.path(), place).put(1, b"a decision").unwrap();
        }
        file.erase().unwrap();
        assert!(file.load().unwrap().is_none());
        assert!(std::fs::read(file.path()).unwrap().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_was_told_lies_beside_the_settings() {
        let (_dir, file) = partition();
        assert_eq!(file.load_told().unwrap(), None);
        for text in ["one", "two", "three"] {
            file.save_told(text.as_bytes()).unwrap();
            assert_eq!(file.load_told().unwrap().unwrap(), text.as_bytes());
        }
        assert!(file.load().unwrap().is_none());
    }

    #[test]
    fn a_power_cut_anywhere_in_a_change_leaves_the_old_settings_whole() {
        let (_dir, file) = partition();
        file.save(&settings("old")).unwrap();
        let before = std::fs::read(file.path()).unwrap();
        file.save(&settings("new")).unwrap();
        let after = std::fs::read(file.path()).unwrap();
        for cut in (COPY_BYTES..COPY_BYTES + 700).step_by(13) {
            let torn = [&after[..cut], &before[cut..]].concat();
            std::fs::write(file.path(), torn).unwrap();
            let name = file.load().unwrap().unwrap().box_name;
            assert!(name == "old" || name == "new", "{name}");
        }
    }

    #[test]
    fn damage_to_both_copies_is_said_and_not_taken_for_a_new_box() {
        let (_dir, file) = partition();
        file.save(&settings("x")).unwrap();
        let mut bytes = std::fs::read(file.path()).unwrap();
        bytes[30] ^= 1;
        std::fs::write(file.path(), bytes).unwrap();
        assert!(matches!(file.load(), Err(RecordError::Damaged)));
    }
}
