//! The thread that feeds the index.
//!
//! Messages go in by the hundred, in the order of their bodies: those stored just now with the tokens the
//! intake holds, those of before (a store that is older than its index, the moments before a power cut)
//! by reading their bodies. It does one bounded thing at a time, and rests between two pieces of old mail.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use message::{Structure, WIDE, tokens};
use rusqlite::{Connection, params};

use super::database::{self, Expected};
use super::intake::{Call, FOLD_BYTES, FOLD_MESSAGES, Intake};
use super::vocabulary::Vocabulary;
use crate::reader::Readers;
use crate::schema::{self, set_meta};
use crate::segment::SegmentFiles;
use crate::{BodyId, BodyRef, StoreError, delivery};

/// How long it waits for work before it looks after the index.
const PATIENCE: Duration = Duration::from_secs(2);
/// Searches that read the index at a time.
const READERS: usize = 2;
/// How long a store that was just opened is left to those who wait for it, unless much mail comes in or
/// somebody searches.
const SETTLING: Duration = Duration::from_millis(1_500);
/// Pause after a disk that is full.
const PUT_OFF: Duration = Duration::from_secs(10);
/// Pause between two pieces of old mail.
const BREATH: Duration = Duration::from_millis(5);
/// Bodies removed from the index in one transaction.
const FORGET_MAX: i64 = 2_000;
/// Pages merged after each piece of mail, and in each step of a rest.
const MERGE_PAGES: i64 = 400;
/// Steps of merging in one rest.
const REST_STEPS: u32 = 8;
/// From this many pages on the log is folded back (8 MiB).
const LOG_PAGES: i64 = 2_000;
/// A log of fewer pages is left to the next start (2 MiB).
const LOG_PAGES_LEFT: i64 = 500;
/// Times a body is looked for where it has been moved.
const READ_ATTEMPTS: usize = 3;

struct Indexer {
    dir: PathBuf,
    /// The index.
    database: Connection,
    /// The mail database, to read.
    mail: Connection,
    files: Arc<SegmentFiles>,
    intake: Arc<Intake>,
    vocabulary: Vocabulary,
    /// Bodies below this number are in the index.
    below: u64,
    /// Removed from the index, not durably yet.
    forgotten: BTreeSet<i64>,
    /// The next rest has segments to merge.
    unmerged: bool,
}

/// The index before it is open. A takeover does not wait for it: reading its log may take longer than all the
/// rest, and until then searches read the messages.
pub(super) struct Opening {
    pub(super) dir: PathBuf,
    pub(super) expected: Expected,
    /// The index, where it was missing and has been made.
    pub(super) made: Option<Connection>,
    pub(super) files: Arc<SegmentFiles>,
    pub(super) intake: Arc<Intake>,
    /// Set once the index is open.
    pub(super) readers: Arc<OnceLock<Readers>>,
}

impl Opening {
    /// Starts the thread.
    pub(super) fn start(self) -> Result<JoinHandle<()>, StoreError> {
        Ok(std::thread::Builder::new().name("store-text".to_owned()).spawn(move || self.run())?)
    }

    fn run(mut self) {
        self.intake.wait_until_wanted(SETTLING);
        let mut told = false;
        while !self.intake.is_closed() {
            match self.open() {
                Ok(mut indexer) => return indexer.run(),
                Err(error) if database::is_damage(&error) => {
                    tracing::error!("there is no full-text index, searches read every message: {error}");
                    return self.intake.close();
                }
                Err(error) => {
                    if !told {
                        tracing::warn!(
                            "the full-text index cannot be opened, searches read every message until it can: {error}"
                        );
                    }
                    told = true;
                    self.intake.sleep(PUT_OFF);
                }
            }
        }
    }

    /// Opens the index; makes it anew where it is damaged or of no use.
    fn open(&mut self) -> Result<Indexer, StoreError> {
        let opened = match self.made.take() {
            Some(made) => Ok(Some(made)),
            None => database::open(&self.dir, self.expected),
        };
        let index = match opened {
            Ok(Some(index)) => index,
            Ok(None) => self.make()?,
            Err(error) if database::is_damage(&error) => {
                tracing::warn!("the full-text index is damaged and made anew: {error}");
                self.make()?
            }
            Err(error) => return Err(error),
        };
        let mail = schema::open_reader(&self.dir.join("mail.db"))?;
        let below = database::indexed_below(&index)?;
        self.intake.indexed(below);
        let dir = self.dir.clone();
        let readers = Readers::open(READERS, move || database::open_reader(&dir))?;
        let _ = self.readers.set(readers);
        Ok(Indexer {
            dir: self.dir.clone(),
            database: index,
            mail,
            files: Arc::clone(&self.files),
            intake: Arc::clone(&self.intake),
            vocabulary: Vocabulary::default(),
            below,
            forgotten: BTreeSet::new(),
            unmerged: true,
        })
    }

    /// The mail database learns of the new index by a connection of its own; the writer waits meanwhile.
    fn make(&self) -> Result<Connection, StoreError> {
        database::make(&self.dir, &schema::open_writer(&self.dir.join("mail.db"))?)
    }
}

impl Indexer {
    fn run(&mut self) {
        if let Err(error) = self.vocabulary.load(&self.database) {
            tracing::warn!("the words of the full-text index cannot be read: {error}");
        }
        // Removed before the last end.
        self.attempt(Self::forget);
        loop {
            let goes_on = match self.intake.wait(PATIENCE) {
                Call::Fold { horizon } => self.attempt(|indexer| indexer.fold(horizon)),
                Call::Forget => self.attempt(Self::forget),
                Call::Rest => self.attempt(Self::rest),
                Call::Rebuild => self.attempt(Self::rebuild),
                Call::Close => {
                    self.attempt(Self::finish);
                    return;
                }
            };
            if !goes_on {
                return self.intake.close();
            }
        }
    }

    /// Does one thing. A full disk puts it off; anything else ends the index, not the store.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> bool {
        let Err(error) = work(self) else { return true };
        self.vocabulary.forget();
        if !self.database.is_autocommit() {
            let _ = self.database.execute_batch("ROLLBACK");
        }
        if error.is_disk_full() {
            tracing::warn!("the full-text index waits for space on the disk");
            self.intake.sleep(PUT_OFF);
            return true;
        }
        tracing::error!("the full-text index has failed, searches read every message: {error}");
        if database::is_damage(&error) {
            // The next start makes it anew.
            let _ = database::remove(&self.dir);
        }
        false
    }

    /// Puts the next bodies in.
    fn fold(&mut self, horizon: u64) -> Result<(), StoreError> {
        let bodies = self.next_bodies(horizon)?;
        let is_last = (bodies.len() as u64) < FOLD_MESSAGES;
        let mut below = if is_last { horizon } else { self.below };
        let mut bytes = 0;
        let mut read_any = false;
        self.database.execute_batch("BEGIN IMMEDIATE")?;
        {
            let mut insert =
                self.database.prepare_cached("INSERT INTO postings (rowid, tokens) VALUES (?1, ?2)")?;
            for body in &bodies {
                let found = if let Some(waiting) = self.intake.tokens_of(body.id.0) {
                    waiting
                } else {
                    read_any = true;
                    read_tokens(&self.mail, &self.files, body)?
                };
                insert.execute(params![body.id.0 as i64, &found[..]])?;
                self.vocabulary.note(&found);
                bytes += found.len();
                if !is_last {
                    below = body.id.0 + 1;
                }
                if bytes >= FOLD_BYTES && body.id != bodies.last().map_or(body.id, |last| last.id) {
                    below = body.id.0 + 1;
                    break;
                }
            }
        }
        self.vocabulary.write(&self.database)?;
        set_meta(&self.database, "indexed_below", below as i64)?;
        self.database.execute_batch("COMMIT")?;
        self.below = below;
        self.intake.indexed(below);
        self.unmerged = true;
        self.merge("postings", 8, MERGE_PAGES)?;
        self.merge("grams", 8, MERGE_PAGES / 4)?;
        self.keep_log_short()?;
        if read_any {
            self.intake.sleep(BREATH);
        }
        Ok(())
    }

    /// Bodies that are not indexed yet, as far as they are there.
    fn next_bodies(&self, horizon: u64) -> Result<Vec<BodyRef>, StoreError> {
        let mut statement = self.mail.prepare_cached(
            "SELECT id, segment, offset, length FROM bodies WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )?;
        let range = params![self.below as i64, horizon as i64, FOLD_MESSAGES as i64];
        let rows = statement.query_map(range, |row| {
            Ok(BodyRef {
                id: BodyId(row.get::<_, i64>(0)? as u64),
                segment: row.get(1)?,
                offset: row.get::<_, i64>(2)? as u64,
                length: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes bodies that are gone out of the index.
    fn forget(&mut self) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let gone: Vec<i64> = {
                let mut notes = self.mail.prepare_cached(
                    "SELECT body FROM unwanted_texts WHERE body > ?1 ORDER BY body LIMIT ?2",
                )?;
                let rows = notes.query_map([after, FORGET_MAX], |row| row.get(0))?;
                rows.collect::<Result<_, _>>()?
            };
            let Some(last) = gone.last().copied() else { break };
            self.database.execute_batch("BEGIN IMMEDIATE")?;
            {
                let mut delete = self.database.prepare_cached("DELETE FROM postings WHERE rowid = ?1")?;
                for body in &gone {
                    delete.execute([body])?;
                }
            }
            self.database.execute_batch("COMMIT")?;
            self.forgotten.extend(gone);
            after = last;
            if self.intake.is_closed() {
                return Ok(());
            }
        }
        self.settle()
    }

    /// Makes the removals durable; then their notes can go.
    fn settle(&mut self) -> Result<(), StoreError> {
        if self.forgotten.is_empty() {
            return Ok(());
        }
        // What a checkpoint has copied is synced.
        let (busy, log, copied) = self.database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })?;
        if !busy && log == copied {
            self.intake.settle(std::mem::take(&mut self.forgotten));
        }
        Ok(())
    }

    /// Tidies up when there is nothing else to do.
    fn rest(&mut self) -> Result<(), StoreError> {
        self.settle()?;
        if !std::mem::take(&mut self.unmerged) {
            return Ok(());
        }
        for _ in 0..REST_STEPS {
            let more = self.merge("postings", 4, MERGE_PAGES)? | self.merge("grams", 4, MERGE_PAGES)?;
            if !more {
                return self.keep_log_short();
            }
            self.unmerged = true;
        }
        self.keep_log_short()
    }

    fn rebuild(&mut self) -> Result<(), StoreError> {
        self.database.execute_batch("BEGIN IMMEDIATE")?;
        database::clear(&self.database)?;
        self.database.execute_batch("COMMIT")?;
        self.vocabulary.forget();
        self.below = 1;
        self.intake.indexed(1);
        Ok(())
    }

    /// At the end, for which a hand-over waits: messages that are not in the index are read again by the next
    /// owner, beside its work; only a log that would take it long to read is folded back.
    fn finish(&mut self) -> Result<(), StoreError> {
        let log: i64 = self.database.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))?;
        if log >= LOG_PAGES_LEFT {
            self.database.busy_timeout(Duration::ZERO)?;
            self.database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    /// Merges some pages where a level has `segments` of one size; whether there was any.
    fn merge(&self, table: &str, segments: i64, pages: i64) -> Result<bool, StoreError> {
        let mut set =
            self.database.prepare_cached(&format!("INSERT INTO {table} ({table}, rank) VALUES (?1, ?2)"))?;
        set.execute(params!["usermerge", segments])?;
        let before = self.database.total_changes();
        set.execute(params!["merge", pages])?;
        // SQLite counts one change even when nothing was merged.
        Ok(self.database.total_changes() - before >= 2)
    }

    fn keep_log_short(&self) -> Result<(), StoreError> {
        let log: i64 = self.database.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))?;
        if log >= LOG_PAGES {
            self.database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
        Ok(())
    }
}

/// Tokens of a stored body. One that is damaged can hold anything; one that is gone holds nothing.
fn read_tokens(mail: &Connection, files: &SegmentFiles, body: &BodyRef) -> Result<Arc<str>, StoreError> {
    let mut place = *body;
    for _ in 0..READ_ATTEMPTS {
        match files.read(&place) {
            Ok(Some(raw)) => return Ok(tokens(&raw, &Structure::of(&raw)).into()),
            Ok(None) | Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        match delivery::find_body(mail, body.id)? {
            None => return Ok("".into()),
            Some(now) if now == place => return Ok(WIDE.into()),
            Some(now) => place = now,
        }
    }
    Ok(WIDE.into())
}
