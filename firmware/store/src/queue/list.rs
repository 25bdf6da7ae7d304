//! The queue as an administrator sees it.

use rusqlite::{Connection, Row, params};

use super::{QueueEntry, QueueFilter, QueueId, QueueTotals};
use crate::StoreError;

/// Rows looked at for one page, however few of them fit the filter.
const SCAN_MAX: usize = 200_000;

/// A page in the order of the numbers, and whether there is more behind it.
pub(super) fn list(
    database: &Connection,
    filter: &QueueFilter,
    after: u64,
    limit: usize,
) -> Result<(Vec<QueueEntry>, Option<u64>), StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT q.id, q.message, m.sender, q.address, q.destination, b.length, m.accepted_ms,
                max(q.next_ms, coalesce(d.not_before_ms, 0)), q.attempts, q.held,
                coalesce(q.last_error, d.last_error)
         FROM queue q JOIN queued_messages m ON m.id = q.message JOIN bodies b ON b.id = m.body
         LEFT JOIN destinations d ON d.name = q.destination WHERE q.id > ?1 ORDER BY q.id",
    )?;
    let mut rows = statement.query([after.min(i64::MAX as u64) as i64])?;
    let (mut entries, mut looked_at, mut last) = (Vec::new(), 0, after);
    while let Some(row) = rows.next()? {
        if entries.len() >= limit || looked_at >= SCAN_MAX {
            return Ok((entries, Some(last)));
        }
        let entry = read_entry(row)?;
        (looked_at, last) = (looked_at + 1, entry.id.0);
        if fits(&entry, filter) {
            entries.push(entry);
        }
    }
    Ok((entries, None))
}

fn fits(entry: &QueueEntry, filter: &QueueFilter) -> bool {
    let contains = |whole: &str, part: &String| whole.to_lowercase().contains(&part.to_lowercase());
    let sender = |part: &String| {
        if part.is_empty() { entry.sender.is_empty() } else { contains(&entry.sender, part) }
    };
    filter.sender.as_ref().is_none_or(sender)
        && filter.recipient.as_ref().is_none_or(|part| contains(&entry.recipient, part))
        && filter.destination.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&entry.destination))
        && filter.held.is_none_or(|held| held == entry.held)
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<QueueEntry> {
    let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
    Ok(QueueEntry {
        id: QueueId(number(0)?),
        message: number(1)?,
        sender: row.get(2)?,
        recipient: row.get(3)?,
        destination: row.get(4)?,
        size_bytes: number(5)?,
        accepted_ms: number(6)?,
        next_ms: number(7)?,
        attempts: row.get(8)?,
        held: row.get(9)?,
        last_error: row.get(10)?,
    })
}

/// When a recipient was tried, and what was said; the latest last.
pub(super) fn tries(database: &Connection, id: QueueId) -> Result<Vec<(u64, String)>, StoreError> {
    let mut statement =
        database.prepare_cached("SELECT at_ms, said FROM queue_tries WHERE item = ?1 ORDER BY number")?;
    let rows =
        statement.query_map(params![id.0 as i64], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn is_held(database: &Connection, id: QueueId) -> Result<bool, StoreError> {
    let mut statement = database.prepare_cached("SELECT 1 FROM queue WHERE id = ?1 AND held <> 0")?;
    Ok(statement.exists([id.0 as i64])?)
}

pub(super) fn totals(database: &Connection) -> Result<QueueTotals, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> {
        Ok(database.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0))? as u64)
    };
    Ok(QueueTotals {
        recipients: count("SELECT count(*) FROM queue")?,
        messages: count("SELECT count(*) FROM queued_messages")?,
        held: count("SELECT count(*) FROM queue WHERE held <> 0")?,
        destinations: count("SELECT count(*) FROM destinations")?,
    })
}
