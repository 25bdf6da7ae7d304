//! The layout of a frame.
//!
//! ```text
//!  0  1  version, 1
//!  1  1  kind: 1 beat, 2 pairing
//!  2  1  medium it was made for: 1 serial, 2 private, 3 array; 0 in pairing
//!  3  1  sender: 1 box a, 2 box b; 0 in pairing
//!  4  4  pair id                                   (all numbers big endian)
//!  8  8  session: drawn at the sender's start
//! 16  8  sequence: counts up on each medium
//! 24  8  challenge: what the sender wants answered
//! 32  8  answer: the newest challenge the sender heard from the other box
//! 40  2  length of the payload
//! 42  n  payload, postcard
//!    16  HMAC-SHA-256 of everything before, cut to 128 bits (RFC 2104 section 5); zero in pairing
//!     4  CRC-32C of everything before
//! ```
//!
//! The CRC tells noise on the line from a wrong key: a frame with a good CRC and a bad MAC was sent
//! on purpose, by a box with another pair's key.

use crc::{CRC_32_ISCSI, Crc};
use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Longest payload, in bytes.
pub const PAYLOAD_MAX_BYTES: usize = 512;
/// Length of the pair's key, in bytes.
pub const PAIR_KEY_BYTES: usize = 32;
/// Longest frame, in bytes.
pub const FRAME_MAX_BYTES: usize = HEADER_BYTES + PAYLOAD_MAX_BYTES + MAC_BYTES + CRC_BYTES;

pub(crate) const HEADER_BYTES: usize = 42;
pub(crate) const MAC_BYTES: usize = 16;
pub(crate) const CRC_BYTES: usize = 4;
const VERSION: u8 = 1;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// One frame, ready to send.
pub type Frame = heapless::Vec<u8, FRAME_MAX_BYTES>;

/// Why something could not be made into a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The payload is too long.
    #[error("the payload of a frame is longer than {PAYLOAD_MAX_BYTES} bytes")]
    TooLong,
}

/// What kind of frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Beat = 1,
    Pairing = 2,
}

/// Everything before the payload, but version and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub medium: u8,
    pub sender: u8,
    pub pair_id: u32,
    pub session: u64,
    pub sequence: u64,
    pub challenge: u64,
    pub answer: u64,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    Length,
    Checksum,
    Version,
}

/// A frame whose length, checksum and version are right; nothing else is known of it yet.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub header: Header,
    payload: &'a [u8],
    authenticated: &'a [u8],
    mac: &'a [u8; MAC_BYTES],
}

/// Makes a frame; without a key its MAC is zero.
pub(crate) fn seal<T: Serialize>(
    header: &Header,
    payload: &T,
    key: Option<&hmac::Key>,
) -> Result<Frame, SealError> {
    let mut frame = Frame::new();
    put_header(&mut frame, header)?;
    let mut buffer = [0; PAYLOAD_MAX_BYTES];
    let payload = postcard::to_slice(payload, &mut buffer).map_err(|_| SealError::TooLong)?;
    put(&mut frame, &(payload.len() as u16).to_be_bytes())?;
    put(&mut frame, payload)?;
    let mac = key.map_or([0; MAC_BYTES], |key| mac(key, &frame));
    put(&mut frame, &mac)?;
    let sum = CRC.checksum(&frame);
    put(&mut frame, &sum.to_be_bytes())?;
    Ok(frame)
}

/// Takes a frame apart; `bytes` is exactly one frame.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened<'_>, Malformed> {
    if bytes.len() > FRAME_MAX_BYTES {
        return Err(Malformed::Length);
    }
    let (body, sum) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(Malformed::Length)?;
    if CRC.checksum(body) != u32::from_be_bytes(*sum) {
        return Err(Malformed::Checksum);
    }
    let (authenticated, mac) = body.split_last_chunk::<MAC_BYTES>().ok_or(Malformed::Length)?;
    let (head, payload) = authenticated.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::Length)?;
    if usize::from(u16::from_be_bytes([head[40], head[41]])) != payload.len() {
        return Err(Malformed::Length);
    }
    let kind = match (head[0], head[1]) {
        (VERSION, 1) => Kind::Beat,
        (VERSION, 2) => Kind::Pairing,
        _ => return Err(Malformed::Version),
    };
    let header = Header {
        kind,
        medium: head[2],
        sender: head[3],
        pair_id: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        session: number(head, 8),
        sequence: number(head, 16),
        challenge: number(head, 24),
        answer: number(head, 32),
    };
    Ok(Opened { header, payload, authenticated, mac })
}

impl Opened<'_> {
    /// Whether the holder of `key` made it; takes the same time either way.
    pub fn is_authentic(&self, key: &hmac::Key) -> bool {
        mac(key, self.authenticated).ct_eq(self.mac).into()
    }

    /// What it says; all of the payload must be used up.
    pub fn payload<T: DeserializeOwned>(&self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.payload).ok()?;
        rest.is_empty().then_some(value)
    }
}

/// Length of the frame that starts `bytes`, if its header is there.
pub(crate) fn length_of(bytes: &[u8]) -> Option<usize> {
    let payload = u16::from_be_bytes([*bytes.get(40)?, *bytes.get(41)?]);
    Some(HEADER_BYTES + usize::from(payload) + MAC_BYTES + CRC_BYTES)
}

fn put_header(frame: &mut Frame, header: &Header) -> Result<(), SealError> {
    put(frame, &[VERSION, header.kind as u8, header.medium, header.sender])?;
    put(frame, &header.pair_id.to_be_bytes())?;
    for number in [header.session, header.sequence, header.challenge, header.answer] {
        put(frame, &number.to_be_bytes())?;
    }
    Ok(())
}

fn put(frame: &mut Frame, bytes: &[u8]) -> Result<(), SealError> {
    frame.extend_from_slice(bytes).map_err(|_| SealError::TooLong)
}

fn mac(key: &hmac::Key, bytes: &[u8]) -> [u8; MAC_BYTES] {
    let tag = hmac::sign(key, bytes);
    tag.as_ref().first_chunk().copied().unwrap_or([0; MAC_BYTES])
}

fn number(head: &[u8; HEADER_BYTES], at: usize) -> u64 {
    head.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_be_bytes(*eight))
}
