//! GETQUOTA and GETQUOTAROOT (RFC 9208).

use message::write_string;
use store::{AccountId, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::reply::write_mailbox;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn quota(&mut self, account: AccountId) -> Result<(), StoreError> {
        let quota = self.context.store.quota(account)?.ok_or(StoreError::NoSuchAccount)?;
        let mut resources = Vec::new();
        if let Some(limit) = quota.limit_bytes {
            // In units of 1024 bytes (RFC 9208 section 5.1).
            resources.push(format!("STORAGE {} {}", quota.used_bytes.div_ceil(1024), limit / 1024));
        }
        if let Some(limit) = quota.limit_messages {
            resources.push(format!("MESSAGE {} {limit}", quota.used_messages));
        }
        self.connection.line(&format!("* QUOTA \"\" ({})", resources.join(" ")));
        Ok(())
    }

    pub(super) fn quota_root(&mut self, account: AccountId, name: &str) -> Result<(), StoreError> {
        let mailbox = self.find(account, name)?;
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* QUOTAROOT ");
        write_mailbox(out, &mailbox.name, self.enabled.utf8());
        out.push(b' ');
        write_string(out, b"");
        out.extend_from_slice(b"\r\n");
        self.quota(account)
    }
}
