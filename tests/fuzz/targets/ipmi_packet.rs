//! Packets of a management controller: the reader, the seal, and a client that hears them in any order.

#![no_main]

use bmc::{Client, Keys, Login, Order, Suite, answer, read, unseal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = (read(data), unseal(&Keys::new(Suite::Sha256, b"key"), data), answer(data));
    let Ok(login) = Login::new("fence", "password") else { return };
    let mut client = Client::new(login, Order::ResetIfOn, [0; 32]);
    for packet in data.split(|byte| *byte == 0xfe) {
        let _ = (client.packet(), client.hear(packet));
    }
});
