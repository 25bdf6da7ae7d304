//! Messages with signatures: DKIM-Signature, ARC sets and Authentication-Results of any bytes are read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mail_auth::AuthenticatedMessage;

fuzz_target!(|raw: &[u8]| {
    if let Some(message) = AuthenticatedMessage::parse(raw) {
        assert!(message.body_offset() as usize <= raw.len(), "the body lies outside of the message");
    }
    // The fuzzer need not find the name of the field itself.
    let signed = [b"DKIM-Signature: ", raw, b"\r\nFrom: a@b.test\r\n\r\nbody\r\n"].concat();
    let _ = AuthenticatedMessage::parse(&signed);
});
