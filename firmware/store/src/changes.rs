//! What a session sees of a mailbox: a snapshot, and what has changed since.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row as SqlRow, params};

use crate::{BodyId, BodyRef, Flags, Mailbox, MailboxId, ModSeq, StoreError, Uid, UidRanges, mailbox};

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
    /// The zone it was given in, minutes ahead of UTC.
    pub zone_min: i16,
    /// SAVEDATE (RFC 8514), seconds since 1970.
    pub save_date_s: i64,
    /// Where its bytes are; `body.id` is its EMAILID (RFC 8474).
    pub body: BodyRef,
    /// Its summary as stored, if asked for; read it with `message::SummaryView`.
    pub summary: Box<[u8]>,
}

/// Reads uid, size, modseq, flags from the row's first columns.
pub(crate) fn read_entry(row: &SqlRow<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        uid: row.get(0)?,
        size_bytes: row.get(1)?,
        modseq: row.get::<_, i64>(2)? as u64,
        flags: Flags(row.get::<_, i64>(3)? as u64),
    })
}

/// A mailbox and its messages; the caller holds a read transaction.
pub(crate) fn snapshot(database: &Connection, id: MailboxId) -> Result<Snapshot, StoreError> {
    let mailbox = mailbox::by_id(database, id)?.ok_or(StoreError::NoSuchMailbox)?;
    let mut statement = database
        .prepare_cached("SELECT uid, size, modseq, flags FROM messages WHERE mailbox = ?1 ORDER BY uid")?;
    let mut entries = Vec::with_capacity(mailbox.messages as usize);
    let mut rows = statement.query([id.0])?;
    while let Some(row) = rows.next()? {
        entries.push(read_entry(row)?);
    }
    Ok(Snapshot { mailbox, entries: entries.into() })
}

/// What happened after `since`; the caller holds a read transaction.
pub(crate) fn changes_since(
    database: &Connection,
    id: MailboxId,
    since: ModSeq,
) -> Result<Changes, StoreError> {
    let mailbox = mailbox::by_id(database, id)?.ok_or(StoreError::NoSuchMailbox)?;
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    let mut changes =
        Changes { mailbox, arrived: Vec::new(), changed: Vec::new(), expunged: Vec::new(), complete: true };
    if changes.mailbox.highest_modseq <= since as u64 {
        return Ok(changes);
    }
    // UIDs and the mod-sequence of arrival rise together, so what is new stands at the end.
    let mut statement = database.prepare_cached(
        "SELECT uid, size, modseq, flags, arrived FROM messages WHERE mailbox = ?1 ORDER BY uid DESC",
    )?;
    let mut rows = statement.query([id.0])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(4)? <= since {
            break;
        }
        changes.arrived.push(read_entry(row)?);
    }
    changes.arrived.reverse();
    let mut statement = database.prepare_cached(
        "SELECT uid, size, modseq, flags FROM messages
         WHERE mailbox = ?1 AND modseq > ?2 AND modseq > arrived AND arrived <= ?2",
    )?;
    let rows = statement.query_map(params![id.0, since], read_entry)?;
    changes.changed = rows.collect::<Result<_, _>>()?;
    changes.changed.sort_by_key(|entry| entry.uid);
    let mut statement =
        database.prepare_cached("SELECT uid FROM expunged WHERE mailbox = ?1 AND modseq > ?2")?;
    let rows = statement.query_map(params![id.0, since], |row| row.get(0))?;
    changes.expunged = rows.collect::<Result<_, _>>()?;
    changes.expunged.sort_unstable();
    let mut statement = database.prepare_cached("SELECT expunged_floor FROM counters WHERE mailbox = ?1")?;
    changes.complete = statement.query_row([id.0], |row| row.get::<_, i64>(0))? <= since;
    Ok(changes)
}

/// Rows of messages by ascending UID.
pub(crate) fn rows(
    database: &Connection,
    id: MailboxId,
    uids: &UidRanges,
    summaries: bool,
) -> Result<Vec<Row>, StoreError> {
    let summary = if summaries { "summary" } else { "NULL" };
    let mut statement = database.prepare_cached(&format!(
        "SELECT uid, size, modseq, flags, internal_date, save_date, body, segment, offset, length, {summary}, zone_min
         FROM messages JOIN bodies ON id = body WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3"
    ))?;
    let mut found = Vec::new();
    for range in uids {
        let mut rows = statement.query(params![id.0, range.start(), range.end()])?;
        while let Some(row) = rows.next()? {
            found.push(read_row(row)?);
        }
    }
    if uids.len() > 1 {
        found.sort_by_key(|row| row.entry.uid);
        found.dedup_by_key(|row| row.entry.uid);
    }
    Ok(found)
}

fn read_row(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let summary = match row.get_ref(10)? {
        ValueRef::Blob(bytes) => bytes.into(),
        _ => Box::default(),
    };
    Ok(Row {
        entry: read_entry(row)?,
        internal_date_s: row.get(4)?,
        zone_min: row.get(11)?,
        save_date_s: row.get(5)?,
        body: BodyRef {
            id: BodyId(row.get::<_, i64>(6)? as u64),
            segment: row.get(7)?,
            offset: row.get::<_, i64>(8)? as u64,
            length: row.get(9)?,
        },
        summary,
    })
}
