//! What is kept of a password: one line of text with a version in front.
//!
//! ```text
//! v1 $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH scram-sha-256$16384$SALT$STOREDKEY$SERVERKEY
//! ```
//!
//! Argon2id (RFC 9106) is for passwords that come in clear; the SCRAM keys are for those that never do.
//! Either can be missing: an Argon2id string alone is what set-up writes, SCRAM keys alone are what a bulk
//! import writes, because Argon2id of a hundred thousand passwords takes an hour. Both are completed at
//! the first login that shows the password.
//!
//! A SCRAM key is weaker than Argon2id against someone who has stolen the database, whatever its count:
//! that is the price of never seeing the password. 16,384 iterations cost a phone some milliseconds, and
//! four times what RFC 7677 asks for at least.

use std::num::NonZeroU32;

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher, Salt, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use sasl::{Stored, prepare_password};
use store::PasswordHash;
use subtle::ConstantTimeEq;

use super::hashing::Memory;
use crate::MailError;

/// Shortest password an administrator may set, in characters.
const PASSWORD_MIN_CHARS: usize = 8;
/// Longest password, in octets.
pub(super) const PASSWORD_MAX_BYTES: usize = sasl::CREDENTIAL_MAX_BYTES;
/// Iterations of the SCRAM keys of a password that is set.
pub(super) const SCRAM_ITERATIONS: u32 = 16_384;
/// Iterations of the first, quick form of a bulk import: the least RFC 7677 allows.
const IMPORT_ITERATIONS: u32 = 4_096;
/// Bounds of records from elsewhere: memory, passes and lanes of Argon2, iterations of SCRAM, octets.
const ARGON2_KIB_MAX: u32 = 128 * 1024;
const ARGON2_PASSES_MAX: u32 = 10;
const ARGON2_LANES_MAX: u32 = 8;
const SCRAM_ITERATIONS_MAX: u32 = 200_000;
const RECORD_BYTES_MAX: usize = 1024;
/// Octets of a salt.
const SALT_BYTES: usize = 16;
/// What a record begins with.
const VERSION: &str = "v1 ";
/// What the SCRAM part begins with.
const SCRAM: &str = "scram-sha-256$";
/// What the record of an app password begins with.
const TOKEN: &str = "sha256$";
/// Letters of an app password: none looks like another. 32 of them are 5 bits each.
const TOKEN_LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters in each group, and groups: 130 bits.
const TOKEN_GROUP: usize = 5;
const TOKEN_LETTERS_COUNT: usize = 26;

/// Hashed for users that do not exist, so that they take as long as those that do.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A record, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    argon2: Option<String>,
    pub(super) scram: Option<Stored>,
}

impl Record {
    /// Reads a record. Parts that are not understood are not there; a record without a part fits no
    /// password.
    pub(super) fn read(hash: &PasswordHash) -> Self {
        let Some(parts) = hash.0.strip_prefix(VERSION) else {
            return Self { argon2: Some(hash.0.clone()), scram: None };
        };
        let mut record = Self::default();
        for part in parts.split(' ') {
            if part.starts_with("$argon2") {
                record.argon2 = Some(part.to_owned());
            } else if let Some(scram) = part.strip_prefix(SCRAM) {
                record.scram = Stored::parse(scram).ok();
            }
        }
        record
    }

    /// What a password for nobody is checked against.
    pub(super) fn nobody() -> Self {
        Self { argon2: Some(NOBODY.to_owned()), scram: None }
    }

    /// Whether this is the password. Takes milliseconds.
    pub(super) fn fits(&self, password: &str, memory: &mut Memory) -> bool {
        let prepared = prepare_password(password);
        match (&self.argon2, &self.scram) {
            (Some(phc), _) => {
                // Records from before passwords were prepared know the password as it came.
                argon2_fits(phc, &prepared, memory)
                    || (*prepared != *password && argon2_fits(phc, password, memory))
            }
            (None, Some(scram)) => {
                let derived = Stored::derive(password, &scram.salt, scram.iterations);
                let fits = |one: &sasl::KeyPair| {
                    derived.pairs.iter().any(|own| own.stored_key.ct_eq(&one.stored_key).into())
                };
                scram.pairs.first().is_some_and(fits)
            }
            (None, None) => false,
        }
    }

    /// Whether a part is missing or weaker than what is set now.
    pub(super) fn is_weak(&self) -> bool {
        let strong = |scram: &Stored| scram.iterations.get() >= SCRAM_ITERATIONS;
        self.argon2.is_none() || !self.scram.as_ref().is_some_and(strong)
    }
}

fn argon2_fits(phc: &str, password: &str, memory: &mut Memory) -> bool {
    let Ok(phc) = Phc::new(phc) else { return false };
    let version = phc.version.map_or(Ok(Version::default()), Version::try_from);
    let (Ok(algorithm), Ok(version), Ok(parameters)) =
        (Algorithm::try_from(phc.algorithm), version, Params::try_from(&phc))
    else {
        return false;
    };
    let (Some(salt), Some(expected)) = (phc.salt, phc.hash) else { return false };
    let mut salt_bytes = [0; Salt::MAX_LENGTH];
    let Ok(salt) = salt.decode_b64(&mut salt_bytes) else { return false };
    let mut found = vec![0; expected.len()];
    let hashed = memory.with_blocks(parameters.block_count(), |blocks| {
        let argon2 = Argon2::new(algorithm, version, parameters);
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut found, blocks)
    });
    hashed.is_ok() && bool::from(found.ct_eq(expected.as_bytes()))
}

/// How much work a new hash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// 19 MiB and two passes: the least that OWASP and RFC 9106's second choice agree on.
    Full,
    /// Next to none, for measurements that are not about hashing.
    Least,
}

/// Checks a new password's length and makes its record. Takes tens of milliseconds.
pub(crate) fn hash_new(password: &str) -> Result<PasswordHash, MailError> {
    check_length(password)?;
    hash(password, Cost::Full)
}

/// The quick form for a bulk import: about half a millisecond. The first login makes it strong.
pub(crate) fn hash_import(password: &str) -> Result<PasswordHash, MailError> {
    check_length(password)?;
    Ok(PasswordHash(format!("{VERSION}{SCRAM}{}", scram(password, IMPORT_ITERATIONS)?)))
}

/// Whether a text of an import is a record and no password in clear.
pub(crate) fn is_record(text: &str) -> bool {
    text.starts_with(VERSION) || text.starts_with("$argon2")
}

/// A record from elsewhere: an Argon2 string, or what an export wrote. Refused where it fits no password,
/// or where checking it would take more than a service can spare.
pub(crate) fn accept_record(text: &str) -> Result<PasswordHash, MailError> {
    let refused =
        MailError::Password("it is no record that is known here: $argon2…, or as an export writes it");
    let hash = PasswordHash(text.to_owned());
    let record = Record::read(&hash);
    let argon2_is_fine = record.argon2.as_deref().is_none_or(|phc| {
        Phc::new(phc).is_ok_and(|phc| {
            let bounded = |name: &str, most: u32| {
                phc.params.get_decimal(name).is_none_or(|number| number > 0 && number <= most)
            };
            phc.salt.is_some()
                && phc.hash.is_some()
                && Algorithm::try_from(phc.algorithm).is_ok()
                && [("m", ARGON2_KIB_MAX), ("t", ARGON2_PASSES_MAX), ("p", ARGON2_LANES_MAX)]
                    .into_iter()
                    .all(|(name, most)| bounded(name, most))
        })
    });
    let iterations = record.scram.as_ref().map_or(0, |scram| scram.iterations.get());
    let is_some = record.argon2.is_some() || record.scram.is_some();
    let is_fine =
        is_some && argon2_is_fine && iterations <= SCRAM_ITERATIONS_MAX && text.len() <= RECORD_BYTES_MAX;
    if is_fine { Ok(hash) } else { Err(refused) }
}

/// Makes a record.
pub(crate) fn hash(password: &str, cost: Cost) -> Result<PasswordHash, MailError> {
    if password.len() > PASSWORD_MAX_BYTES {
        return Err(MailError::Password("it is longer than 1024 octets"));
    }
    let salt = SaltString::encode_b64(&random::<SALT_BYTES>()?)
        .map_err(|_| MailError::Password("its salt is not usable"))?;
    let parameters = match cost {
        Cost::Full => Params::default(),
        Cost::Least => {
            Params::new(8, 1, 1, None).map_err(|_| MailError::Password("its cost is not usable"))?
        }
    };
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password(prepare_password(password).as_bytes(), &salt)
        .map_err(|_| MailError::Password("it cannot be hashed"))?;
    let scram = scram(password, SCRAM_ITERATIONS)?;
    Ok(PasswordHash(format!("{VERSION}{argon2} {SCRAM}{scram}")))
}

fn scram(password: &str, iterations: u32) -> Result<Stored, MailError> {
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    Ok(Stored::derive(password, &random::<SALT_BYTES>()?, iterations))
}

/// Whether a password is one that can be set.
pub(crate) fn check_length(password: &str) -> Result<(), MailError> {
    if password.chars().count() < PASSWORD_MIN_CHARS {
        return Err(MailError::Password("it needs at least 8 characters"));
    }
    if password.len() > PASSWORD_MAX_BYTES {
        return Err(MailError::Password("it is longer than 1024 octets"));
    }
    Ok(())
}

pub(super) fn random<const BYTES: usize>() -> Result<[u8; BYTES], MailError> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| MailError::Password("the system has no randomness"))?;
    Ok(bytes)
}

/// A new app password, shown once, and its record. It is random, so one fast hash keeps it as well as a
/// slow one would.
pub(crate) fn new_app_password() -> Result<(String, PasswordHash), MailError> {
    let bytes = random::<TOKEN_LETTERS_COUNT>()?;
    let mut password = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % TOKEN_GROUP == 0 {
            password.push('-');
        }
        password.push(TOKEN_LETTERS.get(usize::from(byte % 32)).copied().map_or('a', char::from));
    }
    let record = PasswordHash(format!("{TOKEN}{}", sasl::encode(&token_hash(&password))));
    Ok((password, record))
}

/// What an app password is looked up by; none if a text cannot be one, so that nothing is searched for it.
pub(super) fn app_password_record(password: &str) -> Option<PasswordHash> {
    let plain = |b: u8| TOKEN_LETTERS.contains(&b.to_ascii_lowercase());
    let letters = password.bytes().filter(|b| plain(*b)).count();
    let others = password.bytes().filter(|b| !plain(*b)).all(|b| matches!(b, b'-' | b' '));
    (letters == TOKEN_LETTERS_COUNT && others)
        .then(|| PasswordHash(format!("{TOKEN}{}", sasl::encode(&token_hash(password)))))
}

/// Hyphens, blanks and case do not matter: people type these.
fn token_hash(password: &str) -> Vec<u8> {
    let letters: String =
        password.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    digest::digest(&digest::SHA256, letters.as_bytes()).as_ref().to_vec()
}

/// Whether two records are the same, in a time that does not tell how much of them is.
pub(super) fn same(one: &PasswordHash, other: &PasswordHash) -> bool {
    one.0.as_bytes().ct_eq(other.0.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_as_much_work_as_somebody() {
        let somebody = Record::read(&hash("correct horse", Cost::Full).unwrap()).argon2.unwrap();
        let (nobody, somebody) = (Phc::new(NOBODY).unwrap(), Phc::new(&somebody).unwrap());
        assert_eq!(nobody.params, somebody.params);
        assert_eq!(nobody.hash.map(|h| h.len()), somebody.hash.map(|h| h.len()));
        assert!(!Record::nobody().fits("correct horse", &mut Memory::default()));
    }

    #[test]
    fn short_and_long_passwords_are_refused() {
        for make in [hash_new, hash_import] {
            assert!(make("1234567").is_err());
            assert!(make(&"x".repeat(1025)).is_err());
        }
        assert!(hash_new("12345678").unwrap().0.starts_with("v1 $argon2id$"));
    }

    #[test]
    fn every_form_of_a_record_fits_its_password_only() {
        let full = hash_new("p\u{e4}ssw\u{f6}rd \u{2168}").unwrap();
        let import = hash_import("p\u{e4}ssw\u{f6}rd \u{2168}").unwrap();
        let old = PasswordHash(Record::read(&full).argon2.unwrap());
        for (record, weak) in [(&full, false), (&import, true), (&old, true)] {
            let record = Record::read(record);
            assert_eq!(record.is_weak(), weak);
            // The same in another spelling: SASLprep.
            assert!(
                record.fits("p\u{e4}ssw\u{f6}rd IX", &mut Memory::default())
                    && record.fits("p\u{e4}ssw\u{f6}rd \u{2168}", &mut Memory::default())
            );
            assert!(
                !record.fits("password IX", &mut Memory::default())
                    && !record.fits("", &mut Memory::default())
            );
        }
        assert!(Record::read(&import).scram.is_some() && Record::read(&old).scram.is_none());
        for text in ["", "v1 ", "v1 x y", "v1 scram-sha-256$x", "junk", "$new"] {
            assert!(!Record::read(&PasswordHash(text.into())).fits("", &mut Memory::default()), "{text}");
        }
    }

    #[test]
    fn records_from_elsewhere_must_fit_something_and_be_affordable() {
        let own = hash("correct horse", Cost::Full).unwrap();
        let import = hash_import("correct horse").unwrap();
        for good in [&own.0, &import.0, &Record::read(&own).argon2.unwrap()] {
            assert!(is_record(good) && accept_record(good).is_ok(), "{good}");
        }
        let salt = "$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for bad in [
            "$argon2id$".to_owned(),
            format!("$argon2id$v=19$m=4194304,t=2,p=1{salt}"),
            format!("$argon2id$v=19$m=19456,t=4000,p=1{salt}"),
            format!("$argon2x$v=19$m=19456,t=2,p=1{salt}"),
            "v1 nothing".to_owned(),
            "v1 ".to_owned(),
        ] {
            assert!(accept_record(&bad).is_err(), "{bad}");
        }
        assert!(accept_record(&format!("$argon2id$v=19$m=19456,t=2,p=1{salt}")).is_ok());
        assert!(!is_record("a password in clear"));
    }

    #[test]
    fn a_record_from_before_passwords_were_prepared() {
        let salt = SaltString::encode_b64(&[1; 16]).unwrap();
        let phc = Argon2::default().hash_password("IX\u{ad}".as_bytes(), &salt).unwrap().to_string();
        assert!(Record::read(&PasswordHash(phc)).fits("IX\u{ad}", &mut Memory::default()));
    }

    #[test]
    fn app_passwords_are_random_and_forgiving() {
        let (one, record) = new_app_password().unwrap();
        assert_ne!(one, new_app_password().unwrap().0);
        assert_eq!(one.len(), 31);
        let typed = one.to_uppercase().replace('-', " ");
        assert!(same(&app_password_record(&typed).unwrap(), &record));
        assert!(!same(&app_password_record(&new_app_password().unwrap().0).unwrap(), &record));
        assert_eq!(app_password_record("correct horse battery"), None);
    }
}
