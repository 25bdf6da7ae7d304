//! Transfer encodings (RFC 2045 6) and charsets.

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
    todo!()
}

/// Text of any charset as UTF-8; an unknown charset is read as UTF-8, then as windows-1252.
pub fn decode_charset(bytes: &[u8], charset: &[u8]) -> String {
    todo!()
}
