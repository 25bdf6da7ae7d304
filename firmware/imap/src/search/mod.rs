//! Which messages of a mailbox meet search keys: the evaluation, without commands and answers.
//!
//! [`evaluate`] takes what a session sees of a mailbox ([`Searched`]) and gives the messages that pass, by
//! ascending UID. It knows nothing of sessions, so that SEARCH, SORT, THREAD and a search over several
//! mailboxes all stand on it.
//!
//! Each message is looked at only as far as it takes to decide: the view first, then its dates and what the
//! full-text index says of its body, then its summary, its header, and last its whole text. A key is `None`
//! while what it needs is not loaded. The index only saves looking: without it the same messages are found.

mod closer;
mod criteria;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use store::{BodyId, Entry, MailboxId, Place, Store, StoreError, Uid};

use crate::parse::SearchKey;
use criteria::{Compiler, Facts, Test, Verdicts};

/// Messages of one piece.
const PIECE_MESSAGES: usize = 128;

/// A message and its sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// Sequence number.
    pub number: u32,
    /// What the view knows of it.
    pub entry: Entry,
}

/// What is searched: a mailbox as one session sees it.
#[derive(Debug, Clone)]
pub(crate) struct Searched {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Names of its keyword bits.
    pub keywords: Arc<[String]>,
    /// The messages to look at, by ascending UID.
    pub messages: Vec<Numbered>,
    /// How many messages the client counts; `*` as a number.
    pub exists: u32,
    /// `*` as a UID.
    pub last_uid: Uid,
}

/// How far an evaluation has come, and whether it is still wanted. Shared with the one who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Set it to end the evaluation soon; it then answers [`StoreError::Closed`].
    pub stop: AtomicBool,
    /// Messages decided.
    pub done: AtomicU32,
}

/// The messages that meet `key`, by ascending UID. Blocks; `now_s` is what YOUNGER and OLDER count from.
///
/// Messages that have gone from the store meanwhile are not found.
pub(crate) fn evaluate(
    store: &Store,
    searched: &Searched,
    key: &SearchKey,
    now_s: i64,
    progress: &Progress,
) -> Result<Vec<Numbered>, StoreError> {
    let (test, plans) = Compiler::new(searched, now_s).compile(key);
    let mut found: Vec<Numbered> = Vec::new();
    let mut left: Vec<Numbered> = Vec::new();
    for message in &searched.messages {
        match test.decide(&Facts::new(message)) {
            Some(true) => found.push(*message),
            Some(false) => {}
            None => left.push(*message),
        }
    }
    if let (Some(first), Some(last)) = (left.first(), left.last()) {
        let places = store.places(searched.mailbox, first.entry.uid..=last.entry.uid)?;
        let mut open = with_places(&left, &places);
        settle(&mut open, &test, &mut found);
        let bodies: Vec<BodyId> = open.iter().map(|open| open.place.body).collect();
        let verdicts = if plans.is_empty() { Vec::new() } else { store.judge_texts(&plans, &bodies)? };
        for (message, open) in open.iter_mut().enumerate() {
            open.verdicts = Some(Verdicts { all: &verdicts, message });
        }
        settle(&mut open, &test, &mut found);
        progress.done.store((searched.messages.len() - open.len()) as u32, Ordering::Relaxed);
        for piece in open.chunks(PIECE_MESSAGES) {
            if progress.stop.load(Ordering::Relaxed) {
                return Err(StoreError::Closed);
            }
            closer::look(store, searched.mailbox, piece, &test, &mut found)?;
            progress.done.fetch_add(piece.len() as u32, Ordering::Relaxed);
        }
    }
    found.sort_unstable_by_key(|message| message.number);
    Ok(found)
}

/// A message that is not decided yet.
struct Open<'a> {
    message: Numbered,
    place: Place,
    verdicts: Option<Verdicts<'a>>,
}

impl Open<'_> {
    fn facts(&self) -> Facts<'_> {
        let mut facts = Facts::new(&self.message);
        facts.place = Some(&self.place);
        facts.verdicts = self.verdicts;
        facts
    }
}

/// Messages with their places, both by ascending UID. Those that have gone meanwhile are left out.
fn with_places<'a>(messages: &[Numbered], places: &[Place]) -> Vec<Open<'a>> {
    let mut places = places.iter().peekable();
    let mut open = Vec::with_capacity(messages.len());
    for message in messages {
        while places.next_if(|place| place.uid < message.entry.uid).is_some() {}
        if let Some(place) = places.next_if(|place| place.uid == message.entry.uid) {
            open.push(Open { message: *message, place: *place, verdicts: None });
        }
    }
    open
}

/// Takes out what can be decided now.
fn settle(open: &mut Vec<Open<'_>>, test: &Test, found: &mut Vec<Numbered>) {
    open.retain(|open| match test.decide(&open.facts()) {
        Some(true) => {
            found.push(open.message);
            false
        }
        Some(false) => false,
        None => true,
    });
}
