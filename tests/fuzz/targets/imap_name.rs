//! Mailbox names in modified UTF-7 (RFC 3501 5.1.3): what is decoded is encoded again to the same name.

#![no_main]

use imap::parse::{decode_name, encode_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|wire: &[u8]| {
    if let Some(name) = decode_name(wire) {
        assert_eq!(decode_name(encode_name(&name).as_bytes()).as_deref(), Some(name.as_str()));
    }
    // Control characters are not part of a name.
    if let Ok(name) = std::str::from_utf8(wire)
        && !name.chars().any(char::is_control)
    {
        assert_eq!(decode_name(encode_name(name).as_bytes()).as_deref(), Some(name), "a name is not its own");
    }
});
