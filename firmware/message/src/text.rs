//! Text for people and for search: text parts, file names, previews.

use crate::html::{shown, without_marks};
use crate::mime::{ContentType, decoded_parameter, parameterised};
use crate::{Decoded, PREVIEW_CHARS_MAX, Part, PartKind, Structure, decode_body, decode_charset, field};

/// Encoded bytes looked at for a preview: style sheets come before the first word of an HTML mail.
const PREVIEW_SOURCE_BYTES_MAX: usize = 16 * 1024;

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
    let text = decoded_text(raw, part, header, &content_type, PREVIEW_SOURCE_BYTES_MAX);
    let text = if is_html(&content_type) { shown(&text) } else { text };
    let mut out = String::new();
    for word in text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        // Fewer bytes than that are fewer characters too.
        if out.len() > PREVIEW_CHARS_MAX
            && let Some((end, _)) = out.char_indices().nth(PREVIEW_CHARS_MAX)
        {
            out.truncate(end);
            break;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Text of a part as UTF-8, from at most `source_max` encoded bytes.
pub(crate) fn part_text(
    raw: &[u8],
    part: &Part,
    header: &[u8],
    content_type: &ContentType,
    source_max: usize,
) -> String {
    let text = decoded_text(raw, part, header, content_type, source_max);
    if is_html(content_type) { without_marks(&text) } else { text }
}

fn is_html(content_type: &ContentType) -> bool {
    content_type.subtype.eq_ignore_ascii_case(b"html")
}

/// The same with its HTML marks.
fn decoded_text(
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
    decode_charset(&bytes, content_type.raw_parameter(b"charset").unwrap_or_default())
}

/// The name of the file a part is to be saved as.
pub(crate) fn file_name(header: &[u8], content_type: &ContentType) -> Option<String> {
    let disposition = field::first(header, b"Content-Disposition").map(parameterised).unwrap_or_default();
    decoded_parameter(&disposition.parameters, b"filename")
        .or_else(|| decoded_parameter(&content_type.parameters, b"name"))
}

fn is_attachment(header: &[u8]) -> bool {
    field::first(header, b"Content-Disposition")
        .is_some_and(|value| parameterised(value).value.eq_ignore_ascii_case(b"attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preview_is_the_first_plain_text() {
        let raw =
            b"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n\
            <b>no</b>\r\n--x\r\n\r\nyes   it\r\n is\r\n--x--";
        assert_eq!(preview(raw, &Structure::of(raw)), "yes it is");
        let html =
            b"Content-Type: text/html\r\n\r\n<html><HEAD><title>News 7</title><style>p{}</style></HEAD>\
            <body class=x>Dear <b>A</b>";
        assert_eq!(preview(html, &Structure::of(html)), "Dear A");
        let long = "word ".repeat(1_000);
        let raw = format!("\r\n{long}");
        let text = preview(raw.as_bytes(), &Structure::of(raw.as_bytes()));
        assert!(text.chars().count() <= PREVIEW_CHARS_MAX && text.starts_with("word word"));
    }
}
