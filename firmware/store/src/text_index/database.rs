//! The index's database: its tables, and how it is opened, thrown away and begun anew.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::schema::{meta, set_meta};
use crate::{StoreError, schema};

/// Of mail.db: numbers of bodies that are gone and whose tokens shall go too.
pub(crate) const TABLES: &str = "CREATE TABLE IF NOT EXISTS unwanted_texts (body INTEGER PRIMARY KEY);";

/// Format of the index: tables, tokens and folding. Another one is made anew.
const FORMAT: i64 = 1;

/// Pages kept of the index by the thread that feeds it. It writes what is new and merges from front to
/// back, so that more of them would not be read again.
const CACHE_KIB: i64 = 6 * 1024;
/// What FTS5 collects before it writes, in bytes.
const COLLECTED_BYTES: i64 = 8 * 1024 * 1024;

const INDEX_TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE postings USING fts5(
    tokens, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
CREATE TABLE words (id INTEGER PRIMARY KEY, words TEXT NOT NULL);
CREATE VIRTUAL TABLE grams USING fts5(
    pieces, content = '', columnsize = 0, detail = none, tokenize = 'ascii');
";

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("text.db")
}

/// What the mail database says of its index, before anybody writes to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    identity: Option<i64>,
    /// The number that the next body gets.
    pub(super) next_body: u64,
}

impl Expected {
    pub(super) fn read(mail: &Connection) -> Result<Self, StoreError> {
        let next_body = meta(mail, "next_body")?.unwrap_or(1) as u64;
        Ok(Self { identity: meta(mail, "text_index")?, next_body })
    }
}

/// Opens the index to write; none where it is not this mail database's, or of another format.
pub(super) fn open(dir: &Path, expected: Expected) -> Result<Option<Connection>, StoreError> {
    if !path(dir).exists() {
        return Ok(None);
    }
    let database = connect(dir)?;
    let known: Option<i64> = database
        .query_row("SELECT 1 FROM sqlite_master WHERE name = 'meta'", [], |row| row.get(0))
        .optional()?;
    if known.is_none() || meta(&database, "format")? != Some(FORMAT) {
        return Ok(None);
    }
    let is_its_own = meta(&database, "identity")? == expected.identity;
    // A mail database from an older copy would use body numbers again that the index knows.
    if !is_its_own || indexed_below(&database)? > expected.next_body {
        return Ok(None);
    }
    set_up_merging(&database)?;
    Ok(Some(database))
}

/// Makes the index anew; `mail` is a connection that writes.
pub(super) fn make(dir: &Path, mail: &Connection) -> Result<Connection, StoreError> {
    remove(dir)?;
    let database = connect(dir)?;
    database.execute_batch("BEGIN IMMEDIATE")?;
    make_tables(&database)?;
    let identity: i64 = database.query_row("SELECT random() >> 1", [], |row| row.get(0))?;
    set_meta(&database, "identity", identity)?;
    database.execute_batch("COMMIT")?;
    // The index is durable under its number before mail.db names it.
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    std::fs::File::open(dir)?.sync_all()?;
    set_meta(mail, "text_index", identity)?;
    Ok(database)
}

/// Whether an error says that the index is no good, rather than the disk.
pub(super) fn is_damage(error: &StoreError) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
    match error {
        StoreError::Database(error) => {
            matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase | Unknown))
        }
        _ => false,
    }
}

/// Throws the index away; who has it open goes on reading the old one.
pub(super) fn remove(dir: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path(dir).into_os_string();
        name.push(suffix);
        match std::fs::remove_file(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn open_reader(dir: &Path) -> Result<Connection, StoreError> {
    schema::open_reader(&path(dir))
}

/// Begins anew, in the open transaction.
pub(super) fn clear(database: &Connection) -> Result<(), StoreError> {
    let identity = meta(database, "identity")?.unwrap_or(0);
    database.execute_batch("DROP TABLE postings; DROP TABLE words; DROP TABLE grams; DROP TABLE meta;")?;
    make_tables(database)?;
    set_meta(database, "identity", identity)
}

/// Bodies with lower numbers are in the index.
pub(super) fn indexed_below(database: &Connection) -> Result<u64, StoreError> {
    Ok(meta(database, "indexed_below")?.unwrap_or(1) as u64)
}

fn connect(dir: &Path) -> Result<Connection, StoreError> {
    let database = schema::open_writer(&path(dir))?;
    // The index may lose its last moments in a power cut, never its shape: what is missing is read again.
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(database)
}

fn make_tables(database: &Connection) -> Result<(), StoreError> {
    database.execute_batch(INDEX_TABLES)?;
    set_meta(database, "format", FORMAT)?;
    set_meta(database, "indexed_below", 1)?;
    set_up_merging(database)
}

/// FTS5 merges by itself only as a last resort; the indexer asks for it in bounded steps. What is set already
/// is left alone.
fn set_up_merging(database: &Connection) -> Result<(), StoreError> {
    let options = [("automerge", 0), ("crisismerge", 64), ("usermerge", 8), ("hashsize", COLLECTED_BYTES)];
    for table in ["postings", "grams"] {
        let mut is = database.prepare(&format!("SELECT v FROM {table}_config WHERE k = ?1"))?;
        let mut set = database.prepare(&format!("INSERT INTO {table} ({table}, rank) VALUES (?1, ?2)"))?;
        for (option, value) in options {
            if is.query_row([option], |row| row.get(0)).optional()? != Some(value) {
                set.execute(params![option, value])?;
            }
        }
    }
    Ok(())
}
