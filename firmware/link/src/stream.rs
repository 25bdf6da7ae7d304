//! Frames on a byte stream: COBS (Cheshire and Baker 1999) with zero bytes between them.
//!
//! A frame goes out as `00 <COBS> 00`. The leading zero ends whatever noise is on the line, so that a
//! frame after garbage is read whole.

use crate::{FRAME_MAX_BYTES, Frame};

/// Longest frame on a stream, in bytes, with both delimiters.
pub const STREAM_MAX_BYTES: usize = FRAME_MAX_BYTES + FRAME_MAX_BYTES.div_ceil(RUN_MAX) + 3;

/// Longest run of bytes behind one COBS code byte.
const RUN_MAX: usize = 254;

/// What a byte of the stream completed.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the frame path allocates nothing")]
pub enum StreamEvent {
    /// The bytes of one frame, not checked yet.
    Frame(Frame),
    /// Bytes that are no frame were passed over.
    Garbage,
}

/// Cuts frames out of a byte stream, byte by byte, in bounded room.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    buffer: heapless::Vec<u8, STREAM_MAX_BYTES>,
    /// The buffer ran over; everything up to the next delimiter is garbage.
    overrun: bool,
}

/// Puts `frame` into the form it has on a stream.
pub fn encode_stream(frame: &Frame) -> heapless::Vec<u8, STREAM_MAX_BYTES> {
    let mut stream = heapless::Vec::new();
    // The room is large enough for every frame, so no push fails.
    let _ = stream.push(0);
    let mut groups = frame.split(|byte| *byte == 0).peekable();
    while let Some(group) = groups.next() {
        for run in group.chunks(RUN_MAX) {
            let _ = stream.push(run.len() as u8 + 1);
            let _ = stream.extend_from_slice(run);
        }
        // A full run stands for its bytes alone: a zero behind it needs a code of its own.
        let full = group.len().is_multiple_of(RUN_MAX) && !group.is_empty();
        if group.is_empty() || (full && groups.peek().is_some()) {
            let _ = stream.push(1);
        }
    }
    let _ = stream.push(0);
    stream
}

impl StreamDecoder {
    /// Takes the next byte of the stream.
    pub fn push(&mut self, byte: u8) -> Option<StreamEvent> {
        if byte != 0 {
            self.overrun |= self.buffer.push(byte).is_err();
            return None;
        }
        let event = match (self.overrun, self.buffer.is_empty()) {
            (true, _) => Some(StreamEvent::Garbage),
            (false, true) => None,
            (false, false) => Some(decode(&self.buffer)),
        };
        self.buffer.clear();
        self.overrun = false;
        event
    }
}

fn decode(encoded: &[u8]) -> StreamEvent {
    decode_runs(encoded).map_or(StreamEvent::Garbage, StreamEvent::Frame)
}

fn decode_runs(mut encoded: &[u8]) -> Option<Frame> {
    let mut frame = Frame::new();
    while let Some((code, rest)) = encoded.split_first() {
        let run = usize::from(*code).checked_sub(1)?;
        let (bytes, after) = rest.split_at_checked(run)?;
        frame.extend_from_slice(bytes).ok()?;
        if run < RUN_MAX && !after.is_empty() {
            frame.push(0).ok()?;
        }
        encoded = after;
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(decoder: &mut StreamDecoder, bytes: &[u8]) -> Vec<StreamEvent> {
        bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
    }

    #[test]
    fn an_endless_line_without_delimiter_takes_bounded_room_and_the_next_frame_is_read() {
        let mut decoder = StreamDecoder::default();
        assert!(events(&mut decoder, &vec![b'x'; 100_000]).is_empty());
        let frame = Frame::from_slice(b"next").unwrap();
        let seen = events(&mut decoder, &encode_stream(&frame));
        assert_eq!(seen, [StreamEvent::Garbage, StreamEvent::Frame(frame)]);
    }

    /// The examples of the COBS article's table, as they are quoted everywhere.
    #[test]
    fn known_examples_are_encoded_as_the_article_says() {
        let long: Vec<u8> = (1..=254).collect();
        let longer: Vec<u8> = (1..=255).collect();
        let longer_with_zero = [long.as_slice(), &[0]].concat();
        let cases: [(&[u8], Vec<u8>); 6] = [
            (&[0], vec![1, 1]),
            (&[0x11, 0x22, 0, 0x33], vec![3, 0x11, 0x22, 2, 0x33]),
            (&[0x11, 0, 0, 0], vec![2, 0x11, 1, 1, 1]),
            (&long, [&[255], long.as_slice()].concat()),
            (&longer_with_zero, [&[255], long.as_slice(), &[1, 1]].concat()),
            (&longer, [&[255], long.as_slice(), &[2, 255]].concat()),
        ];
        for (plain, encoded) in cases {
            let stream = encode_stream(&Frame::from_slice(plain).unwrap());
            assert_eq!(stream.as_slice(), [&[0], encoded.as_slice(), &[0]].concat());
        }
    }

    proptest! {
        #[test]
        fn a_frame_after_any_garbage_is_read_whole(
            garbage in prop::collection::vec(any::<u8>(), 0..2_000),
            content in prop::collection::vec(any::<u8>(), 1..FRAME_MAX_BYTES),
        ) {
            let mut decoder = StreamDecoder::default();
            events(&mut decoder, &garbage);
            let frame = Frame::from_slice(&content).unwrap();
            let seen = events(&mut decoder, &encode_stream(&frame));
            prop_assert_eq!(seen.last(), Some(&StreamEvent::Frame(frame)));
        }
    }
}
