//! BODYSTRUCTURE, RFC 3501 7.4.2.

/// BODY from BODYSTRUCTURE: the same parts without extension data.
pub fn without_extension_data(body_structure: &[u8]) -> Vec<u8> {
    todo!()
}
