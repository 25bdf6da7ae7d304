//! The ext4 template: a small, empty file system that the box copies instead of running `mke2fs`.
//!
//! The image builder makes the file system with [`mke2fs_arguments`], keeps what is not zero with
//! [`Template::capture`], and packs [`Template::encode`] into the image. The box decodes it, gives it
//! a fresh identity with [`Template::with_uuid`], writes it to the LUN and grows it there.
//!
//! ```text
//! 8 bytes  magic "TWEXT4T\x01"
//! 8 bytes  size of the file system in bytes      (all numbers big endian)
//! 4 bytes  number of extents
//! then per extent: 8 bytes offset, 4 bytes length, its bytes
//! 4 bytes  CRC-32C of everything before
//! ```

use crc::{CRC_32_ISCSI, Crc};
use thiserror::Error;

/// Size of the file system in the template, in bytes: room for its journal, and small enough to be
/// zeroed in about a second on a slow array.
pub const FILESYSTEM_BYTES: u64 = 256 * 1024 * 1024;
/// Largest template file this version reads, in bytes.
pub const TEMPLATE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Where the template lies inside the box.
pub const TEMPLATE_PATH: &str = "/usr/share/twinmail/ext4.template";
/// UUID and hash seed of the template itself; the box draws its own UUID. The checksum seed stays
/// (feature `metadata_csum_seed`), so that a new UUID changes nothing but superblocks.
pub const TEMPLATE_UUID: &str = "7477696e-6d61-4c69-8000-6578743474d1";
/// Time stamp of everything in the template, in seconds since 1970; `mke2fs` takes it from the
/// environment variable [`FAKE_TIME_VARIABLE`].
pub const TEMPLATE_TIME_S: u64 = 1_767_225_600;
/// The environment variable that gives `mke2fs` its clock.
pub const FAKE_TIME_VARIABLE: &str = "E2FSPROGS_FAKE_TIME";

const MAGIC: &[u8; 8] = b"TWEXT4T\x01";
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What is kept and what is zero is decided in pieces of this size.
const GRAIN_BYTES: usize = 512;
const BLOCK_BYTES: u64 = 4096;
const EXTENTS_MAX: u32 = 65_536;

/// Offset of the primary superblock, and its size (kernel documentation, ext4, "The Super Block").
const SUPERBLOCK_OFFSET: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;
const S_BLOCKS_PER_GROUP: usize = 0x20;
const S_MAGIC: usize = 0x38;
const S_FEATURE_INCOMPAT: usize = 0x60;
const S_UUID: usize = 0x68;
const S_CHECKSUM: usize = 0x3FC;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;

/// An empty ext4 file system without its zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    filesystem_bytes: u64,
    extents: Vec<Extent>,
}

/// Some bytes that are not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Where they go, from the start of the file system.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why a template is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// Not a template, or one from another version.
    #[error("the file system template in the image is not one; build the image again")]
    NotATemplate,
    /// Cut short or changed.
    #[error("the file system template in the image is damaged; build the image again")]
    Damaged,
    /// The file system lacks what the box relies on.
    #[error("the file system template must be ext4 with metadata_csum_seed; build the image again")]
    WrongFeatures,
}

/// Arguments for `mke2fs` that make the template's file system in a file at `path`.
pub fn mke2fs_arguments(path: &str) -> Vec<String> {
    let seed =
        format!("hash_seed={TEMPLATE_UUID},lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0");
    let features = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                    large_file,dir_nlink,extra_isize,metadata_csum,metadata_csum_seed";
    let size = format!("{}k", FILESYSTEM_BYTES / 1024);
    let fixed =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "262144", "-J", "size=32", "-m", "1"];
    let named = ["-O", features, "-U", TEMPLATE_UUID, "-E", &seed, "-L", "twinmail-data", path, &size];
    fixed.iter().chain(&named).map(ToString::to_string).collect()
}

impl Template {
    /// Keeps what is not zero of `filesystem`, the bytes of a whole file system.
    pub fn capture(filesystem: &[u8]) -> Result<Self, TemplateError> {
        let mut extents: Vec<Extent> = Vec::new();
        for (i, grain) in filesystem.chunks(GRAIN_BYTES).enumerate() {
            if grain.iter().all(|byte| *byte == 0) {
                continue;
            }
            let offset = (i * GRAIN_BYTES) as u64;
            match extents.last_mut() {
                Some(last) if last.offset + last.bytes.len() as u64 == offset => last.bytes.extend(grain),
                _ => extents.push(Extent { offset, bytes: grain.to_vec() }),
            }
        }
        let template = Self { filesystem_bytes: filesystem.len() as u64, extents };
        template.check_superblock()?;
        Ok(template)
    }

    /// Size of the file system, in bytes.
    pub fn filesystem_bytes(&self) -> u64 {
        self.filesystem_bytes
    }

    /// What is not zero, in rising order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The template's file.
    pub fn encode(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend(self.filesystem_bytes.to_be_bytes());
        file.extend((self.extents.len() as u32).to_be_bytes());
        for extent in &self.extents {
            file.extend(extent.offset.to_be_bytes());
            file.extend((extent.bytes.len() as u32).to_be_bytes());
            file.extend(&extent.bytes);
        }
        let sum = CRC.checksum(&file);
        file.extend(sum.to_be_bytes());
        file
    }

    /// Reads a template's file.
    pub fn decode(file: &[u8]) -> Result<Self, TemplateError> {
        if file.get(..8) != Some(MAGIC.as_slice()) {
            return Err(TemplateError::NotATemplate);
        }
        if file.len() > TEMPLATE_MAX_BYTES {
            return Err(TemplateError::Damaged);
        }
        let (body, sum) = file.split_last_chunk::<4>().ok_or(TemplateError::Damaged)?;
        if CRC.checksum(body) != u32::from_be_bytes(*sum) {
            return Err(TemplateError::Damaged);
        }
        let template = Self::parse(&mut &body[8..]).ok_or(TemplateError::Damaged)?;
        template.check_superblock()?;
        Ok(template)
    }

    fn parse(rest: &mut &[u8]) -> Option<Self> {
        let filesystem_bytes = u64::from_be_bytes(take(rest)?);
        let count = u32::from_be_bytes(take(rest)?);
        if count > EXTENTS_MAX {
            return None;
        }
        let mut extents = Vec::with_capacity(count as usize);
        let mut end = 0;
        for _ in 0..count {
            let offset = u64::from_be_bytes(take(rest)?);
            let length = u32::from_be_bytes(take(rest)?) as usize;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            if offset < end {
                return None;
            }
            end = offset.checked_add(bytes.len() as u64)?;
            extents.push(Extent { offset, bytes: bytes.to_vec() });
        }
        (end <= filesystem_bytes && rest.is_empty()).then_some(Self { filesystem_bytes, extents })
    }

    /// The same file system under another UUID, in every superblock with its checksum.
    pub fn with_uuid(mut self, uuid: [u8; 16]) -> Result<Self, TemplateError> {
        for offset in self.superblock_offsets()? {
            let superblock = self.bytes_mut(offset, SUPERBLOCK_BYTES).ok_or(TemplateError::WrongFeatures)?;
            superblock[S_UUID..S_UUID + 16].copy_from_slice(&uuid);
            // ext4 keeps the plain CRC-32C register, without the final inversion.
            let sum = !CRC.checksum(&superblock[..S_CHECKSUM]);
            superblock[S_CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        }
        Ok(self)
    }

    /// The primary superblock and its copies (sparse_super: groups 1 and powers of 3, 5 and 7).
    fn superblock_offsets(&self) -> Result<Vec<u64>, TemplateError> {
        let primary = self.bytes(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES).ok_or(TemplateError::WrongFeatures)?;
        let group_bytes = u64::from(le32(primary, S_BLOCKS_PER_GROUP)) * BLOCK_BYTES;
        if group_bytes == 0 {
            return Err(TemplateError::WrongFeatures);
        }
        let groups = self.filesystem_bytes.div_ceil(group_bytes);
        let copies = (1..groups).filter(|group| holds_superblock_copy(*group));
        Ok(std::iter::once(SUPERBLOCK_OFFSET).chain(copies.map(|group| group * group_bytes)).collect())
    }

    fn check_superblock(&self) -> Result<(), TemplateError> {
        let superblock =
            self.bytes(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES).ok_or(TemplateError::WrongFeatures)?;
        let ext4 = superblock[S_MAGIC..S_MAGIC + 2] == [0x53, 0xEF];
        let seeded = le32(superblock, S_FEATURE_INCOMPAT) & INCOMPAT_CSUM_SEED != 0;
        if ext4 && seeded { Ok(()) } else { Err(TemplateError::WrongFeatures) }
    }

    fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let extent = self.extents.iter().rfind(|extent| extent.offset <= offset)?;
        extent.bytes.get((offset - extent.offset) as usize..)?.get(..length)
    }

    /// As [`Self::bytes`], to change them; an extent that ends inside is made longer with zeros.
    fn bytes_mut(&mut self, offset: u64, length: usize) -> Option<&mut [u8]> {
        let extent = self.extents.iter_mut().rfind(|extent| extent.offset <= offset)?;
        let start = (offset - extent.offset) as usize;
        (start < extent.bytes.len()).then_some(())?;
        if extent.bytes.len() < start + length {
            extent.bytes.resize(start + length, 0);
        }
        extent.bytes.get_mut(start..start + length)
    }
}

fn holds_superblock_copy(group: u64) -> bool {
    let power_of = |base: u64| {
        let mut n = group;
        while n.is_multiple_of(base) {
            n /= base;
        }
        n == 1
    };
    group == 1 || power_of(3) || power_of(5) || power_of(7)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn made_by_mke2fs() -> (tempfile::TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ext4");
        let made = Command::new("mke2fs")
            .args(mke2fs_arguments(path.to_str().unwrap()))
            .env(FAKE_TIME_VARIABLE, TEMPLATE_TIME_S.to_string())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let bytes = std::fs::read(&path).unwrap();
        (dir, bytes)
    }

    #[test]
    fn the_template_is_small_the_same_each_time_and_survives_its_file() {
        let (_dir, bytes) = made_by_mke2fs();
        assert_eq!(bytes.len() as u64, FILESYSTEM_BYTES);
        let template = Template::capture(&bytes).unwrap();
        let file = template.encode();
        assert!(file.len() < 64 * 1024, "{} bytes", file.len());
        assert_eq!(Template::decode(&file).unwrap(), template);
        assert_eq!(Template::capture(&made_by_mke2fs().1).unwrap(), template);
    }

    #[test]
    fn a_new_uuid_leaves_a_file_system_that_e2fsck_finds_clean() {
        let (dir, bytes) = made_by_mke2fs();
        let template = Template::capture(&bytes).unwrap().with_uuid([0xA5; 16]).unwrap();
        let mut copy = vec![0; FILESYSTEM_BYTES as usize];
        for extent in template.extents() {
            copy[extent.offset as usize..][..extent.bytes.len()].copy_from_slice(&extent.bytes);
        }
        let path = dir.path().join("copy");
        std::fs::write(&path, copy).unwrap();
        let check = Command::new("e2fsck").args(["-f", "-n"]).arg(&path).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        let shown =
            Command::new("dumpe2fs").args(["-o", "superblock=32768", "-h"]).arg(&path).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).to_lowercase();
        assert!(shown.contains("a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5"), "{shown}");
    }

    #[test]
    fn a_damaged_template_is_refused() {
        let (_dir, bytes) = made_by_mke2fs();
        let file = Template::capture(&bytes).unwrap().encode();
        for at in [8, 20, 40, file.len() - 1] {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Template::decode(&damaged), Err(TemplateError::Damaged), "byte {at}");
        }
        assert_eq!(Template::decode(&file[..file.len() - 9]), Err(TemplateError::Damaged));
        assert_eq!(Template::decode(b"something else"), Err(TemplateError::NotATemplate));
        assert_eq!(Template::capture(&[0; 4096]), Err(TemplateError::WrongFeatures));
    }
}
