//! MTA-STS policies and records: what is kept reads back the same, and an identifier is one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::sts::{Policy, policy_id};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(id) = policy_id(text.lines()) {
        assert!((1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
    if let Some(policy) = Policy::parse(text) {
        assert_eq!(Policy::parse(&policy.to_string()).as_ref(), Some(&policy), "it is kept as another one");
        let plain = policy.servers.iter().filter(|server| !server.starts_with("*."));
        assert!(plain.into_iter().all(|server| policy.names(server)), "a server it names is not one of it");
    }
});
