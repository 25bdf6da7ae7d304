//! What happens to the mailboxes of an account, for who wants to hear of all of them (RFC 5465).
//!
//! [`crate::Store::watch`] tells of one mailbox; a feed tells of every mailbox of the accounts it follows.
//! Messages that come, go and change are kept as a set of mailboxes, whatever their number; names, rights
//! and annotations are kept in order, up to a bound. A feed that was not read for too long says so and is
//! empty from then on: its reader must look for itself.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{AccountId, MailboxId};

/// Events a feed keeps for its reader.
pub const FEED_EVENTS_MAX: usize = 1_000;

/// Something that happened, after it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxEvent {
    /// A mailbox was made.
    Created {
        /// Which.
        mailbox: MailboxId,
        /// Its name.
        name: String,
    },
    /// A mailbox was deleted.
    Deleted {
        /// Which.
        mailbox: MailboxId,
        /// The name it had.
        name: String,
    },
    /// A mailbox, and what is below it, has another name.
    Renamed {
        /// Which.
        mailbox: MailboxId,
        /// The name it had.
        from: String,
        /// The name it has.
        to: String,
    },
    /// The account subscribed or unsubscribed a name.
    Subscription {
        /// The name.
        name: String,
    },
    /// Annotations were set or removed.
    Metadata {
        /// Of this mailbox; `None` is the server.
        mailbox: Option<MailboxId>,
        /// Only this account sees them; `None` for shared ones.
        only: Option<AccountId>,
        /// Their names.
        names: Vec<String>,
    },
    /// The access control list of a mailbox changed. Every feed hears of this one, because it can give a
    /// mailbox to any user.
    Rights {
        /// Which.
        mailbox: MailboxId,
    },
}

/// What a feed has for its reader.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Mailboxes whose messages came, went or changed.
    pub messages: BTreeSet<MailboxId>,
    /// What happened to mailboxes themselves, in order, with the account that owns them.
    pub events: Vec<(AccountId, MailboxEvent)>,
    /// There was more than the feed could keep.
    pub overflow: bool,
}

#[derive(Default)]
struct Queue {
    kept: Mutex<Kept>,
    arrived: Notify,
}

#[derive(Default)]
struct Kept {
    messages: BTreeSet<MailboxId>,
    events: VecDeque<(AccountId, MailboxEvent)>,
    overflow: bool,
}

/// All feeds, by the accounts they follow.
#[derive(Default)]
pub(crate) struct Feeds {
    followers: Mutex<HashMap<AccountId, Vec<Arc<Queue>>>>,
    /// How many accounts are followed; read without the lock by a writer nobody listens to.
    followed: AtomicUsize,
}

impl Feeds {
    fn locked(&self) -> MutexGuard<'_, HashMap<AccountId, Vec<Arc<Queue>>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the feeds. `messages` are mailboxes with the account they belong to.
    pub fn publish(&self, messages: &[(AccountId, MailboxId)], events: &[(AccountId, MailboxEvent)]) {
        if self.followed.load(Ordering::Acquire) == 0 || (messages.is_empty() && events.is_empty()) {
            return;
        }
        let followers = self.locked();
        for (account, mailbox) in messages {
            for queue in followers.get(account).into_iter().flatten() {
                queue.put(|kept| {
                    kept.messages.insert(*mailbox);
                });
            }
        }
        for (account, event) in events {
            let put = |queue: &Arc<Queue>| queue.put(|kept| kept.events.push_back((*account, event.clone())));
            if matches!(event, MailboxEvent::Rights { .. }) {
                // A feed stands in the map once for each account it follows.
                let mut told: Vec<*const Queue> = Vec::new();
                for queue in followers.values().flatten() {
                    if !told.contains(&Arc::as_ptr(queue)) {
                        told.push(Arc::as_ptr(queue));
                        put(queue);
                    }
                }
            } else {
                followers.get(account).into_iter().flatten().for_each(put);
            }
        }
    }
}

impl Queue {
    fn put(&self, put: impl FnOnce(&mut Kept)) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.overflow {
            return;
        }
        put(&mut kept);
        if kept.events.len() > FEED_EVENTS_MAX {
            *kept = Kept { overflow: true, ..Kept::default() };
        }
        drop(kept);
        self.arrived.notify_one();
    }
}

/// A reader of events; see the module's page.
pub struct Feed {
    queue: Arc<Queue>,
    feeds: Arc<Feeds>,
    accounts: BTreeSet<AccountId>,
}

impl Feed {
    pub(crate) fn new(feeds: Arc<Feeds>) -> Self {
        Self { queue: Arc::default(), feeds, accounts: BTreeSet::new() }
    }

    /// Follows these accounts and no other from now on.
    pub fn follow(&mut self, accounts: impl IntoIterator<Item = AccountId>) {
        let wanted: BTreeSet<AccountId> = accounts.into_iter().collect();
        let mut followers = self.feeds.locked();
        for account in self.accounts.difference(&wanted) {
            if let Some(queues) = followers.get_mut(account) {
                queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
                if queues.is_empty() {
                    followers.remove(account);
                }
            }
        }
        for account in wanted.difference(&self.accounts) {
            followers.entry(*account).or_default().push(Arc::clone(&self.queue));
        }
        self.feeds.followed.store(followers.len(), Ordering::Release);
        drop(followers);
        self.accounts = wanted;
    }

    /// Waits until there is something to take. It can return for nothing.
    pub async fn arrived(&self) {
        self.queue.arrived.notified().await;
    }

    /// Takes what is there.
    pub fn take(&self) -> Heard {
        let mut kept = self.queue.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *kept);
        Heard { messages: taken.messages, events: taken.events.into(), overflow: taken.overflow }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.follow([]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId(1);
    const BOB: AccountId = AccountId(2);

    fn created(number: i64) -> MailboxEvent {
        MailboxEvent::Created { mailbox: MailboxId(number), name: number.to_string() }
    }

    #[test]
    fn a_feed_hears_of_the_accounts_it_follows() {
        let feeds = Arc::new(Feeds::default());
        let mut feed = Feed::new(Arc::clone(&feeds));
        feed.follow([ALICE]);
        let shared = MailboxEvent::Rights { mailbox: MailboxId(9) };
        feeds.publish(
            &[(ALICE, MailboxId(1)), (ALICE, MailboxId(1))],
            &[(BOB, created(5)), (BOB, shared.clone())],
        );
        let heard = feed.take();
        assert_eq!(heard.messages, [MailboxId(1)].into());
        assert_eq!(heard.events, [(BOB, shared)]);
        feed.follow([BOB]);
        feeds.publish(&[(ALICE, MailboxId(1))], &[(BOB, created(5))]);
        assert_eq!(feed.take().events, [(BOB, created(5))]);
        drop(feed);
        assert!(feeds.locked().is_empty() && feeds.followed.load(Ordering::Acquire) == 0);
    }

    #[test]
    fn what_is_not_read_does_not_pile_up() {
        let feeds = Arc::new(Feeds::default());
        let mut feed = Feed::new(Arc::clone(&feeds));
        feed.follow([ALICE]);
        for number in 0..=FEED_EVENTS_MAX as i64 {
            feeds.publish(&[], &[(ALICE, created(number))]);
        }
        let heard = feed.take();
        assert!(heard.overflow && heard.events.is_empty());
        feeds.publish(&[], &[(ALICE, created(1))]);
        assert_eq!(feed.take().events.len(), 1);
    }
}
