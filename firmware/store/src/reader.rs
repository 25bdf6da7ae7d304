//! A bounded pool of read-only connections.
//!
//! The first is opened with the store, so that a fault is known at once. The others are opened when
//! somebody needs them: each reads the whole schema, and a takeover waits for the store to be open.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::StoreError;

/// How long a caller waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(10);

type Open = Box<dyn Fn() -> Result<Connection, StoreError> + Send + Sync>;

/// The pool.
pub(crate) struct Readers {
    places: Mutex<Places>,
    returned: Condvar,
    open: Open,
}

struct Places {
    idle: Vec<Connection>,
    /// How many more may be opened.
    free: usize,
}

impl Readers {
    /// A pool of at most `max` connections that `open` makes.
    pub fn open(
        max: usize,
        open: impl Fn() -> Result<Connection, StoreError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let places = Places { idle: vec![open()?], free: max.saturating_sub(1) };
        Ok(Self { places: Mutex::new(places), returned: Condvar::new(), open: Box::new(open) })
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
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut places, _) = self
            .returned
            .wait_timeout_while(places, WAIT_MAX, |places| places.idle.is_empty() && places.free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = places.idle.pop() {
            return Ok(Lent { database: Some(database), pool: self });
        }
        places.free = places.free.checked_sub(1).ok_or(StoreError::Busy)?;
        drop(places);
        match (self.open)() {
            Ok(database) => Ok(Lent { database: Some(database), pool: self }),
            Err(error) => {
                self.give_back(None);
                Err(error)
            }
        }
    }

    /// A connection comes back, or its place if there is none.
    fn give_back(&self, database: Option<Connection>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match database {
            Some(database) => places.idle.push(database),
            None => places.free += 1,
        }
        drop(places);
        self.returned.notify_one();
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
            self.pool.give_back(Some(database));
        }
    }
}
