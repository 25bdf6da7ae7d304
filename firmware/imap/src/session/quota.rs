//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208).
//!
//! Every account is one quota root. Its own has the empty name, that of another user whose mailbox is
//! shared has the owner's address: what is put there counts against the owner. An account without limits has
//! no quota root: a QUOTA response names at least one resource (RFC 9208 section 7, `quota-list`).

use message::write_string;
use store::{AccountId, Rights, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::reply::{Reply, write_mailbox};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn quota(&mut self, account: AccountId) -> Result<Reply, StoreError> {
        let resources = self.limited_resources(account)?;
        if resources.is_empty() {
            return Ok(Reply::no("[NONEXISTENT] nothing is limited, so that there is no quota root"));
        }
        self.write_quota("", &resources);
        Ok(Reply::ok("that is all"))
    }

    /// What of an account is limited: name, use and limit of each.
    fn limited_resources(&self, account: AccountId) -> Result<Vec<String>, StoreError> {
        let quota = self.context.store.quota(account)?.ok_or(StoreError::NoSuchAccount)?;
        let mut resources = Vec::new();
        if let Some(limit) = quota.limit_bytes {
            // In units of 1024 bytes (RFC 9208 section 5.1).
            resources.push(format!("STORAGE {} {}", quota.used_bytes.div_ceil(1024), limit / 1024));
        }
        if let Some(limit) = quota.limit_messages {
            resources.push(format!("MESSAGE {} {limit}", quota.used_messages));
        }
        Ok(resources)
    }

    fn write_quota(&mut self, root: &str, resources: &[String]) {
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* QUOTA ");
        write_string(out, root.as_bytes());
        out.extend_from_slice(format!(" ({})\r\n", resources.join(" ")).as_bytes());
    }

    pub(super) fn quota_root(&mut self, account: AccountId, name: &str) -> Result<Reply, StoreError> {
        let (mailbox, _) = self.find_with(account, name, Rights::READ)?;
        let mut root = String::new();
        if mailbox.account != account {
            let owner = self.context.store.account(mailbox.account)?;
            root = owner.ok_or(StoreError::NoSuchAccount)?.address;
        }
        let resources = self.limited_resources(mailbox.account)?;
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* QUOTAROOT ");
        write_mailbox(out, &mailbox.name, self.enabled.utf8());
        if !resources.is_empty() {
            out.push(b' ');
            write_string(out, root.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if !resources.is_empty() {
            self.write_quota(&root, &resources);
        }
        Ok(Reply::ok("that is all"))
    }
}
