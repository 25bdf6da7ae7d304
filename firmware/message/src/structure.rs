//! The tree of parts of a message as byte ranges into its raw bytes.

use std::ops::Range;

use crate::{DEPTH_MAX, PARTS_MAX};

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Content that is not taken apart further.
    Leaf,
    /// A multipart: its children are the parts between the boundaries.
    Multipart,
    /// A `message/rfc822` or `message/global`: its only child is the message inside.
    Message,
}

/// One part: ranges are offsets into the raw message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it holds.
    pub kind: PartKind,
    /// Its header, with the empty line that ends it.
    pub header: Range<usize>,
    /// Its body, without the line end that belongs to the next boundary.
    pub body: Range<usize>,
    /// Indices of its children in [`Structure::parts`].
    pub children: Vec<usize>,
}

/// All parts of a message; the first one is the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    /// Parts in the order they begin in the message; never empty.
    pub parts: Vec<Part>,
}
