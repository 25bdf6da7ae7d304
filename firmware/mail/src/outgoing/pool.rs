//! Sessions that nobody uses at the moment, kept for the next message to the same server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::connect::{Connection, Key};

/// Idle sessions kept in all.
const IDLE_MAX: usize = 100;
/// Idle sessions kept with one server.
const IDLE_PER_SERVER_MAX: usize = 4;
/// How long one is kept.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The pool.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Key, Vec<Connection>>>,
}

impl Pool {
    /// The session with this server that was used last.
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.get_mut(key)?;
        let taken = list.pop();
        if list.is_empty() {
            idle.remove(key);
        }
        taken.filter(|connection| connection.idle_since.elapsed() < IDLE_TIME)
    }

    /// Keeps a session; gives it back if there is no room.
    pub(super) fn keep(&self, connection: Connection) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = idle.values().map(Vec::len).sum();
        let list = idle.entry(connection.key.clone()).or_default();
        if kept >= IDLE_MAX || list.len() >= IDLE_PER_SERVER_MAX {
            return Some(connection);
        }
        list.push(connection);
        None
    }

    /// Takes out what has been idle for too long, or everything.
    pub(super) fn take_old(&self, all: bool) -> Vec<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = Vec::new();
        for list in idle.values_mut() {
            old.extend(list.extract_if(.., |one| all || one.idle_since.elapsed() >= IDLE_TIME));
        }
        idle.retain(|_, list| !list.is_empty());
        old
    }
}
