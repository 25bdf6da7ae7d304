//! Content-Type, Content-Disposition and their parameters: RFC 2045, RFC 2183, RFC 2231.

use crate::{Decoded, PARAMETERS_MAX, VALUE_BYTES_MAX, decode_body, decode_charset, decode_words, field};

/// A value with parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameterised {
    /// What stands before the first semicolon, without comments and blanks.
    pub value: Vec<u8>,
    /// Names and values as written, values unquoted.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A Content-Type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentType {
    pub kind: Vec<u8>,
    pub subtype: Vec<u8>,
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ContentType {
    /// Of a part with this header; `in_digest`: its parent is a multipart/digest (RFC 2046 5.1.5).
    pub fn of(header: &[u8], in_digest: bool) -> Self {
        field::first(header, b"Content-Type")
            .and_then(Self::parse)
            .unwrap_or_else(|| Self::default_for(in_digest))
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let parsed = parameterised(value);
        let slash = memchr::memchr(b'/', &parsed.value)?;
        let (kind, subtype) = (parsed.value[..slash].trim_ascii(), parsed.value[slash + 1..].trim_ascii());
        let is_token = |text: &[u8]| {
            !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"')
        };
        (is_token(kind) && is_token(subtype)).then(|| Self {
            kind: kind.to_vec(),
            subtype: subtype.to_vec(),
            parameters: parsed.parameters,
        })
    }

    fn default_for(in_digest: bool) -> Self {
        if in_digest {
            return Self { kind: b"message".to_vec(), subtype: b"rfc822".to_vec(), parameters: Vec::new() };
        }
        Self::plain_text()
    }

    /// RFC 2045 5.2.
    pub fn plain_text() -> Self {
        let charset = (b"charset".to_vec(), b"us-ascii".to_vec());
        Self { kind: b"text".to_vec(), subtype: b"plain".to_vec(), parameters: vec![charset] }
    }

    pub fn is(&self, kind: &[u8]) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    pub fn is_exactly(&self, kind: &[u8], subtype: &[u8]) -> bool {
        self.is(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Holds a message: RFC 2046 5.2.1, RFC 6532 3.7.
    pub fn is_message(&self) -> bool {
        self.is_exactly(b"message", b"rfc822") || self.is_exactly(b"message", b"global")
    }

    /// A parameter as written.
    pub fn raw_parameter(&self, name: &[u8]) -> Option<&[u8]> {
        raw_parameter(&self.parameters, name)
    }
}

pub(crate) fn raw_parameter<'a>(parameters: &'a [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'a [u8]> {
    parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

/// Reads `value; name=value; …`.
pub(crate) fn parameterised(value: &[u8]) -> Parameterised {
    let value = field::unfold(&value[..value.len().min(VALUE_BYTES_MAX)]);
    let mut pieces = split_unquoted(&value);
    let head = pieces.next().map(|piece| strip_comments(piece).trim_ascii().to_vec()).unwrap_or_default();
    let mut parameters = Vec::new();
    for piece in pieces.take(PARAMETERS_MAX) {
        let Some(equals) = memchr::memchr(b'=', piece) else { continue };
        let name = piece[..equals].trim_ascii();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            continue;
        }
        parameters.push((name.to_vec(), unquote(piece[equals + 1..].trim_ascii())));
    }
    Parameterised { value: head, parameters }
}

/// Pieces between semicolons that are not inside quotes.
fn split_unquoted(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let start = at?;
        let rest = value.get(start..)?;
        let (mut quoted, mut escaped) = (false, false);
        for (offset, &byte) in rest.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b';' if !quoted => {
                    at = Some(start + offset + 1);
                    return Some(&rest[..offset]);
                }
                _ => {}
            }
        }
        at = None;
        Some(rest)
    })
}

fn unquote(value: &[u8]) -> Vec<u8> {
    let value = skip_comment(value);
    let Some(inner) = value.strip_prefix(b"\"") else {
        return strip_comments(value).trim_ascii().to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    out
}

/// Text behind a comment that stands at its beginning.
fn skip_comment(value: &[u8]) -> &[u8] {
    if !value.starts_with(b"(") {
        return value;
    }
    memchr::memchr(b')', value).and_then(|end| value.get(end + 1..)).unwrap_or_default().trim_ascii_start()
}

/// Text before a comment; comments inside a MIME value are rare and never in its middle.
fn strip_comments(value: &[u8]) -> &[u8] {
    &value[..memchr::memchr(b'(', value).unwrap_or(value.len())]
}

/// A parameter for people: RFC 2231 pieces joined, charset and encoded words decoded.
pub(crate) fn decoded_parameter(parameters: &[(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<String> {
    let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
    for (known, value) in parameters {
        let Some(rest) = known.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name)) else {
            continue;
        };
        let rest = &known[rest.len()..];
        match rest {
            [] => return Some(decode_words(value)),
            b"*" => return Some(decode_extended(value)),
            [b'*', tail @ ..] => {
                let (digits, extended) = match tail.strip_suffix(b"*") {
                    Some(digits) => (digits, true),
                    None => (tail, false),
                };
                let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                pieces.extend(number.map(|number| (number, extended, value.as_slice())));
            }
            _ => {}
        }
    }
    pieces.sort_by_key(|(number, _, _)| *number);
    let (_, extended, first) = *pieces.first()?;
    let mut charset: &[u8] = b"";
    let mut bytes = Vec::new();
    for (at, (_, is_extended, value)) in pieces.iter().enumerate() {
        let mut value = *value;
        if at == 0 && extended {
            (charset, value) = charset_and_text(first);
        }
        if *is_extended { bytes.extend(percent_decoded(value)) } else { bytes.extend_from_slice(value) }
    }
    Some(decode_charset(&bytes, charset))
}

fn decode_extended(value: &[u8]) -> String {
    let (charset, text) = charset_and_text(value);
    decode_charset(&percent_decoded(text), charset)
}

/// `charset'language'text`.
fn charset_and_text(value: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(text)) => (charset, text),
        _ => (b"", value),
    }
}

fn percent_decoded(value: &[u8]) -> Vec<u8> {
    // Same rules as quoted-printable words with another mark; '=' itself stays.
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%'
            && let [high, low, ..] = tail
            && high.is_ascii_hexdigit()
            && low.is_ascii_hexdigit()
        {
            if let Decoded::Bytes(decoded) = decode_body(&[b'=', *high, *low], b"quoted-printable") {
                out.extend(decoded);
            }
            rest = &tail[2..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_as_people_write_them() {
        let found = ContentType::of(
            b"Content-Type: Text/HTML (x);\r\n charset=\"utf-8\"; name=a b.html ; =x;y\r\n",
            false,
        );
        assert!(found.is_exactly(b"text", b"html"));
        assert_eq!(found.raw_parameter(b"CHARSET"), Some(&b"utf-8"[..]));
        assert_eq!(found.raw_parameter(b"name"), Some(&b"a b.html"[..]));
        assert_eq!(found.parameters.len(), 2);
        let commented = ContentType::of(b"Content-Type: text/plain; charset=(really) utf-8 (yes)\r\n", false);
        assert_eq!(commented.raw_parameter(b"charset"), Some(&b"utf-8"[..]));
        assert_eq!(ContentType::of(b"Content-Type: nonsense\r\n", false), ContentType::plain_text());
        assert!(ContentType::of(b"", true).is_message());
    }

    #[test]
    fn file_names_in_every_spelling() {
        for (text, name) in [
            (&b"attachment; filename*=utf-8''%E4%BD%A0.txt"[..], "你.txt"),
            (b"attachment; filename*0*=utf-8''%E4%BD; filename*1*=%A0; filename*2=.txt", "你.txt"),
            (b"attachment; filename=\"=?utf-8?B?5L2g?=.txt\"", "你.txt"),
            (b"attachment; filename=\"a;b\\\".txt\"", "a;b\".txt"),
        ] {
            let parsed = parameterised(text);
            assert_eq!(decoded_parameter(&parsed.parameters, b"filename").as_deref(), Some(name));
        }
    }
}
