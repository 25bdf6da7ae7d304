//! Whether a box still belongs to the pair whose LUN it finds.
//!
//! The LUN's header carries a mark of the pair's key. A box that is replaced keeps the old key; the survivor
//! draws a new one and writes its mark. So the old box, whenever it comes back and whoever serves then,
//! finds a mark that is not its own, and takes nothing.

use std::io;
use std::path::Path;

use crate::layout::{HEADER_OFFSET, Header, PAGE_BYTES};
use crate::pages::{Page, Pages};

/// What a box that was replaced says of itself.
pub const REPLACED: &str = "this box was replaced and is no member of its pair any more; write the image to its disk anew and set it up";

/// What a box knows of the key of its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Mark of the key, never zero.
    pub mark: u32,
    /// Mark of the key before, which a LUN may still carry that was not reached when the key changed.
    pub former: Option<u32>,
}

/// What a header page makes of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to the pair.
    Member,
    /// So it does, and the header has yet to be marked.
    Renew,
    /// The pair has another key now.
    Replaced,
}

impl Membership {
    /// What `header` makes of this box. A page that is no header shuts nobody out: it was damaged, and the
    /// mail behind it is to be served.
    pub fn judge(self, header: Option<Header>) -> Standing {
        match header.map(|header| header.mark) {
            None => Standing::Member,
            Some(mark) if mark == self.mark => Standing::Member,
            Some(mark) if mark == 0 || Some(mark) == self.former => Standing::Renew,
            Some(_) => Standing::Replaced,
        }
    }
}

/// Writes the header page of the LUN at `device`, past every cache.
pub fn write(device: &Path, header: Header) -> io::Result<()> {
    let mut page = Page::zero();
    page.0.copy_from_slice(&header.encode()[..PAGE_BYTES]);
    Pages::open(device, true)?.write(HEADER_OFFSET, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(mark: u32) -> Header {
        Header { pair_id: 7, complete: true, mark }
    }

    #[test]
    fn who_has_the_pairs_key_is_a_member_and_who_had_it_is_not() {
        let survivor = Membership { mark: 20, former: Some(10) };
        let old = Membership { mark: 10, former: None };
        assert_eq!(old.judge(Some(header(10))), Standing::Member);
        assert_eq!(survivor.judge(Some(header(10))), Standing::Renew);
        assert_eq!(survivor.judge(Some(header(20))), Standing::Member);
        assert_eq!(old.judge(Some(header(20))), Standing::Replaced);
        // Replaced once more: the box before is out as well.
        assert_eq!(survivor.judge(Some(header(30))), Standing::Replaced);
    }

    #[test]
    fn an_unmarked_lun_is_marked_and_a_damaged_header_shuts_nobody_out() {
        let either = Membership { mark: 20, former: None };
        assert_eq!(either.judge(Some(header(0))), Standing::Renew);
        assert_eq!(either.judge(None), Standing::Member);
    }

    #[test]
    fn the_mark_outlives_the_page() {
        let header = header(0x0A0B_0C0D);
        assert_eq!(Header::decode(&header.encode()), Some(header));
    }
}
