//! Who has which maildrop open (RFC 1939 4: one POP3 session at a time).
//!
//! A hold is given back when it is dropped, before the last answer of its session goes out; so whoever
//! reads the answer to QUIT may log in again at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::AccountId;
use tokio::sync::Notify;

/// A session that was silent for so long gives its maildrop to the next one that logs in: it may be
/// a client that lost its network.
const YIELD_AFTER: Duration = Duration::from_secs(30);
/// How long a login waits for the session before it to end: a client that drops its connection and
/// connects again is often faster than the news of it.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The open maildrops.
#[derive(Debug, Default)]
pub(crate) struct Maildrops {
    open: Mutex<HashMap<AccountId, Arc<Holder>>>,
    given_back: Notify,
}

#[derive(Debug)]
struct Holder {
    active: Mutex<Instant>,
    taken_away: Notify,
}

/// An open maildrop of one session.
#[derive(Debug)]
pub(crate) struct Hold {
    maildrops: Arc<Maildrops>,
    account: AccountId,
    holder: Arc<Holder>,
}

impl Maildrops {
    /// Opens a maildrop; none if another session has it.
    pub(crate) async fn open(self: &Arc<Self>, account: AccountId) -> Option<Hold> {
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // From here on nothing that is given back is missed.
            given_back.as_mut().enable();
            if let Some(hold) = self.try_open(account) {
                return Some(hold);
            }
            tokio::time::timeout_at(deadline, given_back).await.ok()?;
        }
    }

    fn try_open(self: &Arc<Self>, account: AccountId) -> Option<Hold> {
        let mut open = self.holders();
        if let Some(other) = open.get(&account) {
            if other.active.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < YIELD_AFTER {
                return None;
            }
            other.taken_away.notify_one();
        }
        let holder = Arc::new(Holder { active: Mutex::new(Instant::now()), taken_away: Notify::new() });
        open.insert(account, Arc::clone(&holder));
        Some(Hold { maildrops: Arc::clone(self), account, holder })
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Holder>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// The client was heard.
    pub(crate) fn is_active(&self) {
        *self.holder.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until another session takes it.
    pub(crate) async fn taken_away(&self) {
        self.holder.taken_away.notified().await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut open = self.maildrops.holders();
        if open.get(&self.account).is_some_and(|current| Arc::ptr_eq(current, &self.holder)) {
            open.remove(&self.account);
        }
        drop(open);
        self.maildrops.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_session_at_a_time_and_the_next_at_once() {
        let maildrops = Arc::new(Maildrops::default());
        let (one, other) = (AccountId(1), AccountId(2));
        let first = maildrops.open(one).await.unwrap();
        assert!(maildrops.open(one).await.is_none());
        assert!(maildrops.open(other).await.is_some());
        drop(first);
        let second = maildrops.open(one).await.unwrap();
        // Who waits gets it as soon as it is given back.
        let waiting = tokio::spawn({
            let maildrops = Arc::clone(&maildrops);
            async move { maildrops.open(one).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(second);
        assert!(waiting.await.unwrap());
        assert!(maildrops.holders().is_empty());
    }

    #[tokio::test]
    async fn a_silent_session_gives_way() {
        let maildrops = Arc::new(Maildrops::default());
        let silent = maildrops.open(AccountId(1)).await.unwrap();
        let long_ago = Instant::now().checked_sub(YIELD_AFTER * 2).unwrap();
        *silent.holder.active.lock().unwrap() = long_ago;
        let next = maildrops.open(AccountId(1)).await.unwrap();
        silent.taken_away().await;
        // Its end does not end the other's hold.
        drop(silent);
        assert_eq!(maildrops.holders().len(), 1);
        drop(next);
        assert!(maildrops.holders().is_empty());
    }
}
