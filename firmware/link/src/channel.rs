//! What the two boxes say to each other beside the heartbeat: sealed messages over any connection.
//!
//! Each side draws a nonce of 32 bytes for the connection and sends it first. HKDF-SHA-256 (RFC 5869)
//! makes one key per direction of the pair's key and both nonces; ChaCha20-Poly1305 (RFC 8439) seals
//! each message under a counter. A recording of one connection opens nothing on another, because the
//! listener's own nonce is in the keys.

use cluster::Node;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::frame::PAIR_KEY_BYTES;

/// Length of a connection's nonce, in bytes.
pub const CHANNEL_NONCE_BYTES: usize = 32;
/// What sealing adds to a message, in bytes.
pub const CHANNEL_TAG_BYTES: usize = 16;

/// One end of one connection between the two boxes.
#[derive(Debug)]
pub struct Channel {
    outward: LessSafeKey,
    inward: LessSafeKey,
    sealed: u64,
    opened: u64,
}

impl Channel {
    /// The end of `own` with both nonces; `None` only if the cryptography itself fails.
    pub fn new(
        pair_key: &[u8; PAIR_KEY_BYTES],
        own: Node,
        own_nonce: &[u8; CHANNEL_NONCE_BYTES],
        peer_nonce: &[u8; CHANNEL_NONCE_BYTES],
    ) -> Option<Self> {
        let (of_a, of_b) = if own == Node::A { (own_nonce, peer_nonce) } else { (peer_nonce, own_nonce) };
        let nonces = [of_a.as_slice(), of_b.as_slice()].concat();
        let secret = Salt::new(HKDF_SHA256, &nonces).extract(pair_key);
        let key = |sender: Node| -> Option<LessSafeKey> {
            let label: &[u8] =
                if sender == Node::A { b"twinmail channel a to b" } else { b"twinmail channel b to a" };
            let info = [label];
            let key = secret.expand(&info, &CHACHA20_POLY1305).ok()?;
            Some(LessSafeKey::new(UnboundKey::from(key)))
        };
        Some(Self { outward: key(own)?, inward: key(own.peer())?, sealed: 0, opened: 0 })
    }

    /// Seals the next message.
    pub fn seal(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = message.to_vec();
        let nonce = nonce(self.sealed);
        self.outward.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).ok()?;
        self.sealed = self.sealed.checked_add(1)?;
        Some(sealed)
    }

    /// Opens the next message of the other end; `None` if it is not authentic, or not the next.
    pub fn open(&mut self, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut message = sealed.to_vec();
        let nonce = nonce(self.opened);
        let length = self.inward.open_in_place(nonce, Aad::empty(), &mut message).ok()?.len();
        self.opened = self.opened.checked_add(1)?;
        message.truncate(length);
        Some(message)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(key_a: u8, key_b: u8, nonce_a: u8) -> (Channel, Channel) {
        let a = Channel::new(&[key_a; 32], Node::A, &[nonce_a; 32], &[2; 32]).unwrap();
        let b = Channel::new(&[key_b; 32], Node::B, &[2; 32], &[1; 32]).unwrap();
        (a, b)
    }

    #[test]
    fn messages_arrive_in_order_and_only_once() {
        let (mut a, mut b) = ends(7, 7, 1);
        let first = a.seal(b"first").unwrap();
        let second = a.seal(b"second").unwrap();
        assert!(b.open(&second).is_none());
        assert_eq!(b.open(&first).unwrap(), b"first");
        assert!(b.open(&first).is_none());
        assert_eq!(b.open(&second).unwrap(), b"second");
        let answer = b.seal(b"answer").unwrap();
        assert_eq!(a.open(&answer).unwrap(), b"answer");
    }

    #[test]
    fn a_wrong_key_an_old_nonce_and_its_own_voice_open_nothing() {
        let (mut a, mut b) = ends(7, 8, 1);
        assert!(b.open(&a.seal(b"x").unwrap()).is_none());
        let (mut a, mut b) = ends(7, 7, 9);
        assert!(b.open(&a.seal(b"x").unwrap()).is_none());
        let (mut a, _) = ends(7, 7, 1);
        let own = a.seal(b"x").unwrap();
        assert!(a.open(&own).is_none());
        let (mut a, mut b) = ends(7, 7, 1);
        let mut touched = a.seal(b"x").unwrap();
        touched[0] ^= 1;
        assert!(b.open(&touched).is_none());
    }
}
