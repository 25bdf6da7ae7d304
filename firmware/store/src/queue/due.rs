//! What is to be done now.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::{DestinationState, DueItem, QueueId, SELECT_ITEM, read_item};
use crate::StoreError;

/// Destinations with something due, those that have waited longest first. `skip` names the ones that are
/// being worked on; they are few.
pub(super) fn destinations(
    database: &Connection,
    now_ms: u64,
    limit: usize,
    skip: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, StoreError> {
    let mut statement = database
        .prepare_cached("SELECT name FROM destinations WHERE ready_ms <= ?1 ORDER BY ready_ms, name")?;
    let mut rows = statement.query([signed(now_ms)])?;
    let mut names = Vec::new();
    while names.len() < limit {
        let Some(row) = rows.next()? else { break };
        let name: String = row.get(0)?;
        if !skip(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// When the first destination that is not skipped is due.
pub(super) fn next_ready_ms(
    database: &Connection,
    skip: &dyn Fn(&str) -> bool,
) -> Result<Option<u64>, StoreError> {
    let mut statement =
        database.prepare_cached("SELECT ready_ms, name FROM destinations ORDER BY ready_ms, name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !skip(&row.get::<_, String>(1)?) {
            return Ok(Some(row.get::<_, i64>(0)?.max(0) as u64));
        }
    }
    Ok(None)
}

/// When the first alarm comes.
pub(super) fn next_alarm_ms(database: &Connection) -> Result<Option<u64>, StoreError> {
    let mut statement =
        database.prepare_cached("SELECT alarm_ms FROM queue WHERE held = 0 ORDER BY alarm_ms LIMIT 1")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0)).optional()?.map(|ms| ms.max(0) as u64))
}

/// The due recipients of one message at one destination: of the highest priority, of those the one that
/// has waited longest. What others have claimed is passed over; at one destination that is not much. A
/// destination that could not be reached and is left alone has nothing due, whoever asks.
pub(super) fn claim(
    database: &Connection,
    destination: &str,
    now_ms: u64,
    limit: usize,
    claimed: &HashSet<QueueId>,
) -> Result<Vec<DueItem>, StoreError> {
    let waits_until_ms = self::destination(database, destination)?.map_or(0, |state| state.not_before_ms);
    if waits_until_ms > now_ms {
        return Ok(Vec::new());
    }
    let Some(message) = first_message(database, destination, now_ms, claimed)? else { return Ok(Vec::new()) };
    let mut statement = database.prepare_cached(&format!(
        "{SELECT_ITEM} WHERE q.message = ?1 AND q.destination = ?2 AND q.held = 0 AND q.next_ms <= ?3"
    ))?;
    let mut rows = statement.query(params![message, destination, signed(now_ms)])?;
    collect(&mut rows, limit, claimed)
}

fn first_message(
    database: &Connection,
    destination: &str,
    now_ms: u64,
    claimed: &HashSet<QueueId>,
) -> Result<Option<i64>, StoreError> {
    let mut first = database.prepare_cached(
        "SELECT id, message FROM queue WHERE held = 0 AND destination = ?1 AND rank = ?2 AND next_ms <= ?3
         ORDER BY next_ms",
    )?;
    let mut rank = -1;
    while let Some(next) = next_rank(database, destination, rank)? {
        rank = next;
        let mut rows = first.query(params![destination, rank, signed(now_ms)])?;
        while let Some(row) = rows.next()? {
            if !claimed.contains(&QueueId(row.get::<_, i64>(0)? as u64)) {
                return Ok(Some(row.get(1)?));
            }
        }
    }
    Ok(None)
}

/// The next lower priority that has recipients at a destination.
pub(crate) fn next_rank(
    database: &Connection,
    destination: &str,
    rank: i64,
) -> Result<Option<i64>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT rank FROM queue WHERE held = 0 AND destination = ?1 AND rank > ?2 ORDER BY rank LIMIT 1",
    )?;
    Ok(statement.query_row(params![destination, rank], |row| row.get(0)).optional()?)
}

/// Recipients about whom something is to be said, longest overdue first.
pub(super) fn alarms(
    database: &Connection,
    now_ms: u64,
    limit: usize,
    claimed: &HashSet<QueueId>,
) -> Result<Vec<DueItem>, StoreError> {
    let mut statement = database.prepare_cached(&format!(
        "{SELECT_ITEM} WHERE q.held = 0 AND q.alarm_ms <= ?1 ORDER BY q.alarm_ms"
    ))?;
    let mut rows = statement.query([signed(now_ms)])?;
    collect(&mut rows, limit, claimed)
}

fn collect(
    rows: &mut rusqlite::Rows<'_>,
    limit: usize,
    claimed: &HashSet<QueueId>,
) -> Result<Vec<DueItem>, StoreError> {
    let mut items = Vec::new();
    while items.len() < limit {
        let Some(row) = rows.next()? else { break };
        if !claimed.contains(&QueueId(row.get::<_, i64>(0)? as u64)) {
            items.push(read_item(row)?);
        }
    }
    Ok(items)
}

pub(super) fn item(database: &Connection, id: QueueId) -> Result<Option<DueItem>, StoreError> {
    let mut statement = database.prepare_cached(&format!("{SELECT_ITEM} WHERE q.id = ?1"))?;
    Ok(statement.query_row([id.0 as i64], read_item).optional()?)
}

pub(super) fn destination(database: &Connection, name: &str) -> Result<Option<DestinationState>, StoreError> {
    let mut statement = database
        .prepare_cached("SELECT not_before_ms, failures, last_error FROM destinations WHERE name = ?1")?;
    let state = statement.query_row([name], |row| {
        Ok(DestinationState {
            name: name.to_owned(),
            not_before_ms: row.get::<_, i64>(0)?.max(0) as u64,
            failures: row.get(1)?,
            last_error: row.get(2)?,
        })
    });
    Ok(state.optional()?)
}

fn signed(ms: u64) -> i64 {
    ms.min(i64::MAX as u64) as i64
}
