//! The handle to an open store: every call of it.

use std::path::Path;

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    Account, AccountId, Alias, Append, Appended, BodyRef, Changes, Copied, Delivered, Delivery, Domain,
    DueItem, Expunged, Mailbox, MailboxId, ModSeq, PasswordHash, QueueEntry, QueueId, Quota, Resolution, Row,
    Settlement, Snapshot, SpecialUse, StoreError, StoreFlags, Stored, Subscription, UidRanges,
};

/// An open store; clones share it. Writes are async and answered when durable; reads are short,
/// blocking, and bounded by a pool of read-only connections.
#[derive(Clone)]
pub struct Store {}

/// What [`Store::check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Messages looked at.
    pub messages: u64,
    /// Bodies looked at.
    pub bodies: u64,
    /// What is wrong, a sentence each; empty is clean.
    pub faults: Vec<String>,
}

impl Store {
    /// Opens the store in `dir`, makes it if it is new, and records `epoch` in it durably.
    pub fn open(dir: &Path, epoch: u32) -> Result<Self, StoreError> {
        todo!()
    }
    /// Becomes `Some(reason)` when a write, sync or commit has failed: the process must end.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        todo!()
    }
    /// Answers after everything accepted so far is durable, and stops the writer.
    pub async fn close(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// An empty durable transaction: how health is measured.
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// The epoch it was opened with.
    pub fn epoch(&self) -> u32 {
        todo!()
    }

    // --- directory ---
    /// Where mail for an address goes. The address is `local@domain`, in any case.
    pub fn resolve(&self, address: &str) -> Result<Resolution, StoreError> {
        todo!()
    }
    /// An account by its address.
    pub fn account_by_name(&self, address: &str) -> Result<Option<Account>, StoreError> {
        todo!()
    }
    /// An account by its number.
    pub fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError> {
        todo!()
    }
    /// What an account uses and may use; for the check at RCPT time.
    pub fn quota(&self, account: AccountId) -> Result<Option<Quota>, StoreError> {
        todo!()
    }
    /// All domains.
    pub fn domains(&self) -> Result<Vec<Domain>, StoreError> {
        todo!()
    }
    /// Accounts of one domain, or of all.
    pub fn accounts(&self, domain: Option<&str>) -> Result<Vec<Account>, StoreError> {
        todo!()
    }
    /// Aliases of one domain, or of all.
    pub fn aliases(&self, domain: Option<&str>) -> Result<Vec<Alias>, StoreError> {
        todo!()
    }
    /// Adds a domain (A-labels).
    pub async fn add_domain(&self, domain: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Removes a domain without accounts, and its aliases.
    pub async fn remove_domain(&self, domain: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Adds an account with its usual mailboxes.
    pub async fn add_account(
        &self,
        address: &str,
        password: PasswordHash,
        limit_bytes: Option<u64>,
    ) -> Result<AccountId, StoreError> {
        todo!()
    }
    /// Removes an account and its mail.
    pub async fn remove_account(&self, address: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Changes a password.
    pub async fn set_password(&self, address: &str, password: PasswordHash) -> Result<(), StoreError> {
        todo!()
    }
    /// Changes the space an account may use.
    pub async fn set_quota(&self, address: &str, limit_bytes: Option<u64>) -> Result<(), StoreError> {
        todo!()
    }
    /// Adds a target to an alias; makes the alias if it is new. `@domain` is the catch-all.
    pub async fn add_alias(&self, address: &str, target: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Removes an alias, or one target of it.
    pub async fn remove_alias(&self, address: &str, target: Option<&str>) -> Result<(), StoreError> {
        todo!()
    }
    /// A setting of the mail service.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        todo!()
    }
    /// Sets or removes a setting of the mail service.
    pub async fn set_setting(&self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        todo!()
    }

    // --- messages in ---
    /// Stores one message for all its recipients; each is accepted or refused for itself.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Delivered, StoreError> {
        todo!()
    }
    /// APPEND: all of the messages or none.
    pub async fn append(&self, mailbox: MailboxId, messages: Vec<Append>) -> Result<Appended, StoreError> {
        todo!()
    }
    /// COPY: all of the messages or none; flags, dates and bodies go along.
    pub async fn copy(&self, from: MailboxId, uids: UidRanges, to: MailboxId) -> Result<Copied, StoreError> {
        todo!()
    }
    /// MOVE (RFC 6851): all of the messages or none.
    pub async fn move_messages(
        &self,
        from: MailboxId,
        uids: UidRanges,
        to: MailboxId,
    ) -> Result<Copied, StoreError> {
        todo!()
    }
    /// STORE.
    pub async fn store_flags(
        &self,
        mailbox: MailboxId,
        uids: UidRanges,
        change: StoreFlags,
    ) -> Result<Stored, StoreError> {
        todo!()
    }
    /// EXPUNGE: every message with `\Deleted`; with `uids` only those among them (UID EXPUNGE).
    pub async fn expunge(&self, mailbox: MailboxId, uids: Option<UidRanges>) -> Result<Expunged, StoreError> {
        todo!()
    }
    /// Removes messages whatever their flags (POP3 QUIT).
    pub async fn remove(&self, mailbox: MailboxId, uids: UidRanges) -> Result<Expunged, StoreError> {
        todo!()
    }
    /// Takes the `\Recent` messages for one session: those from the returned UID on are its own.
    pub async fn claim_recent(&self, mailbox: MailboxId) -> Result<crate::Uid, StoreError> {
        todo!()
    }

    // --- mailboxes ---
    /// All mailboxes of an account by name, INBOX first.
    pub fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        todo!()
    }
    /// One mailbox by name.
    pub fn mailbox(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, StoreError> {
        todo!()
    }
    /// One mailbox by number.
    pub fn mailbox_by_id(&self, mailbox: MailboxId) -> Result<Option<Mailbox>, StoreError> {
        todo!()
    }
    /// Subscribed names.
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<Subscription>, StoreError> {
        todo!()
    }
    /// Makes a mailbox and the levels above it.
    pub async fn create_mailbox(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        todo!()
    }
    /// Removes a mailbox and its messages; with children it stays as `\Noselect` (RFC 3501 6.3.4).
    pub async fn delete_mailbox(&self, account: AccountId, name: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Renames a mailbox and its children; INBOX gives its messages away and stays (RFC 3501 6.3.5).
    pub async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// SUBSCRIBE and UNSUBSCRIBE.
    pub async fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<(), StoreError> {
        todo!()
    }

    // --- reading mail ---
    /// A mailbox and all its messages, compact.
    pub fn snapshot(&self, mailbox: MailboxId) -> Result<Snapshot, StoreError> {
        todo!()
    }
    /// What happened after `since`.
    pub fn changes_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Changes, StoreError> {
        todo!()
    }
    /// Rows of messages, ascending; ask in pieces of some hundred. Without `summaries` those are empty.
    pub fn rows(
        &self,
        mailbox: MailboxId,
        uids: &UidRanges,
        summaries: bool,
    ) -> Result<Vec<Row>, StoreError> {
        todo!()
    }
    /// The message, byte for byte, its checksum verified.
    pub fn read_body(&self, body: &BodyRef) -> Result<Bytes, StoreError> {
        todo!()
    }
    /// A piece of the message (its header, say) without reading all of it; not verified.
    pub fn read_range(&self, body: &BodyRef, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        todo!()
    }
    /// Tells the mailbox's highest mod-sequence after every commit that changes it; 0 once it is deleted.
    pub fn watch(&self, mailbox: MailboxId) -> watch::Receiver<ModSeq> {
        todo!()
    }

    // --- queue ---
    /// Recipients whose time has come, oldest first, claimed until settled or released.
    pub fn claim_due(&self, now_ms: u64, limit: usize) -> Result<Vec<DueItem>, StoreError> {
        todo!()
    }
    /// Gives claims back unsettled.
    pub fn release_claims(&self, ids: &[QueueId]) {
        todo!()
    }
    /// When the next unclaimed recipient is due, milliseconds since 1970.
    pub fn next_due_ms(&self) -> Result<Option<u64>, StoreError> {
        todo!()
    }
    /// Records outcomes and, in the same transaction, delivers a notice about them.
    pub async fn settle(
        &self,
        settlements: Vec<Settlement>,
        notice: Option<Delivery>,
    ) -> Result<Option<Delivered>, StoreError> {
        todo!()
    }
    /// All recipients in the queue, oldest first, at most `limit`.
    pub fn queue(&self, limit: usize) -> Result<Vec<QueueEntry>, StoreError> {
        todo!()
    }
    /// Makes one recipient, or all, due now.
    pub async fn queue_retry(&self, id: Option<QueueId>, now_ms: u64) -> Result<(), StoreError> {
        todo!()
    }
    /// One claimed or waiting recipient by number, for giving it up.
    pub fn queue_item(&self, id: QueueId) -> Result<Option<DueItem>, StoreError> {
        todo!()
    }
    /// Changes when something was queued or made due.
    pub fn watch_queue(&self) -> watch::Receiver<u64> {
        todo!()
    }

    // --- care ---
    /// Verifies everything: database, counts, every body's checksum. Long; call it where blocking is fine.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        todo!()
    }
}
