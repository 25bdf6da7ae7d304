//! What was read from the database and is kept current by what the writer tells.
//!
//! A value is loaded without the lock held. What the writer tells meanwhile is collected beside it, so
//! that nothing falls between the moment that was read and the moment it is kept.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Events collected while a value is loaded; with more it is not kept.
const MISSED_MAX: usize = 10_000;

enum Slot<V, E> {
    Loading { token: u64, missed: Vec<E> },
    Kept { value: V, weight: usize, used: u64 },
}

/// Values by key. The least recently used go when their weights together exceed the bound.
pub(crate) struct KeptValues<K, V, E> {
    slots: HashMap<K, Slot<V, E>>,
    /// Keys of kept values by the time of their last use.
    order: BTreeMap<u64, K>,
    clock: u64,
    weight: usize,
    weight_max: usize,
}

/// Who learns of an event.
pub(crate) enum Listener<'a, V, E> {
    Nobody,
    Value(&'a mut V),
    Loading(&'a mut Vec<E>),
}

impl<K: Copy + Eq + Hash, V, E> KeptValues<K, V, E> {
    pub fn new(weight_max: usize) -> Self {
        Self { slots: HashMap::new(), order: BTreeMap::new(), clock: 0, weight: 0, weight_max }
    }

    /// A kept value, used now.
    pub fn find(&mut self, key: K) -> Option<&mut V> {
        let Slot::Kept { value, used, .. } = self.slots.get_mut(&key)? else { return None };
        self.clock += 1;
        self.order.remove(used);
        self.order.insert(self.clock, key);
        *used = self.clock;
        Some(value)
    }

    /// Begins to collect events for a value that the caller now reads; `None` if another does already.
    pub fn begin_loading(&mut self, key: K) -> Option<u64> {
        if self.slots.contains_key(&key) {
            return None;
        }
        self.clock += 1;
        let token = self.clock;
        self.slots.insert(key, Slot::Loading { token, missed: Vec::new() });
        Some(token)
    }

    /// What was told while the value was read; `None` if it is out of date and must not be kept. Call it
    /// with the lock held, and then [`KeptValues::keep`].
    pub fn end_loading(&mut self, key: K, token: u64) -> Option<Vec<E>> {
        match self.slots.get(&key) {
            Some(Slot::Loading { token: now, .. }) if *now == token => {}
            _ => return None,
        }
        match self.slots.remove(&key) {
            Some(Slot::Loading { missed, .. }) if missed.len() <= MISSED_MAX => Some(missed),
            _ => None,
        }
    }

    /// Keeps a value, if it is not too heavy by itself.
    pub fn keep(&mut self, key: K, value: V, weight: usize) {
        self.forget(key);
        if weight > self.weight_max / 2 {
            return;
        }
        self.clock += 1;
        self.order.insert(self.clock, key);
        self.weight += weight;
        self.slots.insert(key, Slot::Kept { value, weight, used: self.clock });
        while self.weight > self.weight_max {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            self.forget(*oldest);
        }
    }

    /// Drops a value, also one that is being read.
    pub fn forget(&mut self, key: K) {
        if let Some(Slot::Kept { weight, used, .. }) = self.slots.remove(&key) {
            self.order.remove(&used);
            self.weight -= weight;
        }
    }

    /// Who is to learn of an event about this key.
    pub fn listener(&mut self, key: K) -> Listener<'_, V, E> {
        match self.slots.get_mut(&key) {
            None => Listener::Nobody,
            Some(Slot::Kept { value, .. }) => Listener::Value(value),
            Some(Slot::Loading { missed, .. }) => Listener::Loading(missed),
        }
    }

    /// Keys of all values kept or being read.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.slots.keys().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_first() {
        let mut kept: KeptValues<u32, &str, ()> = KeptValues::new(10);
        kept.keep(1, "one", 4);
        kept.keep(2, "two", 4);
        assert_eq!(kept.find(1).map(|value| *value), Some("one"));
        kept.keep(3, "three", 4);
        assert_eq!(
            (kept.find(1).is_some(), kept.find(2).is_some(), kept.find(3).is_some()),
            (true, false, true)
        );
        kept.keep(4, "too heavy", 6);
        assert!(kept.find(4).is_none());
        kept.forget(1);
        kept.forget(3);
        assert_eq!((kept.weight, kept.order.len(), kept.is_empty()), (0, 0, true));
    }

    #[test]
    fn what_is_told_while_a_value_is_read_is_not_lost() {
        let mut kept: KeptValues<u32, u32, u32> = KeptValues::new(10);
        let token = kept.begin_loading(1).unwrap();
        assert_eq!(kept.begin_loading(1), None);
        if let Listener::Loading(missed) = kept.listener(1) {
            missed.push(7);
        }
        assert_eq!(kept.end_loading(1, token), Some(vec![7]));
        // Forgotten while it was read: it must not come back.
        let token = kept.begin_loading(1).unwrap();
        kept.forget(1);
        let newer = kept.begin_loading(1).unwrap();
        assert_eq!(kept.end_loading(1, token), None);
        assert_eq!(kept.end_loading(1, newer), Some(vec![]));
    }
}
