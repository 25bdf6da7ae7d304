//! What is on a LUN, so that nobody's data is ever overwritten.
//!
//! A LUN counts as blank only if every page that is looked at holds zeros: where labels, partition
//! tables and superblocks lie, the last 64 KiB, and samples all over. A LUN counts as Twinmail's only
//! if its header page *and* its partition table say so. Everything else is somebody's.

use std::io;

use crate::layout::{DATA_NAME, HEADER_OFFSET, Header, PAGE_BYTES, SLOTS_OFFSET};
use crate::pages::{Page, Pages};

/// Pages looked at all over a LUN that seems blank.
pub const SAMPLES: u64 = 64;
const PAGE: u64 = PAGE_BYTES as u64;
const HEAD_PAGES: u64 = 32;
const TAIL_PAGES: u64 = 16;

/// What is on a LUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing but zeros wherever it was looked.
    Blank,
    /// A Twinmail LUN.
    Twinmail(Header),
    /// Somebody else's data.
    Foreign {
        /// What it looks like, as in "the LUN holds ...".
        what: &'static str,
    },
    /// It cannot be read.
    Unreadable {
        /// What the system said.
        reason: String,
    },
}

/// Looks at a LUN of `lun_bytes`.
pub fn detect(pages: &Pages, lun_bytes: u64) -> Content {
    look(pages, lun_bytes).unwrap_or_else(|error| Content::Unreadable { reason: error.to_string() })
}

fn look(pages: &Pages, lun_bytes: u64) -> io::Result<Content> {
    let first = pages.read(0)?;
    if let Some(header) = Header::decode(&pages.read(HEADER_OFFSET)?.0) {
        let table = named_by_the_table(&first) || named_by_the_table(&*pages.read(2 * PAGE)?);
        // The header is written before the table: a LUN whose making was cut short has only that.
        if table || (!header.complete && first.is_zero()) {
            return Ok(Content::Twinmail(header));
        }
    }
    for signature in SIGNATURES {
        if signature.is_in(&*pages.read(signature.page * PAGE)?) {
            return Ok(Content::Foreign { what: signature.what });
        }
    }
    let last = lun_bytes / PAGE;
    let step = (last / SAMPLES).max(1);
    let head = 0..HEAD_PAGES.min(last);
    let tail = last.saturating_sub(TAIL_PAGES)..last;
    let slots = SLOTS_OFFSET / PAGE..SLOTS_OFFSET / PAGE + 4;
    let samples = (0..last).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    for page in head.chain(slots).chain(tail).chain(samples) {
        if page < last && !pages.read(page * PAGE)?.is_zero() {
            return Ok(Content::Foreign { what: "data of an unknown kind" });
        }
    }
    Ok(Content::Blank)
}

/// Whether a partition table's page names our data partition (GPT names are UTF-16LE).
fn named_by_the_table(page: &Page) -> bool {
    let name: Vec<u8> = DATA_NAME.encode_utf16().flat_map(u16::to_le_bytes).collect();
    page.0.windows(name.len()).any(|window| window == name)
}

/// Where something well known has its mark.
struct Signature {
    page: u64,
    at: usize,
    mark: &'static [u8],
    what: &'static str,
}

impl Signature {
    const fn new(page: u64, at: usize, mark: &'static [u8], what: &'static str) -> Self {
        Self { page, at, mark, what }
    }

    fn is_in(&self, page: &Page) -> bool {
        page.0.get(self.at..self.at + self.mark.len()) == Some(self.mark)
    }
}

/// File systems before partition tables: their boot sectors often end in the MBR's mark.
const SIGNATURES: &[Signature] = &[
    Signature::new(0, 0x438, b"\x53\xEF", "an ext2, ext3 or ext4 file system"),
    Signature::new(0, 0, b"XFSB", "an XFS file system"),
    Signature::new(16, 0x40, b"_BHRfS_M", "a Btrfs file system"),
    Signature::new(0, 3, b"NTFS    ", "an NTFS file system"),
    Signature::new(0, 3, b"EXFAT   ", "an exFAT file system"),
    Signature::new(0, 54, b"FAT", "a FAT file system"),
    Signature::new(0, 82, b"FAT32", "a FAT file system"),
    Signature::new(0, 0x218, b"LVM2 001", "an LVM physical volume"),
    Signature::new(0, 0x200, b"LABELONE", "an LVM physical volume"),
    Signature::new(0, 0, b"LABELONE", "an LVM physical volume"),
    Signature::new(0, 0, b"LUKS\xBA\xBE", "a LUKS encrypted volume"),
    Signature::new(0, 4086, b"SWAPSPACE2", "Linux swap space"),
    Signature::new(1, 0, b"\xFC\x4E\x2B\xA9", "a Linux software RAID member"),
    Signature::new(0, 0, b"\xFC\x4E\x2B\xA9", "a Linux software RAID member"),
    Signature::new(256, 0, b"\x0D\xD0\x01\xC0", "a VMware VMFS volume"),
    Signature::new(8, 1, b"CD001", "a CD image"),
    Signature::new(0, 512, b"EFI PART", "a GPT partition table"),
    Signature::new(1, 0, b"EFI PART", "a GPT partition table"),
    Signature::new(0, 510, b"\x55\xAA", "an MBR partition table"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    const BYTES: u64 = 2 << 30;

    fn lun() -> (tempfile::NamedTempFile, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(BYTES).unwrap();
        let handle = file.reopen().unwrap();
        (file, handle)
    }

    fn content(file: &File) -> Content {
        detect(&Pages::of(file.try_clone().unwrap()), BYTES)
    }

    #[test]
    fn zeros_are_blank_and_one_stray_byte_is_not() {
        let (_path, file) = lun();
        assert_eq!(content(&file), Content::Blank);
        for at in [5, 100_000, BYTES / 2, BYTES - 70_000 + 8_192, BYTES - 1] {
            file.write_all_at(&[1], at).unwrap();
            let found = matches!(content(&file), Content::Foreign { .. });
            file.write_all_at(&[0], at).unwrap();
            assert!(found, "a byte at {at}");
        }
    }

    #[test]
    fn what_other_tools_make_is_named() {
        for (tool, arguments, what) in
            [("mke2fs", ["-q", "-F", "-t", "ext4"], "ext4"), ("mkswap", ["-q", "-L", "x", "-f"], "swap")]
        {
            let (path, file) = lun();
            let made = Command::new(tool).args(arguments).arg(path.path()).output().unwrap();
            assert!(made.status.success(), "{tool}");
            let Content::Foreign { what: found } = content(&file) else { panic!("{tool}") };
            assert!(found.contains(what), "{found}");
        }
        let (_path, file) = lun();
        file.write_all_at(b"\x55\xAA", 510).unwrap();
        assert_eq!(content(&file), Content::Foreign { what: "an MBR partition table" });
    }

    #[test]
    fn our_own_lun_is_known_and_one_overwritten_by_others_is_not() {
        let header = Header { pair_id: 9, complete: false, mark: 0 };
        let (path, file) = lun();
        file.write_all_at(&header.encode(), HEADER_OFFSET).unwrap();
        assert_eq!(content(&file), Content::Twinmail(header));
        layout::write_partitions(&file, BYTES, 512).unwrap();
        let header = Header { complete: true, ..header };
        file.write_all_at(&header.encode(), HEADER_OFFSET).unwrap();
        assert_eq!(content(&file), Content::Twinmail(header));
        // Somebody makes a file system over it; our header page may well survive.
        let made = Command::new("mke2fs").args(["-q", "-F"]).arg(path.path()).output().unwrap();
        assert!(made.status.success());
        file.write_all_at(&header.encode(), HEADER_OFFSET).unwrap();
        assert!(matches!(content(&file), Content::Foreign { .. }));
    }

    #[test]
    fn a_lun_that_ends_early_is_unreadable() {
        let (_path, file) = lun();
        file.set_len(4096).unwrap();
        assert!(matches!(content(&file), Content::Unreadable { .. }));
    }
}
