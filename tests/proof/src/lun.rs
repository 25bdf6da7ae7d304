//! One LUN: persistent reservations of type 5 (SPC-4 5.12), the slots, and who may write.

use cluster::{Beat, Holder, Key, Reading, ReservationType, Time};

/// One LUN. A box is known to it by its place, 0 or 1.
#[derive(Debug, Clone, Default)]
pub struct Lun {
    /// Registered keys by box.
    pub keys: [Option<u64>; 2],
    /// Who holds the reservation.
    pub holder: Option<usize>,
    /// What each box wrote into its slot last.
    pub slots: [Option<Beat>; 2],
    /// Highest epoch in the store's header.
    pub store_epoch: u32,
}

impl Lun {
    /// READ KEYS and READ RESERVATION.
    pub fn read(&self, started: Time) -> Reading {
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        let holder = self.holder.and_then(|holder| self.keys[holder]).map(|key| Holder { key, kind });
        Reading { started, keys: self.keys.iter().flatten().copied().collect(), holder }
    }

    /// RESERVE; false is a conflict.
    pub fn reserve(&mut self, node: usize) -> bool {
        let free = self.holder.is_none_or(|holder| holder == node) && self.keys[node].is_some();
        if free {
            self.holder = Some(node);
        }
        free
    }

    /// PREEMPT of `over`; false is a conflict.
    pub fn preempt(&mut self, node: usize, over: u64) -> bool {
        if self.keys[node].is_none() || !self.keys.contains(&Some(over)) {
            return false;
        }
        if self.holder.and_then(|holder| self.keys[holder]) == Some(over) {
            self.holder = Some(node);
        }
        let other = 1 - node;
        if self.keys[other] == Some(over) {
            self.keys[other] = None;
        }
        true
    }

    /// Unregister; the holder's reservation goes with it.
    pub fn unregister(&mut self, node: usize) {
        self.keys[node] = None;
        if self.holder == Some(node) {
            self.holder = None;
        }
    }

    /// A registration of an earlier epoch than `key`'s.
    pub fn earlier(&self, key: Key, pair_id: u32) -> Option<u64> {
        let earlier = |raw: &u64| Key::decode(*raw, pair_id).is_some_and(|k| k.epoch() < key.epoch());
        self.keys.iter().flatten().copied().find(earlier)
    }

    /// Whether a write would pass.
    pub fn may_write(&self, node: usize) -> bool {
        self.holder.is_none() || self.keys[node].is_some()
    }
}
