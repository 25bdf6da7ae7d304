//! What a session sees of a mailbox: a snapshot, and what has changed since.

use std::sync::Arc;

use crate::{BodyRef, Flags, Mailbox, ModSeq, Uid};

/// One message in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its UID.
    pub uid: Uid,
    /// RFC822.SIZE, at most 4 GiB.
    pub size_bytes: u32,
    /// Mod-sequence of its last change.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: Flags,
}

/// A mailbox and its messages at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The mailbox's own numbers at that moment.
    pub mailbox: Mailbox,
    /// Its messages by ascending UID.
    pub entries: Arc<[Entry]>,
}

/// What happened in a mailbox after a mod-sequence.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The mailbox's own numbers now; `mailbox.highest_modseq` is where to go on.
    pub mailbox: Mailbox,
    /// Messages that are new since, by ascending UID.
    pub arrived: Vec<Entry>,
    /// Older messages whose flags have changed since, by ascending UID.
    pub changed: Vec<Entry>,
    /// UIDs expunged since, ascending; may name UIDs the session never saw.
    pub expunged: Vec<Uid>,
    /// `false`: the log of expunged messages does not reach back that far. Compare with a new
    /// snapshot instead.
    pub complete: bool,
}

/// One message with what is stored about it.
#[derive(Debug, Clone)]
pub struct Row {
    /// UID, size, flags, mod-sequence.
    pub entry: Entry,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// SAVEDATE (RFC 8514), seconds since 1970.
    pub save_date_s: i64,
    /// Where its bytes are; `body.id` is its EMAILID (RFC 8474).
    pub body: BodyRef,
    /// Its summary as stored, if asked for; read it with `message::SummaryView`.
    pub summary: Box<[u8]>,
}
