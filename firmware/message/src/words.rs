//! Encoded words, RFC 2047.

/// A header value for people: unfolded, encoded words decoded, raw UTF-8 kept.
pub fn decode_words(value: &[u8]) -> String {
    todo!()
}
