//! The outgoing queue: durable, and claimed only in memory.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{BodyId, BodyRef, StoreError};

/// Number of an outgoing message for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// Recipients of one outgoing message.
pub const RECIPIENTS_MAX: usize = 10_000;

/// Bits of the stored options.
pub(crate) const OPTION_RETURN_FULL: i64 = 1;
pub(crate) const OPTION_EIGHT_BIT: i64 = 2;
pub(crate) const OPTION_SMTP_UTF8: i64 = 4;

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Envelope sender; empty for a notice.
    pub sender: String,
    /// Envelope recipients, at least one.
    pub recipients: Vec<OutgoingRecipient>,
    /// When to try first, milliseconds since 1970.
    pub first_try_ms: u64,
    /// When to give up, milliseconds since 1970.
    pub expires_ms: u64,
    /// ENVID of DSN (RFC 3461).
    pub envelope_id: Option<String>,
    /// RET=FULL of DSN: return the whole message, not only its header.
    pub return_full: bool,
    /// BODY=8BITMIME was declared.
    pub eight_bit: bool,
    /// SMTPUTF8 was declared (RFC 6531).
    pub smtp_utf8: bool,
}

/// One envelope recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRecipient {
    /// Address.
    pub address: String,
    /// NOTIFY of DSN: bit 0 SUCCESS, bit 1 FAILURE, bit 2 DELAY; 0 is NEVER. The default is 6.
    pub notify: u8,
    /// ORCPT of DSN.
    pub original: Option<String>,
}

/// A recipient whose time has come; nobody else gets it until it is settled or released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueItem {
    /// Its number.
    pub id: QueueId,
    /// Number shared by the recipients of one message.
    pub message: u64,
    /// Envelope sender.
    pub sender: String,
    /// Recipient.
    pub recipient: OutgoingRecipient,
    /// Tries so far.
    pub attempts: u32,
    /// A delay notice has been sent.
    pub delay_noticed: bool,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: u64,
    /// When to give up, milliseconds since 1970.
    pub expires_ms: u64,
    /// ENVID of DSN.
    pub envelope_id: Option<String>,
    /// RET=FULL of DSN.
    pub return_full: bool,
    /// BODY=8BITMIME was declared.
    pub eight_bit: bool,
    /// SMTPUTF8 was declared.
    pub smtp_utf8: bool,
    /// The message.
    pub body: BodyRef,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side took it, or it was given up and its sender told: forget it.
    Finished,
    /// Try again.
    Deferred {
        /// When, milliseconds since 1970.
        next_ms: u64,
        /// What the other side said.
        error: String,
        /// A delay notice goes out with this.
        delay_noticed: bool,
    },
}

/// One recipient's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Whose.
    pub id: QueueId,
    /// What became of it.
    pub outcome: Outcome,
}

/// One recipient as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its number.
    pub id: QueueId,
    /// Number shared by the recipients of one message.
    pub message: u64,
    /// Envelope sender.
    pub sender: String,
    /// Envelope recipient.
    pub recipient: String,
    /// Size of the message.
    pub size_bytes: u64,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: u64,
    /// Next try, milliseconds since 1970.
    pub next_ms: u64,
    /// Tries so far.
    pub attempts: u32,
    /// What the other side said last.
    pub last_error: Option<String>,
}

impl Outgoing {
    /// Checks the bounds.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.recipients.is_empty() || self.recipients.len() > RECIPIENTS_MAX {
            return Err(StoreError::TooManyTargets { max: RECIPIENTS_MAX });
        }
        Ok(())
    }
}

const SELECT_ITEM: &str = "SELECT q.id, q.message, m.sender, q.address, q.notify, q.original, q.attempts,
    q.delay_noticed, m.accepted_ms, m.expires_ms, m.envelope_id, m.options, b.id, b.segment, b.offset, b.length
    FROM queue q JOIN queued_messages m ON m.id = q.message JOIN bodies b ON b.id = m.body";

fn read_item(row: &Row<'_>) -> rusqlite::Result<DueItem> {
    let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
    let options: i64 = row.get(11)?;
    Ok(DueItem {
        id: QueueId(number(0)?),
        message: number(1)?,
        sender: row.get(2)?,
        recipient: OutgoingRecipient { address: row.get(3)?, notify: row.get(4)?, original: row.get(5)? },
        attempts: row.get(6)?,
        delay_noticed: row.get(7)?,
        accepted_ms: number(8)?,
        expires_ms: number(9)?,
        envelope_id: row.get(10)?,
        return_full: options & OPTION_RETURN_FULL != 0,
        eight_bit: options & OPTION_EIGHT_BIT != 0,
        smtp_utf8: options & OPTION_SMTP_UTF8 != 0,
        body: BodyRef {
            id: BodyId(number(12)?),
            segment: row.get(13)?,
            offset: number(14)?,
            length: row.get(15)?,
        },
    })
}

/// Due recipients that nobody has claimed, oldest first.
pub(crate) fn due(
    database: &Connection,
    now_ms: u64,
    limit: usize,
    claimed: &HashSet<QueueId>,
) -> Result<Vec<DueItem>, StoreError> {
    let mut statement =
        database.prepare_cached(&format!("{SELECT_ITEM} WHERE q.next_ms <= ?1 ORDER BY q.next_ms, q.id"))?;
    let mut rows = statement.query([now_ms.min(i64::MAX as u64) as i64])?;
    let mut items = Vec::new();
    while items.len() < limit {
        let Some(row) = rows.next()? else { break };
        if !claimed.contains(&QueueId(row.get::<_, i64>(0)? as u64)) {
            items.push(read_item(row)?);
        }
    }
    Ok(items)
}

/// When the first recipient that nobody has claimed is due.
pub(crate) fn next_due_ms(
    database: &Connection,
    claimed: &HashSet<QueueId>,
) -> Result<Option<u64>, StoreError> {
    let mut statement = database.prepare_cached("SELECT id, next_ms FROM queue ORDER BY next_ms LIMIT ?1")?;
    let mut rows = statement.query([claimed.len() as i64 + 1])?;
    while let Some(row) = rows.next()? {
        if !claimed.contains(&QueueId(row.get::<_, i64>(0)? as u64)) {
            return Ok(Some(row.get::<_, i64>(1)? as u64));
        }
    }
    Ok(None)
}

pub(crate) fn item(database: &Connection, id: QueueId) -> Result<Option<DueItem>, StoreError> {
    let mut statement = database.prepare_cached(&format!("{SELECT_ITEM} WHERE q.id = ?1"))?;
    Ok(statement.query_row([id.0 as i64], read_item).optional()?)
}

pub(crate) fn list(database: &Connection, limit: usize) -> Result<Vec<QueueEntry>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT q.id, q.message, m.sender, q.address, b.length, m.accepted_ms, q.next_ms, q.attempts, q.last_error
         FROM queue q JOIN queued_messages m ON m.id = q.message JOIN bodies b ON b.id = m.body
         ORDER BY q.id LIMIT ?1",
    )?;
    let rows = statement.query_map(params![limit.min(i64::MAX as usize) as i64], |row| {
        let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
        Ok(QueueEntry {
            id: QueueId(number(0)?),
            message: number(1)?,
            sender: row.get(2)?,
            recipient: row.get(3)?,
            size_bytes: number(4)?,
            accepted_ms: number(5)?,
            next_ms: number(6)?,
            attempts: row.get(7)?,
            last_error: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
