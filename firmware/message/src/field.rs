//! Header fields as byte ranges.

use crate::FIELDS_MAX;

/// One header field as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name without colon and without blanks before it.
    pub name: &'a [u8],
    /// Value after the colon, folded as it came, without the last line end.
    pub value: &'a [u8],
    /// The whole field with its line end.
    pub raw: &'a [u8],
}

/// The fields of a header, in order, at most [`crate::FIELDS_MAX`]. Lines without colon are passed over.
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    raw_fields(header).filter_map(split).take(FIELDS_MAX)
}

/// The value of the first field of this name.
pub(crate) fn first<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields(header).find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// Where the body begins: after the first empty line, or the end if there is none.
pub fn header_end(raw: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let line = line_length(rest);
        at += line;
        if is_empty_line(&rest[..line]) {
            return at;
        }
    }
    raw.len()
}

/// Length of the first line with its line end.
pub(crate) fn line_length(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// Only a line end.
pub(crate) fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// A value without folding: line ends go, the blanks after them stay (RFC 5322 2.2.3).
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

/// Fields with their continuation lines, up to the empty line.
pub(crate) fn raw_fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = header.get(at..).filter(|rest| !rest.is_empty())?;
        let mut length = line_length(rest);
        if is_empty_line(&rest[..length]) {
            return None;
        }
        while let Some(b' ' | b'\t') = rest.get(length) {
            length += line_length(&rest[length..]);
        }
        at += length;
        Some(&rest[..length])
    })
}

/// Name and value of a raw field; `None` if it has no colon or no name.
pub(crate) fn split(raw: &[u8]) -> Option<Field<'_>> {
    let colon = memchr::memchr(b':', raw)?;
    let name = raw[..colon].trim_ascii();
    // A line whose "name" holds blanks or line ends is not a field (an mbox From line, say).
    if name.is_empty() || name.iter().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        return None;
    }
    let value = &raw[colon + 1..];
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    Some(Field { name, value, raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_fields_stay_together_and_the_empty_line_ends_them() {
        let header = b"Subject: a\r\n b\r\nX:\r\nnot a field: x\r\nTo : c\r\n\r\nBody: no\r\n";
        let found: Vec<_> = fields(header).map(|field| (field.name, field.value)).collect();
        assert_eq!(found, [(&b"Subject"[..], &b" a\r\n b"[..]), (b"X", b""), (b"To", b" c"),]);
        assert_eq!(header_end(header), header.len() - b"Body: no\r\n".len());
    }

    #[test]
    fn a_message_without_empty_line_is_all_header() {
        assert_eq!(header_end(b"Subject: x"), 10);
        assert_eq!(header_end(b""), 0);
        assert_eq!(header_end(b"\nbody"), 1);
    }
}
