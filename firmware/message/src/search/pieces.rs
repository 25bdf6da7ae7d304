//! A message as the decoded texts a search looks in.

use crate::mime::ContentType;
use crate::text::{file_name, part_text};
use crate::{
    Address, Field, PartKind, SEARCH_BYTES_MAX, Structure, VALUE_BYTES_MAX, addresses, decode_words, field,
};

/// Fields that hold addresses, as ENVELOPE knows them.
const ADDRESS_FIELDS: [&[u8]; 6] = [b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Bcc"];

/// One text of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A field of the message's own header: name as written, value unfolded and decoded (RFC 2047).
    Field {
        /// Name.
        name: &'a str,
        /// Value.
        value: &'a str,
    },
    /// Something in the body: a text part as UTF-8 (HTML without its marks), the file name of a part
    /// (RFC 2231), or a `Name: value` line of a message inside.
    Body(&'a str),
}

/// Shows the texts of a message one after the other, until `see` answers `false`. All together they
/// have at most [`crate::SEARCH_BYTES_MAX`] bytes; the one that goes beyond is cut, and is the last.
pub fn each_piece(raw: &[u8], structure: &Structure, see: &mut dyn FnMut(Piece<'_>) -> bool) {
    let mut room = SEARCH_BYTES_MAX;
    let own = structure.root().header.clone();
    if !each_field_within(raw.get(own).unwrap_or_default(), &mut room, see) {
        return;
    }
    for part in &structure.parts {
        let header = raw.get(part.header.clone()).unwrap_or_default();
        if part.kind == PartKind::Message {
            let inner = part.children.first().and_then(|child| structure.parts.get(*child));
            let inner = inner.and_then(|inner| raw.get(inner.header.clone())).unwrap_or_default();
            for field in field::fields(inner) {
                let line = format!("{}: {}", name_of(&field), value_of(&field));
                if !show(Piece::Body(&line), &mut room, see) {
                    return;
                }
            }
        }
        let content_type = ContentType::of(header, false);
        if let Some(name) = file_name(header, &content_type)
            && !show(Piece::Body(&name), &mut room, see)
        {
            return;
        }
        // Reports (RFC 3464, RFC 8098) are text under another name.
        let is_text = content_type.is(b"text") || content_type.is(b"message");
        if part.kind == PartKind::Leaf && is_text {
            // Encoded text is at most four times its length (base64 of a one-byte charset is less).
            let text = part_text(raw, part, header, &content_type, room.saturating_mul(4));
            if !show(Piece::Body(&text), &mut room, see) {
                return;
            }
        }
    }
}

/// The same for the fields of a header alone.
pub fn each_field(header: &[u8], see: &mut dyn FnMut(Piece<'_>) -> bool) {
    each_field_within(header, &mut { SEARCH_BYTES_MAX }, see);
}

fn each_field_within(header: &[u8], room: &mut usize, see: &mut dyn FnMut(Piece<'_>) -> bool) -> bool {
    field::fields(header).all(|field| {
        let (name, value) = (name_of(&field), value_of(&field));
        show(Piece::Field { name: &name, value: &value }, room, see)
    })
}

/// Shows what there is room for; `false` when it was the last.
fn show(piece: Piece<'_>, room: &mut usize, see: &mut dyn FnMut(Piece<'_>) -> bool) -> bool {
    let (cut, bytes) = match piece {
        Piece::Field { name, value } => {
            let value = head(value, *room);
            (Piece::Field { name, value }, name.len() + value.len())
        }
        Piece::Body(text) => {
            let text = head(text, *room);
            (Piece::Body(text), text.len())
        }
    };
    *room = room.saturating_sub(bytes);
    see(cut) && *room > 0
}

fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn name_of<'a>(field: &Field<'a>) -> std::borrow::Cow<'a, str> {
    String::from_utf8_lossy(field.name)
}

fn value_of(field: &Field<'_>) -> String {
    let raw = &field.value[..field.value.len().min(VALUE_BYTES_MAX)];
    let mut value = decode_words(raw);
    // Comments can stand within an address; it is found as ENVELOPE tells it as well (RFC 3501 section 6.4.4).
    if raw.contains(&b'(') && ADDRESS_FIELDS.iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
        for address in addresses(raw) {
            let Address::Mailbox { local, domain, .. } = address else { continue };
            let plain = format!("{}@{}", String::from_utf8_lossy(&local), String::from_utf8_lossy(&domain));
            if !value.contains(&plain) {
                value.push(' ');
                value.push_str(&plain);
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(raw: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        each_piece(raw, &Structure::of(raw), &mut |piece| {
            found.push(match piece {
                Piece::Field { name, value } => format!("{name}={value}"),
                Piece::Body(text) => text.to_owned(),
            });
            true
        });
        found
    }

    #[test]
    fn an_address_is_seen_with_and_without_its_comments() {
        let found = pieces(b"From: <user (one)@ (two) domain.test>\r\nTo: a@b.test (A B)\r\n\r\n");
        assert_eq!(found[0], "From=<user (one)@ (two) domain.test> user@domain.test");
        assert_eq!(found[1], "To=a@b.test (A B)");
    }

    #[test]
    fn a_search_sees_decoded_headers_bodies_and_file_names() {
        let raw = b"Subject: =?gb2312?B?xOO6ww==?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
            Content-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: base64\r\n\r\nxOO6ww==\r\n--x\r\n\
            Content-Type: text/html\r\n\r\n<style>p{}</style><p>A&amp;B w<b>or</b>d &#x4F60;</p>\r\n--x\r\n\
            Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?inn=C3=A9r?=\r\n\r\ndeep\r\n--x\r\n\
            Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''%E4%BD%A0.pdf\r\n\r\nx\r\n--x--";
        let found = pieces(raw);
        let expected = ["Subject=你好", "Content-Type=multipart/mixed; boundary=x", "你好"];
        assert_eq!(found[..3], expected);
        assert!(found[3].contains("A&B word 你") && !found[3].contains("p{}"), "{found:?}");
        assert_eq!(found[4..], ["Subject: innér", "deep", "你.pdf"]);
    }

    #[test]
    fn a_search_is_bounded() {
        let raw = format!("Subject: x\r\n\r\n{}", "ü".repeat(SEARCH_BYTES_MAX));
        let bytes: usize = pieces(raw.as_bytes()).iter().map(String::len).sum();
        assert!(bytes <= SEARCH_BYTES_MAX + 1);
        let mut seen = 0;
        each_field(b"A: 1\r\nB: 2\r\nC: 3\r\n\r\n", &mut |_| {
            seen += 1;
            seen < 2
        });
        assert_eq!(seen, 2);
    }
}
