//! Mailboxes: names, special uses, counts.

use crate::{AccountId, ModSeq, StoreError, Uid};

/// Number of a mailbox, never used twice; its MAILBOXID (RFC 8474).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxId(pub i64);

/// Hierarchy delimiter.
pub const DELIMITER: char = '/';
/// Longest name in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 512;
/// Deepest name.
pub const NAME_LEVELS_MAX: usize = 20;
/// Mailboxes one account can have.
pub const MAILBOXES_MAX: usize = 5_000;

/// Special use, RFC 6154.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\Archive`.
    Archive,
    /// `\Drafts`.
    Drafts,
    /// `\Junk`.
    Junk,
    /// `\Sent`.
    Sent,
    /// `\Trash`.
    Trash,
}

impl SpecialUse {
    /// The attribute as LIST shows it.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

/// A mailbox with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Its number.
    pub id: MailboxId,
    /// Whose it is.
    pub account: AccountId,
    /// Full name in UTF-8, levels separated by `/`; `INBOX` in capitals.
    pub name: String,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDNEXT.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
    /// Messages with this UID and above are `\Recent` to the next session that selects it.
    pub first_recent: Uid,
    /// How many messages.
    pub messages: u32,
    /// How many without `\Seen`.
    pub unseen: u32,
    /// How many with `\Deleted`.
    pub deleted: u32,
    /// Their sizes together.
    pub bytes: u64,
    /// Special use.
    pub special_use: Option<SpecialUse>,
    /// It can hold messages; `false` is `\Noselect`.
    pub selectable: bool,
    /// Keywords in use; the index is the bit in [`crate::Flags`].
    pub keywords: Vec<String>,
}

/// A subscribed name; the mailbox may not exist (RFC 3501 6.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// A mailbox of this name exists.
    pub exists: bool,
}

/// The name as the store keeps it: `INBOX` in capitals in the first level, no `/` at either end.
pub fn canonical_name(name: &str) -> Result<String, StoreError> {
    let bad = || StoreError::BadMailboxName(name.chars().take(80).collect());
    let trimmed = name.strip_suffix(DELIMITER).unwrap_or(name);
    let levels = trimmed.split(DELIMITER).count();
    let empty_level = trimmed.split(DELIMITER).any(str::is_empty);
    if empty_level || levels > NAME_LEVELS_MAX || trimmed.len() > NAME_BYTES_MAX {
        return Err(bad());
    }
    if trimmed.chars().any(char::is_control) {
        return Err(bad());
    }
    let (first, rest) = trimmed.split_at(trimmed.find(DELIMITER).unwrap_or(trimmed.len()));
    if first.eq_ignore_ascii_case("INBOX") {
        return Ok(format!("INBOX{rest}"));
    }
    Ok(trimmed.to_owned())
}
