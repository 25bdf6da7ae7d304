//! The store's calls about access control lists, annotations and feeds.

use std::sync::Arc;

use crate::feed::Feed;
use crate::{
    AccountId, AclChange, AclEntry, Mailbox, MailboxId, MetadataEntry, Rights, SharedMailbox, Store,
    StoreError, acl, metadata,
};

impl Store {
    /// The entries of a mailbox's list; the owner is among them only when its rights were narrowed.
    pub fn acl(&self, mailbox: MailboxId) -> Result<Vec<AclEntry>, StoreError> {
        self.readers().read(|database| acl::entries(database, mailbox))
    }

    /// What a user may do in a mailbox.
    pub fn rights(&self, account: AccountId, mailbox: &Mailbox) -> Result<Rights, StoreError> {
        self.readers().read(|database| acl::rights(database, account, mailbox.id, mailbox.account))
    }

    /// Another user's mailbox by the owner's address and the owner's name for it. The rights may be none.
    pub fn shared_mailbox(
        &self,
        account: AccountId,
        owner: &str,
        name: &str,
    ) -> Result<Option<SharedMailbox>, StoreError> {
        self.readers().read_moment(|database| acl::shared(database, account, owner, name))
    }

    /// Every mailbox of another user that this one has some right in, by owner and name.
    pub fn shared_mailboxes(&self, account: AccountId) -> Result<Vec<SharedMailbox>, StoreError> {
        self.readers().read_moment(|database| acl::visible(database, account))
    }

    /// Own mailboxes in which the user has less than every right, because its own list says so.
    pub fn narrowed_mailboxes(&self, account: AccountId) -> Result<Vec<(MailboxId, Rights)>, StoreError> {
        self.readers().read(|database| acl::narrowed(database, account))
    }

    /// Whether mail from `sender`, the address of a local user, or from somewhere else may be put into
    /// this mailbox by its address (the `p` right): for `user+mailbox@domain`. Strangers are `anyone`.
    pub fn may_post(&self, mailbox: &Mailbox, sender: Option<AccountId>) -> Result<bool, StoreError> {
        if let Some(sender) = sender
            && self.rights(sender, mailbox)?.contains(Rights::POST)
        {
            return Ok(true);
        }
        let entries = self.acl(mailbox.id)?;
        let anyone = |negative| {
            entries.iter().any(|entry| {
                entry.identifier == acl::ANYONE
                    && entry.negative == negative
                    && entry.rights.contains(Rights::POST)
            })
        };
        Ok(anyone(false) && !anyone(true))
    }

    /// SETACL and DELETEACL. The identifier is the address of a user of the owner's domain, or `anyone`.
    pub async fn set_acl(
        &self,
        mailbox: MailboxId,
        identifier: &str,
        negative: bool,
        change: AclChange,
        rights: Rights,
    ) -> Result<(), StoreError> {
        let identifier = identifier.to_owned();
        self.growing(move |ledger| ledger.set_acl(mailbox, &identifier, negative, change, rights)).await
    }

    /// The annotations one user sees of a mailbox, or of the server, by name.
    pub fn metadata(
        &self,
        mailbox: Option<MailboxId>,
        account: AccountId,
    ) -> Result<Vec<MetadataEntry>, StoreError> {
        self.readers().read(|database| metadata::entries(database, mailbox, account))
    }

    /// Sets annotations, and removes those without a value: all of them or none.
    pub async fn set_metadata(
        &self,
        mailbox: Option<MailboxId>,
        account: AccountId,
        entries: Vec<(String, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        self.growing(move |ledger| ledger.set_metadata(mailbox, account, &entries)).await
    }

    /// Gives a mailbox a special use, or takes it away (`/private/specialuse`, RFC 6154 section 4).
    pub async fn set_special_use(
        &self,
        mailbox: MailboxId,
        special_use: Option<crate::SpecialUse>,
    ) -> Result<(), StoreError> {
        self.growing(move |ledger| ledger.set_special_use(mailbox, special_use)).await
    }

    /// Sizes together of a mailbox's messages with `\Deleted` (DELETED-STORAGE, RFC 9208).
    pub fn deleted_bytes(&self, mailbox: &Mailbox) -> Result<u64, StoreError> {
        if mailbox.deleted == 0 {
            return Ok(0);
        }
        self.readers().read(|database| {
            let mut statement = database.prepare_cached(
                "SELECT coalesce(sum(size), 0) FROM messages WHERE mailbox = ?1 AND flags & ?2",
            )?;
            let deleted = crate::Flags::DELETED.0 as i64;
            Ok(statement.query_row([mailbox.id.0, deleted], |row| row.get::<_, i64>(0))? as u64)
        })
    }

    /// A feed that follows nobody yet.
    pub fn feed(&self) -> Feed {
        Feed::new(Arc::clone(self.feeds()))
    }
}
