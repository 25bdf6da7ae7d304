//! Replies of other servers: bounded, and alike however they are chunked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::reply::take_reply;

fn replies(wire: &[u8], chunk: usize) -> (usize, bool) {
    let (mut input, mut count) = (Vec::new(), 0);
    for piece in wire.chunks(chunk) {
        input.extend_from_slice(piece);
        loop {
            match take_reply(&mut input) {
                Ok(Some(reply)) => {
                    assert!((200..=599).contains(&reply.code), "code {}", reply.code);
                    count += 1;
                }
                Ok(None) => break,
                Err(_) => return (count, false),
            }
        }
    }
    (count, true)
}

fuzz_target!(|input: &[u8]| {
    let Some((&chunk, wire)) = input.split_first() else { return };
    assert_eq!(replies(wire, usize::from(chunk).max(1)), replies(wire, usize::MAX), "chunks change replies");
});
