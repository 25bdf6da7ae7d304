//! A page of a result (RFC 9394).

use std::fmt;
use std::ops::Range;

use super::Fault;
use super::cursor::Cursor;

/// `first:last` from the beginning, or `-first:-last` from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Counted from the end.
    pub from_end: bool,
    /// The nearer end, from 1.
    pub first: u32,
    /// The farther end, not below `first`.
    pub last: u32,
    /// The farther end was written first; the answer repeats the range as it was written.
    pub turned: bool,
}

impl Page {
    /// Which of `count` results are on the page; they are always given in their order.
    pub fn of(self, count: usize) -> Range<usize> {
        let (first, last) = (self.first as usize - 1, self.last as usize);
        if self.from_end {
            count.saturating_sub(last)..count.saturating_sub(first)
        } else {
            first.min(count)..last.min(count)
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        let (one, other) = if self.turned { (self.last, self.first) } else { (self.first, self.last) };
        write!(out, "{sign}{one}:{sign}{other}")
    }
}

impl Cursor<'_> {
    /// `partial-range`.
    pub fn page(&mut self) -> Result<Page, Fault> {
        let from_end = self.take(b'-');
        let one = self.page_end()?;
        self.expect(b':', "a : is missing in a PARTIAL range")?;
        if self.take(b'-') != from_end {
            return Err(Fault::Syntax("both ends of a PARTIAL range count from the same side"));
        }
        let other = self.page_end()?;
        Ok(Page { from_end, first: one.min(other), last: one.max(other), turned: one > other })
    }

    fn page_end(&mut self) -> Result<u32, Fault> {
        match self.number32()? {
            0 => Err(Fault::Syntax("a PARTIAL range counts from 1")),
            number => Ok(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_within_the_results() {
        let page = |from_end, first, last| Page { from_end, first, last, turned: false };
        assert_eq!(page(false, 1, 10).of(25), 0..10);
        assert_eq!(page(false, 21, 30).of(25), 20..25);
        assert_eq!(page(false, 31, 40).of(25), 25..25);
        assert_eq!(page(true, 1, 10).of(25), 15..25);
        assert_eq!(page(true, 21, 30).of(25), 0..5);
        assert_eq!(page(true, 31, 40).of(25), 0..0);
    }
}
