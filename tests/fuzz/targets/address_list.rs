//! Address lists of any bytes are read, and groups are always closed again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{ADDRESSES_MAX, Address, addresses};

fuzz_target!(|value: &[u8]| {
    let found = addresses(value);
    assert!(found.len() <= ADDRESSES_MAX + 1, "more addresses than the bound");
    let mut open = false;
    for address in &found {
        match address {
            Address::GroupStart(_) => {
                assert!(!open, "a group within a group");
                open = true;
            }
            Address::GroupEnd => {
                assert!(open, "a group ends that never began");
                open = false;
            }
            Address::Mailbox { .. } => {}
        }
    }
    assert!(!open, "a group stays open");
});
