//! Writing IMAP strings: quoted where that is allowed, else a literal (RFC 3501 4.3).

/// Longest quoted string written; longer text becomes a literal, which clients read without limits.
const QUOTED_BYTES_MAX: usize = 1_000;

/// Writes a string as quoted string or literal.
///
/// NUL cannot be written in either form (RFC 3501 9, CHAR8) and becomes 0x80, as other servers do.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    let quotable = text.len() <= QUOTED_BYTES_MAX
        && text.iter().all(|byte| byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0));
    if quotable {
        out.push(b'"');
        for &byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
        return;
    }
    out.push(b'{');
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.extend_from_slice(b"}\r\n");
    out.extend(text.iter().map(|&byte| if byte == 0 { 0x80 } else { byte }));
}

/// Writes `NIL` or a string.
pub fn write_nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => write_string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Length of the string, number, atom or list that begins at `at` in our own output.
pub(crate) fn item_length(text: &[u8], at: usize) -> usize {
    let Some(rest) = text.get(at..) else { return 0 };
    match rest.first() {
        Some(b'(') => {
            let mut end = 1;
            while !matches!(rest.get(end), None | Some(b')')) {
                end += item_length(text, at + end).max(1);
            }
            (end + 1).min(rest.len())
        }
        Some(b'"') => {
            let mut end = 1;
            while !matches!(rest.get(end), None | Some(b'"')) {
                end += if rest.get(end) == Some(&b'\\') { 2 } else { 1 };
            }
            (end + 1).min(rest.len())
        }
        Some(b'{') => {
            let close = memchr::memchr(b'}', rest).unwrap_or(0);
            let digits = rest.get(1..close).and_then(|digits| std::str::from_utf8(digits).ok());
            let length: usize = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
            (close + 3).saturating_add(length).min(rest.len())
        }
        _ => rest.iter().position(|byte| matches!(byte, b' ' | b')' | b'(')).unwrap_or(rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_where_it_may_and_writes_literals_where_it_must() {
        let mut out = Vec::new();
        write_string(&mut out, b"a\"b\\c");
        write_nstring(&mut out, None);
        write_string(&mut out, "ü".as_bytes());
        write_string(&mut out, b"a\r\n\0");
        assert_eq!(out, b"\"a\\\"b\\\\c\"NIL{2}\r\n\xc3\xbc{4}\r\na\r\n\x80");
    }

    #[test]
    fn items_are_measured_across_quotes_and_literals() {
        let text = b"(\"a)\\\"\" {3}\r\n))( NIL) 12";
        assert_eq!(item_length(text, 0), text.len() - 3);
    }
}
