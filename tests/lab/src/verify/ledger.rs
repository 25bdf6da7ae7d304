//! What was promised to whom, as the clients heard it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// The book of one run. All clients write in it.
#[derive(Debug)]
pub struct Ledger {
    run: String,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    messages: BTreeMap<u64, Message>,
    flags: BTreeMap<u64, BTreeSet<&'static str>>,
    accepted_at: Vec<Instant>,
    reads: u64,
    broken_reads: Vec<String>,
}

/// What is known of one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Message {
    /// Its 250 arrived.
    pub accepted: bool,
    /// Tries whose answer never came: each may have left a copy.
    pub unknown: u32,
    /// Tries that were answered with a refusal.
    pub refused: u32,
}

/// The book in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages that got 250.
    pub accepted: u64,
    /// Tries that got no answer.
    pub unknown: u64,
    /// Tries that got a refusal.
    pub refused: u64,
    /// Flags that got OK.
    pub flags: u64,
    /// Messages read by POP3 while faults went on.
    pub reads: u64,
    /// Of these, what was wrong.
    pub broken_reads: Vec<String>,
}

impl Ledger {
    /// An empty book; `seed` makes its name.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let run = format!("{:08x}", super::plan::splitmix(&mut state) as u32);
        Self { run, book: Mutex::default() }
    }

    /// Name of the run; it stands in every message.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Number of a new message.
    pub fn new_message(&self) -> u64 {
        let mut book = self.book();
        book.next += 1;
        let serial = book.next;
        book.messages.insert(serial, Message::default());
        serial
    }

    /// The 250 of a message arrived.
    pub fn accepted(&self, serial: u64) {
        let mut book = self.book();
        book.accepted_at.push(Instant::now());
        book.messages.entry(serial).or_default().accepted = true;
    }

    /// A message was handed over and no answer came.
    pub fn unknown(&self, serial: u64) {
        self.book().messages.entry(serial).or_default().unknown += 1;
    }

    /// A message was refused.
    pub fn refused(&self, serial: u64) {
        self.book().messages.entry(serial).or_default().refused += 1;
    }

    /// The OK of a flag arrived.
    pub fn flagged(&self, serial: u64, flag: &'static str) {
        self.book().flags.entry(serial).or_default().insert(flag);
    }

    /// A message was read while faults went on; `wrong` says what was wrong with it.
    pub fn read(&self, wrong: Option<String>) {
        let mut book = self.book();
        book.reads += 1;
        book.broken_reads.extend(wrong);
    }

    /// Every message of the run.
    pub fn messages(&self) -> BTreeMap<u64, Message> {
        self.book().messages.clone()
    }

    /// Every flag that got OK.
    pub fn flags(&self) -> BTreeMap<u64, BTreeSet<&'static str>> {
        self.book().flags.clone()
    }

    /// Whether a message was accepted after `time`.
    pub fn accepted_since(&self, time: Instant) -> bool {
        self.book().accepted_at.last().is_some_and(|last| *last > time)
    }

    /// The longest time without a 250 between `from` and `to`, counted from the last one before
    /// `from`; with none after `from`, up to `to`. `None` when there was never one before.
    pub fn longest_gap_ms(&self, from: Instant, to: Instant) -> Option<u64> {
        let mut times = self.book().accepted_at.clone();
        times.sort();
        let first = times.partition_point(|time| *time <= from).saturating_sub(1);
        let mut inside: Vec<Instant> =
            times.get(first..)?.iter().copied().filter(|time| *time <= to).collect();
        inside.first()?;
        inside.push(to);
        let gap = inside.windows(2).map(|two| two[1].duration_since(two[0])).max();
        gap.map(|gap| gap.as_millis() as u64)
    }

    /// The book in numbers.
    pub fn counts(&self) -> Counts {
        let book = self.book();
        let messages = book.messages.values();
        Counts {
            accepted: messages.clone().filter(|message| message.accepted).count() as u64,
            unknown: messages.clone().map(|message| u64::from(message.unknown)).sum(),
            refused: messages.map(|message| u64::from(message.refused)).sum(),
            flags: book.flags.values().map(|flags| flags.len() as u64).sum(),
            reads: book.reads,
            broken_reads: book.broken_reads.clone(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_outage_runs_from_the_last_answer_before_to_the_first_after() {
        let ledger = Ledger::new(1);
        ledger.accepted(1);
        sleep(Duration::from_millis(50));
        let cut = Instant::now();
        sleep(Duration::from_millis(50));
        ledger.accepted(2);
        let gap = ledger.longest_gap_ms(cut, Instant::now()).unwrap();
        assert!((100..200).contains(&gap), "{gap}");
    }

    #[test]
    fn an_outage_that_goes_on_is_counted_up_to_now() {
        let ledger = Ledger::new(1);
        let start = Instant::now();
        assert_eq!(ledger.longest_gap_ms(start, start), None);
        ledger.accepted(1);
        sleep(Duration::from_millis(60));
        assert!(ledger.longest_gap_ms(start, Instant::now()).unwrap() >= 60);
    }

    #[test]
    fn a_message_that_got_no_answer_is_not_promised() {
        let ledger = Ledger::new(1);
        let serial = ledger.new_message();
        ledger.unknown(serial);
        assert_eq!(ledger.counts().accepted, 0);
        assert_eq!(ledger.messages()[&serial], Message { unknown: 1, ..Message::default() });
    }
}
