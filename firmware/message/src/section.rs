//! Cutting sections out of a message: RFC 3501 6.4.5, RFC 3516 (BINARY).

use std::borrow::Cow;

use crate::Structure;

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
    todo!()
}

/// The content of a part with its transfer encoding undone (`BINARY[1]`).
///
/// Outer `None`: no such part. Inner `None`: the encoding is unknown (RFC 3516 4.3, UNKNOWN-CTE).
pub fn binary(raw: &[u8], structure: &Structure, part: &[u32]) -> Option<Option<Vec<u8>>> {
    todo!()
}

/// The wanted header fields in their order, with the empty line at the end; `not` turns the choice round.
pub fn select_fields(header: &[u8], names: &[Vec<u8>], not: bool) -> Vec<u8> {
    todo!()
}

/// `<offset.length>` of a section: what lies outside gives an empty string (RFC 3501 6.4.5).
pub fn partial(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    todo!()
}
