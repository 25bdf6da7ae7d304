//! Mailboxes: create, delete, rename, subscribe.

use rusqlite::params;

use super::Ledger;
use crate::feed::MailboxEvent;
use crate::mailbox::{
    DELIMITER, MAILBOXES_MAX, NAME_BYTES_MAX, NAME_LEVELS_MAX, OTHER_USERS, canonical_name,
};
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
        let mut numbers = self.new_mailboxes(FIRST_MAILBOXES.len() as i64)?;
        let inbox = ("INBOX", None, MailboxId(account.0));
        let others = FIRST_MAILBOXES.map(|(name, special_use)| (name, Some(special_use)));
        let others = others.into_iter().zip(&mut numbers).map(|((name, used), id)| (name, used, id));
        // One may later be renamed to another's name: each has its own number. There is nothing to count.
        let first = self.new_uid_validities(FIRST_MAILBOXES.len() as i64 + 1)?;
        self.note_rearranged(account);
        for ((name, special_use, id), uid_validity) in std::iter::once(inbox).chain(others).zip(first..) {
            self.insert_mailbox_row(id, account, name, uid_validity, special_use, true)?;
            self.run("INSERT INTO subscriptions (account, name) VALUES (?1, ?2)", params![account.0, name])?;
        }
        Ok(())
    }

    /// CREATE, with the levels above it. Each new mailbox has the access control list of the one above it.
    pub fn create_mailbox(
        &mut self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        let name = new_name(name)?;
        let id = self.make_mailbox(account, &name, special_use)?;
        self.note_event(account, MailboxEvent::Created { mailbox: id, name });
        Ok(id)
    }

    fn make_mailbox(
        &mut self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        self.account(account)?;
        if let Some(id) = self.mailbox_named(account, name)? {
            if self.mailbox(id)?.selectable {
                return Err(StoreError::Exists(name.to_owned()));
            }
            // What was deleted above its children comes back empty, with new numbers.
            self.run("DELETE FROM mailboxes WHERE id = ?1", [id.0])?;
            self.run("DELETE FROM counters WHERE mailbox = ?1", [id.0])?;
            self.forget_mailbox(id);
        }
        let parent = self.create_levels_above(account, name)?;
        let id = self.new_mailbox()?;
        self.insert_mailbox(id, account, name, special_use, true)?;
        if let Some(parent) = parent {
            self.inherit_acl(id, parent)?;
        }
        Ok(id)
    }

    /// Gives a mailbox a special use, or takes it away.
    pub fn set_special_use(
        &mut self,
        mailbox: MailboxId,
        special_use: Option<SpecialUse>,
    ) -> Result<(), StoreError> {
        let account = self.mailbox(mailbox)?.account;
        // The INBOX of an account has the account's number.
        if let Some(special_use) = special_use.filter(|_| mailbox.0 == account.0) {
            return Err(StoreError::BadSpecialUse(special_use.attribute()));
        }
        self.run(
            "UPDATE mailboxes SET special_use = ?2 WHERE id = ?1",
            params![mailbox.0, special_use.map(|used| used as i64)],
        )?;
        let names = vec!["/private/specialuse".to_owned()];
        let event = MailboxEvent::Metadata { mailbox: Some(mailbox), only: Some(account), names };
        self.note_event(account, event);
        Ok(())
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
        self.note_event(account, MailboxEvent::Deleted { mailbox: id, name });
        Ok(())
    }

    /// RENAME: RFC 3501 6.3.5.
    pub fn rename_mailbox(&mut self, account: AccountId, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to) = (canonical_name(from)?, new_name(to)?);
        let id = self.mailbox_named(account, &from)?.ok_or(StoreError::NoSuchMailbox)?;
        if self.mailbox_named(account, &to)?.is_some() {
            return Err(StoreError::Exists(to));
        }
        if from == "INBOX" {
            let target = self.make_mailbox(account, &to, None)?;
            self.copy(id, &[1..=Uid::MAX], target, true)?;
            self.note_event(account, MailboxEvent::Renamed { mailbox: target, from, to });
            return Ok(());
        }
        let (first, end) = below(&from);
        if to >= first && to < end {
            return Err(StoreError::BadMailboxName(to));
        }
        let (longest, deepest): (Option<i64>, Option<i64>) = self
            .find(
                "SELECT max(length(CAST(name AS BLOB))), max(length(name) - length(replace(name, '/', '')))
                 FROM mailboxes WHERE account = ?1 AND name >= ?2 AND name < ?3",
                params![account.0, first, end],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?
            .unwrap_or_default();
        let levels = |name: &str| name.matches(DELIMITER).count() + 1;
        if longest.unwrap_or(0) as usize + to.len() > NAME_BYTES_MAX + from.len()
            || deepest.unwrap_or(0) as usize + 1 + levels(&to) > NAME_LEVELS_MAX + levels(&from)
        {
            return Err(StoreError::BadMailboxName(to));
        }
        self.create_levels_above(account, &to)?;
        self.run(
            "UPDATE mailboxes SET name = ?2 || substr(name, length(?3) + 1)
             WHERE account = ?1 AND (name = ?3 OR (name >= ?4 AND name < ?5))",
            params![account.0, to, from, first, end],
        )?;
        self.note_event(account, MailboxEvent::Renamed { mailbox: id, from, to });
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
        }
        let sql = if on {
            "INSERT OR IGNORE INTO subscriptions (account, name) VALUES (?1, ?2)"
        } else {
            "DELETE FROM subscriptions WHERE account = ?1 AND name = ?2"
        };
        if self.run(sql, params![account.0, name])? > 0 {
            self.note_event(account, MailboxEvent::Subscription { name });
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

    /// Returns the mailbox next above, which exists now.
    fn create_levels_above(
        &mut self,
        account: AccountId,
        name: &str,
    ) -> Result<Option<MailboxId>, StoreError> {
        let mut above = None;
        for (at, _) in name.match_indices(DELIMITER) {
            let level = &name[..at];
            if let Some(id) = self.mailbox_named(account, level)? {
                above = Some(id);
                continue;
            }
            let id = self.new_mailbox()?;
            self.insert_mailbox(id, account, level, None, true)?;
            if let Some(above) = above {
                self.inherit_acl(id, above)?;
            }
            self.note_event(account, MailboxEvent::Created { mailbox: id, name: level.to_owned() });
            above = Some(id);
        }
        Ok(above)
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
        self.note_rearranged(account);
        self.insert_mailbox_row(id, account, name, uid_validity, special_use, selectable)
    }

    fn insert_mailbox_row(
        &mut self,
        id: MailboxId,
        account: AccountId,
        name: &str,
        uid_validity: u32,
        special_use: Option<SpecialUse>,
        selectable: bool,
    ) -> Result<(), StoreError> {
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

/// A name that a mailbox can get. LIST could not ask for one with wildcards in it, and other users'
/// mailboxes have their own place.
fn new_name(name: &str) -> Result<String, StoreError> {
    let name = canonical_name(name)?;
    let first = name.split(DELIMITER).next().unwrap_or_default();
    if name.contains(['*', '%']) || first.eq_ignore_ascii_case(OTHER_USERS) {
        return Err(StoreError::BadMailboxName(name.chars().take(80).collect()));
    }
    Ok(name)
}

/// The range of names below a name: from `name/` to the first name that is not below.
fn below(name: &str) -> (String, String) {
    // '0' follows '/' in ASCII.
    (format!("{name}/"), format!("{name}0"))
}
