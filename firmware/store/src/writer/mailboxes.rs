//! Mailboxes: create, delete, rename, subscribe.

use rusqlite::params;

use super::Ledger;
use crate::mailbox::{DELIMITER, MAILBOXES_MAX, NAME_BYTES_MAX, canonical_name};
use crate::{AccountId, MailboxId, SpecialUse, StoreError, Uid};

/// Mailboxes every account begins with, beside its INBOX.
const FIRST_MAILBOXES: [(&str, SpecialUse); 5] = [
    ("Archive", SpecialUse::Archive),
    ("Drafts", SpecialUse::Drafts),
    ("Junk", SpecialUse::Junk),
    ("Sent", SpecialUse::Sent),
    ("Trash", SpecialUse::Trash),
];

impl Ledger {
    /// The mailboxes of a new account, subscribed.
    pub(super) fn create_first_mailboxes(&mut self, account: AccountId) -> Result<(), StoreError> {
        // The INBOX has the account's number, see schema.
        self.insert_mailbox(MailboxId(account.0), account, "INBOX", None, true)?;
        self.subscribe(account, "INBOX", true)?;
        for (name, special_use) in FIRST_MAILBOXES {
            let id = self.new_mailbox()?;
            self.insert_mailbox(id, account, name, Some(special_use), true)?;
            self.subscribe(account, name, true)?;
        }
        Ok(())
    }

    /// CREATE, with the levels above it.
    pub fn create_mailbox(
        &mut self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        let name = canonical_name(name)?;
        self.usage(account)?;
        if let Some(special_use) = special_use {
            let taken = "SELECT name FROM mailboxes WHERE account = ?1 AND special_use = ?2";
            let taken =
                self.find(taken, params![account.0, special_use as i64], |row| row.get::<_, String>(0))?;
            if let Some(taken) = taken {
                return Err(StoreError::MailboxProtected(taken));
            }
        }
        if let Some(id) = self.mailbox_named(account, &name)? {
            if self.mailbox(id)?.selectable {
                return Err(StoreError::Exists(name));
            }
            // What was deleted above its children comes back empty, with new numbers.
            self.run("DELETE FROM mailboxes WHERE id = ?1", [id.0])?;
            self.run("DELETE FROM counters WHERE mailbox = ?1", [id.0])?;
            self.forget_mailbox(id);
        }
        self.create_levels_above(account, &name)?;
        let id = self.new_mailbox()?;
        self.insert_mailbox(id, account, &name, special_use, true)?;
        Ok(id)
    }

    /// DELETE: RFC 3501 6.3.4.
    pub fn delete_mailbox(&mut self, account: AccountId, name: &str) -> Result<(), StoreError> {
        let name = canonical_name(name)?;
        let id = self.mailbox_named(account, &name)?.ok_or(StoreError::NoSuchMailbox)?;
        if name == "INBOX" {
            return Err(StoreError::MailboxProtected(name));
        }
        let (first, end) = below(&name);
        let has_children = self
            .find(
                "SELECT 1 FROM mailboxes WHERE account = ?1 AND name >= ?2 AND name < ?3 LIMIT 1",
                params![account.0, first, end],
                |_| Ok(()),
            )?
            .is_some();
        if has_children && !self.mailbox(id)?.selectable {
            return Err(StoreError::MailboxProtected(name));
        }
        self.doom(id)?;
        if has_children {
            let id = self.new_mailbox()?;
            self.insert_mailbox(id, account, &name, None, false)?;
        }
        Ok(())
    }

    /// RENAME: RFC 3501 6.3.5.
    pub fn rename_mailbox(&mut self, account: AccountId, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to) = (canonical_name(from)?, canonical_name(to)?);
        let id = self.mailbox_named(account, &from)?.ok_or(StoreError::NoSuchMailbox)?;
        if self.mailbox_named(account, &to)?.is_some() {
            return Err(StoreError::Exists(to));
        }
        if from == "INBOX" {
            let target = self.create_mailbox(account, &to, None)?;
            self.copy(id, &[1..=Uid::MAX], target, true)?;
            return Ok(());
        }
        let (first, end) = below(&from);
        if to >= first && to < end {
            return Err(StoreError::BadMailboxName(to));
        }
        let longest: Option<i64> = self.find(
            "SELECT max(length(CAST(name AS BLOB))) FROM mailboxes WHERE account = ?1 AND name >= ?2 AND name < ?3",
            params![account.0, first, end],
            |row| row.get(0),
        )?.flatten();
        if longest.unwrap_or(0) as usize + to.len() > NAME_BYTES_MAX + from.len() {
            return Err(StoreError::BadMailboxName(to));
        }
        self.create_levels_above(account, &to)?;
        self.run(
            "UPDATE mailboxes SET name = ?2 || substr(name, length(?3) + 1)
             WHERE account = ?1 AND (name = ?3 OR (name >= ?4 AND name < ?5))",
            params![account.0, to, from, first, end],
        )?;
        Ok(())
    }

    /// SUBSCRIBE and UNSUBSCRIBE.
    pub fn subscribe(&mut self, account: AccountId, name: &str, on: bool) -> Result<(), StoreError> {
        let name = canonical_name(name)?;
        if on {
            let count = "SELECT count(*) FROM subscriptions WHERE account = ?1";
            let count: Option<i64> = self.find(count, [account.0], |row| row.get(0))?;
            if count.unwrap_or(0) as usize >= MAILBOXES_MAX {
                return Err(StoreError::TooManyMailboxes { max: MAILBOXES_MAX });
            }
            self.run(
                "INSERT OR IGNORE INTO subscriptions (account, name) VALUES (?1, ?2)",
                params![account.0, name],
            )?;
        } else {
            self.run("DELETE FROM subscriptions WHERE account = ?1 AND name = ?2", params![account.0, name])?;
        }
        Ok(())
    }

    /// The number of a mailbox by its canonical name.
    pub(super) fn mailbox_named(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Option<MailboxId>, StoreError> {
        let sql = "SELECT id FROM mailboxes WHERE account = ?1 AND name = ?2";
        self.find(sql, params![account.0, name], |row| row.get(0).map(MailboxId))
    }

    /// Takes a mailbox out of sight at once; its messages are removed piece by piece later.
    pub(super) fn doom(&mut self, id: MailboxId) -> Result<(), StoreError> {
        let state = self.mailbox(id)?;
        let (account, bytes, messages) = (state.account, state.bytes, state.messages);
        self.count(account, -bytes, -messages)?;
        self.run("DELETE FROM mailboxes WHERE id = ?1", [id.0])?;
        self.run("DELETE FROM counters WHERE mailbox = ?1", [id.0])?;
        self.run("INSERT INTO doomed (mailbox) VALUES (?1)", [id.0])?;
        self.forget_mailbox(id);
        Ok(())
    }

    fn create_levels_above(&mut self, account: AccountId, name: &str) -> Result<(), StoreError> {
        for (at, _) in name.match_indices(DELIMITER) {
            let level = &name[..at];
            if self.mailbox_named(account, level)?.is_none() {
                let id = self.new_mailbox()?;
                self.insert_mailbox(id, account, level, None, true)?;
            }
        }
        Ok(())
    }

    fn insert_mailbox(
        &mut self,
        id: MailboxId,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
        selectable: bool,
    ) -> Result<(), StoreError> {
        let count = "SELECT count(*) FROM mailboxes WHERE account = ?1";
        let count: Option<i64> = self.find(count, [account.0], |row| row.get(0))?;
        if count.unwrap_or(0) as usize >= MAILBOXES_MAX {
            return Err(StoreError::TooManyMailboxes { max: MAILBOXES_MAX });
        }
        let uid_validity = self.new_uid_validity()?;
        self.run(
            "INSERT INTO mailboxes (id, account, name, uid_validity, special_use, selectable, keywords)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, '')",
            params![id.0, account.0, name, uid_validity, special_use.map(|used| used as i64), selectable],
        )?;
        self.run(
            "INSERT INTO counters (mailbox, uid_next, modseq, first_recent, messages, unseen, deleted, bytes,
                                   expunged, expunged_floor) VALUES (?1, 1, 1, 1, 0, 0, 0, 0, 0, 0)",
            [id.0],
        )?;
        Ok(())
    }
}

/// The range of names below a name: from `name/` to the first name that is not below.
fn below(name: &str) -> (String, String) {
    // '0' follows '/' in ASCII.
    (format!("{name}/"), format!("{name}0"))
}
