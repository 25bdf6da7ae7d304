//! Messages on their way into mailboxes.

use std::sync::Arc;

use bytes::Bytes;
use message::{Structure, Summary, SummaryView};
use rusqlite::{Connection, OptionalExtension};

use crate::{AccountId, FlagNames, MailboxId, ModSeq, Outgoing, QueueId, StoreError, Uid};

/// Number of a stored body, never used twice; the EMAILID (RFC 8474) of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyId(pub u64);

/// Where the bytes of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodyRef {
    /// Its number.
    pub id: BodyId,
    /// Segment file.
    pub segment: u32,
    /// Length in bytes.
    pub length: u32,
    /// Offset of its record in the segment.
    pub offset: u64,
}

/// A message ready to be stored: bytes, summary and checksum are made in the caller's thread.
#[derive(Debug, Clone)]
pub struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) summary: Box<[u8]>,
    pub(crate) crc32c: u32,
    /// What the full-text index is given.
    pub(crate) tokens: Arc<str>,
}

/// One local recipient of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Whose mailbox.
    pub account: AccountId,
    /// Its name; a mailbox that does not exist (any more) is replaced by INBOX.
    pub mailbox: String,
    /// Flags it arrives with.
    pub flags: FlagNames,
}

impl Recipient {
    /// Into the INBOX, without flags.
    pub fn inbox(account: AccountId) -> Self {
        Self { account, mailbox: "INBOX".to_owned(), flags: FlagNames::default() }
    }
}

/// One message to any number of local recipients and, in the same transaction, to the queue.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message, with Received and Return-Path already in it.
    pub body: Body,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// Local recipients, each accepted or refused for itself.
    pub recipients: Vec<Recipient>,
    /// Recipients elsewhere.
    pub outgoing: Option<Outgoing>,
}

/// What became of a delivery.
#[derive(Debug)]
pub struct Delivered {
    /// One outcome per recipient, in order.
    pub recipients: Vec<RecipientOutcome>,
    /// Number of the queue entry, if there is one.
    pub queued: Option<QueueId>,
}

/// Where a recipient's copy is, or why there is none ([`StoreError::OverQuota`],
/// [`StoreError::NoSuchAccount`], [`StoreError::NoUidLeft`]).
pub type RecipientOutcome = Result<Placed, StoreError>;

/// A message's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Mailbox.
    pub mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub uid_validity: u32,
    /// UID in it.
    pub uid: Uid,
    /// Mod-sequence of the arrival.
    pub modseq: ModSeq,
}

/// One message of an APPEND.
#[derive(Debug, Clone)]
pub struct Append {
    /// The message.
    pub body: Body,
    /// Its flags.
    pub flags: FlagNames,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// The zone it was given in, minutes ahead of UTC.
    pub zone_min: i16,
}

/// Where appended messages are (APPENDUID, RFC 4315).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDs in the order given.
    pub uids: Vec<Uid>,
}

/// Where copied or moved messages are (COPYUID, RFC 4315).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: u32,
    /// Source UID and target UID, ascending; UIDs that do not exist are left out.
    pub uids: Vec<(Uid, Uid)>,
    /// For a move: mod-sequence of the expunge in the source.
    pub source_modseq: ModSeq,
}

/// What an expunge removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expunged {
    /// UIDs, ascending.
    pub uids: Vec<Uid>,
    /// The mailbox's mod-sequence of it.
    pub modseq: ModSeq,
}

impl Body {
    /// Reads the message and takes its checksum; do this outside the writer, it is the costly part.
    pub fn new(bytes: Bytes) -> Self {
        let summary = Summary::of(&bytes);
        let tokens = message::tokens(&bytes, &summary.structure).into();
        let crc32c = crate::segment::crc32c(&bytes);
        Self { bytes, summary: summary.encode().into_boxed_slice(), crc32c, tokens }
    }

    /// The same with a summary made before, by `message::Summary::encode` of exactly these bytes.
    pub fn with_summary(bytes: Bytes, summary: Box<[u8]>) -> Self {
        let structure = SummaryView::parse(&summary).and_then(|summary| summary.structure());
        let tokens = message::tokens(&bytes, &structure.unwrap_or_else(|| Structure::of(&bytes))).into();
        let crc32c = crate::segment::crc32c(&bytes);
        Self { bytes, summary, crc32c, tokens }
    }

    /// The message.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its encoded summary; read it with `message::SummaryView`.
    pub fn summary(&self) -> &[u8] {
        &self.summary
    }
}

/// Where a body is now; `None` if its last message is gone.
pub(crate) fn find_body(database: &Connection, id: BodyId) -> Result<Option<BodyRef>, StoreError> {
    let mut statement =
        database.prepare_cached("SELECT segment, offset, length FROM bodies WHERE id = ?1")?;
    let place = statement.query_row([id.0 as i64], |row| {
        Ok(BodyRef { id, segment: row.get(0)?, offset: row.get::<_, i64>(1)? as u64, length: row.get(2)? })
    });
    Ok(place.optional()?)
}
