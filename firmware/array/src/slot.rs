//! The heartbeat slots on the array.
//!
//! Pages of 4 KiB, read and written without cache, each by its own box only. On a single LUN only the
//! owner's slot ticks: the other box is not registered, and the array refuses its writes.

use std::io;
use std::path::{Path, PathBuf};

use cluster::Node;
use thiserror::Error;

use crate::layout::{PAGE_BYTES, slot_offset};
use crate::pages::{Page, Pages};

/// Why a slot could not be read or written.
#[derive(Debug, Error)]
pub enum SlotError {
    /// The array refuses this box's writes: another box has the reservation.
    #[error("the array refuses this box's writes: it has lost the reservation")]
    Fenced,
    /// The array does not answer.
    #[error("the array does not answer: {0}; check host card, cable and array")]
    Io(io::Error),
    /// More than a page.
    #[error("a heartbeat of {0} bytes does not fit a slot of {PAGE_BYTES}")]
    TooLong(usize),
}

impl From<io::Error> for SlotError {
    fn from(error: io::Error) -> Self {
        if is_fenced(&error) { Self::Fenced } else { Self::Io(error) }
    }
}

/// Whether an error of a write means that the reservation is another box's (EBADE, from the SCSI
/// status RESERVATION CONFLICT).
pub fn is_fenced(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADE)
}

/// Both slots of one LUN.
#[derive(Debug)]
pub struct Slots {
    pages: Pages,
    /// Opened with the first write: a disk that the kernel takes for write protected can still be read.
    writing: Option<Pages>,
    device: PathBuf,
}

impl Slots {
    /// Opens the slots of the LUN with device node `device`; this writes nothing.
    ///
    /// The whole LUN is opened and not its partition: an open partition would keep the kernel from
    /// reading the partition table again.
    pub fn open(device: &Path) -> Result<Self, SlotError> {
        Ok(Self { pages: Pages::open(device, false)?, writing: None, device: device.to_owned() })
    }

    /// What the slot of `node` holds now, on the array.
    pub fn read(&self, node: Node) -> Result<Box<Page>, SlotError> {
        Ok(self.pages.read(slot_offset(node))?)
    }

    /// Writes `bytes` to the slot of `node`, filled up with zeros.
    pub fn write(&mut self, node: Node, bytes: &[u8]) -> Result<(), SlotError> {
        let mut page = Page::zero();
        page.0.get_mut(..bytes.len()).ok_or(SlotError::TooLong(bytes.len()))?.copy_from_slice(bytes);
        let pages = match &mut self.writing {
            Some(pages) => pages,
            none => none.insert(Pages::open(&self.device, true)?),
        };
        Ok(pages.write(slot_offset(node), &page)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_box_has_its_own_page() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        let writing = Some(Pages::of(file.try_clone().unwrap()));
        let mut slots = Slots { pages: Pages::of(file), writing, device: PathBuf::new() };
        slots.write(Node::A, b"alpha").unwrap();
        slots.write(Node::B, b"beta").unwrap();
        slots.write(Node::A, b"a").unwrap();
        assert_eq!(slots.read(Node::A).unwrap().0[..6], *b"a\0\0\0\0\0");
        assert_eq!(slots.read(Node::B).unwrap().0[..5], *b"beta\0");
        assert!(matches!(slots.write(Node::A, &[0; PAGE_BYTES + 1]), Err(SlotError::TooLong(_))));
    }

    #[test]
    fn a_refused_write_is_told_from_a_broken_path() {
        let of = |code| SlotError::from(io::Error::from_raw_os_error(code));
        assert!(matches!(of(libc::EBADE), SlotError::Fenced));
        assert!(matches!(of(libc::EIO), SlotError::Io(_)));
    }
}
