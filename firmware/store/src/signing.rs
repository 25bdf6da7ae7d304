//! Keys that sign what leaves a domain (RFC 6376), so that both boxes sign alike.

use std::fmt;

use rusqlite::{Connection, Row, params};

use crate::directory::normal_domain;
use crate::writer::Ledger;
use crate::{Store, StoreError};

/// Keys of one domain.
pub const SIGNING_KEYS_MAX: usize = 20;

/// The tables.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS signing_keys (
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    algorithm INTEGER NOT NULL,
    secret BLOB NOT NULL,
    public BLOB NOT NULL,
    created_s INTEGER NOT NULL,
    state INTEGER NOT NULL,
    PRIMARY KEY (domain, selector)) WITHOUT ROWID;
";

/// What a key is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA with SHA-256 (RFC 6376 3.3.1).
    Rsa = 0,
    /// Ed25519 with SHA-256 (RFC 8463).
    Ed25519 = 1,
}

/// Whether a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningState {
    /// Not yet: its record must be published first.
    New = 0,
    /// It does.
    Active = 1,
    /// Not any more; its record stays until what it signed has arrived.
    Old = 2,
}

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Selector.
    pub selector: String,
    /// Algorithm.
    pub algorithm: SigningAlgorithm,
    /// Private key: PKCS#1 for RSA, PKCS#8 for Ed25519, in DER.
    pub secret: Vec<u8>,
    /// What the record in the DNS holds: SubjectPublicKeyInfo for RSA, 32 octets for Ed25519.
    pub public: Vec<u8>,
    /// Whether it signs.
    pub state: SigningState,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("selector", &self.selector)
            .field("algorithm", &self.algorithm)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The keys of a domain, oldest first; none if there is no such domain.
    pub fn signing_keys(&self, domain: &str) -> Result<Vec<SigningKey>, StoreError> {
        let domain = normal_domain(domain)?;
        self.inner.readers.read(|database| list(database, &domain))
    }

    /// Adds keys to a domain of ours.
    pub async fn add_signing_keys(&self, domain: &str, keys: Vec<SigningKey>) -> Result<(), StoreError> {
        let domain = normal_domain(domain)?;
        self.growing(move |ledger| ledger.add_signing_keys(&domain, &keys)).await
    }

    /// The keys with the state [`SigningState::New`] sign from now on instead of those that did.
    pub async fn activate_signing_keys(&self, domain: &str) -> Result<(), StoreError> {
        let domain = normal_domain(domain)?;
        self.small(move |ledger| ledger.activate_signing_keys(&domain)).await
    }

    /// Removes a key.
    pub async fn remove_signing_key(&self, domain: &str, selector: &str) -> Result<(), StoreError> {
        let (domain, selector) = (normal_domain(domain)?, selector.to_owned());
        self.small(move |ledger| {
            let sql = "DELETE FROM signing_keys WHERE domain = ?1 AND selector = ?2";
            let removed = ledger.run(sql, [&domain, &selector])?;
            if removed == 0 { Err(StoreError::NoSuchKey(selector.clone())) } else { Ok(()) }
        })
        .await
    }
}

impl Ledger {
    fn add_signing_keys(&mut self, domain: &str, keys: &[SigningKey]) -> Result<(), StoreError> {
        if self.find("SELECT 1 FROM domains WHERE name = ?1", [domain], |_| Ok(()))?.is_none() {
            return Err(StoreError::NoSuchDomain(domain.to_owned()));
        }
        if list(self.database(), domain)?.len() + keys.len() > SIGNING_KEYS_MAX {
            return Err(StoreError::TooManyKeys { max: SIGNING_KEYS_MAX });
        }
        for key in keys {
            self.run(
                "INSERT INTO signing_keys (domain, selector, algorithm, secret, public, created_s, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    domain,
                    key.selector,
                    key.algorithm as i64,
                    key.secret,
                    key.public,
                    self.now_s(),
                    key.state as i64
                ],
            )?;
        }
        Ok(())
    }

    fn activate_signing_keys(&mut self, domain: &str) -> Result<(), StoreError> {
        let fresh = "SELECT 1 FROM signing_keys WHERE domain = ?1 AND state = 0";
        if self.find(fresh, [domain], |_| Ok(()))?.is_none() {
            return Err(StoreError::NoSuchKey("new".to_owned()));
        }
        self.run("UPDATE signing_keys SET state = 2 WHERE domain = ?1 AND state = 1", [domain])?;
        self.run("UPDATE signing_keys SET state = 1 WHERE domain = ?1 AND state = 0", [domain])?;
        Ok(())
    }
}

fn list(database: &Connection, domain: &str) -> Result<Vec<SigningKey>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT selector, algorithm, secret, public, state FROM signing_keys
         WHERE domain = ?1 ORDER BY created_s, selector",
    )?;
    let rows = statement.query_map([domain], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<SigningKey> {
    let algorithm: i64 = row.get(1)?;
    let state: i64 = row.get(4)?;
    Ok(SigningKey {
        selector: row.get(0)?,
        algorithm: if algorithm == 0 { SigningAlgorithm::Rsa } else { SigningAlgorithm::Ed25519 },
        secret: row.get(2)?,
        public: row.get(3)?,
        state: match state {
            0 => SigningState::New,
            1 => SigningState::Active,
            _ => SigningState::Old,
        },
    })
}
