//! The array: persistent reservations as SPC-4 5.12 has them for type 5, two slots, and a judge that
//! sees every write it lets through.

use cluster::{Holder, Key, Node, Reading, ReservationType, Time};

use crate::Flaw;

/// One initiator port as the target sees it; a box that comes back may be a new one.
pub type Nexus = u32;

/// The array refused the command: reservation conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

/// The array.
#[derive(Debug)]
pub struct Array {
    registrations: Vec<(Nexus, u64)>,
    holder: Option<Nexus>,
    attentions: Vec<Nexus>,
    slots: [Vec<u8>; 2],
    /// Ownerships so far: each fence that was won begins one.
    pub ownerships: u64,
    /// The newest ownership of any write that was let through.
    pub written_by: u64,
    /// Highest epoch in the store's header.
    pub store_epoch: u32,
    /// Neither keys nor slots may tell the last epoch any more: it can be drawn a second time. The array
    /// keeps the two owners apart all the same.
    pub epoch_lost: bool,
    /// The ownership that put it there.
    pub store_owner: u64,
    /// Writes let through and refused.
    pub writes: (u64, u64),
    flaw: Flaw,
}

impl Array {
    /// An array nobody has used yet.
    pub fn new(flaw: Flaw) -> Self {
        Self {
            registrations: Vec::new(),
            holder: None,
            attentions: Vec::new(),
            slots: [Vec::new(), Vec::new()],
            ownerships: 0,
            written_by: 0,
            store_epoch: 0,
            store_owner: 0,
            epoch_lost: false,
            writes: (0, 0),
            flaw,
        }
    }

    /// The array lost its power: without APTPL it forgets every registration (SPC-4 5.12.3).
    pub fn forget_reservations(&mut self) {
        self.attentions.extend(self.registrations.iter().map(|(nexus, _)| *nexus));
        self.registrations.clear();
        self.epoch_lost = true;
        self.holder = None;
    }

    /// CLEAR by a third initiator (SPC-4 5.12.11.3): every registration goes, everybody is told.
    pub fn clear(&mut self) {
        self.forget_reservations();
    }

    /// A unit attention for every initiator of the pair.
    pub fn alert(&mut self, nexus: impl Iterator<Item = Nexus>) {
        self.attentions.extend(nexus);
    }

    /// A third initiator registers `key` and takes whatever reservation there is.
    pub fn steal(&mut self, stranger: Nexus, key: u64) {
        self.register(stranger, key);
        self.epoch_lost = true;
        match self.holder.and_then(|holder| self.key_of(holder)) {
            Some(over) => drop(self.preempt(stranger, over)),
            None => drop(self.reserve(stranger)),
        }
    }

    /// Whether a unit attention waits for `nexus`; it is told once.
    pub fn take_attention(&mut self, nexus: Nexus) -> bool {
        let before = self.attentions.len();
        self.attentions.retain(|waiting| *waiting != nexus);
        before != self.attentions.len()
    }

    fn key_of(&self, nexus: Nexus) -> Option<u64> {
        self.registrations.iter().find(|(registered, _)| *registered == nexus).map(|(_, key)| *key)
    }

    /// READ KEYS and READ RESERVATION, as of now, started at `started` on the reader's clock.
    pub fn read(&self, started: Time) -> Reading {
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        let key = self.holder.and_then(|nexus| self.key_of(nexus));
        let keys = self.registrations.iter().map(|(_, key)| *key).collect();
        Reading { started, keys, holder: key.map(|key| Holder { key, kind }) }
    }

    /// REGISTER AND IGNORE EXISTING KEY.
    pub fn register(&mut self, nexus: Nexus, key: u64) {
        self.registrations.retain(|(registered, _)| *registered != nexus);
        self.registrations.push((nexus, key));
    }

    /// RESERVE.
    pub fn reserve(&mut self, nexus: Nexus) -> Result<(), Conflict> {
        if self.key_of(nexus).is_none() || self.holder.is_some_and(|holder| holder != nexus) {
            return Err(Conflict);
        }
        self.holder = Some(nexus);
        Ok(())
    }

    /// PREEMPT with service action key `over`.
    pub fn preempt(&mut self, nexus: Nexus, over: u64) -> Result<(), Conflict> {
        let known = self.registrations.iter().any(|(_, key)| *key == over);
        if self.key_of(nexus).is_none() || !known {
            return Err(Conflict);
        }
        if self.holder.and_then(|holder| self.key_of(holder)) == Some(over) {
            self.holder = Some(nexus);
        }
        let gone = |(other, key): &(Nexus, u64)| *key == over && *other != nexus;
        self.attentions.extend(self.registrations.iter().filter(|r| gone(r)).map(|(other, _)| *other));
        if self.flaw != Flaw::PreemptedMayWrite {
            self.registrations.retain(|registration| !gone(registration));
        }
        Ok(())
    }

    /// RELEASE and unregister; the holder's unregistering releases as well (SPC-4 5.12.11.2.3).
    pub fn unregister(&mut self, nexus: Nexus) {
        if self.holder == Some(nexus) {
            self.holder = None;
        }
        self.registrations.retain(|(registered, _)| *registered != nexus);
    }

    /// Whether `nexus` holds the reservation.
    pub fn is_holder(&self, nexus: Nexus) -> bool {
        self.holder == Some(nexus)
    }

    /// Whether `nexus` may write: under type 5 every registrant may.
    pub fn may_write(&self, nexus: Nexus) -> bool {
        self.holder.is_none() || self.key_of(nexus).is_some()
    }

    /// Both slots; what is behind the last byte is zero.
    pub fn slots(&self) -> [Vec<u8>; 2] {
        self.slots.clone()
    }

    /// Puts a frame into a slot; the caller has asked [`Array::may_write`]. With `torn`, so many bytes
    /// of it arrive, and the rest is what was there before.
    pub fn put_slot(&mut self, node: Node, frame: &[u8], torn: Option<usize>) {
        let slot = &mut self.slots[node as usize];
        self.epoch_lost |= torn.is_some();
        let arrives = torn.unwrap_or(frame.len()).min(frame.len());
        if torn.is_none() || slot.len() < arrives {
            slot.resize(arrives, 0);
        }
        slot[..arrives].copy_from_slice(&frame[..arrives]);
    }

    /// One line for the trace.
    pub fn describe(&self, pair_id: u32) -> String {
        let show = |raw: u64| Key::decode(raw, pair_id).map_or_else(|| "?".to_owned(), |key| key.to_string());
        let keys: Vec<String> =
            self.registrations.iter().map(|(nexus, key)| format!("{}@{nexus}", show(*key))).collect();
        let holder =
            self.holder.and_then(|nexus| self.key_of(nexus)).map_or_else(|| "nobody".to_owned(), show);
        format!("held by {holder}, registered {}", keys.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registrants_write_and_a_preempted_one_does_not() {
        let mut array = Array::new(Flaw::None);
        array.register(1, 10);
        array.reserve(1).unwrap();
        assert!(array.may_write(1) && !array.may_write(2));
        assert_eq!(array.reserve(2), Err(Conflict));
        array.register(2, 20);
        assert!(array.may_write(2), "every registrant writes under type 5");
        array.preempt(2, 10).unwrap();
        assert!(!array.may_write(1) && array.take_attention(1) && !array.take_attention(1));
        assert_eq!(array.preempt(2, 10), Err(Conflict), "a key that is gone cannot be preempted again");
    }

    #[test]
    fn a_holder_that_registers_anew_keeps_the_reservation_under_its_new_key() {
        let mut array = Array::new(Flaw::None);
        array.register(1, 10);
        array.reserve(1).unwrap();
        array.register(1, 11);
        assert_eq!(array.read(Time(0)).holder.unwrap().key, 11);
        array.unregister(1);
        assert!(array.read(Time(0)).holder.is_none());
    }
}
