//! Cutting sections out of a message: RFC 3501 6.4.5, RFC 3516 (BINARY).

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use crate::{Decoded, Part, PartKind, Structure, decode_body, field};

/// Which text of the addressed part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SectionText {
    /// The part's content (`BODY[1]`); the whole message when no part is named (`BODY[]`).
    All,
    /// `HEADER`: of the message, or of a part that is a message.
    Header,
    /// `HEADER.FIELDS (…)`: names without colon, in any case.
    HeaderFields(Vec<Vec<u8>>),
    /// `HEADER.FIELDS.NOT (…)`.
    HeaderFieldsNot(Vec<Vec<u8>>),
    /// `TEXT`: body of the message, or of a part that is a message.
    Text,
    /// `MIME`: the part's own header.
    Mime,
}

/// A section: part numbers from 1, and which text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SectionSpec {
    /// Part numbers as written, `1.2`; empty is the message itself.
    pub part: Vec<u32>,
    /// Which text.
    pub text: SectionText,
}

/// The bytes of a section, as they came in; `None` if the message has no such part.
pub fn section<'a>(raw: &'a [u8], structure: &Structure, spec: &SectionSpec) -> Option<Cow<'a, [u8]>> {
    let bytes = raw.get(section_range(raw.len(), structure, spec)?)?;
    Some(match &spec.text {
        SectionText::HeaderFields(names) => Cow::Owned(select_fields(bytes, names, false)),
        SectionText::HeaderFieldsNot(names) => Cow::Owned(select_fields(bytes, names, true)),
        _ => Cow::Borrowed(bytes),
    })
}

/// Where a section lies in a message of `length` bytes, so that only those need be read; for
/// HEADER.FIELDS this is the header to choose from. `None` if the message has no such part.
pub fn section_range(length: usize, structure: &Structure, spec: &SectionSpec) -> Option<Range<usize>> {
    if spec.part.is_empty() && spec.text == SectionText::All {
        return Some(0..length);
    }
    let named = if spec.part.is_empty() { None } else { Some(find(structure, &spec.part)?) };
    // HEADER and TEXT speak of a message: the whole one, or the one inside the named part.
    let message = || match named {
        None => structure.parts.first(),
        Some(part) if part.kind == PartKind::Message => child(structure, part, 0),
        Some(_) => None,
    };
    Some(match &spec.text {
        SectionText::All => named?.body.clone(),
        SectionText::Mime => named?.header.clone(),
        SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_) => {
            message()?.header.clone()
        }
        SectionText::Text => message()?.body.clone(),
    })
}

/// The content of a part with its transfer encoding undone (`BINARY[1]`).
///
/// Outer `None`: no such part. Inner `None`: the encoding is unknown (RFC 3516 4.3, UNKNOWN-CTE).
pub fn binary(raw: &[u8], structure: &Structure, part: &[u32]) -> Option<Option<Vec<u8>>> {
    if part.is_empty() {
        return Some(Some(raw.to_vec()));
    }
    let part = find(structure, part)?;
    let body = raw.get(part.body.clone())?;
    if part.kind == PartKind::Multipart {
        return Some(Some(body.to_vec()));
    }
    let header = raw.get(part.header.clone())?;
    let encoding =
        crate::mime::parameterised(field::first(header, b"Content-Transfer-Encoding").unwrap_or_default());
    match decode_body(body, &encoding.value) {
        Decoded::Bytes(bytes) => Some(Some(bytes)),
        Decoded::UnknownEncoding => Some(None),
    }
}

/// The wanted header fields in their order, with the empty line at the end; `not` turns the choice round.
pub fn select_fields(header: &[u8], names: &[Vec<u8>], not: bool) -> Vec<u8> {
    let mut out = Vec::new();
    // Many names of many fields are not compared each with each.
    let names: HashSet<Vec<u8>> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    for raw in field::raw_fields(header) {
        let wanted = match field::split(raw) {
            Some(field) => names.contains(&field.name.to_ascii_lowercase()) != not,
            None => not,
        };
        if wanted {
            out.extend_from_slice(raw);
            if !raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// `<offset.length>` of a section: what lies outside gives an empty string (RFC 3501 6.4.5).
pub fn partial(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let clamp = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(bytes.len());
    &bytes[clamp(offset)..clamp(offset.saturating_add(length))]
}

/// The part with these numbers.
fn find<'a>(structure: &'a Structure, numbers: &[u32]) -> Option<&'a Part> {
    let (first, rest) = numbers.split_first()?;
    let mut part = part_of_message(structure, structure.parts.first()?, *first)?;
    for &number in rest {
        part = match part.kind {
            PartKind::Multipart => child(structure, part, number.checked_sub(1)?)?,
            PartKind::Message => part_of_message(structure, child(structure, part, 0)?, number)?,
            PartKind::Leaf => return None,
        };
    }
    Some(part)
}

/// Part `number` of a message: a child of its multipart, else the message's own body as part 1.
fn part_of_message<'a>(structure: &'a Structure, message: &'a Part, number: u32) -> Option<&'a Part> {
    match (message.kind, number) {
        (PartKind::Multipart, _) => child(structure, message, number.checked_sub(1)?),
        (_, 1) => Some(message),
        _ => None,
    }
}

fn child<'a>(structure: &'a Structure, part: &Part, index: u32) -> Option<&'a Part> {
    structure.parts.get(*part.children.get(index as usize)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] =
        b"Subject: out\r\nX-A: 1\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\npre\r\n--x\r\n\
        Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGk=\r\n--x\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n--x--\r\n";

    fn cut(raw: &[u8], part: &[u32], text: SectionText) -> Option<String> {
        let spec = SectionSpec { part: part.to_vec(), text };
        let bytes = section(raw, &Structure::of(raw), &spec)?;
        Some(String::from_utf8(bytes.into_owned()).unwrap())
    }

    #[test]
    fn sections_are_the_bytes_that_came_in() {
        use SectionText::*;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(cut(MAIL, &[], All).unwrap().as_bytes(), MAIL);
        let whole = cut(MAIL, &[], Header).unwrap() + &cut(MAIL, &[], Text).unwrap();
        assert_eq!(whole.as_bytes(), MAIL);
        assert_eq!(cut(MAIL, &[1], All), some("aGk="));
        assert_eq!(
            cut(MAIL, &[1], Mime),
            some("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        );
        assert_eq!(cut(MAIL, &[1], Header), None);
        assert_eq!(cut(MAIL, &[2], All), some("Subject: in\r\n\r\nbody"));
        assert_eq!(cut(MAIL, &[2], Header), some("Subject: in\r\n\r\n"));
        assert_eq!(cut(MAIL, &[2], Text), some("body"));
        assert_eq!(cut(MAIL, &[2, 1], All), some("body"));
        assert_eq!(cut(MAIL, &[2, 1], Mime), some("Subject: in\r\n\r\n"));
        for missing in [&[0][..], &[3], &[1, 1], &[2, 2], &[2, 1, 1]] {
            assert_eq!(cut(MAIL, missing, All), None, "{missing:?}");
        }
    }

    #[test]
    fn header_fields_are_chosen_by_name() {
        use SectionText::*;
        let names = vec![b"SUBJECT".to_vec(), b"x-none".to_vec()];
        assert_eq!(cut(MAIL, &[], HeaderFields(names.clone())).unwrap(), "Subject: out\r\n\r\n");
        assert_eq!(
            cut(MAIL, &[], HeaderFieldsNot(names.clone())).unwrap(),
            "X-A: 1\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        );
        assert_eq!(cut(MAIL, &[2], HeaderFields(names)).unwrap(), "Subject: in\r\n\r\n");
    }

    #[test]
    fn a_single_part_message_has_part_one() {
        let raw = b"Subject: x\r\n\r\nbody";
        assert_eq!(cut(raw, &[1], SectionText::All).unwrap(), "body");
        assert_eq!(cut(raw, &[1, 1], SectionText::All), None);
        assert_eq!(cut(raw, &[], SectionText::Mime), None);
    }

    #[test]
    fn content_is_decoded_for_binary() {
        let structure = Structure::of(MAIL);
        assert_eq!(binary(MAIL, &structure, &[1]), Some(Some(b"hi".to_vec())));
        assert_eq!(binary(MAIL, &structure, &[9]), None);
        let odd = b"Content-Transfer-Encoding: x-none\r\n\r\nhi";
        assert_eq!(binary(odd, &Structure::of(odd), &[1]), Some(None));
        // Not allowed (RFC 2045 6.4), and sent.
        let inner = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Subject: =61\r\n\r\nb=\r\nc";
        let decoded = binary(inner, &Structure::of(inner), &[1]);
        assert_eq!(decoded, Some(Some(b"Subject: a\r\n\r\nbc".to_vec())));
    }

    #[test]
    fn partials_never_leave_the_section() {
        assert_eq!(partial(b"hello", 1, 3), b"ell");
        assert_eq!(partial(b"hello", 4, 10), b"o");
        assert_eq!(partial(b"hello", 9, 1), b"");
        assert_eq!(partial(b"hello", u64::MAX, u64::MAX), b"");
    }
}
