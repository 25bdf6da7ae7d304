//! The decisions of both boxes: this box's own in a ring that outlives resets, the other box's as it
//! told them over the private network.
//!
//! The decision loop adds and reads; a thread writes, because the system partition may hang. What
//! cannot be written in time stays in memory and is told to the other box all the same.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use control::cluster::Record;
use crossbeam_channel::{Sender, bounded};
use settings::{RING_SLOTS, RING_TEXT_MAX, Ring, RingPlace};
use tracing::warn;

/// Records of one box that are kept.
pub const RECORDS_MAX: usize = RING_SLOTS as usize;
/// Records that go to the other box at one time.
pub const RECORDS_AT_ONCE: usize = 32;
/// Longest cause that is kept, in bytes; the rest of a record fits beside it.
const CAUSE_MAX_BYTES: usize = 1_500;
/// Most records that wait for the disk.
const WAITING_MAX: usize = 64;
/// Clocks that differ by less than this, in milliseconds, count as equal.
const CLOCKS_EQUAL_MS: u64 = 1_000;

enum Change {
    Put(RingPlace, Box<Record>),
    ForgetPeer,
}

/// The decisions of both boxes.
pub struct RecordBook {
    own: VecDeque<Record>,
    peer: VecDeque<Record>,
    disk: Sender<Change>,
}

impl RecordBook {
    /// The decisions kept on the system partition at `path`, and the thread that keeps more.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (disk, changes) = bounded(WAITING_MAX);
        let rings = [Ring::new(path, RingPlace::Own), Ring::new(path, RingPlace::Peer)];
        let [own, peer] = [&rings[0], &rings[1]].map(load);
        thread::Builder::new().name("records".to_owned()).spawn(move || {
            let [own, peer] = rings;
            for change in changes {
                let written = match &change {
                    Change::Put(RingPlace::Own, record) => put(&own, record),
                    Change::Put(RingPlace::Peer, record) => put(&peer, record),
                    Change::ForgetPeer => peer.clear(),
                };
                if let Err(error) = written {
                    warn!("a decision is not kept on the system partition: {error}");
                }
            }
        })?;
        Ok(Self { own, peer, disk })
    }

    /// Keeps a decision of this box; it gets the next number.
    pub fn add(&mut self, mut record: Record) -> &Record {
        record.number = self.newest() + 1;
        shorten(&mut record.cause);
        let _ = self.disk.try_send(Change::Put(RingPlace::Own, Box::new(record.clone())));
        if self.own.len() >= RECORDS_MAX {
            self.own.pop_front();
        }
        self.own.push_back(record);
        &self.own[self.own.len() - 1]
    }

    /// Number of this box's newest decision; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.own.back().map_or(0, |record| record.number)
    }

    /// Number of the newest decision of the other box that is known here.
    pub fn peers_newest(&self) -> u64 {
        self.peer.back().map_or(0, |record| record.number)
    }

    /// This box's decisions after number `have`, oldest first.
    pub fn after(&self, have: u64) -> Vec<Record> {
        self.own.iter().filter(|record| record.number > have).take(RECORDS_AT_ONCE).cloned().collect()
    }

    /// Takes decisions the other box told; its clock shows `their_unix_ms` and its newest is `newest`.
    pub fn learn(&mut self, newest: u64, their_unix_ms: u64, records: Vec<Record>) {
        if newest < self.peers_newest() {
            // Another box than before, or one that was set up afresh: its numbers begin again.
            self.peer.clear();
            let _ = self.disk.try_send(Change::ForgetPeer);
            return;
        }
        let now = unix_ms();
        for mut record in records {
            if record.number <= self.peers_newest() {
                continue;
            }
            if now.abs_diff(their_unix_ms) >= CLOCKS_EQUAL_MS {
                record.unix_ms = record.unix_ms.saturating_add(now).saturating_sub(their_unix_ms);
            }
            shorten(&mut record.cause);
            let _ = self.disk.try_send(Change::Put(RingPlace::Peer, Box::new(record.clone())));
            if self.peer.len() >= RECORDS_MAX {
                self.peer.pop_front();
            }
            self.peer.push_back(record);
        }
    }

    /// The newest decisions of both boxes, oldest first.
    pub fn merged(&self, records_max: usize) -> Vec<Record> {
        let mut all: Vec<_> = self.own.iter().chain(&self.peer).cloned().collect();
        all.sort_by(|a, b| (a.unix_ms, &a.box_name, a.number).cmp(&(b.unix_ms, &b.box_name, b.number)));
        let skip = all.len().saturating_sub(records_max);
        all.drain(..skip);
        all
    }

    /// This box's decisions of one kind, newest first.
    pub fn own_of<'a>(&'a self, decision: &'a str) -> impl Iterator<Item = &'a Record> {
        self.own.iter().rev().filter(move |record| record.decision == decision)
    }
}

/// Milliseconds since 1970, by this box's clock.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn load(ring: &Ring) -> VecDeque<Record> {
    let entries = ring.load().unwrap_or_else(|error| {
        warn!("earlier decisions cannot be read from the system partition: {error}");
        Vec::new()
    });
    let read = |(number, text): (u64, Vec<u8>)| {
        serde_json::from_slice::<Record>(&text).ok().filter(|record| record.number == number)
    };
    entries.into_iter().filter_map(read).collect()
}

fn put(ring: &Ring, record: &Record) -> io::Result<()> {
    let mut text = serde_json::to_vec(record)?;
    if text.len() > RING_TEXT_MAX {
        text = serde_json::to_vec(&Record { seen: None, cause: String::new(), ..record.clone() })?;
    }
    ring.put(record.number, &text)
}

fn shorten(cause: &mut String) {
    let mut end = cause.len().min(CAUSE_MAX_BYTES);
    while !cause.is_char_boundary(end) {
        end -= 1;
    }
    cause.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    fn record(name: &str, unix_ms: u64) -> Record {
        Record {
            number: 0,
            at_ms: 5,
            unix_ms,
            box_name: name.to_owned(),
            group: "mail".to_owned(),
            decision: "take".to_owned(),
            cause: "x".repeat(9_000),
            epoch: 3,
            seen: None,
            phases: vec![],
        }
    }

    fn partition() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system");
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        (dir, path)
    }

    /// Opened again until the thread has written so many of both boxes.
    fn reopened(path: &Path, own: u64, peer: u64) -> RecordBook {
        let begun = std::time::Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_mins(1), "they are not written");
            let book = RecordBook::open(path).unwrap();
            if (book.newest(), book.peers_newest()) == (own, peer) {
                return book;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn decisions_of_both_boxes_outlive_a_reset_and_are_shown_in_order() {
        let (_dir, path) = partition();
        let mut book = RecordBook::open(&path).unwrap();
        let now = unix_ms();
        for at in [10, 30] {
            book.add(record("box-a", now + at));
        }
        let told = |number, at| Record { number, ..record("box-b", now + at) };
        book.learn(2, now, vec![told(1, 5), told(2, 20)]);
        book.learn(2, now, vec![told(1, 5), told(2, 20)]);
        let mut book = reopened(&path, 2, 2);
        let order: Vec<_> =
            book.merged(10).iter().map(|r| (r.box_name.clone(), r.number, r.cause.len())).collect();
        let expected = [("box-b", 1), ("box-a", 1), ("box-b", 2), ("box-a", 2)];
        assert_eq!(order, expected.map(|(name, number)| (name.to_owned(), number, CAUSE_MAX_BYTES)));
        assert_eq!(book.add(record("box-a", now)).number, 3);
        assert_eq!(book.after(1).iter().map(|r| r.number).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(book.merged(1).len(), 1);
    }

    #[test]
    fn another_clock_is_put_right_and_another_box_begins_again() {
        let (_dir, path) = partition();
        let mut book = RecordBook::open(&path).unwrap();
        let day_ms = 86_400_000;
        let now = unix_ms();
        book.learn(9, now - day_ms, vec![Record { number: 9, ..record("box-b", now - day_ms - 50) }]);
        let shown = book.merged(1)[0].unix_ms;
        assert!(shown.abs_diff(now - 50) < 60_000, "{shown} {now}");
        book.learn(1, now, vec![Record { number: 1, ..record("new", now) }]);
        assert_eq!(book.peers_newest(), 0);
        book.learn(1, now, vec![Record { number: 1, ..record("new", now) }]);
        assert_eq!(book.peers_newest(), 1);
    }
}
