//! Encoded words, RFC 2047.

use crate::{Decoded, decode_body, decode_charset};

/// Longest encoded word looked at; the standard allows 75, real mail writes more.
const WORD_BYTES_MAX: usize = 4 * 1024;

/// A header value for people: unfolded, encoded words decoded, raw UTF-8 kept.
///
/// Neighbouring words of one charset are joined before the charset is decoded, because many
/// senders cut a character in two.
pub fn decode_words(value: &[u8]) -> String {
    let value = crate::field::unfold(value);
    let mut out = String::new();
    let mut plain: Vec<u8> = Vec::new();
    let mut pending: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut rest = value.trim_ascii();
    while let Some(&byte) = rest.first() {
        if let Some((charset, bytes, length)) = encoded_word(rest) {
            let only_blanks = plain.iter().all(u8::is_ascii_whitespace);
            if !(pending.is_some() && only_blanks) {
                flush(&mut out, &mut pending);
                out.push_str(&decode_charset(&plain, b"utf-8"));
            }
            plain.clear();
            match &mut pending {
                Some((known, text)) if known.eq_ignore_ascii_case(&charset) => text.extend(bytes),
                _ => {
                    flush(&mut out, &mut pending);
                    pending = Some((charset, bytes));
                }
            }
            rest = &rest[length..];
            continue;
        }
        plain.push(byte);
        rest = &rest[1..];
        // Jump to the next place where a word can begin.
        let skip = memchr::memchr(b'=', rest).unwrap_or(rest.len());
        plain.extend_from_slice(&rest[..skip]);
        rest = &rest[skip..];
    }
    flush(&mut out, &mut pending);
    out.push_str(&decode_charset(&plain, b"utf-8"));
    out
}

fn flush(out: &mut String, pending: &mut Option<(Vec<u8>, Vec<u8>)>) {
    if let Some((charset, bytes)) = pending.take() {
        out.push_str(&decode_charset(&bytes, &charset));
    }
}

/// Charset, decoded bytes and length of the encoded word at the start.
fn encoded_word(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>, usize)> {
    let inner = bytes.strip_prefix(b"=?")?;
    let inner = &inner[..inner.len().min(WORD_BYTES_MAX)];
    let first = memchr::memchr(b'?', inner)?;
    let (charset, encoding) = (&inner[..first], *inner.get(first + 1)?);
    if charset.is_empty()
        || charset.iter().any(u8::is_ascii_whitespace)
        || inner.get(first + 2) != Some(&b'?')
    {
        return None;
    }
    let text_at = first + 3;
    let text = inner.get(text_at..)?;
    let length = memchr::memmem::find(text, b"?=")?;
    // A quoted-printable word may begin with '=', so that "?=" is not yet its end.
    let length = match encoding {
        b'q' | b'Q' if length == 0 && text.get(2).is_some_and(u8::is_ascii_hexdigit) => {
            1 + memchr::memmem::find(&text[1..], b"?=")?
        }
        _ => length,
    };
    let text = &text[..length];
    let decoded = match encoding {
        b'b' | b'B' => decode_body(text, b"base64"),
        b'q' | b'Q' => {
            let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'_' { b' ' } else { byte }).collect();
            Decoded::Bytes(crate::encoding::quoted_printable(&spaced, true))
        }
        _ => return None,
    };
    // RFC 2231 5: charset*language.
    let charset = charset.split(|&byte| byte == b'*').next().unwrap_or(charset);
    match decoded {
        Decoded::Bytes(bytes) => Some((charset.to_vec(), bytes, 2 + text_at + length + 2)),
        Decoded::UnknownEncoding => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_decoded_and_joined() {
        assert_eq!(decode_words(b" =?utf-8?B?5L2g?= =?UTF-8?b?5aW9?= world"), "你好 world");
        assert_eq!(decode_words(b"=?iso-8859-1?Q?a=E9_b?=\r\n =?iso-8859-1?Q?c?="), "aé bc");
        assert_eq!(decode_words(b"Re: =?gb2312?B?xOO6ww==?="), "Re: 你好");
        // One character cut across two words.
        assert_eq!(decode_words(b"=?utf-8?Q?=E4=BD?= =?utf-8?Q?=A0?="), "你");
    }

    #[test]
    fn what_is_no_word_stays() {
        assert_eq!(decode_words(b"a =? b ?= =?x?= =?utf-8?X?a?="), "a =? b ?= =?x?= =?utf-8?X?a?=");
        assert_eq!(decode_words("grüße".as_bytes()), "grüße");
        assert_eq!(decode_words(b"caf\xe9"), "café");
        assert_eq!(decode_words(b""), "");
    }
}
