//! Text for people and for search: decoded headers, text parts, file names.

use crate::Structure;

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

/// Everything searchable of a message, at most [`crate::SEARCH_BYTES_MAX`] in all.
pub fn search_text(raw: &[u8], structure: &Structure) -> SearchText {
    todo!()
}

/// The first words of the message's text (RFC 8970).
pub fn preview(raw: &[u8], structure: &Structure) -> String {
    todo!()
}
