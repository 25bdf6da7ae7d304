//! Access control lists and annotations: changes.

use rusqlite::params;

use super::Ledger;
use crate::acl::{ACL_ENTRIES_MAX, ANYONE};
use crate::directory::normal_address;
use crate::feed::MailboxEvent;
use crate::metadata::{
    METADATA_ACCOUNT_BYTES_MAX, METADATA_ENTRIES_MAX, METADATA_VALUE_BYTES_MAX, metadata_name, scope,
};
use crate::{AccountId, AclChange, MailboxId, Rights, StoreError};

impl Ledger {
    /// Changes one entry of a list; an entry without rights is removed.
    pub fn set_acl(
        &mut self,
        mailbox: MailboxId,
        identifier: &str,
        negative: bool,
        change: AclChange,
        rights: Rights,
    ) -> Result<(), StoreError> {
        let owner = self.mailbox(mailbox)?.account;
        let domain: i64 = self
            .find("SELECT domain FROM accounts WHERE id = ?1", [owner.0], |row| row.get(0))?
            .ok_or(StoreError::NoSuchAccount)?;
        let identifier = self.known_identifier(domain, identifier)?;
        let is_owner = self.find(
            "SELECT 1 FROM accounts WHERE id = ?1 AND address = ?2",
            params![owner.0, identifier],
            |_| Ok(()),
        )?;
        let before = self.find(
            "SELECT rights FROM acl WHERE mailbox = ?1 AND identifier = ?2 AND negative = ?3",
            params![mailbox.0, identifier, negative],
            |row| row.get(0).map(Rights),
        )?;
        // Without an entry the owner has everything.
        let unset = if is_owner.is_some() && !negative { Rights::ALL } else { Rights::default() };
        let now = match change {
            AclChange::Replace => rights,
            AclChange::Add => before.unwrap_or(unset).union(rights),
            AclChange::Remove => before.unwrap_or(unset).without(rights),
        };
        if now == unset {
            self.run(
                "DELETE FROM acl WHERE mailbox = ?1 AND identifier = ?2 AND negative = ?3",
                params![mailbox.0, identifier, negative],
            )?;
        } else {
            let count = "SELECT count(*) FROM acl WHERE mailbox = ?1";
            let count: Option<i64> = self.find(count, [mailbox.0], |row| row.get(0))?;
            if before.is_none() && count.unwrap_or(0) as usize >= ACL_ENTRIES_MAX {
                return Err(StoreError::TooManyAclEntries { max: ACL_ENTRIES_MAX });
            }
            self.run(
                "INSERT OR REPLACE INTO acl (mailbox, domain, identifier, negative, rights)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![mailbox.0, domain, identifier, negative, now.0],
            )?;
        }
        self.note_event(owner, MailboxEvent::Rights { mailbox });
        Ok(())
    }

    /// An entry can name a user or a group that is there, or everybody. One that names nobody any more can be removed.
    fn known_identifier(&self, domain: i64, identifier: &str) -> Result<String, StoreError> {
        if identifier == ANYONE {
            return Ok(identifier.to_owned());
        }
        let address = normal_address(identifier)?;
        let known = self.find(
            "SELECT 1 FROM accounts WHERE address = ?1 AND domain = ?2
             UNION ALL SELECT 1 FROM groups WHERE address = ?1 AND domain = ?2",
            params![address, domain],
            |_| Ok(()),
        )?;
        if known.is_some() { Ok(address) } else { Err(StoreError::NoSuchAccount) }
    }

    /// Gives a new mailbox the list of the one above it.
    pub(super) fn inherit_acl(&mut self, mailbox: MailboxId, parent: MailboxId) -> Result<(), StoreError> {
        let copied = self.run(
            "INSERT OR IGNORE INTO acl (mailbox, domain, identifier, negative, rights)
             SELECT ?1, domain, identifier, negative, rights FROM acl WHERE mailbox = ?2",
            params![mailbox.0, parent.0],
        )?;
        if copied > 0 {
            let owner = self.mailbox(mailbox)?.account;
            self.note_event(owner, MailboxEvent::Rights { mailbox });
        }
        Ok(())
    }

    /// Sets annotations, and removes those without a value.
    pub fn set_metadata(
        &mut self,
        mailbox: Option<MailboxId>,
        account: AccountId,
        entries: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), StoreError> {
        let owner = match mailbox {
            Some(mailbox) => self.mailbox(mailbox)?.account,
            None => account,
        };
        let number = mailbox.map_or(0, |mailbox| mailbox.0);
        let (mut private, mut shared) = (Vec::new(), Vec::new());
        for (name, value) in entries {
            let name = metadata_name(name).ok_or_else(|| StoreError::BadMetadataName(name.clone()))?;
            let scope = scope(&name, account);
            let charged = if scope == 0 { owner } else { account };
            match value {
                Some(value) => {
                    if value.len() > METADATA_VALUE_BYTES_MAX {
                        return Err(StoreError::MetadataTooBig { max: METADATA_VALUE_BYTES_MAX });
                    }
                    self.run(
                        "INSERT OR REPLACE INTO metadata (mailbox, account, entry, value, charged)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                        params![number, scope, name, value, charged.0],
                    )?;
                    self.check_metadata_bounds(number, scope, charged)?;
                }
                None => {
                    self.run(
                        "DELETE FROM metadata WHERE mailbox = ?1 AND account = ?2 AND entry = ?3",
                        params![number, scope, name],
                    )?;
                }
            }
            if scope == 0 { shared.push(name) } else { private.push(name) }
        }
        for (only, names) in [(Some(account), private), (None, shared)] {
            if !names.is_empty() {
                // A private entry of another user's mailbox concerns nobody but this user.
                let teller = if only.is_some() { account } else { owner };
                self.note_event(teller, MailboxEvent::Metadata { mailbox, only, names });
            }
        }
        Ok(())
    }

    fn check_metadata_bounds(&self, mailbox: i64, scope: i64, charged: AccountId) -> Result<(), StoreError> {
        let count = "SELECT count(*) FROM metadata WHERE mailbox = ?1 AND account = ?2";
        let count: Option<i64> = self.find(count, [mailbox, scope], |row| row.get(0))?;
        let bytes = "SELECT sum(length(value)) FROM metadata WHERE charged = ?1";
        let bytes: Option<i64> = self.find(bytes, [charged.0], |row| row.get(0))?;
        if count.unwrap_or(0) as usize > METADATA_ENTRIES_MAX
            || bytes.unwrap_or(0) as usize > METADATA_ACCOUNT_BYTES_MAX
        {
            return Err(StoreError::TooManyMetadata);
        }
        Ok(())
    }
}
