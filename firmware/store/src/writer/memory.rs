//! Rows the writer keeps in memory, with undo for the request at hand.

use std::collections::HashMap;
use std::hash::Hash;

/// One kept row.
struct Kept<T> {
    value: T,
    dirty: bool,
    /// The request in which its undo copy was taken.
    copied_in: u64,
}

/// How to undo one step.
enum Step<K, T> {
    Loaded(K),
    Changed(K, T, bool),
}

/// Rows by key.
pub(crate) struct Memory<K, T> {
    kept: HashMap<K, Kept<T>>,
    undo: Vec<Step<K, T>>,
    /// Keys that may be dirty.
    dirty: Vec<K>,
    request: u64,
}

impl<K: Copy + Eq + Hash, T: Clone> Memory<K, T> {
    pub fn new() -> Self {
        Self { kept: HashMap::new(), undo: Vec::new(), dirty: Vec::new(), request: 1 }
    }

    /// From here on changes can be undone with [`Memory::go_back`].
    pub fn begin_request(&mut self) {
        self.undo.clear();
        self.request += 1;
    }

    /// Undoes everything since the request began.
    pub fn go_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            match step {
                Step::Loaded(key) => drop(self.kept.remove(&key)),
                Step::Changed(key, value, dirty) => {
                    self.kept.insert(key, Kept { value, dirty, copied_in: 0 });
                }
            }
        }
    }

    pub fn get(&self, key: K) -> Option<&T> {
        self.kept.get(&key).map(|kept| &kept.value)
    }

    /// Keeps a row as it was read.
    pub fn load(&mut self, key: K, value: T) {
        self.undo.push(Step::Loaded(key));
        self.kept.insert(key, Kept { value, dirty: false, copied_in: self.request });
    }

    /// A kept row, to be changed.
    pub fn change(&mut self, key: K) -> Option<&mut T> {
        let kept = self.kept.get_mut(&key)?;
        if kept.copied_in != self.request {
            self.undo.push(Step::Changed(key, kept.value.clone(), kept.dirty));
            kept.copied_in = self.request;
        }
        if !kept.dirty {
            kept.dirty = true;
            self.dirty.push(key);
        }
        Some(&mut kept.value)
    }

    /// Drops a row that no longer exists.
    pub fn forget(&mut self, key: K) {
        if let Some(kept) = self.kept.remove(&key) {
            self.undo.push(Step::Changed(key, kept.value, kept.dirty));
        }
    }

    /// The rows to write; they count as written from now on.
    pub fn take_dirty(&mut self) -> Vec<(K, T)> {
        let mut taken = Vec::with_capacity(self.dirty.len());
        for key in self.dirty.drain(..) {
            if let Some(kept) = self.kept.get_mut(&key).filter(|kept| kept.dirty) {
                kept.dirty = false;
                taken.push((key, kept.value.clone()));
            }
        }
        taken
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.undo.clear();
        self.dirty.clear();
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_undone_and_earlier_changes_stay() {
        let mut memory = Memory::new();
        memory.begin_request();
        memory.load(1, 10);
        *memory.change(1).unwrap() += 1;
        memory.begin_request();
        *memory.change(1).unwrap() += 1;
        *memory.change(1).unwrap() += 1;
        memory.load(2, 20);
        memory.forget(1);
        memory.go_back();
        assert_eq!((memory.get(1), memory.get(2)), (Some(&11), None));
        assert_eq!(memory.take_dirty(), [(1, 11)]);
        assert_eq!(memory.take_dirty(), []);
    }
}
