//! SHA-256, as text.

use std::fmt::Write;

use ring::digest::{SHA256, digest};

/// SHA-256 of `bytes` in lower case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
