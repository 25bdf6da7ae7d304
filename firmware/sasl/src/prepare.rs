//! Passwords in one spelling.

use std::borrow::Cow;

/// A password as both sides of SCRAM must see it: SASLprep (RFC 4013, RFC 5802 2.2). What SASLprep
/// forbids, such as letters younger than Unicode 3.2, stays as it is, as other servers and clients do it;
/// so every password can be used.
///
/// PLAIN takes the same form (RFC 4616 2), so that one stored secret serves all mechanisms.
pub fn prepare_password(password: &str) -> Cow<'_, str> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        _ => Cow::Borrowed(password),
    }
}
