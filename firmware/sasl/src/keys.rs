//! What a server keeps of a password for SCRAM (RFC 5802 3).

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

use crate::prepare_password;

/// Octets of a key.
const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;
/// Octets of a simulated salt, as many as [`Stored::derive`] is given by the service.
const SALT_BYTES: usize = 16;
/// Longest salt taken from a record.
const SALT_MAX_BYTES: usize = 64;

/// The keys of one password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyPair {
    /// Verifies what the client proves.
    pub stored_key: [u8; KEY_BYTES],
    /// Proves that the server has the record.
    pub server_key: [u8; KEY_BYTES],
}

/// What is stored of a user for SCRAM-SHA-256. There can be several passwords under one salt and
/// iteration count; any of them is right.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// How often the hash was iterated.
    pub iterations: NonZeroU32,
    /// The salt.
    pub salt: Vec<u8>,
    /// The keys of each password.
    pub pairs: Vec<KeyPair>,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SCRAM part of a password record is damaged; set the password again")]
pub struct StoredFormatError;

impl Stored {
    /// Makes the keys of a password. Takes milliseconds: not for a thread that serves others.
    pub fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let pair = KeyPair::derive(password, salt, iterations);
        Self { iterations, salt: salt.to_vec(), pairs: vec![pair] }
    }

    /// What an unknown user is answered with: always the same for a name, and no proof fits it. The secret
    /// must outlive the process, or a restart would tell the unknown users from the known ones.
    pub fn simulated(secret: &[u8], user: &str, iterations: u32) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let of = |what: &str| {
            let mut context = hmac::Context::with_key(&key);
            context.update(what.as_bytes());
            context.update(user.to_lowercase().as_bytes());
            octets(context.sign().as_ref())
        };
        let salt: [u8; KEY_BYTES] = of("salt:");
        Self {
            iterations: NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
            salt: salt.iter().copied().take(SALT_BYTES).collect(),
            pairs: vec![KeyPair { stored_key: of("stored:"), server_key: of("server:") }],
        }
    }

    /// Reads what [`fmt::Display`] wrote: `iterations$salt$stored key$server key`, the last two as often as
    /// there are passwords, in base64.
    pub fn parse(text: &str) -> Result<Self, StoredFormatError> {
        let mut parts = text.split('$');
        let iterations = parts.next().and_then(|count| count.parse().ok()).ok_or(StoredFormatError)?;
        let decode = |part: &str| STANDARD.decode(part).map_err(|_| StoredFormatError);
        let salt = decode(parts.next().ok_or(StoredFormatError)?)?;
        let key =
            |part: &str| <[u8; KEY_BYTES]>::try_from(decode(part)?.as_slice()).map_err(|_| StoredFormatError);
        let mut pairs = Vec::new();
        while let Some(stored) = parts.next() {
            let server = parts.next().ok_or(StoredFormatError)?;
            pairs.push(KeyPair { stored_key: key(stored)?, server_key: key(server)? });
        }
        if pairs.is_empty() || salt.is_empty() || salt.len() > SALT_MAX_BYTES {
            return Err(StoredFormatError);
        }
        Ok(Self { iterations, salt, pairs })
    }

    /// The pair whose password made this proof of this message, with its number. Looks at all of them.
    pub(crate) fn proven(&self, message: &[u8], proof: &[u8; KEY_BYTES]) -> Option<(usize, &KeyPair)> {
        let mut found = None;
        for (index, pair) in self.pairs.iter().enumerate() {
            let signature = sign(&pair.stored_key, message);
            let client_key = xor(&signature, proof);
            let right = hash(&client_key).ct_eq(&pair.stored_key);
            if bool::from(right) {
                found = Some((index, pair));
            }
        }
        found
    }
}

impl KeyPair {
    /// Makes the keys of a password. Takes milliseconds.
    pub fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let salted = salted_password(password, salt, iterations);
        Self { stored_key: hash(&client_key(&salted)), server_key: sign(&salted, b"Server Key") }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}${}", self.iterations, STANDARD.encode(&self.salt))?;
        for pair in &self.pairs {
            write!(f, "${}${}", STANDARD.encode(pair.stored_key), STANDARD.encode(pair.server_key))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(…)")
    }
}

/// SaltedPassword of RFC 5802 3.
pub(crate) fn salted_password(password: &str, salt: &[u8], iterations: NonZeroU32) -> [u8; KEY_BYTES] {
    let mut salted = [0; KEY_BYTES];
    let prepared = prepare_password(password);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut salted);
    salted
}

pub(crate) fn client_key(salted: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    sign(salted, b"Client Key")
}

pub(crate) fn sign(key: &[u8], message: &[u8]) -> [u8; KEY_BYTES] {
    octets(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

pub(crate) fn hash(message: &[u8]) -> [u8; KEY_BYTES] {
    octets(digest::digest(&digest::SHA256, message).as_ref())
}

pub(crate) fn xor(one: &[u8; KEY_BYTES], other: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    let mut result = *one;
    for (byte, with) in result.iter_mut().zip(other) {
        *byte ^= with;
    }
    result
}

/// What ring gives as a slice is always of the hash's length.
fn octets(slice: &[u8]) -> [u8; KEY_BYTES] {
    let mut octets = [0; KEY_BYTES];
    for (to, from) in octets.iter_mut().zip(slice) {
        *to = *from;
    }
    octets
}
