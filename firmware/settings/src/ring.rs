//! A bounded ring of texts on the system partition, which outlives every reset.
//!
//! ```text
//! 1 MiB      this box's decisions, 128 slots of 4 KiB
//! 1.5 MiB    the other box's decisions, 128 slots of 4 KiB
//! 2 MiB      what was told of alarms, two copies of 64 KiB
//! 2.25 MiB   one page to try whether the partition can be written
//!
//! slot:  8 bytes  magic "TWINRING"
//!        8 bytes  number, big endian, from 1
//!        4 bytes  length of the text
//!        4 bytes  CRC-32C of number, length and text
//!        n bytes  the text
//! ```
//!
//! Entry `n` lies in slot `n % 128`. A torn slot is one lost entry and nothing else.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISCSI, Crc};

/// Slots of one ring.
pub const RING_SLOTS: u64 = 128;
/// Room of one slot, in bytes.
pub const RING_SLOT_BYTES: usize = 4096;
/// Longest text of one entry, in bytes.
pub const RING_TEXT_MAX: usize = RING_SLOT_BYTES - HEADER_BYTES;
const MAGIC: &[u8; 8] = b"TWINRING";
const HEADER_BYTES: usize = 24;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const MIB: u64 = 1 << 20;
const TRIAL_AT: u64 = 2 * MIB + MIB / 4;
/// Where the two copies of what was told of alarms lie.
pub(crate) const TOLD_AT: u64 = 2 * MIB;

/// Which ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingPlace {
    /// Decisions of this box.
    Own,
    /// Decisions of the other box, as it told them.
    Peer,
}

/// One ring on the system partition.
#[derive(Debug, Clone)]
pub struct Ring {
    path: PathBuf,
    at: u64,
}

impl Ring {
    /// The ring `place` on the partition (or, in tests, in the file) at `path`.
    pub fn new(path: &Path, place: RingPlace) -> Self {
        let at = match place {
            RingPlace::Own => MIB,
            RingPlace::Peer => MIB + RING_SLOTS * RING_SLOT_BYTES as u64,
        };
        Self { path: path.to_owned(), at }
    }

    /// Everything that is whole, by number.
    pub fn load(&self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let file = File::open(&self.path)?;
        let mut entries = Vec::new();
        let mut page = vec![0; RING_SLOT_BYTES];
        for slot in 0..RING_SLOTS {
            match file.read_exact_at(&mut page, self.offset(slot)) {
                Ok(()) => {}
                // A partition that is smaller has no ring yet.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            entries.extend(decode(&page).filter(|(number, _)| number % RING_SLOTS == slot));
        }
        entries.sort_by_key(|(number, _)| *number);
        Ok(entries)
    }

    /// Writes entry `number` over the one that is [`RING_SLOTS`] older; durable when this returns. A
    /// text that is too long is refused.
    pub fn put(&self, number: u64, text: &[u8]) -> io::Result<()> {
        if text.len() > RING_TEXT_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the entry is too long for its slot"));
        }
        let mut page = Vec::with_capacity(RING_SLOT_BYTES);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&number.to_be_bytes());
        page.extend_from_slice(&(text.len() as u32).to_be_bytes());
        page.extend_from_slice(&checksum(number, text).to_be_bytes());
        page.extend_from_slice(text);
        page.resize(RING_SLOT_BYTES, 0);
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all_at(&page, self.offset(number % RING_SLOTS))?;
        file.sync_data()
    }

    /// Forgets everything.
    pub fn clear(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all_at(&vec![0; RING_SLOTS as usize * RING_SLOT_BYTES], self.at)?;
        file.sync_data()
    }

    fn offset(&self, slot: u64) -> u64 {
        self.at + slot * RING_SLOT_BYTES as u64
    }
}

/// Writes a page that nobody needs and reads it back: whether the partition can be written now.
pub fn try_system_partition(path: &Path, stamp: u64) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut page = vec![0; RING_SLOT_BYTES];
    page[..8].copy_from_slice(&stamp.to_be_bytes());
    file.write_all_at(&page, TRIAL_AT)?;
    file.sync_data()?;
    let mut found = [0; 8];
    file.read_exact_at(&mut found, TRIAL_AT)?;
    if found == stamp.to_be_bytes() { Ok(()) } else { Err(io::Error::other("it reads back differently")) }
}

fn decode(page: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (magic, rest) = page.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let number = u64::from_be_bytes(*number);
    let text = rest.get(..u32::from_be_bytes(*length) as usize)?;
    (magic == MAGIC && u32::from_be_bytes(*sum) == checksum(number, text)).then(|| (number, text.to_vec()))
}

fn checksum(number: u64, text: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&number.to_be_bytes());
    digest.update(&(text.len() as u32).to_be_bytes());
    digest.update(text);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system");
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        (dir, path)
    }

    #[test]
    fn the_newest_entries_stay_and_the_rings_do_not_mix() {
        let (_dir, path) = partition();
        let (own, peer) = (Ring::new(&path, RingPlace::Own), Ring::new(&path, RingPlace::Peer));
        for number in 1..=RING_SLOTS + 5 {
            own.put(number, format!("own {number}").as_bytes()).unwrap();
        }
        peer.put(3, b"peer").unwrap();
        let kept = own.load().unwrap();
        assert_eq!(kept.len() as u64, RING_SLOTS);
        assert_eq!(kept.first().unwrap(), &(6, b"own 6".to_vec()));
        assert_eq!(kept.last().unwrap().0, RING_SLOTS + 5);
        assert_eq!(peer.load().unwrap(), [(3, b"peer".to_vec())]);
        own.clear().unwrap();
        assert!(own.load().unwrap().is_empty() && !peer.load().unwrap().is_empty());
    }

    #[test]
    fn a_torn_slot_is_one_lost_entry() {
        let (_dir, path) = partition();
        let ring = Ring::new(&path, RingPlace::Own);
        for number in 1..=3 {
            ring.put(number, &[number as u8; 900]).unwrap();
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[(MIB as usize) + 2 * RING_SLOT_BYTES + 512] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let numbers: Vec<_> = ring.load().unwrap().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 3]);
        assert!(ring.put(4, &vec![0; RING_TEXT_MAX + 1]).is_err());
    }

    #[test]
    fn a_partition_that_cannot_be_written_is_noticed() {
        let (_dir, path) = partition();
        try_system_partition(&path, 7).unwrap();
        assert!(try_system_partition(Path::new("/proc/version"), 7).is_err());
    }
}
