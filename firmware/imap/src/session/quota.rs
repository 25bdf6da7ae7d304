//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208).
//!
//! Every account is one quota root. Its own has the empty name, that of another user whose mailbox is
//! shared has the owner's address: what is put there counts against the owner.

use message::write_string;
use store::{AccountId, Rights, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::reply::write_mailbox;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn quota(&mut self, account: AccountId, root: &str) -> Result<(), StoreError> {
        let quota = self.context.store.quota(account)?.ok_or(StoreError::NoSuchAccount)?;
        let mut resources = Vec::new();
        if let Some(limit) = quota.limit_bytes {
            // In units of 1024 bytes (RFC 9208 section 5.1).
            resources.push(format!("STORAGE {} {}", quota.used_bytes.div_ceil(1024), limit / 1024));
        }
        if let Some(limit) = quota.limit_messages {
            resources.push(format!("MESSAGE {} {limit}", quota.used_messages));
        }
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* QUOTA ");
        write_string(out, root.as_bytes());
        out.extend_from_slice(format!(" ({})\r\n", resources.join(" ")).as_bytes());
        Ok(())
    }

    pub(super) fn quota_root(&mut self, account: AccountId, name: &str) -> Result<(), StoreError> {
        let (mailbox, _) = self.find_with(account, name, Rights::READ)?;
        let mut root = String::new();
        if mailbox.account != account {
            let owner = self.context.store.account(mailbox.account)?;
            root = owner.ok_or(StoreError::NoSuchAccount)?.address;
        }
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* QUOTAROOT ");
        write_mailbox(out, &mailbox.name, self.enabled.utf8());
        out.push(b' ');
        write_string(out, root.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.quota(mailbox.account, &root)
    }
}
