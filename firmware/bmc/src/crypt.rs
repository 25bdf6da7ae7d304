//! The two cipher suites and their keys (13.28 to 13.32).

use aes::Aes128;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use ring::hmac;

/// Bytes of an AES block and of the initialisation vector before each encrypted payload (13.29).
pub const BLOCK_BYTES: usize = 16;
/// Bytes of the constants that K1 and K2 are made from (13.32), for either suite.
const CONSTANT_BYTES: usize = 20;

/// A cipher suite (22.15.2, table 22-20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// 17: RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Sha256,
    /// 3: RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    Sha1,
}

impl Suite {
    /// Number of the authentication algorithm (13.28, table 13-17).
    pub fn authentication(self) -> u8 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 3,
        }
    }

    /// Number of the integrity algorithm (13.28.4, table 13-18).
    pub fn integrity(self) -> u8 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 4,
        }
    }

    /// Number of the confidentiality algorithm, AES-CBC-128 (13.28.5, table 13-19).
    pub fn confidentiality(self) -> u8 {
        1
    }

    /// Bytes of a whole code, as RAKP messages 2 and 3 carry it.
    pub fn code_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Bytes of the shortened code behind a packet and in RAKP message 4 (13.28.1, 13.28.4).
    pub fn short_bytes(self) -> usize {
        match self {
            Self::Sha1 => 12,
            Self::Sha256 => 16,
        }
    }

    /// The keyed hash of the parts, one after the other.
    pub fn code(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
        parts.iter().for_each(|part| context.update(part));
        context.sign().as_ref().to_vec()
    }
}

/// The keys of a session.
#[derive(Clone)]
pub struct Keys {
    /// The suite they are for.
    pub suite: Suite,
    integrity: Vec<u8>,
    cipher: [u8; BLOCK_BYTES],
}

impl Keys {
    /// K1 and K2 from the session integrity key (13.32).
    pub fn new(suite: Suite, session_integrity_key: &[u8]) -> Self {
        let integrity = suite.code(session_integrity_key, &[&[1; CONSTANT_BYTES]]);
        let second = suite.code(session_integrity_key, &[&[2; CONSTANT_BYTES]]);
        let mut cipher = [0; BLOCK_BYTES];
        cipher.iter_mut().zip(second).for_each(|(to, from)| *to = from);
        Self { suite, integrity, cipher }
    }

    /// The code behind a packet.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        let mut code = self.suite.code(&self.integrity, &[text]);
        code.truncate(self.suite.short_bytes());
        code
    }

    /// An encrypted payload (13.29): the vector, then the text, padded with 1, 2, 3… and their number.
    pub fn encrypt(&self, vector: [u8; BLOCK_BYTES], text: &[u8]) -> Option<Vec<u8>> {
        let padding = (BLOCK_BYTES - (text.len() + 1) % BLOCK_BYTES) % BLOCK_BYTES;
        let mut blocks = text.to_vec();
        blocks.extend((1..=padding).map(|number| number as u8));
        blocks.push(padding as u8);
        let length = blocks.len();
        let cipher = cbc::Encryptor::<Aes128>::new(&self.cipher.into(), &vector.into());
        cipher.encrypt_padded_mut::<NoPadding>(&mut blocks, length).ok()?;
        Some([&vector[..], &blocks].concat())
    }

    /// The text of an encrypted payload; none if it is not one.
    pub fn decrypt(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let (vector, blocks) = payload.split_first_chunk::<BLOCK_BYTES>()?;
        let mut blocks = blocks.to_vec();
        let cipher = cbc::Decryptor::<Aes128>::new(&self.cipher.into(), vector.into());
        cipher.decrypt_padded_mut::<NoPadding>(&mut blocks).ok()?;
        let padding = usize::from(blocks.pop()?);
        let length = blocks.len().checked_sub(padding).filter(|_| padding < BLOCK_BYTES)?;
        let good = blocks.get(length..)?.iter().zip(1_u8..).all(|(byte, number)| *byte == number);
        blocks.truncate(length);
        good.then_some(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_2202_and_rfc_4231() {
        let code = Suite::Sha1.code(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(code[..4], [0xef, 0xfc, 0xdf, 0x6a]);
        let code = Suite::Sha256.code(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(code[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!((code.len(), Suite::Sha256.code_bytes()), (32, 32));
    }

    #[test]
    fn payloads_are_encrypted_as_in_sp_800_38a() {
        let cipher =
            [0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c];
        let keys = Keys { suite: Suite::Sha1, integrity: vec![1; 20], cipher };
        let vector = std::array::from_fn(|index| index as u8);
        let text =
            [0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a];
        let payload = keys.encrypt(vector, &text).unwrap();
        // F.2.1: the first block; the second holds the padding alone.
        assert_eq!(payload[16..20], [0x76, 0x49, 0xab, 0xac]);
        assert_eq!(payload.len(), 48);
        assert_eq!(keys.decrypt(&payload), Some(text.to_vec()));
    }

    #[test]
    fn every_length_comes_back_and_what_was_cut_does_not() {
        let keys = Keys::new(Suite::Sha256, b"key");
        for length in 0..40 {
            let payload = keys.encrypt([9; 16], &vec![length as u8; length]).unwrap();
            assert_eq!(payload.len() % 16, 0);
            assert_eq!(keys.decrypt(&payload), Some(vec![length as u8; length]));
            assert_eq!(keys.decrypt(&payload[..payload.len() - 1]), None);
        }
        assert_eq!(keys.decrypt(&[]), None);
        assert_eq!(keys.decrypt(&[0; 16]), None);
    }
}
