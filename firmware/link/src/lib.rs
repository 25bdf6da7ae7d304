//! The heartbeat between the two boxes: one frame for three media, and the pairing exchange.
//!
//! [`Link`] seals what a box says into a frame and opens what the other box said, with checksum,
//! authenticity and freshness; [`StreamDecoder`] cuts frames out of a serial line; [`pairing`] hands
//! the pair's settings and key to the second box over that same line.
//!
//! It does no I/O and knows no clock, no thread and no file; the frame path allocates nothing. What a
//! beat says is not its business: the payload is any serde type that fits.
//!
//! What always holds here: no byte of a frame is believed before its checksum and its MAC are right;
//! and a frame recorded at any earlier time, on any medium, never counts as a sign of life.

mod channel;
mod frame;
mod freshness;
pub mod pairing;
mod stream;

pub use channel::{CHANNEL_NONCE_BYTES, CHANNEL_TAG_BYTES, Channel};
pub use frame::{FRAME_MAX_BYTES, Frame, PAIR_KEY_BYTES, PAYLOAD_MAX_BYTES, SealError};
pub use freshness::{Counts, Heard, Link, Refusal, frame_in_page};
pub use stream::{STREAM_MAX_BYTES, StreamDecoder, StreamEvent, encode_stream};
