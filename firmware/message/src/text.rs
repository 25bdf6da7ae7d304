//! Text for people and for search: decoded headers, text parts, file names.

use crate::mime::{ContentType, decoded_parameter, parameterised};
use crate::{
    Decoded, PREVIEW_CHARS_MAX, Part, PartKind, SEARCH_BYTES_MAX, Structure, VALUE_BYTES_MAX, decode_body,
    decode_charset, decode_words, field,
};

/// Encoded bytes looked at for a preview: style sheets come before the first word of an HTML mail.
const PREVIEW_SOURCE_BYTES_MAX: usize = 16 * 1024;

/// What a search looks in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchText {
    /// `Name: value` lines, decoded, of the message and of messages inside it.
    pub headers: String,
    /// Text parts as UTF-8, HTML without its marks.
    pub body: String,
    /// File names of attachments, one a line.
    pub file_names: String,
}

impl SearchText {
    fn room(&self) -> usize {
        SEARCH_BYTES_MAX.saturating_sub(self.headers.len() + self.body.len() + self.file_names.len())
    }
}

/// Everything searchable of a message, at most [`crate::SEARCH_BYTES_MAX`] in all.
pub fn search_text(raw: &[u8], structure: &Structure) -> SearchText {
    let mut found = SearchText::default();
    for (index, part) in structure.parts.iter().enumerate() {
        let header = raw.get(part.header.clone()).unwrap_or_default();
        let is_message = index == 0
            || structure
                .parts
                .iter()
                .any(|other| other.kind == PartKind::Message && other.children.contains(&index));
        if is_message {
            for field in field::fields(header) {
                let value = decode_words(&field.value[..field.value.len().min(VALUE_BYTES_MAX)]);
                let line = format!("{}: {value}\n", String::from_utf8_lossy(field.name));
                let room = found.room();
                push_bounded(&mut found.headers, &line, room);
            }
        }
        if part.kind != PartKind::Leaf {
            continue;
        }
        let content_type = ContentType::of(header, false);
        if let Some(name) = file_name(header, &content_type) {
            let room = found.room();
            push_bounded(&mut found.file_names, &(name + "\n"), room);
        }
        if content_type.is(b"text") {
            let room = found.room();
            // Encoded text is at most four times its length (base64 of a one-byte charset is less).
            let text = part_text(raw, part, header, &content_type, room.saturating_mul(4));
            push_bounded(&mut found.body, &text, room);
            found.body.push('\n');
        }
    }
    found
}

/// The first words of the message's text (RFC 8970).
pub fn preview(raw: &[u8], structure: &Structure) -> String {
    let mut best: Option<(&Part, &[u8], ContentType)> = None;
    for part in structure.parts.iter().filter(|part| part.kind == PartKind::Leaf) {
        let header = raw.get(part.header.clone()).unwrap_or_default();
        let content_type = ContentType::of(header, false);
        if !content_type.is(b"text") || is_attachment(header) {
            continue;
        }
        let is_plain = content_type.is_exactly(b"text", b"plain");
        if is_plain || best.is_none() {
            best = Some((part, header, content_type));
        }
        if is_plain {
            break;
        }
    }
    let Some((part, header, content_type)) = best else { return String::new() };
    let text = part_text(raw, part, header, &content_type, PREVIEW_SOURCE_BYTES_MAX);
    let mut out = String::new();
    for word in text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if let Some((end, _)) = out.char_indices().nth(PREVIEW_CHARS_MAX) {
            out.truncate(end);
            break;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Text of a part as UTF-8, from at most `source_max` encoded bytes.
fn part_text(
    raw: &[u8],
    part: &Part,
    header: &[u8],
    content_type: &ContentType,
    source_max: usize,
) -> String {
    let body = raw.get(part.body.clone()).unwrap_or_default();
    let body = &body[..body.len().min(source_max)];
    let encoding = parameterised(field::first(header, b"Content-Transfer-Encoding").unwrap_or_default());
    let Decoded::Bytes(bytes) = decode_body(body, &encoding.value) else { return String::new() };
    let text = decode_charset(&bytes, content_type.raw_parameter(b"charset").unwrap_or_default());
    if content_type.subtype.eq_ignore_ascii_case(b"html") { without_marks(&text) } else { text }
}

fn file_name(header: &[u8], content_type: &ContentType) -> Option<String> {
    let disposition = field::first(header, b"Content-Disposition").map(parameterised).unwrap_or_default();
    decoded_parameter(&disposition.parameters, b"filename")
        .or_else(|| decoded_parameter(&content_type.parameters, b"name"))
}

fn is_attachment(header: &[u8]) -> bool {
    field::first(header, b"Content-Disposition")
        .is_some_and(|value| parameterised(value).value.eq_ignore_ascii_case(b"attachment"))
}

/// HTML as text: tags, comments, scripts and styles go; entities become letters.
fn without_marks(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('&') {
            rest = entity(&mut out, rest);
            continue;
        }
        out.push(' ');
        rest = if rest.starts_with("<!--") {
            after(rest, "-->")
        } else if starts_with(rest, "<style") {
            after_ignoring_case(rest, "</style")
        } else if starts_with(rest, "<script") {
            after_ignoring_case(rest, "</script")
        } else {
            after(rest, ">")
        };
    }
    out.push_str(rest);
    out
}

/// Writes the entity at the start of `text`; returns what follows it.
fn entity<'a>(out: &mut String, text: &'a str) -> &'a str {
    let end = text.bytes().take(12).position(|byte| byte == b';');
    let letter = end.and_then(|end| match &text[1..end] {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        number => {
            let digits = number.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    });
    if let (Some(letter), Some(end)) = (letter, end) {
        out.push(letter);
        &text[end + 1..]
    } else {
        out.push('&');
        &text[1..]
    }
}

fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.find(mark).map_or("", |at| &text[at + mark.len()..])
}

fn after_ignoring_case<'a>(text: &'a str, mark: &str) -> &'a str {
    let at = memchr::memchr_iter(b'<', text.as_bytes()).find(|&at| starts_with(&text[at..], mark));
    at.map_or("", |at| after(&text[at..], ">"))
}

fn starts_with(text: &str, mark: &str) -> bool {
    text.as_bytes().get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark.as_bytes()))
}

fn push_bounded(out: &mut String, text: &str, room: usize) {
    let mut end = text.len().min(room);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.push_str(&text[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_sees_decoded_headers_bodies_and_file_names() {
        let raw = b"Subject: =?gb2312?B?xOO6ww==?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
            Content-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: base64\r\n\r\nxOO6ww==\r\n--x\r\n\
            Content-Type: text/html\r\n\r\n<style>p{}</style><p>A&amp;B &#x4F60;</p>\r\n--x\r\n\
            Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''%E4%BD%A0.pdf\r\n\r\nx\r\n--x--";
        let found = search_text(raw, &Structure::of(raw));
        assert!(found.headers.contains("Subject: 你好\n"), "{}", found.headers);
        assert!(found.body.contains("你好"), "{}", found.body);
        assert!(found.body.contains("A&B 你") && !found.body.contains("p{}"), "{}", found.body);
        assert_eq!(found.file_names, "你.pdf\n");
    }

    #[test]
    fn the_preview_is_the_first_plain_text() {
        let raw =
            b"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n\
            <b>no</b>\r\n--x\r\n\r\nyes   it\r\n is\r\n--x--";
        assert_eq!(preview(raw, &Structure::of(raw)), "yes it is");
        let long = "word ".repeat(1_000);
        let raw = format!("\r\n{long}");
        let text = preview(raw.as_bytes(), &Structure::of(raw.as_bytes()));
        assert!(text.chars().count() <= PREVIEW_CHARS_MAX && text.starts_with("word word"));
    }

    #[test]
    fn search_text_is_bounded() {
        let raw = format!("Subject: x\r\n\r\n{}", "ü".repeat(SEARCH_BYTES_MAX));
        let found = search_text(raw.as_bytes(), &Structure::of(raw.as_bytes()));
        assert!(found.headers.len() + found.body.len() <= SEARCH_BYTES_MAX + 1);
    }
}
