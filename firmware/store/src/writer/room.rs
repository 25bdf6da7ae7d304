//! Room: what accounts and domains use and may use, and who is to be warned.
//!
//! Levels are looked at when a transaction commits, not with every message: a move within an account
//! adds before it takes away, and nobody is to be warned of that.

use rusqlite::params;

use super::Ledger;
use super::memory::Memory;
use crate::limits::{Limit, LimitSet, is_little_in_drafts, system_limits};
use crate::warning::{Subject, level};
use crate::{AccountId, DomainId, MailboxId, Quota, SpecialUse, StoreError};

/// The trash takes copies of an account that is over quota while it holds no more messages than this.
const TRASH_MESSAGES_MAX: u64 = 100_000;

/// An account as the writer remembers it.
#[derive(Debug, Clone)]
pub(crate) struct AccountState {
    pub domain: DomainId,
    pub used_bytes: u64,
    pub used_messages: u64,
    /// Its own limits, unset where it has none.
    pub space_bytes: Limit,
    pub messages: Limit,
    /// The level its user was warned of, in percent.
    pub warned: u8,
}

/// A domain as the writer remembers it.
#[derive(Debug, Clone)]
pub(crate) struct DomainState {
    pub used_bytes: u64,
    pub used_messages: u64,
    pub accounts: u64,
    pub space_bytes: Limit,
    pub users: Limit,
    /// Defaults of its users.
    pub user_space_bytes: Limit,
    pub user_messages: Limit,
    /// The level its postmaster was warned of, in percent.
    pub warned: u8,
}

/// What the writer remembers of accounts and domains.
pub(crate) struct Rooms {
    pub accounts: Memory<AccountId, AccountState>,
    pub domains: Memory<DomainId, DomainState>,
    /// The system's defaults, once they have been read.
    pub system: Option<LimitSet>,
}

impl Rooms {
    pub fn new() -> Self {
        Self { accounts: Memory::new(), domains: Memory::new(), system: None }
    }

    pub fn begin_request(&mut self) {
        self.accounts.begin_request();
        self.domains.begin_request();
    }

    pub fn go_back(&mut self) {
        self.accounts.go_back();
        self.domains.go_back();
        self.system = None;
    }

    pub fn clear(&mut self) {
        self.accounts.clear();
        self.domains.clear();
        self.system = None;
    }
}

impl DomainState {
    fn quota(&self) -> Quota {
        Quota {
            limit_bytes: self.space_bytes.value(),
            limit_messages: None,
            used_bytes: self.used_bytes,
            used_messages: self.used_messages,
        }
    }
}

impl Ledger {
    /// An account's state.
    pub fn account(&mut self, id: AccountId) -> Result<&AccountState, StoreError> {
        if self.rooms.accounts.get(id).is_none() {
            let state = self
                .find(
                    "SELECT domain, bytes, messages, limit_bytes, limit_messages, warned
                     FROM accounts JOIN usage ON account = id WHERE id = ?1",
                    [id.0],
                    |row| {
                        Ok(AccountState {
                            domain: DomainId(row.get(0)?),
                            used_bytes: row.get::<_, i64>(1)?.max(0) as u64,
                            used_messages: row.get::<_, i64>(2)?.max(0) as u64,
                            space_bytes: row.get(3)?,
                            messages: row.get(4)?,
                            warned: row.get(5)?,
                        })
                    },
                )?
                .ok_or(StoreError::NoSuchAccount)?;
            self.rooms.accounts.load(id, state);
        }
        self.rooms.accounts.get(id).ok_or(StoreError::NoSuchAccount)
    }

    /// An account's state, to be changed.
    pub(super) fn account_mut(&mut self, id: AccountId) -> Result<&mut AccountState, StoreError> {
        self.account(id)?;
        self.rooms.accounts.change(id).ok_or(StoreError::NoSuchAccount)
    }

    /// A domain's state.
    pub(super) fn domain(&mut self, id: DomainId) -> Result<&DomainState, StoreError> {
        let gone = || StoreError::NoSuchDomain(id.0.to_string());
        if self.rooms.domains.get(id).is_none() {
            let state = self
                .find(
                    "SELECT bytes, messages, accounts, limit_bytes, limit_accounts, default_bytes,
                            default_messages, warned
                     FROM domains JOIN domain_usage ON domain = id WHERE id = ?1",
                    [id.0],
                    |row| {
                        Ok(DomainState {
                            used_bytes: row.get::<_, i64>(0)?.max(0) as u64,
                            used_messages: row.get::<_, i64>(1)?.max(0) as u64,
                            accounts: row.get::<_, i64>(2)?.max(0) as u64,
                            space_bytes: row.get(3)?,
                            users: row.get(4)?,
                            user_space_bytes: row.get(5)?,
                            user_messages: row.get(6)?,
                            warned: row.get(7)?,
                        })
                    },
                )?
                .ok_or_else(gone)?;
            self.rooms.domains.load(id, state);
        }
        self.rooms.domains.get(id).ok_or_else(gone)
    }

    /// A domain's state, to be changed.
    pub(super) fn domain_mut(&mut self, id: DomainId) -> Result<&mut DomainState, StoreError> {
        self.domain(id)?;
        self.rooms.domains.change(id).ok_or_else(|| StoreError::NoSuchDomain(id.0.to_string()))
    }

    /// Adds to what an account and its domain use.
    pub(super) fn count(&mut self, account: AccountId, bytes: i64, messages: i64) -> Result<(), StoreError> {
        let state = self.account_mut(account)?;
        state.used_bytes = state.used_bytes.saturating_add_signed(bytes);
        state.used_messages = state.used_messages.saturating_add_signed(messages);
        let domain = state.domain;
        let state = self.domain_mut(domain)?;
        state.used_bytes = state.used_bytes.saturating_add_signed(bytes);
        state.used_messages = state.used_messages.saturating_add_signed(messages);
        Ok(())
    }

    /// Whether so much more fits into the mailbox and into the domain.
    pub(super) fn check_room(
        &mut self,
        account: AccountId,
        bytes: u64,
        messages: u64,
    ) -> Result<(), StoreError> {
        if !self.account_quota(account)?.has_room(bytes, messages) {
            return Err(StoreError::OverQuota);
        }
        let domain = self.account(account)?.domain;
        if !self.domain(domain)?.quota().has_room(bytes, messages) {
            return Err(StoreError::DomainOverQuota);
        }
        Ok(())
    }

    /// The same for APPEND: into the mailbox for drafts a little fits always, so that who is over quota
    /// can still write.
    pub(super) fn check_room_to_append(
        &mut self,
        mailbox: MailboxId,
        bytes: u64,
        messages: u64,
    ) -> Result<(), StoreError> {
        let state = self.mailbox(mailbox)?;
        let (account, held_bytes, held) = (state.account, state.bytes as u64, state.messages as u64);
        let Err(full) = self.check_room(account, bytes, messages) else { return Ok(()) };
        let is_little = is_little_in_drafts(held_bytes, held, bytes, messages);
        if is_little && self.has_use(mailbox, SpecialUse::Drafts)? { Ok(()) } else { Err(full) }
    }

    /// The same for a copy into the same account's trash: who is over quota can throw away by copying, as
    /// clients without MOVE do. Copies share their body, so it costs rows only, and those are bounded.
    pub(super) fn check_room_in_trash(
        &mut self,
        trash: MailboxId,
        bytes: u64,
        messages: u64,
    ) -> Result<(), StoreError> {
        let state = self.mailbox(trash)?;
        let (account, held) = (state.account, state.messages as u64);
        let Err(full) = self.check_room(account, bytes, messages) else { return Ok(()) };
        let is_free = held.saturating_add(messages) <= TRASH_MESSAGES_MAX;
        if is_free && self.has_use(trash, SpecialUse::Trash)? { Ok(()) } else { Err(full) }
    }

    /// What an account uses, with the limits in force.
    fn account_quota(&mut self, id: AccountId) -> Result<Quota, StoreError> {
        let own = self.account(id)?.clone();
        let domain = self.domain(own.domain)?;
        let (space, messages) =
            (own.space_bytes.or(domain.user_space_bytes), own.messages.or(domain.user_messages));
        let system = if space == Limit::Unset || messages == Limit::Unset {
            self.system_limits()?
        } else {
            LimitSet::default()
        };
        Ok(Quota {
            limit_bytes: space.or(system.space_bytes).value(),
            limit_messages: messages.or(system.messages).value(),
            used_bytes: own.used_bytes,
            used_messages: own.used_messages,
        })
    }

    fn system_limits(&mut self) -> Result<LimitSet, StoreError> {
        if self.rooms.system.is_none() {
            self.rooms.system = Some(system_limits(&self.database)?);
        }
        Ok(self.rooms.system.unwrap_or_default())
    }

    /// Writes what changed, and what is to be warned of.
    pub(super) fn write_rooms(&mut self) -> Result<(), StoreError> {
        for (id, mut state) in self.rooms.accounts.take_dirty() {
            let reached = level(&self.account_quota(id)?);
            if reached != state.warned {
                self.note_level(Subject::Account(id), state.warned, reached)?;
                state.warned = reached;
                self.account_mut(id)?.warned = reached;
            }
            self.run(
                "UPDATE usage SET bytes = ?2, messages = ?3, warned = ?4 WHERE account = ?1",
                params![id.0, state.used_bytes as i64, state.used_messages as i64, state.warned],
            )?;
        }
        for (id, mut state) in self.rooms.domains.take_dirty() {
            let reached = level(&state.quota());
            if reached != state.warned {
                self.note_level(Subject::Domain(id), state.warned, reached)?;
                state.warned = reached;
                self.domain_mut(id)?.warned = reached;
            }
            self.run(
                "UPDATE domain_usage SET bytes = ?2, messages = ?3, accounts = ?4, warned = ?5 WHERE domain = ?1",
                params![
                    id.0,
                    state.used_bytes as i64,
                    state.used_messages as i64,
                    state.accounts as i64,
                    state.warned
                ],
            )?;
        }
        Ok(())
    }

    /// A level was crossed upwards: a warning is due. Downwards: one that is due still is late.
    fn note_level(&mut self, subject: Subject, before: u8, reached: u8) -> Result<(), StoreError> {
        let (kind, number) = subject.key();
        if reached > before {
            self.run(
                "INSERT OR REPLACE INTO warnings (kind, subject, percent) VALUES (?1, ?2, ?3)",
                params![kind, number, reached],
            )?;
            self.warnings_changed = true;
        } else {
            self.run(
                "DELETE FROM warnings WHERE kind = ?1 AND subject = ?2 AND percent > ?3",
                params![kind, number, reached],
            )?;
        }
        Ok(())
    }
}
