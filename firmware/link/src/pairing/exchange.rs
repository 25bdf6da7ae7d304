//! The keys of one exchange.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::SystemRandom;

use super::{Key, PairingError, TAG_BYTES};

/// What a sealed text is for: each is sealed at most once per exchange, so each has its own nonce.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    About = 1,
    Parcel = 2,
    Saved = 3,
}

/// This box's half of an exchange that has not begun.
pub(super) struct Half {
    secret: EphemeralPrivateKey,
    public: Key,
}

/// Both directions' keys.
pub(super) struct Exchange {
    to_joiner: LessSafeKey,
    to_host: LessSafeKey,
}

impl Half {
    /// Draws a key pair.
    pub fn draw() -> Result<Self, PairingError> {
        let random = SystemRandom::new();
        let secret = EphemeralPrivateKey::generate(&X25519, &random).map_err(|_| PairingError::NoRandom)?;
        let public = secret.compute_public_key().map_err(|_| PairingError::NoRandom)?;
        let public = public.as_ref().try_into().map_err(|_| PairingError::NoRandom)?;
        Ok(Self { secret, public })
    }

    /// The public key.
    pub fn public(&self) -> Key {
        self.public
    }

    /// The exchange with the joiner that answered this offer.
    pub fn with_joiner(self, joiner: &Key) -> Result<Exchange, PairingError> {
        let offer = self.public;
        derive(self.secret, joiner, &offer, joiner)
    }

    /// The exchange with the host whose offer this joiner answers.
    pub fn with_host(self, offer: &Key) -> Result<Exchange, PairingError> {
        let joiner = self.public;
        derive(self.secret, offer, offer, &joiner)
    }
}

fn derive(
    secret: EphemeralPrivateKey,
    other: &Key,
    offer: &Key,
    joiner: &Key,
) -> Result<Exchange, PairingError> {
    // `agree_ephemeral` refuses the all-zero result of a low-order point (RFC 7748 section 6.1).
    agree_ephemeral(secret, &UnparsedPublicKey::new(&X25519, other), |shared| {
        let extracted = Salt::new(HKDF_SHA256, b"twinmail pairing 1").extract(shared);
        let key = |direction: &[u8]| {
            let info = [direction, offer.as_slice(), joiner.as_slice()];
            let okm = extracted.expand(&info, &CHACHA20_POLY1305).ok()?;
            Some(LessSafeKey::new(UnboundKey::from(okm)))
        };
        Some(Exchange { to_joiner: key(b"to joiner")?, to_host: key(b"to host")? })
    })
    .ok()
    .flatten()
    .ok_or(PairingError::BrokenSeal)
}

impl Exchange {
    /// Seals `text` for the other side.
    pub fn seal(&self, purpose: Purpose, text: &[u8]) -> Result<Vec<u8>, PairingError> {
        let mut sealed = text.to_vec();
        self.key(purpose)
            .seal_in_place_append_tag(nonce(purpose), Aad::empty(), &mut sealed)
            .map_err(|_| PairingError::TooLong)?;
        Ok(sealed)
    }

    /// Opens what the other side sealed.
    pub fn open(&self, purpose: Purpose, sealed: &[u8]) -> Result<Vec<u8>, PairingError> {
        let mut text = sealed.to_vec();
        let length = self
            .key(purpose)
            .open_in_place(nonce(purpose), Aad::empty(), &mut text)
            .map_err(|_| PairingError::BrokenSeal)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// The tag that says "saved".
    pub fn saved(&self) -> Result<[u8; TAG_BYTES], PairingError> {
        self.seal(Purpose::Saved, &[])?.try_into().map_err(|_| PairingError::TooLong)
    }

    fn key(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::Parcel => &self.to_joiner,
            Purpose::About | Purpose::Saved => &self.to_host,
        }
    }
}

fn nonce(purpose: Purpose) -> Nonce {
    let mut bytes = [0; 12];
    bytes[11] = purpose as u8;
    Nonce::assume_unique_for_key(bytes)
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Half(..)")
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange(..)")
    }
}
