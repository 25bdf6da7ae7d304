//! Text of eight bits made into text of seven, for a server without 8BITMIME (RFC 6152 3, RFC 2045 6).
//!
//! Every part that has octets above 127 is encoded anew: text as quoted-printable, everything else as
//! base64. What is signed as a whole cannot be changed, and a header outside ASCII cannot be either.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use crate::header;

/// Parts within parts that are followed.
const DEPTH_MAX: usize = 50;
/// Octets of a line before they are encoded in base64.
const BASE64_LINE_BYTES: usize = 57;
/// Longest line of quoted-printable, the soft break not counted.
const QUOTED_LINE_BYTES: usize = 75;

/// The message in seven bits; `None` if it cannot be.
pub fn to_seven_bit(message: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 4);
    convert(message, &mut out, 0)?;
    Some(out)
}

fn convert(entity: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    let header_bytes = header::summarize(entity).bytes;
    let (head, rest) = entity.split_at_checked(header_bytes)?;
    if !head.is_ascii() || depth > DEPTH_MAX {
        return None;
    }
    if rest.is_ascii() && is_lines(rest) {
        out.extend_from_slice(entity);
        return Some(());
    }
    let content_type = value(head, "content-type").unwrap_or_else(|| "text/plain".to_owned());
    let kind = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let body = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    if let Some(sub_kind) = kind.strip_prefix("multipart/") {
        if matches!(sub_kind, "signed" | "encrypted") {
            return None;
        }
        write_head(head, "7bit", out);
        return convert_parts(body, &boundary(&content_type)?, out, depth);
    }
    if kind == "message/rfc822" {
        write_head(head, "7bit", out);
        return convert(body, out, depth + 1);
    }
    if kind.starts_with("message/") {
        return None;
    }
    let encoding = value(head, "content-transfer-encoding").unwrap_or_default().trim().to_ascii_lowercase();
    // What says it is encoded and is not has no meaning that could be kept.
    if !matches!(encoding.as_str(), "" | "7bit" | "8bit" | "binary") {
        return None;
    }
    if kind.starts_with("text/") && encoding != "binary" {
        write_head(head, "quoted-printable", out);
        quote(body, out);
    } else {
        write_head(head, "base64", out);
        for line in body.chunks(BASE64_LINE_BYTES) {
            out.extend_from_slice(STANDARD.encode(line).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    Some(())
}

/// Header without its transfer encoding, the new one, and the empty line.
fn write_head(head: &[u8], encoding: &str, out: &mut Vec<u8>) {
    for field in fields(head) {
        if !is_named(field, "content-transfer-encoding") {
            out.extend_from_slice(field);
        }
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes());
}

fn convert_parts(body: &[u8], boundary: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    let delimiter = [b"--", boundary].concat();
    let mut at = next_delimiter(body, &delimiter, 0)?;
    let preamble = body.get(..at)?;
    if !preamble.is_ascii() {
        return None;
    }
    out.extend_from_slice(preamble);
    loop {
        let line_end = memchr::memchr(b'\n', body.get(at..)?).map_or(body.len(), |end| at + end + 1);
        out.extend_from_slice(body.get(at..line_end)?);
        if body.get(at + delimiter.len()..)?.starts_with(b"--") {
            let epilogue = body.get(line_end..)?;
            out.extend_from_slice(epilogue);
            return epilogue.is_ascii().then_some(());
        }
        // The line end before a delimiter belongs to the delimiter (RFC 2046 5.1.1).
        let next = next_delimiter(body, &delimiter, line_end)?;
        let part = body.get(line_end..next)?;
        let (part, end) = match part.strip_suffix(b"\r\n") {
            Some(part) => (part, &b"\r\n"[..]),
            None => (part, &b""[..]),
        };
        convert(part, out, depth + 1)?;
        out.extend_from_slice(end);
        at = next;
    }
}

/// Where the next line begins with the delimiter.
fn next_delimiter(body: &[u8], delimiter: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at + memmem::find(body.get(at..)?, delimiter)?;
        let follows = body.get(found + delimiter.len()..)?;
        let whole = follows.is_empty()
            || follows.starts_with(b"--")
            || follows.trim_ascii_start().len() != follows.len();
        if whole && (found == 0 || body.get(found - 1) == Some(&b'\n')) {
            return Some(found);
        }
        at = found + 1;
    }
}

fn boundary(content_type: &str) -> Option<Vec<u8>> {
    let lower = content_type.to_ascii_lowercase();
    let at = lower.find("boundary=")? + "boundary=".len();
    let text = content_type.get(at..)?;
    let text = match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => text.split([';', ' ', '\t', '\r', '\n']).next()?,
    };
    (!text.is_empty()).then(|| text.as_bytes().to_vec())
}

/// Fields with their folded lines.
fn fields(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            end += memchr::memchr(b'\n', rest.get(end..)?).map_or(rest.len() - end, |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, tail) = rest.split_at_checked(end)?;
        rest = tail;
        (!field.is_empty()).then_some(field)
    })
}

fn is_named(field: &[u8], name: &str) -> bool {
    field
        .split(|octet| *octet == b':')
        .next()
        .is_some_and(|n| n.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

fn value(head: &[u8], name: &str) -> Option<String> {
    let field = fields(head).find(|field| is_named(field, name))?;
    let value = field.get(memchr::memchr(b':', field)? + 1..)?;
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

/// Whether it is lines of a bounded length that end with CRLF, and nothing else (RFC 2045 2.7).
fn is_lines(text: &[u8]) -> bool {
    let mut lines = text.split(|octet| *octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let content = if lines.peek().is_some() { line.strip_suffix(b"\r") } else { Some(line) };
        if content
            .is_none_or(|content| content.len() > 998 || content.contains(&b'\r') || content.contains(&0))
        {
            return false;
        }
    }
    true
}

/// Quoted-printable (RFC 2045 6.7).
fn quote(text: &[u8], out: &mut Vec<u8>) {
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let (content, end) = match line.strip_suffix(b"\r\n") {
            Some(content) => (content, &b"\r\n"[..]),
            None => (line, &b""[..]),
        };
        quote_line(content, out);
        out.extend_from_slice(end);
    }
}

fn quote_line(content: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    for (index, octet) in content.iter().enumerate() {
        let last = index + 1 == content.len();
        let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~') || (matches!(octet, b' ' | b'\t') && !last);
        let width = if plain { 1 } else { 3 };
        if column + width > QUOTED_LINE_BYTES {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            out.push(*octet);
        } else {
            let mut hex = String::new();
            let _ = write!(hex, "={octet:02X}");
            out.extend_from_slice(hex.as_bytes());
        }
        column += width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(text: &str) -> String {
        let out = to_seven_bit(text.replace('\n', "\r\n").as_bytes()).expect("it can be converted");
        assert!(out.is_ascii());
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    }

    #[test]
    fn text_is_quoted_and_the_rest_is_base64() {
        assert_eq!(
            converted("Subject: x\nContent-Transfer-Encoding: 8bit\nMIME-Version: 1.0\n\nGrüße = \n"),
            "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe =3D=20\n"
        );
        assert_eq!(
            converted("Content-Type: image/x\nContent-Transfer-Encoding: 8bit\n\nü"),
            "Content-Type: image/x\nContent-Transfer-Encoding: base64\n\nw7w=\n"
        );
        let long = converted(&format!("A: b\n\n{}\n", "ü".repeat(300)));
        assert!(long.lines().all(|line| line.len() <= 76));
        assert_eq!(
            long.split_once("\n\n").unwrap().1.replace("=\n", ""),
            format!("{}\n", "=C3=BC".repeat(300))
        );
    }

    #[test]
    fn only_the_parts_that_need_it_change() {
        let text = "Content-Type: multipart/mixed;\n boundary=\"=b\"\nContent-Transfer-Encoding: 8bit\n\npreamble\n--=b\n\nplain\n--=b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nü\n--=b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nA: b\n\nü\n--=b--\nend\n";
        let want = "Content-Type: multipart/mixed;\n boundary=\"=b\"\nContent-Transfer-Encoding: 7bit\n\npreamble\n--=b\n\nplain\n--=b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--=b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nA: b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--=b--\nend\n";
        assert_eq!(converted(text), want);
    }

    #[test]
    fn what_cannot_be_changed_is_not() {
        for text in [
            "Subject: ü\r\n\r\nx",
            "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nü\r\n--b--\r\n",
            "Content-Type: multipart/mixed\r\n\r\nü",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nü\r\n",
            "Content-Type: message/partial\r\n\r\nü",
            "Content-Transfer-Encoding: base64\r\n\r\nü",
        ] {
            assert_eq!(to_seven_bit(text.as_bytes()), None, "{text}");
        }
        assert_eq!(to_seven_bit(b"A: b\r\n\r\nc\r\n").unwrap(), b"A: b\r\n\r\nc\r\n");
    }
}
