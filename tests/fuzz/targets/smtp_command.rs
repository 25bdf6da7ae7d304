//! SMTP command lines: parsed or answered with a reply; what is a mailbox stays the same mailbox.

#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::{Mailbox, command};

fuzz_target!(|line: &[u8]| {
    if let Err(reply) = command::parse(line) {
        assert!((500..=599).contains(&reply.code), "a bad command is answered {}", reply.code);
    }
    let Ok(text) = std::str::from_utf8(line) else { return };
    if let Ok(mailbox) = Mailbox::parse(text) {
        let written = mailbox.to_string();
        assert_eq!(Mailbox::parse(&written).as_ref(), Ok(&mailbox), "{written} is another mailbox");
        assert!(!written.contains(['\r', '\n', '\0']), "a mailbox breaks its line");
    }
});
