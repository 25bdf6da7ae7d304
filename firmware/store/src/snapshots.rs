//! Mailboxes and their messages in memory, shared by all sessions and kept current by the writer.
//!
//! The writer tells what a transaction did after it is durable and before anybody is answered, so who was
//! told of a change finds it here. What is told is applied when somebody next asks for the mailbox.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kept::{KeptValues, Listener};
use crate::{AccountId, Entry, Mailbox, MailboxId, ModSeq, Snapshot, StoreError, Uid, canonical_name};

/// Messages in kept snapshots, all together: 24 bytes each.
const ENTRIES_MAX: usize = 400_000;
/// What a kept snapshot weighs beside its messages.
const SNAPSHOT_WEIGHT: usize = 20;
/// Mailboxes in kept lists, all together: some 300 bytes each.
const MAILBOXES_MAX: usize = 20_000;
/// Changes that wait to be applied to one snapshot until somebody asks for it; with more the writer does it.
const WAITING_MAX: usize = 20_000;

/// What a transaction did to one message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Touch {
    Arrived(Entry),
    Changed(Entry),
    Expunged(Uid, ModSeq),
}

impl Touch {
    fn modseq(&self) -> ModSeq {
        match self {
            Self::Arrived(entry) | Self::Changed(entry) => entry.modseq,
            Self::Expunged(_, modseq) => *modseq,
        }
    }
}

/// The numbers of a mailbox after a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Numbers {
    pub mailbox: MailboxId,
    pub account: AccountId,
    pub uid_next: Uid,
    pub highest_modseq: ModSeq,
    pub first_recent: Uid,
    pub messages: u32,
    pub unseen: u32,
    pub deleted: u32,
    pub bytes: u64,
    pub keywords: Arc<Vec<String>>,
}

impl Numbers {
    fn put_into(&self, mailbox: &mut Mailbox) {
        // Told late: what was read is newer.
        if self.highest_modseq < mailbox.highest_modseq {
            return;
        }
        mailbox.uid_next = self.uid_next;
        mailbox.highest_modseq = self.highest_modseq;
        mailbox.first_recent = self.first_recent;
        mailbox.messages = self.messages;
        mailbox.unseen = self.unseen;
        mailbox.deleted = self.deleted;
        mailbox.bytes = self.bytes;
        if mailbox.keywords != *self.keywords {
            mailbox.keywords = self.keywords.to_vec();
        }
    }
}

/// What the writer tells of one durable transaction.
pub(crate) struct Told<'a> {
    pub touches: &'a [(MailboxId, Touch)],
    pub numbers: &'a [Numbers],
    pub gone: &'a [MailboxId],
    /// Accounts whose mailboxes came, went or have another name or use.
    pub rearranged: &'a HashSet<AccountId>,
}

/// A snapshot and what is to be applied to it.
struct Kept {
    snapshot: Snapshot,
    /// What was read from the database has everything up to here.
    read_modseq: ModSeq,
    waiting: Vec<Touch>,
}

enum Event {
    Touch(Touch),
    Numbers(Numbers),
}

/// See the module's page.
pub(crate) struct Snapshots {
    snapshots: Mutex<KeptValues<MailboxId, Kept, Event>>,
    lists: Mutex<KeptValues<AccountId, Vec<Mailbox>, Numbers>>,
}

impl Default for Snapshots {
    fn default() -> Self {
        let (entries, mailboxes) = (KeptValues::new(ENTRIES_MAX), KeptValues::new(MAILBOXES_MAX));
        Self { snapshots: Mutex::new(entries), lists: Mutex::new(mailboxes) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Snapshots {
    /// The mailbox and its messages as they are now; `load` reads them from the database if need be.
    pub fn snapshot(
        &self,
        mailbox: MailboxId,
        load: impl FnOnce() -> Result<Snapshot, StoreError>,
    ) -> Result<Snapshot, StoreError> {
        let token = {
            let mut snapshots = lock(&self.snapshots);
            if let Some(kept) = snapshots.find(mailbox) {
                kept.apply_waiting();
                return Ok(kept.snapshot.clone());
            }
            snapshots.begin_loading(mailbox)
        };
        let loaded = load();
        let Some(token) = token else { return loaded };
        let mut snapshots = lock(&self.snapshots);
        let missed = snapshots.end_loading(mailbox, token);
        let (snapshot, missed) = match (loaded, missed) {
            (Ok(snapshot), Some(missed)) => (snapshot, missed),
            (loaded, _) => return loaded,
        };
        let read_modseq = snapshot.mailbox.highest_modseq;
        let mut kept = Kept { snapshot, read_modseq, waiting: Vec::new() };
        for event in missed {
            match event {
                Event::Touch(touch) => kept.hear(touch),
                Event::Numbers(numbers) => numbers.put_into(&mut kept.snapshot.mailbox),
            }
        }
        kept.apply_waiting();
        let snapshot = kept.snapshot.clone();
        let weight = SNAPSHOT_WEIGHT + snapshot.entries.len();
        snapshots.keep(mailbox, kept, weight);
        Ok(snapshot)
    }

    /// The mailbox as it is now, if its snapshot is kept.
    pub fn kept_mailbox(&self, mailbox: MailboxId) -> Option<Mailbox> {
        lock(&self.snapshots).find(mailbox).map(|kept| kept.snapshot.mailbox.clone())
    }

    /// What `find` makes of the mailboxes of an account, INBOX first; `load` reads them if need be.
    pub fn mailboxes<T>(
        &self,
        account: AccountId,
        load: impl FnOnce() -> Result<Vec<Mailbox>, StoreError>,
        find: impl FnOnce(&[Mailbox]) -> T,
    ) -> Result<T, StoreError> {
        let token = {
            let mut lists = lock(&self.lists);
            if let Some(list) = lists.find(account) {
                return Ok(find(list));
            }
            lists.begin_loading(account)
        };
        let loaded = load();
        let Some(token) = token else { return Ok(find(&loaded?)) };
        let mut lists = lock(&self.lists);
        let missed = lists.end_loading(account, token);
        let mut list = loaded?;
        let Some(missed) = missed else { return Ok(find(&list)) };
        for numbers in missed {
            put_into_list(&numbers, &mut list);
        }
        let found = find(&list);
        let weight = 1 + list.len();
        lists.keep(account, list, weight);
        Ok(found)
    }

    /// Takes over what a transaction did.
    pub fn publish(&self, told: &Told<'_>) {
        self.publish_to_lists(told);
        self.publish_to_snapshots(told);
    }

    fn publish_to_lists(&self, told: &Told<'_>) {
        let mut lists = lock(&self.lists);
        if lists.is_empty() {
            return;
        }
        for numbers in told.numbers {
            match lists.listener(numbers.account) {
                Listener::Nobody => {}
                Listener::Value(list) => put_into_list(numbers, list),
                Listener::Loading(missed) => missed.push(numbers.clone()),
            }
        }
        for account in told.rearranged {
            lists.forget(*account);
        }
    }

    fn publish_to_snapshots(&self, told: &Told<'_>) {
        let mut snapshots = lock(&self.snapshots);
        if snapshots.is_empty() {
            return;
        }
        for (mailbox, touch) in told.touches {
            match snapshots.listener(*mailbox) {
                Listener::Nobody => {}
                Listener::Value(kept) => kept.hear(*touch),
                Listener::Loading(missed) => missed.push(Event::Touch(*touch)),
            }
        }
        for numbers in told.numbers {
            match snapshots.listener(numbers.mailbox) {
                Listener::Nobody => {}
                Listener::Value(kept) => {
                    numbers.put_into(&mut kept.snapshot.mailbox);
                    if kept.waiting.len() > WAITING_MAX {
                        kept.apply_waiting();
                    }
                }
                Listener::Loading(missed) => missed.push(Event::Numbers(numbers.clone())),
            }
        }
        for mailbox in told.gone {
            snapshots.forget(*mailbox);
        }
        if told.rearranged.is_empty() {
            return;
        }
        // Names and uses are part of a snapshot. Whose one is that is just being read is not known yet.
        let keys: Vec<MailboxId> = snapshots.keys().collect();
        for mailbox in keys {
            let stays = match snapshots.listener(mailbox) {
                Listener::Value(kept) => !told.rearranged.contains(&kept.snapshot.mailbox.account),
                Listener::Loading(_) | Listener::Nobody => false,
            };
            if !stays {
                snapshots.forget(mailbox);
            }
        }
    }
}

fn put_into_list(numbers: &Numbers, list: &mut [Mailbox]) {
    if let Some(mailbox) = list.iter_mut().find(|mailbox| mailbox.id == numbers.mailbox) {
        numbers.put_into(mailbox);
    }
}

/// The mailbox of this name in a list.
pub(crate) fn by_name(list: &[Mailbox], name: &str) -> Option<Mailbox> {
    let name = canonical_name(name).ok()?;
    list.iter().find(|mailbox| mailbox.name == name).cloned()
}

/// The mailbox of this number in a list.
pub(crate) fn by_id(list: &[Mailbox], id: MailboxId) -> Option<Mailbox> {
    list.iter().find(|mailbox| mailbox.id == id).cloned()
}

impl Kept {
    fn hear(&mut self, touch: Touch) {
        if touch.modseq() > self.read_modseq {
            self.waiting.push(touch);
        }
    }

    fn apply_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let only_flags = waiting.iter().all(|touch| matches!(touch, Touch::Changed(_)));
        if only_flags && let Some(entries) = Arc::get_mut(&mut self.snapshot.entries) {
            // Nobody else has it: in place.
            for touch in &waiting {
                change(entries, touch);
            }
            return;
        }
        let mut entries = self.snapshot.entries.to_vec();
        let mut expunged = Vec::new();
        for touch in &waiting {
            match touch {
                Touch::Arrived(entry) => entries.push(*entry),
                Touch::Changed(_) => change(&mut entries, touch),
                Touch::Expunged(uid, _) => expunged.push(*uid),
            }
        }
        if !expunged.is_empty() {
            expunged.sort_unstable();
            entries.retain(|entry| expunged.binary_search(&entry.uid).is_err());
        }
        self.snapshot.entries = entries.into();
    }
}

fn change(entries: &mut [Entry], touch: &Touch) {
    if let Touch::Changed(now) = touch
        && let Ok(at) = entries.binary_search_by_key(&now.uid, |entry| entry.uid)
        && let Some(entry) = entries.get_mut(at)
    {
        *entry = *now;
    }
}
