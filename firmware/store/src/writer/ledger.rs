//! What the writer knows and changes: the database, and the hot rows kept in memory.
//!
//! The writer is the only one who writes, so what it remembers of a mailbox or an account is always
//! true. Changed rows go to the database once per transaction, not once per message. A request that
//! fails is undone alone. Nearly all that fail have written nothing yet, so a savepoint round every
//! request, which copies each page that it touches, is spent only when one has: the batch is then spoiled,
//! and runs once more from its begin, with savepoints. The memory goes back by copies taken at first touch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::appender::Appender;
use super::memory::Memory;
use super::room::Rooms;
use crate::feed::MailboxEvent;
use crate::schema::{FIRST_MAILBOX, meta, set_meta};
use crate::snapshots::{Numbers, Touch};
use crate::text_index::Intake;
use crate::{AccountId, BodyId, MailboxId, ModSeq, StoreError, Uid};

/// Mailboxes and accounts remembered between transactions.
const REMEMBERED_MAX: usize = 20_000;

/// A mailbox as the writer remembers it.
#[derive(Debug, Clone)]
pub(crate) struct MailboxState {
    pub account: AccountId,
    pub uid_validity: u32,
    pub selectable: bool,
    pub keywords: Arc<Vec<String>>,
    pub uid_next: i64,
    pub modseq: i64,
    pub first_recent: i64,
    pub messages: i64,
    pub unseen: i64,
    pub deleted: i64,
    pub bytes: i64,
    pub expunged: i64,
    pub expunged_floor: i64,
}

/// What listeners are told after a commit.
#[derive(Default)]
pub(crate) struct Notices {
    /// The mailboxes that have changed.
    pub numbers: Vec<Numbers>,
    /// Messages that came, changed and went, in order.
    pub touches: Vec<(MailboxId, Touch)>,
    /// Mailboxes that were deleted.
    pub gone: Vec<MailboxId>,
    /// Accounts whose mailboxes came, went or have another name or use.
    pub rearranged: HashSet<AccountId>,
    /// What happened to mailboxes themselves.
    pub events: Vec<(AccountId, MailboxEvent)>,
    pub queue: bool,
    /// Domains or their settings changed.
    pub directory: bool,
    /// Somebody is to be warned.
    pub warnings: bool,
}

/// The writer's whole state.
pub(crate) struct Ledger {
    pub(super) database: Connection,
    pub(super) appender: Appender,
    pub(super) texts: Arc<Intake>,
    mailboxes: Memory<MailboxId, MailboxState>,
    pub(super) rooms: Rooms,
    next_body: u64,
    next_body_written: u64,
    next_mailbox: i64,
    /// Mailboxes deleted in this transaction.
    gone: Vec<MailboxId>,
    /// Accounts whose mailboxes were rearranged in it.
    rearranged: HashSet<AccountId>,
    /// What happened to messages in it.
    touches: Vec<(MailboxId, Touch)>,
    /// What happened to mailboxes in this transaction.
    events: Vec<(AccountId, MailboxEvent)>,
    pub(super) queue_changed: bool,
    pub(super) directory_changed: bool,
    pub(super) warnings_changed: bool,
    now_s: i64,
    /// Every request of this transaction has a savepoint.
    careful: bool,
    /// A request has failed after it wrote, without a savepoint.
    spoiled: bool,
}

impl Ledger {
    pub fn load(database: Connection, appender: Appender, texts: Arc<Intake>) -> Result<Self, StoreError> {
        let next_body = meta(&database, "next_body")?.unwrap_or(1) as u64;
        let next_mailbox = meta(&database, "next_mailbox")?.unwrap_or(FIRST_MAILBOX);
        Ok(Self {
            database,
            appender,
            texts,
            mailboxes: Memory::new(),
            rooms: Rooms::new(),
            next_body,
            next_body_written: next_body,
            next_mailbox,
            gone: Vec::new(),
            rearranged: HashSet::new(),
            touches: Vec::new(),
            events: Vec::new(),
            queue_changed: false,
            directory_changed: false,
            warnings_changed: false,
            now_s: 0,
            careful: false,
            spoiled: false,
        })
    }

    // --- transactions ---

    /// Begins a transaction. With `careful` any request in it can fail for itself alone; without, one that
    /// fails late spoils the whole ([`Ledger::is_spoiled`]).
    pub fn begin(&mut self, careful: bool) -> Result<(), StoreError> {
        self.careful = careful;
        self.spoiled = false;
        let accounts = self.rooms.accounts.len().max(self.rooms.domains.len());
        if self.mailboxes.len() > REMEMBERED_MAX || accounts > REMEMBERED_MAX {
            self.mailboxes.clear();
            self.rooms.clear();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.now_s = now.as_secs() as i64;
        self.run("BEGIN IMMEDIATE", [])?;
        Ok(())
    }

    /// Runs one request; if it fails, only its own changes are undone, or the transaction is spoiled.
    pub fn request<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.mailboxes.begin_request();
        self.rooms.begin_request();
        let (mark, gone, events) = (self.appender.mark(), self.gone.len(), self.events.len());
        let touches = self.touches.len();
        let written = self.database.total_changes();
        if self.careful {
            self.run("SAVEPOINT request", [])?;
        }
        let result = run(self);
        if result.is_err() {
            if self.database.is_autocommit() {
                // SQLite has ended the whole transaction; the caller learns why from the error.
                return result;
            }
            self.mailboxes.go_back();
            self.rooms.go_back();
            self.appender.go_back(mark);
            self.gone.truncate(gone);
            self.events.truncate(events);
            self.touches.truncate(touches);
            if self.careful {
                self.run("ROLLBACK TO request", [])?;
            } else if self.database.total_changes() != written {
                self.spoiled = true;
            }
        }
        if self.careful {
            self.run("RELEASE request", [])?;
        }
        result
    }

    /// A request has failed after it wrote: roll back, and run all of them again with `careful`.
    pub fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// Makes everything durable: the bodies have left for the disk before the log is written, and the
    /// sync of the log flushes both.
    pub fn commit(&mut self) -> Result<Notices, StoreError> {
        let mut notices = Notices {
            events: std::mem::take(&mut self.events),
            touches: std::mem::take(&mut self.touches),
            gone: std::mem::take(&mut self.gone),
            rearranged: std::mem::take(&mut self.rearranged),
            queue: std::mem::take(&mut self.queue_changed),
            ..Notices::default()
        };
        self.appender.write()?;
        self.write_mailboxes(&mut notices)?;
        self.write_rooms()?;
        notices.directory = std::mem::take(&mut self.directory_changed);
        notices.warnings = std::mem::take(&mut self.warnings_changed);
        let next_body = self.next_body;
        if next_body != self.next_body_written {
            set_meta(&self.database, "next_body", next_body as i64)?;
        }
        self.appender.write_rows(&self.database)?;
        self.appender.finish_writing()?;
        self.run("COMMIT", [])?;
        self.next_body_written = next_body;
        self.appender.committed();
        self.texts.committed(next_body);
        Ok(notices)
    }

    /// Undoes the whole transaction.
    pub fn roll_back(&mut self) -> Result<(), StoreError> {
        self.mailboxes.clear();
        self.rooms.clear();
        self.gone.clear();
        self.rearranged.clear();
        self.touches.clear();
        self.events.clear();
        self.queue_changed = false;
        self.directory_changed = false;
        self.warnings_changed = false;
        self.appender.roll_back();
        // SQLite has rolled back by itself after some errors.
        if !self.database.is_autocommit() {
            self.run("ROLLBACK", [])?;
        }
        self.next_mailbox = meta(&self.database, "next_mailbox")?.unwrap_or(FIRST_MAILBOX);
        Ok(())
    }

    // --- what requests use ---

    /// Seconds since 1970 at the begin of the transaction.
    pub fn now_s(&self) -> i64 {
        self.now_s
    }

    /// The database, inside the open transaction.
    pub fn database(&self) -> &Connection {
        &self.database
    }

    /// Executes a statement that is prepared once.
    pub fn run(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.database.prepare_cached(sql)?.execute(params)?)
    }

    /// The row of a statement that is prepared once, if there is one.
    pub fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.database.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// All rows of a statement that is prepared once.
    pub fn list<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.database.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A mailbox's state.
    pub fn mailbox(&mut self, id: MailboxId) -> Result<&MailboxState, StoreError> {
        if self.mailboxes.get(id).is_none() {
            let state = self.load_mailbox(id)?;
            self.mailboxes.load(id, state);
        }
        self.mailboxes.get(id).ok_or(StoreError::NoSuchMailbox)
    }

    /// A mailbox's state, to be changed.
    pub fn mailbox_mut(&mut self, id: MailboxId) -> Result<&mut MailboxState, StoreError> {
        self.mailbox(id)?;
        self.mailboxes.change(id).ok_or(StoreError::NoSuchMailbox)
    }

    /// A mailbox that can hold messages.
    pub fn selectable(&mut self, id: MailboxId) -> Result<&MailboxState, StoreError> {
        let state = self.mailbox(id)?;
        if state.selectable { Ok(state) } else { Err(StoreError::NotSelectable) }
    }

    /// Forgets a mailbox that is being deleted.
    pub fn forget_mailbox(&mut self, id: MailboxId) {
        if let Some(account) = self.mailboxes.get(id).map(|state| state.account) {
            self.rearranged.insert(account);
        }
        self.mailboxes.forget(id);
        self.gone.push(id);
    }

    /// Remembers what is told to feeds when the transaction is durable.
    pub fn note_event(&mut self, account: AccountId, event: MailboxEvent) {
        if !matches!(event, MailboxEvent::Subscription { .. }) {
            self.rearranged.insert(account);
        }
        self.events.push((account, event));
    }

    /// Remembers that a mailbox of the account is new or has another name or use.
    pub fn note_rearranged(&mut self, account: AccountId) {
        self.rearranged.insert(account);
    }

    /// Remembers what happens to a message, for who has its mailbox in memory.
    pub fn note_touch(&mut self, mailbox: MailboxId, touch: Touch) {
        self.touches.push((mailbox, touch));
    }

    /// A body number never used before.
    pub fn new_body(&mut self) -> BodyId {
        self.next_body += 1;
        BodyId(self.next_body - 1)
    }

    /// A mailbox number never used before.
    pub fn new_mailbox(&mut self) -> Result<MailboxId, StoreError> {
        self.new_mailboxes(1)?.next().ok_or(StoreError::NoSuchMailbox)
    }

    /// Several of them.
    pub fn new_mailboxes(
        &mut self,
        count: i64,
    ) -> Result<impl Iterator<Item = MailboxId> + use<>, StoreError> {
        let first = self.next_mailbox;
        self.next_mailbox += count;
        set_meta(&self.database, "next_mailbox", self.next_mailbox)?;
        Ok((first..first + count).map(MailboxId))
    }

    /// A UIDVALIDITY higher than any before; the clock keeps it rising across a lost store too.
    pub fn new_uid_validity(&mut self) -> Result<u32, StoreError> {
        self.new_uid_validities(1)
    }

    /// The first of so many that follow each other.
    pub fn new_uid_validities(&mut self, count: i64) -> Result<u32, StoreError> {
        let last = meta(&self.database, "uid_validity")?.unwrap_or(0);
        let first = (last + 1).max(self.now_s).min(i64::from(u32::MAX) - count);
        set_meta(&self.database, "uid_validity", first + count - 1)?;
        Ok(first as u32)
    }

    fn load_mailbox(&self, id: MailboxId) -> Result<MailboxState, StoreError> {
        self.find(
            "SELECT account, uid_validity, selectable, keywords, uid_next, modseq, first_recent, messages,
                    unseen, deleted, bytes, expunged, expunged_floor
             FROM mailboxes JOIN counters ON mailbox = id WHERE id = ?1",
            [id.0],
            |row| {
                Ok(MailboxState {
                    account: AccountId(row.get(0)?),
                    uid_validity: row.get(1)?,
                    selectable: row.get(2)?,
                    keywords: Arc::new(crate::mailbox::split_keywords(row.get_ref(3)?.as_str()?)),
                    uid_next: row.get(4)?,
                    modseq: row.get(5)?,
                    first_recent: row.get(6)?,
                    messages: row.get(7)?,
                    unseen: row.get(8)?,
                    deleted: row.get(9)?,
                    bytes: row.get(10)?,
                    expunged: row.get(11)?,
                    expunged_floor: row.get(12)?,
                })
            },
        )?
        .ok_or(StoreError::NoSuchMailbox)
    }

    fn write_mailboxes(&mut self, notices: &mut Notices) -> Result<(), StoreError> {
        for (id, state) in self.mailboxes.take_dirty() {
            self.run(
                "UPDATE counters SET uid_next = ?2, modseq = ?3, first_recent = ?4, messages = ?5, unseen = ?6,
                        deleted = ?7, bytes = ?8, expunged = ?9, expunged_floor = ?10 WHERE mailbox = ?1",
                params![
                    id.0,
                    state.uid_next,
                    state.modseq,
                    state.first_recent,
                    state.messages,
                    state.unseen,
                    state.deleted,
                    state.bytes,
                    state.expunged,
                    state.expunged_floor
                ],
            )?;
            notices.numbers.push(state.numbers(id));
        }
        Ok(())
    }
}

impl MailboxState {
    fn numbers(&self, mailbox: MailboxId) -> Numbers {
        Numbers {
            mailbox,
            account: self.account,
            uid_next: self.uid_next as Uid,
            highest_modseq: self.modseq as ModSeq,
            first_recent: self.first_recent as Uid,
            messages: self.messages as u32,
            unseen: self.unseen as u32,
            deleted: self.deleted as u32,
            bytes: self.bytes as u64,
            keywords: self.keywords.clone(),
        }
    }

    /// The next UID, taken.
    pub fn take_uid(&mut self) -> Result<Uid, StoreError> {
        let uid =
            Uid::try_from(self.uid_next).ok().filter(|uid| *uid < Uid::MAX).ok_or(StoreError::NoUidLeft)?;
        self.uid_next += 1;
        Ok(uid)
    }

    /// The mod-sequence of a new change.
    pub fn advance(&mut self) -> i64 {
        self.modseq += 1;
        self.modseq
    }
}
