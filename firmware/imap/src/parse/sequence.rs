//! `sequence-set` (RFC 3501 section 9): message numbers or UIDs.

use super::Fault;
use super::cursor::Cursor;

/// Most ranges in one set; a line of the greatest length holds fewer.
const RANGES_MAX: usize = 65_536;

/// One `seq-number` or `seq-range`; `None` stands for `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetRange {
    /// One end.
    pub from: Option<u32>,
    /// Other end, in either order.
    pub to: Option<u32>,
}

impl SetRange {
    /// The range as first and last, with `*` standing for `star`.
    fn resolve(self, star: u32) -> (u32, u32) {
        let from = self.from.unwrap_or(star);
        let to = self.to.unwrap_or(star);
        (from.min(to), from.max(to))
    }
}

/// A set of message sequence numbers or UIDs, as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet {
    /// Its ranges, in the client's order. Empty for `$`, the saved result of a search (RFC 5182), until
    /// that is put in its place, and then if it names no message.
    pub ranges: Vec<SetRange>,
}

impl SequenceSet {
    /// The set as ascending, separate ranges; `*` stands for `star`, the highest number in use.
    pub fn resolve(&self, star: u32) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = self.ranges.iter().map(|range| range.resolve(star)).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        merged
    }

    /// The highest number that must exist for the set to be valid as sequence numbers; `*` is always fine.
    pub fn highest(&self) -> u32 {
        self.ranges.iter().flat_map(|range| [range.from, range.to]).flatten().max().unwrap_or(0)
    }

    /// Whether `*` is in it.
    pub fn has_star(&self) -> bool {
        self.ranges.iter().any(|range| range.from.is_none() || range.to.is_none())
    }

    /// How many numbers it names, one named twice counted twice; a set without `*`.
    pub fn count(&self) -> u64 {
        let length = |range: &SetRange| {
            let (first, last) = range.resolve(0);
            u64::from(last - first) + 1
        };
        self.ranges.iter().map(length).sum()
    }

    /// Its numbers in the client's order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().flat_map(|range| {
            let (first, last) = range.resolve(0);
            first..=last
        })
    }

    /// Whether it is `$`.
    pub fn is_saved(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        if cursor.take(b'$') {
            return Ok(Self { ranges: Vec::new() });
        }
        let mut ranges = Vec::new();
        loop {
            let from = seq_number(cursor)?;
            let to = if cursor.take(b':') { seq_number(cursor)? } else { from };
            if ranges.len() == RANGES_MAX {
                return Err(Fault::Syntax("the message set has too many ranges"));
            }
            ranges.push(SetRange { from, to });
            if !cursor.take(b',') {
                return Ok(Self { ranges });
            }
        }
    }
}

fn seq_number(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Fault> {
    if cursor.take(b'*') {
        return Ok(None);
    }
    match cursor.number()? {
        0 => Err(Fault::Syntax("a message number cannot be 0")),
        number => u32::try_from(number)
            .map(Some)
            .map_err(|_| Fault::Syntax("a message number is larger than 32 bits")),
    }
}
