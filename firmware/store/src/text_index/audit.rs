//! Looking over the index: its shape, and that no body is missing from it.

use std::path::Path;

use rusqlite::Connection;

use super::database;
use crate::StoreError;

/// Bodies named in one sentence.
const NAMED_MAX: usize = 8;

/// What is wrong with the index, a sentence each. Without an index nothing is: searches read the messages.
pub(crate) fn audit(dir: &Path, mail: &Connection) -> Result<Vec<String>, StoreError> {
    if !database::path(dir).exists() {
        return Ok(Vec::new());
    }
    let index = match database::open_reader(dir) {
        Err(error) if database::is_damage(&error) => return Ok(vec![damaged(&error.to_string())]),
        index => index?,
    };
    match look(&index, mail) {
        Err(error) if database::is_damage(&error) => Ok(vec![damaged(&error.to_string())]),
        faults => faults,
    }
}

fn look(index: &Connection, mail: &Connection) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let index = index.unchecked_transaction()?;
    let below = database::indexed_below(&index)? as i64;
    // FTS5 looks over its own tables within this (SQLite 3.44 and later).
    let mut lines = index.prepare("PRAGMA integrity_check")?;
    for line in lines.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            faults.push(damaged(&line));
        }
    }
    // The index's moment is the earlier one: a body that is still there now was in it then.
    let mut bodies = mail.prepare("SELECT id FROM bodies WHERE id < ?1 ORDER BY id")?;
    let mut bodies = bodies.query([below])?;
    let mut indexed = index.prepare("SELECT id FROM postings_docsize ORDER BY id")?;
    let mut indexed = indexed.query([])?;
    let (mut at, mut missing, mut named) = (0, 0, Vec::new());
    while let Some(row) = bodies.next()? {
        let body: i64 = row.get(0)?;
        while at < body {
            at = indexed.next()?.map_or(Ok(i64::MAX), |row| row.get(0))?;
        }
        if at != body {
            missing += 1;
            if named.len() < NAMED_MAX {
                named.push(body.to_string());
            }
        }
    }
    if missing > 0 {
        let named = named.join(", ");
        faults.push(format!(
            "{missing} bodies ({named}) are missing from the full-text index: make it anew with 'store index --rebuild'."
        ));
    }
    Ok(faults)
}

fn damaged(why: &str) -> String {
    format!("The full-text index is damaged ({why}): make it anew with 'store index --rebuild'.")
}
