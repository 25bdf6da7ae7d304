//! Pairing: the second box learns everything from the first, over the serial cable.
//!
//! ```text
//! host (set up, without a peer)                joiner (blank)
//!   Offer { key, about }   every second  ->      shown to the administrator, who agrees
//!                                        <-      Join { key, sealed: name and address }
//!   Chunk { index, bytes }               ->      one after the other; together the sealed settings
//!                                        <-      Ack { index }
//!                                        <-      Saved { sealed }    once they are on its disk
//!   Finish                               ->      restarts into operation
//! ```
//!
//! Both sides draw an X25519 key (RFC 7748) for one exchange only; HKDF-SHA-256 (RFC 5869) makes one
//! key per direction of it, and ChaCha20-Poly1305 (RFC 8439) seals what is secret. A listener on the
//! cable learns nothing. Who can *change* what runs over the cable could take part; the exchange runs
//! only between two boxes that a person has joined with a cable and asked to pair.
//!
//! Every step is repeated until the other side moves on, a bounded number of times. The messages
//! travel as frames of a kind of their own, without MAC.

mod exchange;
mod host;
mod joiner;

use heapless::Vec;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frame::{self, Frame, Header, Kind, SealError};

pub use host::{Host, HostEvent};
pub use joiner::{Joiner, JoinerEvent};

/// Longest description of a box, in bytes.
pub const ABOUT_MAX_BYTES: usize = 400;
/// Longest settings that can be handed over, in bytes.
pub const PARCEL_MAX_BYTES: usize = 16 * 1024;
/// Between two offers, in milliseconds.
pub const OFFER_INTERVAL_MS: u64 = 1_000;
/// Between two tries of one step, in milliseconds; 16 KiB take 1.5 s at 115200 baud.
pub const RETRY_MS: u64 = 700;
/// Tries of one step before the exchange is given up.
pub const TRIES_MAX: u32 = 30;

const CHUNK_BYTES: usize = 384;
const TAG_BYTES: usize = 16;
pub(crate) type Key = [u8; 32];

/// One message of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The host is ready to take a box in.
    Offer {
        /// Its public key for this exchange.
        key: Key,
        /// What the joiner's administrator is shown; the caller's business.
        about: Vec<u8, ABOUT_MAX_BYTES>,
    },
    /// The joiner agrees.
    Join {
        /// Public key of the offer it answers.
        offer: Key,
        /// Its own public key.
        key: Key,
        /// Its name and address, sealed; the caller's business.
        sealed: Vec<u8, { ABOUT_MAX_BYTES + TAG_BYTES }>,
    },
    /// The host does not want it; the reason is for people.
    Refuse {
        /// Public key of the joiner meant.
        key: Key,
        /// A sentence.
        reason: heapless::String<ABOUT_MAX_BYTES>,
    },
    /// A piece of the sealed settings.
    Chunk {
        /// Its number, from 0.
        index: u16,
        /// How many there are.
        count: u16,
        /// The piece.
        bytes: Vec<u8, CHUNK_BYTES>,
    },
    /// The joiner has this piece.
    Ack {
        /// Its number.
        index: u16,
    },
    /// The joiner has the settings on its disk.
    Saved {
        /// An empty text, sealed: only the joiner can have made it.
        sealed: [u8; TAG_BYTES],
    },
    /// The host has written down its peer.
    Finish,
}

/// Why an exchange failed; a sentence to the administrator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PairingError {
    /// Nothing came back.
    #[error("the other box stopped answering on the serial cable; check the cable and try again")]
    Silent,
    /// A seal was broken.
    #[error("the other box sent something that does not belong to this pairing; try again")]
    BrokenSeal,
    /// The other side refused.
    #[error("the other box refused: {0}")]
    Refused(String),
    /// More than fits.
    #[error("the settings are longer than {PARCEL_MAX_BYTES} bytes and cannot be handed over")]
    TooLong,
    /// No offer to answer.
    #[error("no box on the serial cable offers to pair; set up the first box, connect the cable, try again")]
    NoOffer,
    /// No randomness.
    #[error("the system's random source failed; try again")]
    NoRandom,
}

/// Puts a message into a frame.
pub fn seal(message: &Message) -> Result<Frame, SealError> {
    let header = Header {
        kind: Kind::Pairing,
        medium: 0,
        sender: 0,
        pair_id: 0,
        session: 0,
        sequence: 0,
        challenge: 0,
        answer: 0,
    };
    frame::seal(&header, message, None)
}

/// Reads a message from a frame; `None` if it is none.
pub fn open(bytes: &[u8]) -> Option<Message> {
    let opened = frame::open(bytes).ok()?;
    (opened.header.kind == Kind::Pairing).then(|| opened.payload()).flatten()
}

/// Repeats one step at intervals, a bounded number of times.
#[derive(Debug, Clone, Copy, Default)]
struct Retry {
    tries: u32,
    next_ms: u64,
}

impl Retry {
    /// Whether to send now; an error once all tries are spent.
    fn due(&mut self, now_ms: u64) -> Result<bool, PairingError> {
        if now_ms < self.next_ms {
            return Ok(false);
        }
        if self.tries == TRIES_MAX {
            return Err(PairingError::Silent);
        }
        self.tries += 1;
        self.next_ms = now_ms + RETRY_MS;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
