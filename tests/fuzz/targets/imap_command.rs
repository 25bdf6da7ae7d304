//! IMAP commands: cut from the stream alike however it is chunked, parsed without a panic.

#![no_main]

use imap::parse::{CommandReader, Incoming, ReaderLimits, announced, parse, Dialect};
use libfuzzer_sys::fuzz_target;

const LIMITS: ReaderLimits = ReaderLimits { line_max_bytes: 8 * 1024, literals_max: 16, skip_max_bytes: 64 * 1024 };
const LITERAL_MAX_BYTES: u64 = 16 * 1024;

fn commands(chunks: &mut dyn Iterator<Item = &[u8]>) -> Vec<Vec<u8>> {
    let mut reader = CommandReader::new(LIMITS);
    let mut found = Vec::new();
    for chunk in chunks {
        reader.feed(chunk);
        loop {
            match reader.next_command() {
                Incoming::More => break,
                Incoming::Flood => return found,
                Incoming::TooLong { start } => {
                    let _ = announced(&start, Dialect::default());
                    found.push(b"too long".to_vec());
                }
                Incoming::Literal { length, .. } => {
                    let _ = announced(&reader.so_far(), Dialect::default());
                    if length > LITERAL_MAX_BYTES { reader.refuse() } else { reader.accept() }
                }
                Incoming::Command(wire) => {
                    let _ = parse(&wire, Dialect::default());
                    found.push(wire.to_vec());
                }
            }
        }
    }
    found
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, stream)) = input.split_first() else { return };
    let whole = commands(&mut std::iter::once(stream));
    let pieces = commands(&mut stream.chunks(usize::from(size).max(1)));
    // A line that is too long is noticed after as many bytes as have come; until then all is equal.
    let same = whole.iter().zip(&pieces).take_while(|(a, b)| a == b).count();
    let is_long = |list: &[Vec<u8>]| list.get(same).is_none_or(|wire| wire == b"too long");
    assert!(same == whole.len().max(pieces.len()) || is_long(&whole) || is_long(&pieces), "chunks change commands");
});
