//! Transfer encodings (RFC 2045 6) and charsets.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Content with its transfer encoding undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The bytes.
    Bytes(Vec<u8>),
    /// The encoding has an unknown name.
    UnknownEncoding,
}

/// Undoes a Content-Transfer-Encoding; garbage in the content is skipped, never an error.
pub fn decode_body(content: &[u8], encoding: &[u8]) -> Decoded {
    let encoding = encoding.trim_ascii();
    let is = |name: &[u8]| encoding.eq_ignore_ascii_case(name);
    if is(b"base64") {
        Decoded::Bytes(base64(content))
    } else if is(b"quoted-printable") {
        Decoded::Bytes(quoted_printable(content, false))
    } else if is(b"7bit") || is(b"8bit") || is(b"binary") || is(b"") {
        Decoded::Bytes(content.to_vec())
    } else {
        Decoded::UnknownEncoding
    }
}

/// Text of any charset as UTF-8; an unknown charset is read as UTF-8, then as windows-1252.
pub fn decode_charset(bytes: &[u8], charset: &[u8]) -> String {
    // Labels of real mail that the Encoding Standard does not know.
    let label = match charset.to_ascii_lowercase().as_slice() {
        b"utf-8" | b"utf8" | b"us-ascii" | b"ascii" | b"" => None,
        b"cp936" | b"x-gbk" => Some(encoding_rs::GBK),
        b"cp950" => Some(encoding_rs::BIG5),
        b"cp932" => Some(encoding_rs::SHIFT_JIS),
        b"cp949" | b"ks_c_5601-1987" => Some(encoding_rs::EUC_KR),
        other => Encoding::for_label(other).filter(|known| *known != UTF_8),
    };
    match label {
        Some(known) => known.decode_without_bom_handling(bytes).0.into_owned(),
        None => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) if is_mostly_utf8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
        },
    }
}

/// UTF-8 with a damaged or cut character, rather than a one-byte charset.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|letter| !letter.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > bad
}

fn base64(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for &byte in content {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            // Padding ends a group; some senders join several encoded pieces.
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Quoted-printable; in a header word (`word`) line ends and soft breaks do not occur.
///
/// Blanks at the end of a line were added on the way and go (RFC 2045 6.7, rule 3); encoded ones stay.
pub(crate) fn quoted_printable(content: &[u8], word: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    // Where what was not encoded begins, in `out`.
    let mut plain_from = 0;
    let mut rest = content;
    while !rest.is_empty() {
        let run = memchr::memchr2(b'=', b'\n', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
        match rest {
            [] => {}
            [b'\n', next @ ..] => {
                end_line(&mut out, plain_from, word);
                rest = next;
            }
            [b'=', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                plain_from = out.len();
                rest = &rest[3..];
            }
            [_, tail @ ..] => {
                // Blanks are looked at once, and the rest of a long line not at all.
                let is_blank = |byte: &&u8| byte.is_ascii_whitespace() && **byte != b'\n';
                let blanks = tail.iter().take_while(is_blank).count();
                match tail.get(blanks..) {
                    Some([b'\n', next @ ..]) if !word => {
                        plain_from = out.len();
                        rest = next;
                    }
                    Some([]) | None if !word => {
                        plain_from = out.len();
                        rest = &[];
                    }
                    _ => {
                        out.push(b'=');
                        rest = tail;
                    }
                }
            }
        }
    }
    if !word {
        trim_blanks(&mut out, plain_from);
    }
    out
}

/// Ends a line of `out` as it ended before: LF, or CR LF.
fn end_line(out: &mut Vec<u8>, plain_from: usize, word: bool) {
    if !word {
        let returned = out.len() > plain_from && out.ends_with(b"\r");
        out.truncate(out.len() - usize::from(returned));
        trim_blanks(out, plain_from);
        if returned {
            out.push(b'\r');
        }
    }
    out.push(b'\n');
}

fn trim_blanks(out: &mut Vec<u8>, plain_from: usize) {
    while out.len() > plain_from && matches!(out.last(), Some(b' ' | b'\t')) {
        out.pop();
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10) & 0xf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone() {
        assert_eq!(decode_body(b"aGVs\r\nbG8=", b"BASE64"), Decoded::Bytes(b"hello".to_vec()));
        assert_eq!(decode_body(b"aGk=aGk=", b" base64 "), Decoded::Bytes(b"hihi".to_vec()));
        let text = b"a=3Db=\r\nc= \nd=zz=";
        assert_eq!(decode_body(text, b"quoted-printable"), Decoded::Bytes(b"a=bcd=zz".to_vec()));
        assert_eq!(decode_body(b"x", b"uuencode"), Decoded::UnknownEncoding);
    }

    #[test]
    fn soft_breaks_and_what_only_looks_like_them() {
        let decode = |text: &[u8]| quoted_printable(text, false);
        assert_eq!(decode(b"a= \t\r\nb=\nc="), b"abc");
        assert_eq!(decode(b"a= \tb= =\r\n=\x0c"), b"a= \tb= ");
        assert_eq!(decode(b"a \t\r\nb \n \r\n=20 \r\nc=20=\r\n d \t"), b"a\r\nb\n\r\n \r\nc  d");
        assert_eq!(decode(b"a \r\r\n=0D\n"), b"a \r\r\n\r\n");
        assert_eq!(quoted_printable(b"a=\r\nb=", true), b"a=\r\nb=");
        // Long lines of broken marks cost no more than others; squared, this would take hours.
        for mark in ["=", "= ", "=\r", "=3"] {
            let long = mark.repeat(10_000_000 / mark.len());
            assert!(decode(long.as_bytes()).len() > 4_000_000);
        }
    }

    #[test]
    fn charsets_become_utf8() {
        assert_eq!(decode_charset(b"\xc4\xe3", b"GB18030"), "你");
        assert_eq!(decode_charset(b"\x1b$B$\"\x1b(B", b"iso-2022-jp"), "あ");
        assert_eq!(decode_charset(b"\xe9", b"no-such-charset"), "é");
    }
}
