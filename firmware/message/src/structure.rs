//! The tree of parts of a message as byte ranges into its raw bytes.

use std::ops::Range;

use crate::mime::{ContentType, parameterised};
use crate::{DEPTH_MAX, PARTS_MAX, field};

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Content that is not taken apart further.
    Leaf,
    /// A multipart: its children are the parts between the boundaries; at least one.
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

impl Structure {
    /// Takes a message apart.
    pub fn of(raw: &[u8]) -> Self {
        let mut parts = Vec::new();
        add_part(raw, 0..raw.len(), false, 0, &mut parts);
        Self { parts }
    }

    /// The message itself.
    pub fn root(&self) -> &Part {
        static NOTHING: Part = Part { kind: PartKind::Leaf, header: 0..0, body: 0..0, children: Vec::new() };
        self.parts.first().unwrap_or(&NOTHING)
    }

    /// Appends the tree as varints: per part kind, lengths relative to its parent's, children.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        write_number(out, self.parts.len() as u64);
        for part in &self.parts {
            out.push(match part.kind {
                PartKind::Leaf => 0,
                PartKind::Multipart => 1,
                PartKind::Message => 2,
            });
            write_number(out, part.header.start as u64);
            write_number(out, part.header.len() as u64);
            write_number(out, part.body.len() as u64);
            if part.kind == PartKind::Multipart {
                write_number(out, part.children.len() as u64);
            }
        }
    }

    /// Reads what [`Structure::encode`] wrote.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let count = usize::try_from(read_number(&mut bytes)?).ok().filter(|count| *count <= PARTS_MAX)?;
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        // Indices of parts that still wait for children, and how many.
        let mut open: Vec<(usize, u64)> = Vec::new();
        for index in 0..count {
            let (&kind, rest) = bytes.split_first()?;
            bytes = rest;
            let start = usize::try_from(read_number(&mut bytes)?).ok()?;
            let header_end = start.checked_add(usize::try_from(read_number(&mut bytes)?).ok()?)?;
            let body_end = header_end.checked_add(usize::try_from(read_number(&mut bytes)?).ok()?)?;
            let (kind, children) = match kind {
                0 => (PartKind::Leaf, 0),
                1 => (PartKind::Multipart, read_number(&mut bytes)?),
                2 => (PartKind::Message, 1),
                _ => return None,
            };
            if let Some((parent, left)) = open.last_mut() {
                *left -= 1;
                let (parent, done) = (*parent, *left == 0);
                parts.get_mut(parent)?.children.push(index);
                if done {
                    open.pop();
                }
            }
            parts.push(Part {
                kind,
                header: start..header_end,
                body: header_end..body_end,
                children: Vec::new(),
            });
            if children > 0 {
                open.push((index, children));
            }
        }
        (open.is_empty() && !parts.is_empty() && bytes.is_empty()).then_some(Self { parts })
    }
}

/// Size of the largest attachment in octets, its transfer encoding undone; 0 without one. What is no
/// text, has a name, or says that it is one counts (RFC 2183 2).
pub fn largest_attachment(raw: &[u8]) -> u64 {
    let structure = Structure::of(raw);
    let sizes = structure.parts.iter().filter(|part| part.kind != PartKind::Multipart).map(|part| {
        let (Some(header), Some(body)) = (raw.get(part.header.clone()), raw.get(part.body.clone())) else {
            return 0;
        };
        if is_attachment(header, part.kind) { decoded_size(header, body) } else { 0 }
    });
    sizes.max().unwrap_or(0)
}

fn is_attachment(header: &[u8], kind: PartKind) -> bool {
    let disposition = field::first(header, b"Content-Disposition").map(parameterised);
    let named = disposition.as_ref().is_some_and(|found| {
        found
            .parameters
            .iter()
            .any(|(name, _)| name.len() >= 8 && name[..8].eq_ignore_ascii_case(b"filename"))
    });
    let says_so = disposition.is_some_and(|found| found.value.eq_ignore_ascii_case(b"attachment"));
    if says_so || named {
        return true;
    }
    let content_type = ContentType::of(header, false);
    // A message inside is counted by its parts unless it says that it is attached.
    kind == PartKind::Leaf && !content_type.is(b"text") && !content_type.is(b"multipart")
}

fn decoded_size(header: &[u8], body: &[u8]) -> u64 {
    let encoding = field::first(header, b"Content-Transfer-Encoding").unwrap_or(b"");
    if !encoding.trim_ascii().eq_ignore_ascii_case(b"base64") {
        return body.len() as u64;
    }
    let letters = body.iter().filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')).count();
    letters as u64 * 3 / 4
}

/// Adds the part in `range` and everything in it; returns its index.
fn add_part(raw: &[u8], range: Range<usize>, in_digest: bool, depth: usize, parts: &mut Vec<Part>) -> usize {
    let bytes = &raw[range.clone()];
    let body_start = range.start + field::header_end(bytes);
    let (header, body) = (range.start..body_start, body_start..range.end);
    let index = parts.len();
    parts.push(Part {
        kind: PartKind::Leaf,
        header: header.clone(),
        body: body.clone(),
        children: Vec::new(),
    });
    if depth >= DEPTH_MAX {
        return index;
    }
    let content_type = ContentType::of(&raw[header], in_digest);
    if content_type.is_message() && parts.len() < PARTS_MAX {
        let child = add_part(raw, body, false, depth + 1, parts);
        parts[index].kind = PartKind::Message;
        parts[index].children.push(child);
    } else if content_type.is(b"multipart")
        && let Some(boundary) = content_type.raw_parameter(b"boundary")
    {
        let is_digest = content_type.subtype.eq_ignore_ascii_case(b"digest");
        let room = PARTS_MAX.saturating_sub(parts.len());
        for child in between_boundaries(raw, body, boundary, room) {
            if parts.len() >= PARTS_MAX {
                break;
            }
            let child = add_part(raw, child, is_digest, depth + 1, parts);
            parts[index].kind = PartKind::Multipart;
            parts[index].children.push(child);
        }
    }
    index
}

/// Ranges between the delimiter lines of `boundary` (RFC 2046 5.1.1), at most `room`.
fn between_boundaries(raw: &[u8], body: Range<usize>, boundary: &[u8], room: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if boundary.is_empty() {
        return found;
    }
    let delimiter = [b"--", boundary].concat();
    let finder = memchr::memmem::Finder::new(&delimiter);
    let mut start: Option<usize> = None;
    let mut at = body.start;
    while let Some(offset) = finder.find(&raw[at..body.end]) {
        let line_start = at + offset;
        at = line_start + delimiter.len();
        if line_start != body.start && raw[line_start - 1] != b'\n' {
            continue;
        }
        let line_end = at + field::line_length(&raw[at..body.end]);
        let tail = raw[at..line_end].trim_ascii_end();
        let closing = tail.starts_with(b"--");
        if !(tail.is_empty() || closing) {
            continue;
        }
        if let Some(start) = start.take() {
            found.push(start..without_line_end(raw, start, line_start));
            if found.len() >= room {
                return found;
            }
        }
        if closing {
            return found;
        }
        start = Some(line_end);
        at = line_end;
    }
    // The closing delimiter is missing: the last part goes on to the end.
    found.extend(start.map(|start| start..body.end));
    found
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(raw: &[u8], start: usize, end: usize) -> usize {
    let mut end = end;
    for byte in [b'\n', b'\r'] {
        if end > start && raw[end - 1] == byte {
            end -= 1;
        }
    }
    end.max(start)
}

/// Appends an unsigned LEB128 number.
pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads an unsigned LEB128 number.
pub(crate) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &[u8] = b"Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n--a\r\n\r\nfirst\r\n\
        --ab\r\nstill first\r\n--a \r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\
        Content-Type: multipart/alternative; boundary=\"b c\"\r\n\r\n--b c\r\n\r\nx\r\n--b c--\r\nafter\r\n--a--\r\nend";

    #[test]
    fn parts_are_cut_at_their_own_boundaries() {
        let structure = Structure::of(NESTED);
        let bodies: Vec<&[u8]> = structure.parts.iter().map(|part| &NESTED[part.body.clone()]).collect();
        let kinds: Vec<PartKind> = structure.parts.iter().map(|part| part.kind).collect();
        use PartKind::*;
        assert_eq!(kinds, [Multipart, Leaf, Message, Multipart, Leaf]);
        assert_eq!(bodies[1], b"first\r\n--ab\r\nstill first");
        assert_eq!(bodies[4], b"x");
        assert_eq!(structure.parts[0].children, [1, 2]);
        assert_eq!(structure.parts[2].children, [3]);
    }

    #[test]
    fn the_tree_survives_storage() {
        let structure = Structure::of(NESTED);
        let mut bytes = Vec::new();
        structure.encode(&mut bytes);
        assert_eq!(Structure::decode(&bytes), Some(structure));
        for cut in 0..bytes.len() {
            assert_eq!(Structure::decode(&bytes[..cut]), None);
        }
    }

    #[test]
    fn bombs_end_at_the_bounds() {
        let mut deep = Vec::new();
        for level in 0..1_000 {
            deep.extend(
                format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n").bytes(),
            );
        }
        assert_eq!(Structure::of(&deep).parts.len(), DEPTH_MAX + 1);
        let mut wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
        wide.extend(b"--b\r\n\r\nx\r\n".repeat(5_000));
        assert_eq!(Structure::of(&wide).parts.len(), PARTS_MAX);
        let inside = b"Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
        assert_eq!(Structure::of(&inside).parts.len(), DEPTH_MAX + 1);
    }
}
