//! What a console has said, as plain text one can search: escape sequences removed, the oldest
//! dropped.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Text kept; about an hour of a busy console.
const TEXT_MAX_BYTES: usize = 1 << 20;
/// Raw bytes kept, to paint the screen of somebody who attaches.
const RAW_MAX_BYTES: usize = 1 << 14;
/// Pieces that may wait for somebody attached who does not read.
const PIECES_MAX: usize = 1024;

/// What a console has said.
#[derive(Debug, Default)]
pub struct Tape {
    inner: Mutex<Inner>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    text: String,
    /// Bytes of text dropped so far: positions count from the very beginning.
    dropped: usize,
    raw: Vec<u8>,
    escape: Escape,
    attached: Option<SyncSender<Vec<u8>>>,
    log: Option<std::fs::File>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Began,
    Sequence,
}

/// Where a search found something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which of the wanted texts it was.
    pub which: usize,
    /// What stood before it.
    pub before: String,
    /// Position just behind it.
    pub end: usize,
}

impl Tape {
    /// A tape that also writes everything to a file, raw.
    pub fn with_log(log: std::fs::File) -> Self {
        let tape = Self::default();
        tape.lock().log = Some(log);
        tape
    }

    /// Records what came in.
    pub fn record(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        if let Some(log) = &mut inner.log {
            let _ = log.write_all(bytes);
        }
        inner.raw.extend(bytes);
        let surplus = inner.raw.len().saturating_sub(RAW_MAX_BYTES);
        inner.raw.drain(..surplus);
        let plain = inner.strip(bytes);
        inner.text.push_str(&plain);
        inner.drop_oldest();
        if let Some(attached) = &inner.attached
            && attached.try_send(bytes.to_vec()).is_err()
        {
            inner.attached = None;
        }
        self.grown.notify_all();
    }

    /// Position of the end: what comes next is behind it.
    pub fn end(&self) -> usize {
        self.lock().end()
    }

    /// Waits until one of `wanted` stands behind position `from`; of several, the earliest.
    pub fn wait_for(&self, from: usize, wanted: &[&str], most: Duration) -> Option<Found> {
        let deadline = Instant::now() + most;
        let mut inner = self.lock();
        loop {
            if let Some(found) = inner.find(from, wanted) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            inner = self.grown.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The text behind position `from`.
    pub fn since(&self, from: usize) -> String {
        let inner = self.lock();
        inner.behind(from).to_owned()
    }

    /// The last lines that are not empty.
    pub fn last_lines(&self, lines_max: usize) -> String {
        let inner = self.lock();
        let mut lines: Vec<&str> =
            inner.text.lines().rev().filter(|l| !l.trim().is_empty()).take(lines_max).collect();
        lines.reverse();
        lines.join("\n")
    }

    /// Follows the console: the last screenful, then everything that comes. `None` while somebody
    /// else does.
    pub fn attach(&self) -> Option<Receiver<Vec<u8>>> {
        let mut inner = self.lock();
        if inner.attached.is_some() {
            return None;
        }
        let (sender, receiver) = sync_channel(PIECES_MAX);
        let _ = sender.try_send(inner.raw.clone());
        inner.attached = Some(sender);
        Some(receiver)
    }

    /// Ends following.
    pub fn detach(&self) {
        self.lock().attached = None;
    }

    /// Whether somebody follows.
    pub fn is_attached(&self) -> bool {
        self.lock().attached.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&self) -> usize {
        self.dropped + self.text.len()
    }

    fn behind(&self, from: usize) -> &str {
        let start = from.saturating_sub(self.dropped).min(self.text.len());
        self.text.get(start..).unwrap_or("")
    }

    fn find(&self, from: usize, wanted: &[&str]) -> Option<Found> {
        let text = self.behind(from);
        let hits = wanted.iter().enumerate().filter_map(|(which, want)| Some((text.find(want)?, which)));
        let (at, which) = hits.min()?;
        let end = self.end() - text.len() + at + wanted[which].len();
        Some(Found { which, before: text[..at].to_owned(), end })
    }

    /// Removes escape sequences (ECMA-48); a sequence that moves the cursor leaves a line feed, so
    /// that texts from two places on the screen do not run together.
    fn strip(&mut self, bytes: &[u8]) -> String {
        let mut plain = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match (self.escape, byte) {
                (_, 0x1B) => self.escape = Escape::Began,
                (Escape::Began, b'[') => self.escape = Escape::Sequence,
                (Escape::Began, _) => self.escape = Escape::None,
                (Escape::Sequence, 0x40..=0x7E) => {
                    if matches!(byte, b'A'..=b'H' | b'J' | b'd' | b'f') {
                        plain.push(b'\n');
                    }
                    self.escape = Escape::None;
                }
                (Escape::Sequence, _) => {}
                (Escape::None, b'\n' | b'\t' | 0x20..=0x7E | 0x80..) => plain.push(*byte),
                (Escape::None, _) => {}
            }
        }
        String::from_utf8_lossy(&plain).into_owned()
    }

    fn drop_oldest(&mut self) {
        if self.text.len() > 2 * TEXT_MAX_BYTES {
            let mut cut = self.text.len() - TEXT_MAX_BYTES;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.text.drain(..cut);
            self.dropped += cut;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn colours_vanish_and_cursor_moves_part_words() {
        let tape = Tape::default();
        tape.record(b"\x1b[1mBox\x1b[0m a\x1b[2;1Hactive\r\n");
        assert_eq!(tape.since(0), "Box a\nactive\n");
    }

    #[test]
    fn the_earliest_of_several_is_found_and_only_behind_the_mark() {
        let tape = Tape::default();
        tape.record(b"password: ");
        let mark = tape.end();
        tape.record(b"box-a> wrong password: ");
        let found = tape.wait_for(mark, &["password: ", "box-a> "], NOW).unwrap();
        assert_eq!((found.which, found.before.as_str()), (1, ""));
        assert!(tape.wait_for(found.end, &["box-a> "], NOW).is_none());
    }

    #[test]
    fn a_position_outlives_the_text_it_stood_in() {
        let tape = Tape::default();
        let line = [b'x'; 1024];
        for _ in 0..3000 {
            tape.record(&line);
        }
        let mark = tape.end();
        tape.record(b"done");
        assert_eq!(tape.since(mark), "done");
    }

    #[test]
    fn only_one_person_sits_at_a_console() {
        let tape = Tape::default();
        tape.record(b"screen");
        let first = tape.attach().unwrap();
        assert_eq!(first.recv().unwrap(), b"screen");
        assert!(tape.attach().is_none());
        tape.detach();
        assert!(tape.attach().is_some());
    }
}
