//! Domains, accounts, aliases, settings: changes.

use rusqlite::params;

use super::Ledger;
use crate::directory::{TARGETS_MAX, normal_address, normal_domain, split_address};
use crate::limits::SYSTEM_LIMITS;
use crate::{
    AccountChange, AccountId, DomainId, Limit, LimitName, MailboxId, PasswordHash, StoreError, Subject,
};

impl Ledger {
    pub fn add_domain(&mut self, domain: &str) -> Result<(), StoreError> {
        let name = normal_domain(domain)?;
        if self.domain_named(&name)?.is_some() {
            return Err(StoreError::Exists(name));
        }
        self.run("INSERT INTO domains (name) VALUES (?1)", [name])?;
        let id = self.database.last_insert_rowid();
        self.run(
            "INSERT INTO domain_usage (domain, bytes, messages, accounts, warned) VALUES (?1, 0, 0, 0, 0)",
            [id],
        )?;
        self.directory_changed = true;
        Ok(())
    }

    pub fn remove_domain(&mut self, domain: &str) -> Result<(), StoreError> {
        let name = normal_domain(domain)?;
        let id = self.domain_named(&name)?.ok_or_else(|| StoreError::NoSuchDomain(name.clone()))?;
        let used = self.find("SELECT 1 FROM accounts WHERE domain = ?1 LIMIT 1", [id.0], |_| Ok(()))?;
        if used.is_some() {
            return Err(StoreError::DomainInUse(name));
        }
        self.run("DELETE FROM aliases WHERE domain = ?1", [id.0])?;
        self.remove_groups_of(id)?;
        self.forget_warnings(Subject::Domain(id))?;
        self.run("DELETE FROM domain_usage WHERE domain = ?1", [id.0])?;
        self.run("DELETE FROM domains WHERE id = ?1", [id.0])?;
        self.rooms.domains.forget(id);
        self.directory_changed = true;
        Ok(())
    }

    pub fn add_account(
        &mut self,
        address: &str,
        password: &PasswordHash,
        limit_bytes: Option<u64>,
    ) -> Result<AccountId, StoreError> {
        let address = normal_address(address)?;
        let domain = self.domain_of(&address)?;
        self.check_free(&address)?;
        self.check_room_for_user(domain, &address)?;
        let id = self.insert_account(domain, &address, password)?;
        if let Some(limit) = limit_bytes {
            let change = AccountChange {
                limits: vec![(LimitName::SpaceBytes, Limit::AtMost(limit))],
                ..AccountChange::default()
            };
            self.change_account(id, &change)?;
        }
        Ok(id)
    }

    /// Makes an account; that it may be made has been looked at.
    pub(super) fn insert_account(
        &mut self,
        domain: DomainId,
        address: &str,
        password: &PasswordHash,
    ) -> Result<AccountId, StoreError> {
        self.run(
            "INSERT INTO accounts (domain, address, password) VALUES (?1, ?2, ?3)",
            params![domain.0, address, password.0],
        )?;
        let id = AccountId(self.database.last_insert_rowid());
        self.run("INSERT INTO usage (account, bytes, messages) VALUES (?1, 0, 0)", [id.0])?;
        self.create_first_mailboxes(id)?;
        self.domain_mut(domain)?.accounts += 1;
        Ok(id)
    }

    pub fn remove_account(&mut self, address: &str) -> Result<(), StoreError> {
        let id = self.account_named(address)?;
        let mailboxes = self
            .list("SELECT id FROM mailboxes WHERE account = ?1", [id.0], |row| row.get(0).map(MailboxId))?;
        for mailbox in mailboxes {
            self.doom(mailbox)?;
        }
        let domain = self.account(id)?.domain;
        self.domain_mut(domain)?.accounts -= 1;
        self.forget_warnings(Subject::Account(id))?;
        self.run("DELETE FROM forwards WHERE account = ?1", [id.0])?;
        self.run("DELETE FROM app_passwords WHERE account = ?1", [id.0])?;
        self.run("DELETE FROM subscriptions WHERE account = ?1", [id.0])?;
        self.run("DELETE FROM usage WHERE account = ?1", [id.0])?;
        self.run("DELETE FROM accounts WHERE id = ?1", [id.0])?;
        self.rooms.accounts.forget(id);
        Ok(())
    }

    pub fn set_password(&mut self, address: &str, password: &PasswordHash) -> Result<(), StoreError> {
        let id = self.account_named(address)?;
        self.run("UPDATE accounts SET password = ?2 WHERE id = ?1", params![id.0, password.0])?;
        Ok(())
    }

    pub fn set_quota(&mut self, address: &str, limit_bytes: Option<u64>) -> Result<(), StoreError> {
        let id = self.account_named(address)?;
        let limit = Limit::from(limit_bytes);
        self.run("UPDATE accounts SET limit_bytes = ?2 WHERE id = ?1", params![id.0, limit])?;
        self.account_mut(id)?.space_bytes = limit;
        Ok(())
    }

    pub fn add_alias(&mut self, address: &str, target: &str) -> Result<(), StoreError> {
        let (address, target) = (normal_address(address)?, normal_address(target)?);
        if target.starts_with('@') {
            return Err(StoreError::BadAddress(target));
        }
        let domain = self.domain_of(&address)?;
        if self.account_by_address(&address)?.is_some() || self.group_number(&address)?.is_some() {
            return Err(StoreError::Exists(address));
        }
        let count: Option<i64> =
            self.find("SELECT count(*) FROM aliases WHERE address = ?1", [&address], |row| row.get(0))?;
        if count.unwrap_or(0) as usize >= TARGETS_MAX {
            return Err(StoreError::TooManyTargets { max: TARGETS_MAX });
        }
        let added = self.run(
            "INSERT OR IGNORE INTO aliases (address, target, domain) VALUES (?1, ?2, ?3)",
            params![address, target, domain.0],
        )?;
        if added == 0 { Err(StoreError::Exists(format!("{address} to {target}"))) } else { Ok(()) }
    }

    pub fn remove_alias(&mut self, address: &str, target: Option<&str>) -> Result<(), StoreError> {
        let address = normal_address(address)?;
        let removed = match target {
            Some(target) => {
                let target = normal_address(target)?;
                self.run("DELETE FROM aliases WHERE address = ?1 AND target = ?2", params![address, target])?
            }
            None => self.run("DELETE FROM aliases WHERE address = ?1", [address])?,
        };
        if removed == 0 { Err(StoreError::NoSuchAlias) } else { Ok(()) }
    }

    pub fn set_setting(&mut self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        match value {
            Some(value) => self
                .run("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)", params![name, value])?,
            None => self.run("DELETE FROM settings WHERE name = ?1", [name])?,
        };
        if name == SYSTEM_LIMITS {
            self.rooms.system = None;
            self.directory_changed = true;
        }
        Ok(())
    }

    pub(super) fn domain_named(&self, name: &str) -> Result<Option<DomainId>, StoreError> {
        self.find("SELECT id FROM domains WHERE name = ?1", [name], |row| row.get(0).map(DomainId))
    }

    pub(super) fn domain_of(&self, address: &str) -> Result<DomainId, StoreError> {
        let (_, domain) = split_address(address).ok_or_else(|| StoreError::BadAddress(address.to_owned()))?;
        self.domain_named(domain)?.ok_or_else(|| StoreError::NoSuchDomain(domain.to_owned()))
    }

    pub(super) fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, StoreError> {
        self.find("SELECT id FROM accounts WHERE address = ?1", [address], |row| row.get(0).map(AccountId))
    }

    pub(super) fn account_named(&self, address: &str) -> Result<AccountId, StoreError> {
        self.account_by_address(&normal_address(address)?)?.ok_or(StoreError::NoSuchAccount)
    }

    /// Neither account nor alias has the address, and it has a local part.
    pub(super) fn check_free(&self, address: &str) -> Result<(), StoreError> {
        if address.starts_with('@') {
            return Err(StoreError::BadAddress(address.to_owned()));
        }
        let alias = self.find("SELECT 1 FROM aliases WHERE address = ?1 LIMIT 1", [address], |_| Ok(()))?;
        let is_taken = alias.is_some()
            || self.account_by_address(address)?.is_some()
            || self.group_number(address)?.is_some();
        if is_taken {
            return Err(StoreError::Exists(address.to_owned()));
        }
        Ok(())
    }
}
