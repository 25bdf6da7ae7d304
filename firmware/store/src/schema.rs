//! The database: its tables, how a connection is set up, and how a new store begins.
//!
//! Rows that change with every message (`counters`, `usage`) are kept apart from those that hardly
//! ever do, and the INBOX of account n has mailbox number n, so that the pages a delivery touches are
//! few and dense with a hundred thousand accounts as well.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::StoreError;

/// Format of database and segments.
pub(crate) const FORMAT: u32 = 1;

/// Mailboxes that are no INBOX are numbered from here.
pub(crate) const FIRST_MAILBOX: i64 = 1 << 32;

/// Page cache of the writer, in KiB.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Page cache of one reader, in KiB.
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Prepared statements kept per connection.
const STATEMENTS: usize = 96;
/// Size the log is cut back to when it has grown beyond it, in bytes.
const LOG_BYTES_KEPT: i64 = 40 * 1024 * 1024;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE domains (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain INTEGER NOT NULL REFERENCES domains(id),
    address TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    limit_bytes INTEGER,
    limit_messages INTEGER);
CREATE INDEX accounts_by_domain ON accounts(domain);
CREATE TABLE usage (account INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, messages INTEGER NOT NULL);
CREATE TABLE aliases (
    address TEXT NOT NULL, target TEXT NOT NULL, domain INTEGER NOT NULL REFERENCES domains(id),
    PRIMARY KEY (address, target)) WITHOUT ROWID;
CREATE INDEX aliases_by_domain ON aliases(domain);

CREATE TABLE mailboxes (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts(id),
    name TEXT NOT NULL,
    uid_validity INTEGER NOT NULL,
    special_use INTEGER,
    selectable INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    UNIQUE (account, name));
CREATE TABLE counters (
    mailbox INTEGER PRIMARY KEY,
    uid_next INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    first_recent INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    unseen INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    expunged INTEGER NOT NULL,
    expunged_floor INTEGER NOT NULL);
CREATE TABLE subscriptions (account INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account, name)) WITHOUT ROWID;
CREATE TABLE doomed (mailbox INTEGER PRIMARY KEY);

CREATE TABLE messages (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    body INTEGER NOT NULL,
    size INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    save_date INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
-- New messages are found by UID; only those that changed afterwards need an index.
CREATE INDEX changed_messages ON messages(mailbox, modseq) WHERE modseq > arrived;
CREATE TABLE expunged (
    mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL,
    PRIMARY KEY (mailbox, modseq, uid)) WITHOUT ROWID;

CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    summary BLOB NOT NULL);
-- A body without a row here has one reference.
CREATE TABLE shares (body INTEGER PRIMARY KEY, refs INTEGER NOT NULL);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    live_bytes INTEGER NOT NULL,
    compacted_bytes INTEGER NOT NULL,
    state INTEGER NOT NULL);

CREATE TABLE queued_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body INTEGER NOT NULL,
    sender TEXT NOT NULL,
    accepted_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    envelope_id TEXT,
    options INTEGER NOT NULL);
CREATE TABLE queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message INTEGER NOT NULL REFERENCES queued_messages(id),
    address TEXT NOT NULL,
    notify INTEGER NOT NULL,
    original TEXT,
    next_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    delay_noticed INTEGER NOT NULL,
    last_error TEXT);
";

/// Tables that came after the first release of the format, each kept by the module it belongs to. Their
/// statements say IF NOT EXISTS: an older store gets them when it is opened.
const LATER_TABLES: &[&str] = &[
    crate::acl::TABLES,
    crate::directory::LATER_TABLES,
    crate::metadata::TABLES,
    crate::queue::TABLES,
    crate::signing::TABLES,
    crate::text_index::TABLES,
];

/// Columns that came later: table, column, declaration with its default.
const LATER_COLUMNS: &[(&str, &str, &str)] = &[
    ("domains", "enabled", "INTEGER NOT NULL DEFAULT 1"),
    ("domains", "limit_bytes", "INTEGER"),
    ("domains", "limit_accounts", "INTEGER"),
    ("domains", "protocols", "INTEGER"),
    ("domains", "plus_addressing", "INTEGER NOT NULL DEFAULT 1"),
    ("domains", "language", "TEXT"),
    ("domains", "default_bytes", "INTEGER"),
    ("domains", "default_messages", "INTEGER"),
    ("domains", "default_message_bytes", "INTEGER"),
    ("domains", "default_attachment_bytes", "INTEGER"),
    ("domains", "default_messages_hour", "INTEGER"),
    ("domains", "default_messages_day", "INTEGER"),
    ("domains", "default_recipients_hour", "INTEGER"),
    ("domains", "default_recipients_day", "INTEGER"),
    ("accounts", "enabled", "INTEGER NOT NULL DEFAULT 1"),
    ("accounts", "protocols", "INTEGER"),
    ("accounts", "display_name", "TEXT NOT NULL DEFAULT ''"),
    ("accounts", "language", "TEXT"),
    ("accounts", "forward_keep", "INTEGER NOT NULL DEFAULT 1"),
    ("accounts", "limit_message_bytes", "INTEGER"),
    ("accounts", "limit_attachment_bytes", "INTEGER"),
    ("accounts", "limit_messages_hour", "INTEGER"),
    ("accounts", "limit_messages_day", "INTEGER"),
    ("accounts", "limit_recipients_hour", "INTEGER"),
    ("accounts", "limit_recipients_day", "INTEGER"),
    ("domains", "sends_messages_hour", "INTEGER"),
    ("domains", "sends_messages_day", "INTEGER"),
    ("domains", "sends_recipients_hour", "INTEGER"),
    ("domains", "sends_recipients_day", "INTEGER"),
    ("messages", "zone_min", "INTEGER NOT NULL DEFAULT 0"),
    ("queue", "destination", "TEXT NOT NULL DEFAULT ''"),
    ("queue", "rank", "INTEGER NOT NULL DEFAULT 9"),
    ("queue", "held", "INTEGER NOT NULL DEFAULT 0"),
    ("queue", "alarm_ms", "INTEGER NOT NULL DEFAULT 0"),
    ("queued_messages", "priority", "INTEGER NOT NULL DEFAULT 0"),
    ("queued_messages", "by_ms", "INTEGER"),
    ("queued_messages", "by_options", "INTEGER NOT NULL DEFAULT 0"),
    ("queued_messages", "account", "TEXT"),
    ("segments", "settled_bytes", "INTEGER"),
    ("usage", "warned", "INTEGER NOT NULL DEFAULT 0"),
];

/// Indexes that came later, also on later columns; and rows that later tables begin with.
const LATER_INDEXES: &[&str] =
    &[crate::acl::LATER_INDEXES, crate::directory::LATER_INDEXES, crate::queue::INDEXES];

/// Of everything above: a store that bears it (`PRAGMA user_version`) has it all, and nobody who waits for a
/// takeover waits until that is looked up column by column. Older firmware stamps it otherwise.
const STAMP: i32 = {
    let mut hash = fnv(0x811c_9dc5, TABLES);
    let mut at = 0;
    while at < LATER_TABLES.len() {
        hash = fnv(hash, LATER_TABLES[at]);
        at += 1;
    }
    at = 0;
    while at < LATER_COLUMNS.len() {
        let (table, column, declaration) = LATER_COLUMNS[at];
        hash = fnv(fnv(fnv(hash, table), column), declaration);
        at += 1;
    }
    at = 0;
    while at < LATER_INDEXES.len() {
        hash = fnv(hash, LATER_INDEXES[at]);
        at += 1;
    }
    // 0 is what an unstamped database has.
    (hash | 1).cast_signed()
};

/// FNV-1a, 32 bits, of `text` and what came before it.
const fn fnv(mut hash: u32, text: &str) -> u32 {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

/// Opens the connection that writes.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    let mode: String = database.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Failed(format!("the database cannot use a log here (mode {mode})")));
    }
    database.pragma_update(None, "synchronous", "FULL")?;
    // Checkpoints are run by the store itself: their errors must be seen.
    database.pragma_update(None, "wal_autocheckpoint", 0)?;
    database.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    database.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    set_up(&database)?;
    Ok(database)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    set_up(&database)?;
    Ok(database)
}

fn set_up(database: &Connection) -> Result<(), StoreError> {
    // A lost array must be an error that can be answered, never a signal.
    database.pragma_update(None, "mmap_size", 0)?;
    database.pragma_update(None, "temp_store", "MEMORY")?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    database.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Makes the tables of a new store, checks the format of an old one, and takes the epoch.
pub(crate) fn prepare(database: &Connection, epoch: u32) -> Result<(), StoreError> {
    let exists: bool =
        database.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'meta')", [], |row| {
            row.get(0)
        })?;
    database.execute_batch("BEGIN IMMEDIATE")?;
    if !exists {
        database.execute_batch(TABLES)?;
        set_meta(database, "format", i64::from(FORMAT))?;
    }
    let format = meta(database, "format")?.unwrap_or(0);
    if format != i64::from(FORMAT) {
        return Err(StoreError::NewerFormat { found: format as u32, known: FORMAT });
    }
    bring_up_to_date(database)?;
    let seen = meta(database, "epoch")?.unwrap_or(0) as u32;
    if seen > epoch {
        return Err(StoreError::OldEpoch { seen, mine: epoch });
    }
    set_meta(database, "epoch", i64::from(epoch))?;
    database.execute_batch("COMMIT")?;
    Ok(())
}

fn bring_up_to_date(database: &Connection) -> Result<(), StoreError> {
    let stamp: i32 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if stamp == STAMP {
        return Ok(());
    }
    for tables in LATER_TABLES {
        database.execute_batch(tables)?;
    }
    for (table, column, declaration) in LATER_COLUMNS {
        let exists: bool = database.query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
            [table, column],
            |row| row.get(0),
        )?;
        if !exists {
            database.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {declaration}"))?;
        }
    }
    for indexes in LATER_INDEXES {
        database.execute_batch(indexes)?;
    }
    crate::queue::bring_up_to_date(database)?;
    database.pragma_update(None, "user_version", STAMP)?;
    Ok(())
}

/// A number of the store's own.
pub(crate) fn meta(database: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    let mut statement = database.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Sets a number of the store's own.
pub(crate) fn set_meta(database: &Connection, name: &str, value: i64) -> Result<(), StoreError> {
    let mut statement =
        database.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
    statement.execute(params![name, value])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(database: &Connection) -> i32 {
        database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_store_of_the_first_release_gets_what_came_later() {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(TABLES).unwrap();
        set_meta(&database, "format", i64::from(FORMAT)).unwrap();
        assert_eq!(stamp(&database), 0);
        prepare(&database, 7).unwrap();
        assert_eq!(stamp(&database), STAMP);
        for (table, column, _) in LATER_COLUMNS {
            database.prepare(&format!("SELECT {column} FROM {table}")).unwrap();
        }
        assert_eq!(meta(&database, "epoch").unwrap(), Some(7));
        prepare(&database, 8).unwrap();
        assert!(matches!(prepare(&database, 7), Err(StoreError::OldEpoch { seen: 8, mine: 7 })));
    }

    #[test]
    fn a_store_that_other_firmware_stamped_is_looked_through_again() {
        let database = Connection::open_in_memory().unwrap();
        prepare(&database, 1).unwrap();
        database.execute_batch("DROP TABLE unwanted_texts; PRAGMA user_version = 5").unwrap();
        prepare(&database, 2).unwrap();
        assert_eq!(stamp(&database), STAMP);
        database.prepare("SELECT body FROM unwanted_texts").unwrap();
    }
}
