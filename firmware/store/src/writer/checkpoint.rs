//! Folding the log back into the database, beside the writer.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use crate::{StoreError, schema};

/// Each time the log has grown by this many pages it is folded back, in the background (8 MiB).
const LOG_PAGES: i32 = 2 * 1024;
/// From this many pages on the writer itself folds back the rest, so that the log can begin anew (40
/// MiB). It bounds the log, and with it the time of recovery.
const LOG_PAGES_MAX: i32 = 10 * 1024;
/// Length the log is given at the start: what only overwrites is synced without the file system's journal.
const LOG_BYTES_AHEAD: u64 = 12 * 1024 * 1024;

/// The log is made longer only where more than this is free.
const FREE_BYTES_MIN: u64 = 16 * LOG_BYTES_AHEAD;

/// The checkpoint thread as the writer sees it.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// One checkpoint at a time: SQLite would not wait for the other, it would give up.
    turn: Arc<Mutex<()>>,
    /// Pages in the log after the writer's last commit.
    log_pages: Arc<AtomicI32>,
    /// From this many pages on the writer folds back itself; above the bound only while a reader
    /// holds on to an old moment.
    limit: i32,
    /// Pages in the log when it was last asked for. Under load the log does not end while it is folded
    /// back: asking after each commit would sync the database after each.
    asked_at: i32,
}

impl Checkpoints {
    /// Starts the thread, and counts the pages that `writer` commits.
    pub fn start(
        dir: &Path,
        writer: &mut Connection,
        failed: watch::Sender<Option<String>>,
    ) -> Result<Self, StoreError> {
        let path = dir.join("mail.db");
        let (wake, wakes) = sync_channel(1);
        let log_pages = Arc::new(AtomicI32::new(0));
        let pages = log_pages.clone();
        writer.wal_hook(Some(move |_: &mut Wal, count| {
            pages.store(count, Ordering::Relaxed);
            Ok(())
        }))?;
        let turn = Arc::new(Mutex::new(()));
        let turns = turn.clone();
        let run = move || run(&path, &wakes, &turns, &failed);
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(run)?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            turn,
            log_pages,
            limit: LOG_PAGES_MAX,
            asked_at: 0,
        })
    }

    /// Asks for a checkpoint soon.
    pub fn wake(&self) {
        // Full means that one is asked for already.
        let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
    }

    /// Called by the writer after each commit, with its own connection.
    pub fn after_commit(&mut self, database: &Connection) -> Result<(), StoreError> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < LOG_PAGES_MAX {
            self.limit = LOG_PAGES_MAX;
        }
        if pages < self.asked_at {
            // The log has begun anew.
            self.asked_at = 0;
        }
        if pages >= self.limit {
            let done = checkpoint(database, &self.turn)?;
            self.limit = if done { LOG_PAGES_MAX } else { pages.saturating_add(LOG_PAGES_MAX) };
        } else if pages - self.asked_at >= LOG_PAGES {
            self.asked_at = pages;
            self.wake();
        }
        Ok(())
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The connection is opened when it is needed first: a takeover does not wait for it.
fn run(path: &Path, wakes: &Receiver<()>, turn: &Mutex<()>, failed: &watch::Sender<Option<String>>) {
    let mut database = None;
    while wakes.recv().is_ok() {
        if failed.borrow().is_some() {
            continue;
        }
        if let Err(error) = fold_back(path, &mut database, turn) {
            tracing::error!("the mail store has failed in a checkpoint: {error}");
            failed.send_replace(Some(error.to_string()));
        }
    }
}

fn fold_back(path: &Path, database: &mut Option<Connection>, turn: &Mutex<()>) -> Result<bool, StoreError> {
    let open = match database.take() {
        Some(open) => open,
        None => schema::open_writer(path)?,
    };
    checkpoint(database.insert(open), turn)
}

/// Writes zeros behind the log's end, which its reader takes for the end. While nobody else writes to it.
pub(super) fn extend_log(dir: &Path) -> std::io::Result<()> {
    let disk = rustix::fs::statvfs(dir)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES_MIN {
        return Ok(());
    }
    // Its locks are kept on other files, so that closing this one takes none away.
    let log = OpenOptions::new().write(true).open(dir.join("mail.db-wal"))?;
    let zeros = vec![0; 256 * 1024];
    let mut at = log.metadata()?.len();
    while at < LOG_BYTES_AHEAD {
        let piece = zeros.get(..(LOG_BYTES_AHEAD - at) as usize).unwrap_or(&zeros);
        log.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    log.sync_data()
}

/// At the end: all of it, and an empty log. What fails is done at the next start. Whoever still reads, as a
/// check of the whole store does for minutes, is not waited for.
pub(super) fn fold_log(database: &Connection) {
    let _ = database.busy_timeout(Duration::ZERO);
    let busy = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    if busy != Ok(0) {
        tracing::warn!("the log of the mail database was not folded back: {busy:?}");
    }
}

/// Folds back what no reader needs, without waiting for readers; true if nothing is left. Fails only
/// when the disk does.
fn checkpoint(database: &Connection, turn: &Mutex<()>) -> Result<bool, StoreError> {
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let result = database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, bool>(0)?, row.get::<_, i32>(1)?, row.get::<_, i32>(2)?))
    });
    match result {
        // A log that is folded back whole begins anew with the next write.
        Ok((busy, log, done)) => Ok(!busy && log == done),
        // The disk is full: the log keeps what is committed.
        Err(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull)) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
