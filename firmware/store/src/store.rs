//! The handle to an open store: every call of it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::OptionalExtension;
use rustix::fs::FlockOperation;
use tokio::sync::watch;

use crate::directory::{self, Which};
use crate::domain::DomainMemory;
use crate::feed::Feeds;
use crate::reader::Readers;
use crate::recent::Recents;
use crate::segment::{MESSAGE_BYTES_MAX, SegmentFiles};
use crate::text_index::TextIndex;
use crate::writer::{CommitCounts, Cost, Shared, Writer};
use crate::{
    Account, AccountId, Alias, Append, Appended, Body, BodyRef, Changes, CheckReport, Copied, Delivered,
    Delivery, Domain, Expunged, Mailbox, MailboxId, ModSeq, PasswordHash, QueueId, Quota, Resolution, Row,
    Snapshot, SpecialUse, StoreError, StoreFlags, Stored, Subscription, UidRanges, changes, check, delivery,
    mailbox, reserve, schema, snapshots,
};

/// Reads of the database at a time.
const READERS: usize = 4;
/// Times a body is looked for again when it has been moved while it was read.
const READ_ATTEMPTS: usize = 3;

/// An open store; clones share it. Writes are async and answered when durable; reads are short,
/// blocking, and bounded by a pool of read-only connections.
///
/// An error that a write answers concerns that write alone, except [`StoreError::Failed`]: then
/// nothing can be written any more and the process must end.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// What the clones of a handle share.
pub(crate) struct Inner {
    // The order matters: the writer ends before the lock is let go.
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) shared: Shared,
    pub(crate) claimed: Mutex<HashSet<QueueId>>,
    domains: DomainMemory,
    text: TextIndex,
    recents: Recents,
    dir: PathBuf,
    epoch: u32,
    _lock: File,
}

impl Store {
    /// Opens the store in `dir`, makes it if it is new, and records `epoch` in it durably.
    ///
    /// Its cost does not grow with the number of messages: only the log of the last moments is read.
    pub fn open(dir: &Path, epoch: u32) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir.join("segments"))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::InUse),
            other => other.map_err(std::io::Error::from)?,
        }
        if reserve::make_room(dir) {
            tracing::warn!("the mail disk is full; the store is opened with the room kept back for that");
        }
        let path = dir.join("mail.db");
        let open = || {
            let database = schema::open_writer(&path)?;
            schema::prepare(&database, epoch)?;
            Ok::<_, StoreError>(database)
        };
        let database = match open() {
            Err(_) if reserve::give_up(dir) => open(),
            other => other,
        }?;
        // The names of database, log and segment directory must survive a power cut too.
        File::open(dir)?.sync_all()?;
        let shared = Shared {
            files: Arc::new(SegmentFiles::new(dir.join("segments"))),
            watchers: Arc::default(),
            feeds: Arc::default(),
            snapshots: Arc::default(),
            queue: watch::Sender::new(0),
            directory: Arc::default(),
            warnings: watch::Sender::new(0),
            failed: watch::Sender::new(None),
            reclaiming: Arc::default(),
            texts: Arc::default(),
            commits: Arc::default(),
        };
        let text = TextIndex::start(dir, &database, &shared.files, &shared.texts);
        let writer = Writer::start(dir, database, shared.clone())?;
        let readers = Readers::open(READERS, move || schema::open_reader(&path))?;
        let claimed = Mutex::default();
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                text,
                readers,
                shared,
                claimed,
                domains: DomainMemory::default(),
                recents: Recents::default(),
                dir: dir.to_owned(),
                epoch,
                _lock: lock,
            }),
        })
    }

    /// Becomes `Some(reason)` when a write, sync or commit has failed: the process must end.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.inner.shared.failed.subscribe()
    }

    /// Answers after everything accepted so far is durable, and stops the writer.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.writer.stop().await
    }

    /// A durable transaction that changes next to nothing: how health is measured.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let epoch = i64::from(self.inner.epoch);
        // Writing the same number again still goes through the log and its sync.
        self.small(move |ledger| schema::set_meta(ledger.database(), "epoch", epoch)).await
    }

    /// The epoch it was opened with.
    pub fn epoch(&self) -> u32 {
        self.inner.epoch
    }

    // --- directory ---

    /// Where mail for an address goes. The address is `local@domain`, in any case.
    pub fn resolve(&self, address: &str) -> Result<Resolution, StoreError> {
        self.inner.readers.read_moment(|database| directory::resolve(database, address))
    }

    /// An account by its address.
    pub fn account_by_name(&self, address: &str) -> Result<Option<Account>, StoreError> {
        self.inner.readers.read(|database| directory::account(database, Which::Address(address)))
    }

    /// An account by its number.
    pub fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError> {
        self.inner.readers.read(|database| directory::account(database, Which::Id(account)))
    }

    /// What an account uses and may use; for the check at RCPT time.
    pub fn quota(&self, account: AccountId) -> Result<Option<Quota>, StoreError> {
        Ok(self.account(account)?.map(|account| account.quota))
    }

    /// All domains.
    pub fn domains(&self) -> Result<Vec<Domain>, StoreError> {
        self.inner.readers.read(directory::domains)
    }

    /// Accounts of one domain, or of all.
    pub fn accounts(&self, domain: Option<&str>) -> Result<Vec<Account>, StoreError> {
        self.inner.readers.read(|database| directory::accounts(database, domain))
    }

    /// Aliases of one domain, or of all.
    pub fn aliases(&self, domain: Option<&str>) -> Result<Vec<Alias>, StoreError> {
        self.inner.readers.read(|database| directory::aliases(database, domain))
    }

    /// Adds a domain (A-labels).
    pub async fn add_domain(&self, domain: &str) -> Result<(), StoreError> {
        let domain = domain.to_owned();
        self.growing(move |ledger| ledger.add_domain(&domain)).await
    }

    /// Removes a domain without accounts, and its aliases.
    pub async fn remove_domain(&self, domain: &str) -> Result<(), StoreError> {
        let domain = domain.to_owned();
        self.small(move |ledger| ledger.remove_domain(&domain)).await
    }

    /// Adds an account with its usual mailboxes.
    pub async fn add_account(
        &self,
        address: &str,
        password: PasswordHash,
        limit_bytes: Option<u64>,
    ) -> Result<AccountId, StoreError> {
        let address = address.to_owned();
        self.growing(move |ledger| ledger.add_account(&address, &password, limit_bytes)).await
    }

    /// Removes an account and its mail.
    pub async fn remove_account(&self, address: &str) -> Result<(), StoreError> {
        let address = address.to_owned();
        self.small(move |ledger| ledger.remove_account(&address)).await
    }

    /// Changes a password.
    pub async fn set_password(&self, address: &str, password: PasswordHash) -> Result<(), StoreError> {
        let address = address.to_owned();
        self.small(move |ledger| ledger.set_password(&address, &password)).await
    }

    /// Changes the space an account may use.
    pub async fn set_quota(&self, address: &str, limit_bytes: Option<u64>) -> Result<(), StoreError> {
        let address = address.to_owned();
        self.small(move |ledger| ledger.set_quota(&address, limit_bytes)).await
    }

    /// Adds a target to an alias; makes the alias if it is new. `@domain` is the catch-all.
    pub async fn add_alias(&self, address: &str, target: &str) -> Result<(), StoreError> {
        let (address, target) = (address.to_owned(), target.to_owned());
        self.growing(move |ledger| ledger.add_alias(&address, &target)).await
    }

    /// Removes an alias, or one target of it.
    pub async fn remove_alias(&self, address: &str, target: Option<&str>) -> Result<(), StoreError> {
        let (address, target) = (address.to_owned(), target.map(str::to_owned));
        self.small(move |ledger| ledger.remove_alias(&address, target.as_deref())).await
    }

    /// A setting of the mail service.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.inner.readers.read(|database| {
            let mut statement = database.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
            Ok(statement.query_row([name], |row| row.get(0)).optional()?)
        })
    }

    /// Sets or removes a setting of the mail service.
    pub async fn set_setting(&self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        self.small(move |ledger| ledger.set_setting(&name, value.as_deref())).await
    }

    // --- messages in ---

    /// Stores one message for all its recipients; each is accepted or refused for itself.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Delivered, StoreError> {
        let cost = growing_by([&delivery.body])?;
        self.inner.writer.submit(cost, move |ledger| ledger.deliver(&delivery)).await
    }

    /// APPEND: all of the messages or none.
    pub async fn append(&self, mailbox: MailboxId, messages: Vec<Append>) -> Result<Appended, StoreError> {
        let cost = growing_by(messages.iter().map(|message| &message.body))?;
        self.inner.writer.submit(cost, move |ledger| ledger.append(mailbox, &messages)).await
    }

    /// COPY: all of the messages or none; flags, dates and bodies go along.
    pub async fn copy(&self, from: MailboxId, uids: UidRanges, to: MailboxId) -> Result<Copied, StoreError> {
        self.growing(move |ledger| ledger.copy(from, &uids, to, false)).await
    }

    /// MOVE (RFC 6851): all of the messages or none.
    pub async fn move_messages(
        &self,
        from: MailboxId,
        uids: UidRanges,
        to: MailboxId,
    ) -> Result<Copied, StoreError> {
        self.small(move |ledger| ledger.copy(from, &uids, to, true)).await
    }

    /// STORE.
    pub async fn store_flags(
        &self,
        mailbox: MailboxId,
        uids: UidRanges,
        change: StoreFlags,
    ) -> Result<Stored, StoreError> {
        self.small(move |ledger| ledger.store_flags(mailbox, &uids, &change)).await
    }

    /// EXPUNGE: every message with `\Deleted`; with `uids` only those among them (UID EXPUNGE).
    pub async fn expunge(&self, mailbox: MailboxId, uids: Option<UidRanges>) -> Result<Expunged, StoreError> {
        self.small(move |ledger| ledger.expunge(mailbox, uids.as_deref(), true)).await
    }

    /// Removes messages whatever their flags (POP3 QUIT).
    pub async fn remove(&self, mailbox: MailboxId, uids: UidRanges) -> Result<Expunged, StoreError> {
        self.small(move |ledger| ledger.expunge(mailbox, Some(&uids), false)).await
    }

    // --- mailboxes ---

    /// All mailboxes of an account by name, INBOX first.
    pub fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        self.list(account, <[Mailbox]>::to_vec)
    }

    /// One mailbox by name.
    pub fn mailbox(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, StoreError> {
        self.list(account, |list| snapshots::by_name(list, name))
    }

    /// One mailbox by number.
    pub fn mailbox_by_id(&self, mailbox: MailboxId) -> Result<Option<Mailbox>, StoreError> {
        if mailbox.0 < schema::FIRST_MAILBOX {
            // The INBOX of an account has the account's number.
            return self.list(AccountId(mailbox.0), |list| snapshots::by_id(list, mailbox));
        }
        if let Some(kept) = self.inner.shared.snapshots.kept_mailbox(mailbox) {
            return Ok(Some(kept));
        }
        self.inner.readers.read(|database| mailbox::by_id(database, mailbox))
    }

    /// Subscribed names.
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<Subscription>, StoreError> {
        self.inner.readers.read(|database| mailbox::subscriptions(database, account))
    }

    /// Makes a mailbox and the levels above it.
    pub async fn create_mailbox(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        let name = name.to_owned();
        self.growing(move |ledger| ledger.create_mailbox(account, &name, special_use)).await
    }

    /// Removes a mailbox and its messages; with children it stays as `\Noselect` (RFC 3501 6.3.4).
    pub async fn delete_mailbox(&self, account: AccountId, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.small(move |ledger| ledger.delete_mailbox(account, &name)).await
    }

    /// Renames a mailbox and its children; INBOX gives its messages away and stays (RFC 3501 6.3.5).
    pub async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.small(move |ledger| ledger.rename_mailbox(account, &from, &to)).await
    }

    /// SUBSCRIBE and UNSUBSCRIBE.
    pub async fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.small(move |ledger| ledger.subscribe(account, &name, on)).await
    }

    // --- reading mail ---

    /// A mailbox and all its messages, compact.
    pub fn snapshot(&self, mailbox: MailboxId) -> Result<Snapshot, StoreError> {
        let load = || self.inner.readers.read_moment(|database| changes::snapshot(database, mailbox));
        self.inner.shared.snapshots.snapshot(mailbox, load)
    }

    /// What happened after `since`.
    pub fn changes_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Changes, StoreError> {
        self.inner.readers.read_moment(|database| changes::changes_since(database, mailbox, since))
    }

    /// Rows of messages, ascending; ask in pieces of some hundred. Without `summaries` those are empty.
    pub fn rows(
        &self,
        mailbox: MailboxId,
        uids: &UidRanges,
        summaries: bool,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.readers.read_moment(|database| changes::rows(database, mailbox, uids, summaries))
    }

    /// The message, byte for byte, its checksum verified. [`StoreError::Gone`] once it is expunged.
    pub fn read_body(&self, body: &BodyRef) -> Result<Bytes, StoreError> {
        self.read_where_it_is(body, |place| self.inner.shared.files.read(place))
    }

    /// A piece of the message (its header, say) without reading all of it; not verified.
    pub fn read_range(&self, body: &BodyRef, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        // A moved body leaves a hole behind, and only the head tells: it is read with the piece.
        self.read_where_it_is(body, |place| self.inner.shared.files.read_range(place, range.clone()))
    }

    /// Tells the mailbox's highest mod-sequence after every commit that changes it; 0 once it is
    /// deleted. The first value says nothing. Subscribe before taking the snapshot, so that nothing
    /// falls between the two.
    pub fn watch(&self, mailbox: MailboxId) -> watch::Receiver<ModSeq> {
        self.inner.shared.watchers.subscribe(mailbox)
    }

    // --- care ---

    /// Verifies everything: database, counts, every body's checksum. Long; call it where blocking is
    /// fine. Mail goes on meanwhile; only reclaiming waits.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let _guard = self.inner.shared.reclaiming.lock().unwrap_or_else(PoisonError::into_inner);
        let database = schema::open_reader(&self.inner.dir.join("mail.db"))?;
        let mut report = check::check(&database, &self.inner.shared.files)?;
        let faults = crate::text_index::audit(&self.inner.dir, &database)?;
        report.faults.extend(faults);
        Ok(report)
    }

    /// What `find` makes of the mailboxes of an account.
    fn list<T>(&self, account: AccountId, find: impl FnOnce(&[Mailbox]) -> T) -> Result<T, StoreError> {
        let load = || self.inner.readers.read(|database| mailbox::of_account(database, account));
        self.inner.shared.snapshots.mailboxes(account, load, find)
    }

    /// How long commits took since the start, and whether the disk is full.
    pub fn commit_times(&self) -> CommitCounts {
        self.inner.shared.commits.read()
    }

    /// Free and whole size of the file system the store is on, in bytes.
    pub fn space(&self) -> Result<(u64, u64), StoreError> {
        let disk = rustix::fs::statvfs(&self.inner.dir).map_err(std::io::Error::from)?;
        Ok((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn domain_memory(&self) -> &DomainMemory {
        &self.inner.domains
    }

    /// Reads a body where the caller saw it, and where it has been moved to if it is not there.
    fn read_where_it_is(
        &self,
        body: &BodyRef,
        read: impl Fn(&BodyRef) -> Result<Option<Bytes>, StoreError>,
    ) -> Result<Bytes, StoreError> {
        let mut place = *body;
        for _ in 0..READ_ATTEMPTS {
            let damage = match read(&place) {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) => StoreError::Gone,
                Err(error @ StoreError::Damaged { .. }) => error,
                Err(error) => return Err(error),
            };
            let now = self.inner.readers.read(|database| delivery::find_body(database, body.id))?;
            match now {
                None => return Err(StoreError::Gone),
                Some(now) if now == place => return Err(damage),
                Some(now) => place = now,
            }
        }
        Err(StoreError::Busy)
    }

    /// The connections that read, for the modules of single parts of the store.
    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) fn text_index(&self) -> &TextIndex {
        &self.inner.text
    }

    pub(crate) fn feeds(&self) -> &Arc<Feeds> {
        &self.inner.shared.feeds
    }

    pub(crate) fn recents(&self) -> &Recents {
        &self.inner.recents
    }

    pub(crate) async fn small<T: Send + 'static>(
        &self,
        run: impl FnMut(&mut crate::writer::Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.submit(Cost::SMALL, run).await
    }

    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        cost: Cost,
        run: impl FnMut(&mut crate::writer::Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.submit(cost, run).await
    }

    /// A change that adds rows.
    pub(crate) async fn growing<T: Send + 'static>(
        &self,
        run: impl FnMut(&mut crate::writer::Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.submit(Cost::GROWING, run).await
    }
}

/// The cost of a request with these messages.
pub(crate) fn growing_by<'a>(bodies: impl IntoIterator<Item = &'a Body>) -> Result<Cost, StoreError> {
    let mut bytes = 0;
    for body in bodies {
        if body.bytes().len() > MESSAGE_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes: body.bytes().len() as u64 });
        }
        bytes += (body.bytes().len() + body.summary().len() + body.tokens.len()) as u64;
    }
    Ok(Cost { bytes, grows: true })
}
