//! Folding the log back into the database, beside the writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use crate::{StoreError, schema};

/// Commits between two checkpoints.
const COMMITS_PER_CHECKPOINT: u32 = 64;
/// From this many pages on the writer itself folds back the rest, so that the log can begin anew.
/// It bounds the log and with it the time of recovery.
const LOG_PAGES_MAX: i32 = 8 * 1024;

/// The checkpoint thread as the writer sees it.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log, as last seen.
    log_pages: Arc<AtomicI32>,
    commits: u32,
}

impl Checkpoints {
    pub fn start(dir: &Path, failed: watch::Sender<Option<String>>) -> Result<Self, StoreError> {
        let database = schema::open_writer(&dir.join("mail.db"))?;
        let (wake, wakes) = sync_channel(1);
        let log_pages = Arc::new(AtomicI32::new(0));
        let pages = log_pages.clone();
        let run = move || run(&database, &wakes, &pages, &failed);
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(run)?;
        Ok(Self { wake: Some(wake), thread: Some(thread), log_pages, commits: 0 })
    }

    /// Asks for a checkpoint soon.
    pub fn wake(&self) {
        // Full means that one is asked for already.
        let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
    }

    /// Called by the writer after each commit, with its own connection.
    pub fn after_commit(&mut self, database: &Connection) -> Result<(), StoreError> {
        self.commits += 1;
        if self.commits < COMMITS_PER_CHECKPOINT {
            return Ok(());
        }
        self.commits = 0;
        if self.log_pages.load(Ordering::Relaxed) >= LOG_PAGES_MAX {
            checkpoint(database, &self.log_pages)
        } else {
            self.wake();
            Ok(())
        }
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

fn run(
    database: &Connection,
    wakes: &Receiver<()>,
    pages: &AtomicI32,
    failed: &watch::Sender<Option<String>>,
) {
    while wakes.recv().is_ok() {
        if failed.borrow().is_some() {
            continue;
        }
        if let Err(error) = checkpoint(database, pages) {
            tracing::error!("the mail store has failed in a checkpoint: {error}");
            failed.send_replace(Some(error.to_string()));
        }
    }
}

/// At the end: all of it, and an empty log. What fails is done at the next start.
pub(super) fn fold_log(database: &Connection) {
    let busy = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    if busy != Ok(0) {
        tracing::warn!("the log of the mail database was not folded back: {busy:?}");
    }
}

/// As much as goes without waiting for anyone. Fails only when the disk does.
fn checkpoint(database: &Connection, pages: &AtomicI32) -> Result<(), StoreError> {
    let result = database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i32>(1)?, row.get::<_, i32>(2)?))
    });
    match result {
        Ok((log, done)) => {
            // A log that is folded back whole begins anew with the next write.
            pages.store(if log == done { 0 } else { log }, Ordering::Relaxed);
            Ok(())
        }
        // The other one is at it; or the disk is full, and the log keeps what is committed.
        Err(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull)) =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
