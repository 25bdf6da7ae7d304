//! Annotations of mailboxes and of the server (RFC 5464): small values under names.
//!
//! An entry is private to one user or shared by all who can see the mailbox. It belongs to the mailbox's
//! number, so it follows a rename and ends with the mailbox. What a user's entries take is bounded.

use rusqlite::{Connection, params};

use crate::{AccountId, MailboxId, StoreError};

/// Longest value, in bytes.
pub const METADATA_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest name, in bytes.
pub const METADATA_NAME_BYTES_MAX: usize = 255;
/// Entries of one mailbox, private to one user or shared.
pub const METADATA_ENTRIES_MAX: usize = 100;
/// What the values of one user may take together, in bytes.
pub const METADATA_ACCOUNT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The tables of this module. `mailbox` is 0 for the server, `account` is 0 for what is shared; `charged`
/// is whose bound the value counts against.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS metadata (
    mailbox INTEGER NOT NULL,
    account INTEGER NOT NULL,
    entry TEXT NOT NULL,
    value BLOB NOT NULL,
    charged INTEGER NOT NULL,
    PRIMARY KEY (mailbox, account, entry)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS metadata_by_account ON metadata(charged);
CREATE TRIGGER IF NOT EXISTS metadata_of_mailbox AFTER DELETE ON mailboxes
    BEGIN DELETE FROM metadata WHERE mailbox = OLD.id; END;
CREATE TRIGGER IF NOT EXISTS metadata_of_account AFTER DELETE ON accounts
    BEGIN DELETE FROM metadata WHERE charged = OLD.id; END;
";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataEntry {
    /// Its name in lower case, from `/private/` or `/shared/` on.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// The name as it is kept: lower case (RFC 5464 section 3.2). `None` for a name that cannot be.
pub fn metadata_name(name: &str) -> Option<String> {
    let kept = name.to_ascii_lowercase();
    let rest = kept.strip_prefix("/private/").or_else(|| kept.strip_prefix("/shared/"))?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'%');
    let good = kept.len() <= METADATA_NAME_BYTES_MAX
        && kept.bytes().all(|byte| byte == b' ' || is_plain(byte))
        && rest.split('/').all(|component| !component.is_empty());
    good.then_some(kept)
}

/// Whose an entry is: the user's number, or 0.
pub(crate) fn scope(name: &str, account: AccountId) -> i64 {
    if name.starts_with("/private/") { account.0 } else { 0 }
}

/// What one user sees of a mailbox, or of the server, by name.
pub(crate) fn entries(
    database: &Connection,
    mailbox: Option<MailboxId>,
    account: AccountId,
) -> Result<Vec<MetadataEntry>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT entry, value FROM metadata WHERE mailbox = ?1 AND account IN (0, ?2) ORDER BY entry",
    )?;
    let rows = statement.query_map(params![mailbox.map_or(0, |mailbox| mailbox.0), account.0], |row| {
        Ok(MetadataEntry { name: row.get(0)?, value: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(metadata_name("/Private/Comment").as_deref(), Some("/private/comment"));
        assert_eq!(metadata_name("/shared/vendor/x/y").as_deref(), Some("/shared/vendor/x/y"));
        for bad in [
            "/comment",
            "private/comment",
            "/private/",
            "/shared//a",
            "/shared/a/",
            "/shared/*",
            "/shared/\u{e4}",
        ] {
            assert_eq!(metadata_name(bad), None, "{bad}");
        }
    }
}
