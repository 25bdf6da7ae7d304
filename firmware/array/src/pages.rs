//! Aligned 4 KiB pages past the kernel's cache: what the array holds now, not what was read before.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::layout::PAGE_BYTES;

/// One page, aligned as O_DIRECT wants it for every block size up to 4 KiB.
#[derive(Clone)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE_BYTES]);

impl Page {
    /// A page of zeros.
    pub fn zero() -> Box<Self> {
        Box::new(Self([0; PAGE_BYTES]))
    }

    /// Whether it holds nothing but zeros.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

/// A device, read and written page by page without cache.
#[derive(Debug)]
pub struct Pages {
    file: File,
}

impl Pages {
    /// Opens the block device at `path` without cache.
    pub fn open(path: &Path, write: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(write).custom_flags(libc::O_DIRECT).open(path)?;
        Ok(Self { file })
    }

    /// Pages of an open file, with whatever cache it has; for files that are no device.
    pub fn of(file: File) -> Self {
        Self { file }
    }

    /// Reads the page at `offset`, a multiple of the page size.
    pub fn read(&self, offset: u64) -> io::Result<Box<Page>> {
        let mut page = Page::zero();
        self.file.read_exact_at(&mut page.0, offset)?;
        Ok(page)
    }

    /// Writes the page at `offset`, a multiple of the page size.
    pub fn write(&self, offset: u64, page: &Page) -> io::Result<()> {
        self.file.write_all_at(&page.0, offset)
    }
}
