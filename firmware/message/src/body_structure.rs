//! BODYSTRUCTURE, RFC 3501 7.4.2.

use crate::envelope::{EnvelopeFields, write_value};
use crate::imap_text::{item_length, write_nstring, write_string};
use crate::mime::{ContentType, parameterised};
use crate::{Part, PartKind, Structure, VALUE_BYTES_MAX, field};

/// From this size on parts are written without parameters, descriptions and inner envelopes, so that
/// a hostile message cannot make an answer that no client could take.
const DETAILED_BYTES_MAX: usize = 512 * 1024;

/// Writes BODYSTRUCTURE of a message.
pub(crate) fn write_body_structure(out: &mut Vec<u8>, raw: &[u8], structure: &Structure) {
    let writer = Writer { raw, structure };
    writer.part(out, structure.root(), false);
}

struct Writer<'a> {
    raw: &'a [u8],
    structure: &'a Structure,
}

impl Writer<'_> {
    fn part(&self, out: &mut Vec<u8>, part: &Part, in_digest: bool) {
        let header = self.raw.get(part.header.clone()).unwrap_or_default();
        let content_type = ContentType::of(header, in_digest);
        match part.kind {
            PartKind::Multipart => self.multipart(out, part, header, &content_type),
            PartKind::Leaf if content_type.is(b"multipart") => {
                // No boundary in it, or nested too deep: its bytes are shown as text.
                self.single(out, part, header, &ContentType::plain_text());
            }
            PartKind::Leaf if content_type.is_message() => {
                let opaque = ContentType {
                    kind: b"application".to_vec(),
                    subtype: b"octet-stream".to_vec(),
                    parameters: content_type.parameters,
                };
                self.single(out, part, header, &opaque);
            }
            PartKind::Leaf | PartKind::Message => self.single(out, part, header, &content_type),
        }
    }

    fn multipart(&self, out: &mut Vec<u8>, part: &Part, header: &[u8], content_type: &ContentType) {
        let is_digest = content_type.subtype.eq_ignore_ascii_case(b"digest");
        out.push(b'(');
        for child in part.children.iter().filter_map(|child| self.structure.parts.get(*child)) {
            self.part(out, child, is_digest);
        }
        out.push(b' ');
        write_string(out, &content_type.subtype);
        out.push(b' ');
        write_parameters(out, &content_type.parameters);
        write_extension(out, header);
        out.push(b')');
    }

    fn single(&self, out: &mut Vec<u8>, part: &Part, header: &[u8], content_type: &ContentType) {
        let body = self.raw.get(part.body.clone()).unwrap_or_default();
        out.push(b'(');
        write_string(out, &content_type.kind);
        out.push(b' ');
        write_string(out, &content_type.subtype);
        out.push(b' ');
        write_parameters(out, &content_type.parameters);
        for name in [&b"Content-ID"[..], b"Content-Description"] {
            out.push(b' ');
            write_detail(out, field::first(header, name));
        }
        out.push(b' ');
        let encoding =
            field::first(header, b"Content-Transfer-Encoding").map(parameterised).unwrap_or_default();
        write_string(out, if encoding.value.is_empty() { b"7bit" } else { &encoding.value });
        out.push(b' ');
        write_decimal(out, body.len());
        let lines = || memchr::memchr_iter(b'\n', body).count();
        if part.kind == PartKind::Message {
            out.push(b' ');
            self.inner_message(out, part);
            out.push(b' ');
            write_decimal(out, lines());
        } else if content_type.is(b"text") {
            out.push(b' ');
            write_decimal(out, lines());
        }
        out.push(b' ');
        write_detail(out, field::first(header, b"Content-MD5"));
        write_extension(out, header);
        out.push(b')');
    }

    /// Envelope and structure of the message in a `message/rfc822` part.
    fn inner_message(&self, out: &mut Vec<u8>, part: &Part) {
        let inner = part.children.first().and_then(|child| self.structure.parts.get(*child));
        let header = inner.and_then(|inner| self.raw.get(inner.header.clone())).unwrap_or_default();
        let header = if out.len() < DETAILED_BYTES_MAX { header } else { b"" };
        EnvelopeFields::of(header).write(out);
        out.push(b' ');
        if let Some(inner) = inner {
            self.part(out, inner, false);
        }
    }
}

/// Disposition, language, location; preceded by a blank each.
fn write_extension(out: &mut Vec<u8>, header: &[u8]) {
    out.push(b' ');
    match field::first(header, b"Content-Disposition").map(parameterised) {
        Some(disposition) if !disposition.value.is_empty() => {
            out.push(b'(');
            write_string(out, &disposition.value);
            out.push(b' ');
            write_parameters(out, &disposition.parameters);
            out.push(b')');
        }
        _ => write_nstring(out, None),
    }
    out.push(b' ');
    write_languages(out, field::first(header, b"Content-Language"));
    out.push(b' ');
    write_detail(out, field::first(header, b"Content-Location"));
}

fn write_parameters(out: &mut Vec<u8>, parameters: &[(Vec<u8>, Vec<u8>)]) {
    if parameters.is_empty() || out.len() >= DETAILED_BYTES_MAX {
        return write_nstring(out, None);
    }
    for (index, (name, value)) in parameters.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        write_string(out, name);
        out.push(b' ');
        write_string(out, value);
    }
    out.push(b')');
}

/// RFC 3282: a list of tags.
fn write_languages(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let value =
        value.map(|value| field::unfold(&value[..value.len().min(VALUE_BYTES_MAX)])).unwrap_or_default();
    let tags: Vec<&[u8]> =
        value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()).collect();
    match tags.as_slice() {
        _ if out.len() >= DETAILED_BYTES_MAX => write_nstring(out, None),
        [] => write_nstring(out, None),
        [only] => write_string(out, only),
        several => {
            for (index, tag) in several.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                write_string(out, tag);
            }
            out.push(b')');
        }
    }
}

fn write_detail(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let value = value.filter(|_| out.len() < DETAILED_BYTES_MAX);
    write_value(out, value);
}

fn write_decimal(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// BODY from BODYSTRUCTURE: the same parts without extension data.
///
/// It reads only what this module wrote; anything else is cut short, not refused.
pub fn without_extension_data(body_structure: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body_structure.len());
    copy_basic(&mut out, body_structure, 0);
    out
}

/// Copies the body at `at` without extension data.
fn copy_basic(out: &mut Vec<u8>, text: &[u8], at: usize) {
    out.push(b'(');
    let mut at = at + 1;
    if text.get(at) == Some(&b'(') {
        // Multipart: the bodies and the subtype.
        while text.get(at) == Some(&b'(') {
            copy_basic(out, text, at);
            at += item_length(text, at).max(1);
        }
        copy_items(out, text, &mut at, 1);
        out.push(b')');
        return;
    }
    let start = out.len();
    // Type, subtype, parameters, id, description, encoding, size.
    copy_items(out, text, &mut at, 7);
    let head = out[start..].to_ascii_lowercase();
    if head.starts_with(b"\"text\"") {
        copy_items(out, text, &mut at, 1);
    } else if head.starts_with(b"\"message\" \"rfc822\"") || head.starts_with(b"\"message\" \"global\"") {
        copy_items(out, text, &mut at, 1);
        out.push(b' ');
        copy_basic(out, text, at + 1);
        at += 1 + item_length(text, at + 1);
        copy_items(out, text, &mut at, 1);
    }
    out.push(b')');
}

/// Copies `count` items, each with the blank before it.
fn copy_items(out: &mut Vec<u8>, text: &[u8], at: &mut usize, count: usize) {
    for _ in 0..count {
        let blank = usize::from(text.get(*at) == Some(&b' '));
        let end = *at + blank + item_length(text, *at + blank);
        out.extend_from_slice(text.get(*at..end).unwrap_or_default());
        *at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_structure(raw: &[u8]) -> String {
        let mut out = Vec::new();
        write_body_structure(&mut out, raw, &Structure::of(raw));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_plain_text() {
        let text = body_structure(b"Subject: x\r\n\r\na\r\nb\r\n");
        assert_eq!(text, r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2 NIL NIL NIL NIL)"#);
        let body = without_extension_data(text.as_bytes());
        assert_eq!(body, br#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2)"#);
    }

    #[test]
    fn attachments_and_messages_inside() {
        let raw = b"Content-Type: multipart/mixed; boundary=x\r\nContent-Language: en, de\r\n\r\n--x\r\n\
            Content-Type: image/png; name=\"a\\\"b.png\"\r\nContent-Disposition: attachment; filename=z\r\n\
            Content-Transfer-Encoding: base64\r\nContent-ID: <1@x>\r\n\r\nAAAA\r\n--x\r\n\
            Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nhi\r\n--x--\r\n";
        let text = body_structure(raw);
        let inner = "(NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL)";
        assert_eq!(
            text,
            format!(
                "((\"image\" \"png\" (\"name\" \"a\\\"b.png\") \"<1@x>\" NIL \"base64\" 4 NIL \
                 (\"attachment\" (\"filename\" \"z\")) NIL NIL)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 17 {inner} \
                 (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) \
                 \"mixed\" (\"boundary\" \"x\") NIL (\"en\" \"de\") NIL)"
            )
        );
        assert_eq!(
            String::from_utf8(without_extension_data(text.as_bytes())).unwrap(),
            format!(
                "((\"image\" \"png\" (\"name\" \"a\\\"b.png\") \"<1@x>\" NIL \"base64\" 4)(\"message\" \"rfc822\" NIL \
                 NIL NIL \"7bit\" 17 {inner} (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2 0) 2) \
                 \"mixed\")"
            )
        );
    }

    #[test]
    fn a_multipart_without_boundary_is_text() {
        let text = body_structure(b"Content-Type: multipart/mixed\r\n\r\nhello");
        assert!(text.starts_with("(\"text\" \"plain\""), "{text}");
    }
}
