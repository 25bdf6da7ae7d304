//! What a server must know of a message's header: hops, and which fields are missing or must go.

use memchr::memchr;

/// Most `Received` fields before a message counts as looping (RFC 5321 6.3).
pub const HOPS_MAX: usize = 100;

/// What a look at the header found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Number of `Received` fields.
    pub hops: usize,
    /// Whether there is a `Date` field.
    pub has_date: bool,
    /// Whether there is a `Message-ID` field.
    pub has_message_id: bool,
    /// Whether there is a `From` field.
    pub has_from: bool,
    /// Octets of the header, the empty line not counted.
    pub bytes: usize,
}

/// Looks at the header of a message with CRLF lines.
pub fn summarize(message: &[u8]) -> Summary {
    let mut found = Summary::default();
    let mut rest = message;
    while !rest.is_empty() && !rest.starts_with(b"\r\n") {
        let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, tail) = rest.split_at(end);
        found.hops += usize::from(is_field(line, b"received"));
        found.has_date |= is_field(line, b"date");
        found.has_message_id |= is_field(line, b"message-id");
        found.has_from |= is_field(line, b"from");
        found.bytes += end;
        rest = tail;
    }
    found
}

/// The message without the `Return-Path` that was put on top of it here (RFC 5321 4.4).
pub fn without_return_path(message: &[u8]) -> &[u8] {
    if !is_field(message, b"return-path") {
        return message;
    }
    memchr(b'\n', message).and_then(|end| message.get(end + 1..)).unwrap_or(&[])
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && line.get(name.len()..).is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_and_the_body_is_not() {
        let text = b"Received: a\r\nRECEIVED : b\r\n\tDate: folded\r\nX-Date: c\r\nmessage-id: <d>\r\n\r\nDate: e\r\n";
        let found = summarize(text);
        assert_eq!(
            (found.hops, found.has_date, found.has_message_id, found.has_from),
            (2, false, true, false)
        );
        assert_eq!(summarize(b"\r\nFrom: x").bytes, 0);
        assert_eq!(summarize(b"").bytes, 0);
    }

    #[test]
    fn the_return_path_goes_before_a_message_leaves() {
        assert_eq!(without_return_path(b"Return-Path: <a@b>\r\nX: y\r\n"), b"X: y\r\n");
        assert_eq!(without_return_path(b"X: y\r\nReturn-Path: z\r\n"), b"X: y\r\nReturn-Path: z\r\n");
    }
}
