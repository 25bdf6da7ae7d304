//! Dot stuffing: what is stuffed comes back, and where a text ends does not depend on the chunks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::dots::{Stuffer, Unstuffer};

fn unstuff(wire: &[u8], chunk: usize) -> (Vec<u8>, usize, bool, bool) {
    let (mut unstuffer, mut text, mut used) = (Unstuffer::default(), Vec::new(), 0);
    for piece in wire.chunks(chunk) {
        used += unstuffer.decode(piece, &mut text);
        if unstuffer.is_done() {
            break;
        }
    }
    (text, used, unstuffer.is_done(), unstuffer.saw_bare())
}

fuzz_target!(|input: &[u8]| {
    let Some((&chunk, text)) = input.split_first() else { return };
    let chunk = usize::from(chunk).max(1);
    assert_eq!(unstuff(text, chunk), unstuff(text, usize::MAX), "chunks change the text");

    let (mut stuffer, mut wire) = (Stuffer::default(), Vec::new());
    text.chunks(chunk).for_each(|piece| stuffer.encode(piece, &mut wire));
    stuffer.finish(&mut wire);
    let (back, used, done, bare) = unstuff(&wire, chunk);
    if bare {
        return;
    }
    assert!(done && used == wire.len(), "the end is not where it was put");
    let added = back.strip_prefix(text).expect("the same text");
    assert!(added.is_empty() || added == b"\r\n", "more than a line end was added");
});
