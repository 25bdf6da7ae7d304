//! What lies where on a Twinmail LUN.
//!
//! ```text
//! 0          GPT (protective MBR, header, table); its copy at the end of the LUN
//! 1 MiB      partition 1 "twinmail-slots", 1 MiB:
//!              +0     heartbeat slot of box a, 4 KiB
//!              +4096  heartbeat slot of box b, 4 KiB
//!              +8192  header page, 4 KiB
//! 2 MiB      partition 2 "twinmail-data", to the end: ext4
//!
//! header page, all numbers big endian:
//!   0  8  magic "TWLUNHDR"
//!   8  4  format version, 1
//!  12  4  pair id
//!  16  1  1: being made, 2: complete
//!  17  3  zero
//!  20  4  mark of the pair's key, 0: none yet
//!  24  4  CRC-32C of bytes 0 to 23
//! ```

use std::fs::File;
use std::io;

use cluster::Node;
use crc::{CRC_32_ISCSI, Crc};
use gpt::partition_types;
use thiserror::Error;

/// Size of one slot and of the header page, in bytes.
pub const PAGE_BYTES: usize = 4096;
/// Where partition 1 begins, in bytes.
pub const SLOTS_OFFSET: u64 = 1024 * 1024;
/// Length of partition 1, in bytes.
pub const SLOTS_BYTES: u64 = 1024 * 1024;
/// Where the header page lies, in bytes.
pub const HEADER_OFFSET: u64 = SLOTS_OFFSET + 2 * PAGE_BYTES as u64;
/// Where partition 2 begins, in bytes.
pub const DATA_OFFSET: u64 = SLOTS_OFFSET + SLOTS_BYTES;
/// Kept free at the end for the copy of the GPT, and to end on an even MiB.
pub const TAIL_BYTES: u64 = 1024 * 1024;
/// Smallest LUN that is accepted, in bytes.
pub const LUN_MIN_BYTES: u64 = 1024 * 1024 * 1024;
/// Name of partition 1.
pub const SLOTS_NAME: &str = "twinmail-slots";
/// Name of partition 2.
pub const DATA_NAME: &str = "twinmail-data";

const MAGIC: &[u8; 8] = b"TWLUNHDR";
const VERSION: u32 = 1;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The header page: whose LUN it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The pair it belongs to.
    pub pair_id: u32,
    /// Whether its file system was made to the end.
    pub complete: bool,
    /// Mark of the key that the pair's boxes have; 0 where no box has marked it yet. It changes when a box
    /// is replaced, so that the old one is known for no member any more.
    pub mark: u32,
}

/// Why a partition table could not be written.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// Too small for a mail store.
    #[error("the LUN has {0} bytes; it needs at least {LUN_MIN_BYTES} (1 GiB)")]
    TooSmall(u64),
    /// A block size nobody sells.
    #[error("the LUN has blocks of {0} bytes; only 512 and 4096 are supported")]
    BlockSize(u32),
    /// The table could not be written.
    #[error("the partition table could not be written to the LUN: {0}")]
    Gpt(#[from] gpt::GptError),
    /// A write failed.
    #[error("the LUN could not be written: {0}")]
    Io(#[from] io::Error),
}

impl Header {
    /// The page as it lies on the LUN.
    pub fn encode(self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        page[..8].copy_from_slice(MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_be_bytes());
        page[12..16].copy_from_slice(&self.pair_id.to_be_bytes());
        page[16] = if self.complete { 2 } else { 1 };
        page[20..24].copy_from_slice(&self.mark.to_be_bytes());
        let sum = CRC.checksum(&page[..24]);
        page[24..28].copy_from_slice(&sum.to_be_bytes());
        page
    }

    /// Reads a header page; `None` if it is none.
    pub fn decode(page: &[u8]) -> Option<Self> {
        let body = page.get(..24)?;
        let sum = u32::from_be_bytes(*page.get(24..)?.first_chunk()?);
        let version = u32::from_be_bytes(*body.get(8..)?.first_chunk()?);
        let pair_id = u32::from_be_bytes(*body.get(12..)?.first_chunk()?);
        let complete = match body.get(16)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let mark = u32::from_be_bytes(*body.get(20..)?.first_chunk()?);
        let ours = body.starts_with(MAGIC) && version == VERSION && sum == CRC.checksum(body);
        ours.then_some(Self { pair_id, complete, mark })
    }
}

/// Where the slot of `node` lies, in bytes.
pub fn slot_offset(node: Node) -> u64 {
    match node {
        Node::A => SLOTS_OFFSET,
        Node::B => SLOTS_OFFSET + PAGE_BYTES as u64,
    }
}

/// Length of partition 2 on a LUN of `lun_bytes`, in bytes: whole MiB.
pub fn data_bytes(lun_bytes: u64) -> Result<u64, LayoutError> {
    if lun_bytes < LUN_MIN_BYTES {
        return Err(LayoutError::TooSmall(lun_bytes));
    }
    let room = lun_bytes - DATA_OFFSET - TAIL_BYTES;
    Ok(room - room % TAIL_BYTES)
}

/// Writes the partition table, both copies.
pub fn write_partitions(lun: &File, lun_bytes: u64, block_bytes: u32) -> Result<(), LayoutError> {
    let data_bytes = data_bytes(lun_bytes)?;
    let block_size = match block_bytes {
        512 => gpt::disk::LogicalBlockSize::Lb512,
        4096 => gpt::disk::LogicalBlockSize::Lb4096,
        other => return Err(LayoutError::BlockSize(other)),
    };
    let block = u64::from(block_bytes);
    let protective = u32::try_from(lun_bytes / block - 1).unwrap_or(u32::MAX);
    let mut lun_at = lun;
    gpt::mbr::ProtectiveMBR::with_lb_size(protective)
        .overwrite_lba0(&mut lun_at)
        .map_err(|error| LayoutError::Io(io::Error::other(error)))?;
    let config = gpt::GptConfig::new().writable(true).logical_block_size(block_size);
    let mut table = config.create_from_device(lun, None)?;
    let linux = partition_types::LINUX_FS;
    table.add_partition_at(SLOTS_NAME, 1, SLOTS_OFFSET / block, SLOTS_BYTES / block, linux.clone(), 0)?;
    table.add_partition_at(DATA_NAME, 2, DATA_OFFSET / block, data_bytes / block, linux, 0)?;
    table.write()?;
    lun.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_a_changed_one_does_not() {
        for complete in [false, true] {
            let header = Header { pair_id: 0xC0FF_EE01, complete, mark: 0x1234_5678 };
            let mut page = header.encode();
            assert_eq!(Header::decode(&page), Some(header));
            page[13] ^= 1;
            assert_eq!(Header::decode(&page), None);
        }
        assert_eq!(Header::decode(&[0; PAGE_BYTES]), None);
        assert_eq!(Header::decode(&[]), None);
    }

    #[test]
    fn partitions_lie_where_the_drawing_says() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 30).unwrap();
        write_partitions(&file, 4 << 30, 512).unwrap();
        let table = gpt::GptConfig::new().open_from_device(&file).unwrap();
        let found: Vec<_> = table.partitions().values().filter(|p| p.is_used()).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].first_lba), (SLOTS_NAME, SLOTS_OFFSET / 512));
        assert_eq!((found[1].name.as_str(), found[1].first_lba), (DATA_NAME, DATA_OFFSET / 512));
        let length = (found[1].last_lba + 1 - found[1].first_lba) * 512;
        assert_eq!(length, data_bytes(4 << 30).unwrap());
        assert_eq!(length, (4 << 30) - DATA_OFFSET - TAIL_BYTES);
    }

    #[test]
    fn a_lun_too_small_or_of_odd_blocks_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(matches!(write_partitions(&file, 1 << 20, 512), Err(LayoutError::TooSmall(_))));
        assert!(matches!(write_partitions(&file, 1 << 31, 520), Err(LayoutError::BlockSize(520))));
    }
}
