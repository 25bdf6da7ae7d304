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
    /// Whether there is a `Return-Path` field, which only the last server may write.
    pub has_return_path: bool,
    /// Whether there is a `Bcc` or `Resent-Bcc` field.
    pub has_bcc: bool,
    /// Whether there is an `Authentication-Results` field.
    pub has_authentication_results: bool,
    /// Whether there is a `Delivered-To` field.
    pub has_delivered_to: bool,
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
        match line.first().map_or(0, u8::to_ascii_lowercase) {
            b'r' => {
                found.hops += usize::from(is_field(line, b"received"));
                found.has_return_path |= is_field(line, b"return-path");
                found.has_bcc |= is_field(line, b"resent-bcc");
            }
            b'd' => {
                found.has_date |= is_field(line, b"date");
                found.has_delivered_to |= is_field(line, b"delivered-to");
            }
            b'm' => found.has_message_id |= is_field(line, b"message-id"),
            b'f' => found.has_from |= is_field(line, b"from"),
            b'b' => found.has_bcc |= is_field(line, b"bcc"),
            b'a' => found.has_authentication_results |= is_field(line, b"authentication-results"),
            _ => {}
        }
        found.bytes += end;
        rest = tail;
    }
    found
}

/// Removes fields from the header that begins at `from`; `is_doomed` gets name and value of each.
pub fn remove_fields(message: &mut Vec<u8>, from: usize, is_doomed: impl Fn(&[u8], &[u8]) -> bool) {
    // What stays moves up once, however many fields go.
    let (mut at, mut kept) = (from, from);
    loop {
        let rest = message.get(at..).unwrap_or(&[]);
        if rest.is_empty() || rest.starts_with(b"\r\n") {
            break;
        }
        let length = field_length(rest);
        let field = rest.get(..length).unwrap_or(rest);
        let doomed = memchr(b':', field).is_some_and(|colon| {
            let (name, value) = field.split_at(colon);
            is_doomed(name.trim_ascii_end(), value.get(1..).unwrap_or(&[]))
        });
        if !doomed {
            message.copy_within(at..at + length, kept);
            kept += length;
        }
        at += length;
    }
    message.drain(kept.min(message.len())..at.min(message.len()));
}

/// Octets of the first field with its folded lines.
fn field_length(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or(&[]);
        let Some(end) = memchr(b'\n', rest) else { return text.len() };
        at += end + 1;
        if !matches!(text.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

/// Values of a field wherever it stands in the header, still folded.
pub fn values<'a>(message: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        while !rest.is_empty() && !rest.starts_with(b"\r\n") {
            let (field, tail) = rest.split_at(field_length(rest));
            rest = tail;
            if is_field(field, name) {
                let colon = memchr(b':', field)?;
                return Some(field.get(colon + 1..).unwrap_or(&[]).trim_ascii());
            }
        }
        None
    })
}

/// Whether the value of an `Authentication-Results` field speaks in this server's name
/// (RFC 8601 2.2, 5): such a field from outside is forged.
pub fn is_results_of(value: &[u8], host_name: &str) -> bool {
    let mut rest = value.trim_ascii();
    while rest.first() == Some(&b'(') {
        let Some(end) = comment_length(rest) else { return true };
        rest = rest.get(end..).unwrap_or(&[]).trim_ascii();
    }
    let name = match rest.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|b| *b == b'"').next(),
        None => rest.split(|b| b.is_ascii_whitespace() || b";(".contains(b)).next(),
    };
    name.is_some_and(|name| name.eq_ignore_ascii_case(host_name.as_bytes()))
}

fn comment_length(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
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

    #[test]
    fn fields_go_with_all_their_lines() {
        let mut text = b"top: 1\r\nBcc: a\r\n\tb\r\nA: 1\r\nRESENT-BCC : c\r\n\r\nBcc: body\r\n".to_vec();
        let bcc = |name: &[u8], _: &[u8]| {
            name.eq_ignore_ascii_case(b"bcc") || name.eq_ignore_ascii_case(b"resent-bcc")
        };
        assert!(summarize(&text).has_bcc);
        remove_fields(&mut text, 8, bcc);
        assert_eq!(text, b"top: 1\r\nA: 1\r\n\r\nBcc: body\r\n");
        let mut last = b"Bcc: a".to_vec();
        remove_fields(&mut last, 0, bcc);
        assert!(last.is_empty());
        assert_eq!(
            values(b"A: x\r\n y\r\nB: z\r\na:\r\n\r\nA: no", b"a").collect::<Vec<_>>(),
            [&b"x\r\n y"[..], b""]
        );
    }

    #[test]
    fn results_in_our_name_are_known() {
        for ours in
            ["mx.test; spf=pass", "MX.TEST 1; none", "(a (b) \\) c) mx.test;none", "\"mx.test\";", "(open"]
        {
            assert!(is_results_of(ours.as_bytes(), "mx.test"), "{ours}");
        }
        for other in ["mx.test.far; spf=pass", "far; spf=pass smtp.helo=mx.test", ""] {
            assert!(!is_results_of(other.as_bytes(), "mx.test"), "{other}");
        }
    }
}
