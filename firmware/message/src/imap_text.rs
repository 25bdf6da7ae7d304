//! Writing IMAP strings: quoted where that is allowed, else a literal (RFC 3501 4.3).

/// Writes a string as quoted string or literal.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    todo!()
}

/// Writes `NIL` or a string.
pub fn write_nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    todo!()
}
