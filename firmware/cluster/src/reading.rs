//! What the array says about its reservation, and the proof that can be made of it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Key, Time};

/// Most registrations a reading keeps; a pair with eight paths each needs sixteen.
pub const KEYS_MAX: usize = 64;

/// Type of a persistent reservation (SPC-4 table 67), as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReservationType {
    /// Type 5, Write Exclusive, Registrants Only: the only one this product makes.
    WriteExclusiveRegistrantsOnly,
    /// Any other type code; somebody else made it.
    Other(u8),
}

impl ReservationType {
    /// The type from its code in READ RESERVATION and PERSISTENT RESERVE OUT.
    pub fn from_code(code: u8) -> Self {
        match code {
            5 => Self::WriteExclusiveRegistrantsOnly,
            other => Self::Other(other),
        }
    }

    /// The code in READ RESERVATION and PERSISTENT RESERVE OUT.
    pub fn code(self) -> u8 {
        match self {
            Self::WriteExclusiveRegistrantsOnly => 5,
            Self::Other(code) => code,
        }
    }
}

/// The reservation of a LUN: its holder's key and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// Key of the holder, not decoded: it may be a stranger's.
    pub key: u64,
    /// Type of the reservation.
    pub kind: ReservationType,
}

/// Result of READ KEYS followed by READ RESERVATION.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// When the first of the two commands was *started*: what it proves is no younger.
    pub started: Time,
    /// Every registered key, strangers' among them, one per registered path.
    pub keys: Vec<u64>,
    /// The reservation, if there is one.
    pub holder: Option<Holder>,
}

/// Why a reading is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotHeld {
    /// Nobody holds the reservation.
    #[error("nobody holds the reservation at the array")]
    Nobody,
    /// Somebody else holds it.
    #[error("the reservation at the array is held with key {0:#018x}, which is not this box's")]
    Other(u64),
    /// It is ours, but of a type that does not keep the other box from writing.
    #[error("the reservation at the array has type {0}; it must be 5")]
    WrongType(u8),
    /// Our key is not registered any more.
    #[error("this box's key is no longer registered at the array")]
    NotRegistered,
    /// A key of an earlier owner is still registered, so it could still write.
    #[error("an earlier owner's key {0:#018x} is still registered at the array")]
    EarlierOwner(u64),
    /// The reading is older than the lease.
    #[error("the reading took longer than the lease of {lease_ms} ms")]
    TooOld {
        /// The lease.
        lease_ms: u64,
    },
}

/// Proof that this box alone may write: without it nothing is mounted, written or served.
///
/// Only [`HeldProof::verify`] makes one. It expires `lease_ms` after its reading was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldProof {
    key: Key,
    read_at: Time,
    expires_at: Time,
}

impl HeldProof {
    /// Makes a proof of `reading` if it shows that `own` holds the reservation and that no earlier
    /// owner of pair `pair_id` is still registered.
    ///
    /// A registered key of the same or a later epoch is no obstacle: that box is in the act of
    /// taking, has never held the reservation with this key, and so has nothing under way to write.
    pub fn verify(
        reading: &Reading,
        own: Key,
        pair_id: u32,
        now: Time,
        lease_ms: u64,
    ) -> Result<Self, NotHeld> {
        let holder = reading.holder.ok_or(NotHeld::Nobody)?;
        if holder.key != own.encode() {
            return Err(NotHeld::Other(holder.key));
        }
        if holder.kind != ReservationType::WriteExclusiveRegistrantsOnly {
            return Err(NotHeld::WrongType(holder.kind.code()));
        }
        if !reading.keys.contains(&holder.key) {
            return Err(NotHeld::NotRegistered);
        }
        let earlier = |raw: &&u64| Key::decode(**raw, pair_id).is_some_and(|key| key.epoch() < own.epoch());
        if let Some(raw) = reading.keys.iter().find(earlier) {
            return Err(NotHeld::EarlierOwner(*raw));
        }
        let proof = Self { key: own, read_at: reading.started, expires_at: reading.started + lease_ms };
        if proof.is_valid(now) { Ok(proof) } else { Err(NotHeld::TooOld { lease_ms }) }
    }

    /// A proof of nothing, for cores that lack the rule.
    #[cfg(feature = "checking")]
    pub(crate) fn unchecked(reading: &Reading, own: Key, lease_ms: u64) -> Self {
        Self { key: own, read_at: reading.started, expires_at: reading.started + lease_ms }
    }

    /// Whether it still proves anything at `now`.
    pub fn is_valid(&self, now: Time) -> bool {
        now < self.expires_at
    }

    /// First moment at which it proves nothing.
    pub fn expires_at(&self) -> Time {
        self.expires_at
    }

    /// When its reading was started.
    pub fn read_at(&self) -> Time {
        self.read_at
    }

    /// The key that is held.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The epoch of this ownership.
    pub fn epoch(&self) -> u32 {
        self.key.epoch()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;

    const PAIR: u32 = 7;
    const LEASE_MS: u64 = 1_500;

    fn own() -> Key {
        Key::new(Node::A, PAIR, 4)
    }

    fn held() -> Reading {
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        let key = own().encode();
        Reading { started: Time(1_000), keys: vec![key], holder: Some(Holder { key, kind }) }
    }

    fn verify(reading: &Reading, now: u64) -> Result<HeldProof, NotHeld> {
        HeldProof::verify(reading, own(), PAIR, Time(now), LEASE_MS)
    }

    #[test]
    fn a_proof_lasts_one_lease_from_the_start_of_its_reading() {
        let proof = verify(&held(), 1_200).unwrap();
        assert_eq!(proof.expires_at(), Time(2_500));
        assert!(proof.is_valid(Time(2_499)));
        assert!(!proof.is_valid(Time(2_500)));
    }

    #[test]
    fn a_reading_that_took_a_whole_lease_proves_nothing() {
        assert_eq!(verify(&held(), 2_500), Err(NotHeld::TooOld { lease_ms: LEASE_MS }));
    }

    #[test]
    fn every_missing_part_is_named() {
        let mut reading = held();
        reading.holder = None;
        assert_eq!(verify(&reading, 1_000), Err(NotHeld::Nobody));

        let peer = Key::new(Node::B, PAIR, 5).encode();
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        reading.holder = Some(Holder { key: peer, kind });
        assert_eq!(verify(&reading, 1_000), Err(NotHeld::Other(peer)));

        let mut reading = held();
        reading.holder = Some(Holder { key: own().encode(), kind: ReservationType::from_code(1) });
        assert_eq!(verify(&reading, 1_000), Err(NotHeld::WrongType(1)));

        let mut reading = held();
        reading.keys.clear();
        assert_eq!(verify(&reading, 1_000), Err(NotHeld::NotRegistered));
    }

    #[test]
    fn an_earlier_owner_that_could_still_write_spoils_the_proof() {
        let mut reading = held();
        let earlier = Key::new(Node::B, PAIR, 3).encode();
        reading.keys.push(earlier);
        assert_eq!(verify(&reading, 1_000), Err(NotHeld::EarlierOwner(earlier)));
    }

    #[test]
    fn a_taker_that_only_registered_does_not_spoil_it() {
        let mut reading = held();
        reading.keys.push(Key::new(Node::B, PAIR, 5).encode());
        assert!(verify(&reading, 1_000).is_ok());
    }
}
