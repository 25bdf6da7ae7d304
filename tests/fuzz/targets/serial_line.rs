//! The heartbeat line: noise is never a sign of life, a changed frame neither, and the frame behind is read.

#![no_main]

use cluster::{Medium, Node};
use libfuzzer_sys::fuzz_target;
use link::{Frame, Link, StreamDecoder, StreamEvent, encode_stream, frame_in_page, pairing};

const PAIR_ID: u32 = 7;
const KEY: [u8; 32] = [1; 32];

fn frames(decoder: &mut StreamDecoder, bytes: &[u8]) -> Vec<Frame> {
    let events = bytes.iter().filter_map(|byte| decoder.push(*byte));
    events.filter_map(|event| if let StreamEvent::Frame(frame) = event { Some(frame) } else { None }).collect()
}

fuzz_target!(|noise: &[u8]| {
    let mut ear = Link::new(PAIR_ID, &KEY, Node::A, &[2; 32]);
    let mut mouth = Link::new(PAIR_ID, &KEY, Node::B, &[3; 32]);
    let mut decoder = StreamDecoder::default();
    for frame in frames(&mut decoder, noise) {
        assert!(ear.open::<u32>(Medium::Serial, &frame).is_err(), "noise is taken for a beat");
        let _ = pairing::open(&frame);
    }
    let _ = frame_in_page(noise);
    assert_eq!(ear.read_slot::<u32>(Node::B, noise), None, "noise is taken for a slot");
    // What it is challenged with is what makes its next frame count.
    let Ok(challenge) = ear.seal(Medium::Serial, &8_u32) else { return };
    let _ = mouth.open::<u32>(Medium::Serial, &challenge);
    let Ok(frame) = mouth.seal(Medium::Serial, &9_u32) else { return };
    let read = frames(&mut decoder, &encode_stream(&frame));
    assert_eq!(read.last(), Some(&frame), "a frame behind noise is lost");
    let mut changed = frame.clone();
    for change in noise.chunks_exact(2) {
        let at = usize::from(change[0]) % changed.len();
        changed[at] ^= change[1];
    }
    if changed != frame {
        assert!(ear.open::<u32>(Medium::Serial, &changed).is_err(), "a changed frame is taken for a beat");
    }
    assert!(ear.open::<u32>(Medium::Serial, &frame).is_ok(), "a frame behind noise does not count");
});
