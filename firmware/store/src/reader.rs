//! A bounded pool of read-only connections.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::{StoreError, schema};

/// Connections in the pool.
const READERS: usize = 4;
/// How long a caller waits for one.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The pool.
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let idle = (0..READERS).map(|_| schema::open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self::of(idle))
    }

    /// A pool of these connections.
    pub fn of(idle: Vec<Connection>) -> Self {
        Self { idle: Mutex::new(idle), returned: Condvar::new() }
    }

    /// Reads with one connection; each statement in it sees a moment of its own.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let lent = self.take()?;
        // It is there until the loan ends.
        let database = lent.database.as_ref().ok_or(StoreError::Busy)?;
        read(database)
    }

    /// Reads one moment with several statements.
    pub fn read_moment<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read(|database| {
            let transaction = database.unchecked_transaction()?;
            let result = read(&transaction)?;
            transaction.finish()?;
            Ok(result)
        })
    }

    fn take(&self) -> Result<Lent<'_>, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut idle, _) = self
            .returned
            .wait_timeout_while(idle, WAIT_MAX, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let database = idle.pop().ok_or(StoreError::Busy)?;
        Ok(Lent { database: Some(database), pool: self })
    }
}

/// A connection that goes back to the pool, also when its user panics.
struct Lent<'a> {
    database: Option<Connection>,
    pool: &'a Readers,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(database);
            self.pool.returned.notify_one();
        }
    }
}
