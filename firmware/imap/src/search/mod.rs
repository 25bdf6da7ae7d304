//! Which messages of a mailbox meet search keys: the evaluation, without commands and answers.
//!
//! [`evaluate`] takes what a session sees of a mailbox ([`Searched`]) and gives the messages that pass, by
//! ascending UID. It knows nothing of sessions, so that SEARCH, SORT, THREAD and a search over several
//! mailboxes all stand on it.
//!
//! Each message is looked at only as far as it takes to decide: the view first, then its row and summary,
//! then its header, and last its whole text. A key is `None` while what it needs is not loaded.

mod closer;
mod criteria;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use store::{Entry, MailboxId, Store, StoreError, Uid};

use crate::parse::SearchKey;
use criteria::Facts;
pub(crate) use criteria::Test;

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
    let test = Test::compile(key, searched, now_s);
    let mut found: Vec<Numbered> = Vec::new();
    for piece in searched.messages.chunks(PIECE_MESSAGES) {
        let mut open = Vec::new();
        for message in piece {
            match test.decide(&Facts::new(message)) {
                Some(true) => found.push(*message),
                Some(false) => {}
                None => open.push(*message),
            }
        }
        if !open.is_empty() {
            if progress.stop.load(Ordering::Relaxed) {
                return Err(StoreError::Closed);
            }
            closer::look(store, searched.mailbox, &open, &test, &mut found)?;
        }
        progress.done.fetch_add(piece.len() as u32, Ordering::Relaxed);
    }
    found.sort_unstable_by_key(|message| message.number);
    Ok(found)
}
