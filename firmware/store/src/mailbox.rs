//! Mailboxes: names, special uses, counts.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, params};
use unicode_normalization::{UnicodeNormalization, is_nfc};

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

/// First level of the names under which a user sees other users' mailboxes; no mailbox can be made there.
pub const OTHER_USERS: &str = "Other Users";

/// Special use, RFC 6154.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\Archive`.
    Archive = 1,
    /// `\Drafts`.
    Drafts = 2,
    /// `\Junk`.
    Junk = 3,
    /// `\Sent`.
    Sent = 4,
    /// `\Trash`.
    Trash = 5,
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

    const EVERY: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// From an attribute in any case; `None` for one that no mailbox here can have.
    pub fn from_attribute(attribute: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|used| used.attribute().eq_ignore_ascii_case(attribute))
    }

    /// From the stored number.
    fn from_stored(number: i64) -> Option<Self> {
        Self::EVERY.into_iter().find(|special_use| *special_use as i64 == number)
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

/// The name as the store keeps it: in Unicode's form NFC, `INBOX` in capitals in the first level, no `/` at
/// either end (RFC 9051 section 5.1, RFC 5198 section 2).
pub fn canonical_name(name: &str) -> Result<String, StoreError> {
    let bad = || StoreError::BadMailboxName(name.chars().take(80).collect());
    let composed: Cow<'_, str> =
        if is_nfc(name) { Cow::Borrowed(name) } else { Cow::Owned(name.chars().nfc().collect()) };
    let trimmed = composed.strip_suffix(DELIMITER).unwrap_or(&composed);
    let levels = trimmed.split(DELIMITER).count();
    let empty_level = trimmed.split(DELIMITER).any(str::is_empty);
    if empty_level || levels > NAME_LEVELS_MAX || trimmed.len() > NAME_BYTES_MAX {
        return Err(bad());
    }
    // Besides control characters, the separators of lines and paragraphs are not for names.
    if trimmed.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')) {
        return Err(bad());
    }
    let (first, rest) = trimmed.split_at(trimmed.find(DELIMITER).unwrap_or(trimmed.len()));
    if first.eq_ignore_ascii_case("INBOX") {
        return Ok(format!("INBOX{rest}"));
    }
    Ok(trimmed.to_owned())
}

/// The columns that [`read_mailbox`] reads, for a statement that joins `mailboxes` and `counters`.
pub(crate) const SELECT_COLUMNS: &str =
    "mailboxes.id, mailboxes.account, mailboxes.name, uid_validity, uid_next, modseq, first_recent, counters.messages,
     unseen, deleted, counters.bytes, special_use, selectable, keywords";

pub(crate) fn read_mailbox(row: &Row<'_>) -> rusqlite::Result<Mailbox> {
    Ok(Mailbox {
        id: MailboxId(row.get(0)?),
        account: AccountId(row.get(1)?),
        name: row.get(2)?,
        uid_validity: row.get(3)?,
        uid_next: row.get(4)?,
        highest_modseq: row.get::<_, i64>(5)? as u64,
        first_recent: row.get(6)?,
        messages: row.get(7)?,
        unseen: row.get(8)?,
        deleted: row.get(9)?,
        bytes: row.get::<_, i64>(10)? as u64,
        special_use: row.get::<_, Option<i64>>(11)?.and_then(SpecialUse::from_stored),
        selectable: row.get(12)?,
        keywords: split_keywords(row.get_ref(13)?.as_str()?),
    })
}

fn select(which: &str) -> String {
    format!("SELECT {SELECT_COLUMNS} FROM mailboxes JOIN counters ON mailbox = id WHERE {which}")
}

/// Keywords as stored: separated by blanks.
pub(crate) fn split_keywords(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

pub(crate) fn by_id(database: &Connection, id: MailboxId) -> Result<Option<Mailbox>, StoreError> {
    let mut statement = database.prepare_cached(&select("id = ?1"))?;
    Ok(statement.query_row([id.0], read_mailbox).optional()?)
}

pub(crate) fn by_name(
    database: &Connection,
    account: AccountId,
    name: &str,
) -> Result<Option<Mailbox>, StoreError> {
    let Ok(name) = canonical_name(name) else { return Ok(None) };
    let mut statement = database.prepare_cached(&select("account = ?1 AND name = ?2"))?;
    Ok(statement.query_row(params![account.0, name], read_mailbox).optional()?)
}

/// All of an account, INBOX first.
pub(crate) fn of_account(database: &Connection, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
    let mut statement = database.prepare_cached(&select("account = ?1 ORDER BY name <> 'INBOX', name"))?;
    let rows = statement.query_map([account.0], read_mailbox)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The name of an account's mailbox that is spelt like this, capitals aside; the exact one before others.
pub(crate) fn named_like(
    database: &Connection,
    account: AccountId,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let Ok(name) = canonical_name(name) else { return Ok(None) };
    let sql = "SELECT name FROM mailboxes WHERE account = ?1 AND selectable = 1 ORDER BY name <> ?2, name";
    let mut statement = database.prepare_cached(sql)?;
    let mut rows = statement.query(params![account.0, name])?;
    let lower = name.to_lowercase();
    while let Some(row) = rows.next()? {
        let found: String = row.get(0)?;
        if found.to_lowercase() == lower {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

pub(crate) fn subscriptions(
    database: &Connection,
    account: AccountId,
) -> Result<Vec<Subscription>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT s.name, m.id IS NOT NULL FROM subscriptions s
         LEFT JOIN mailboxes m ON m.account = s.account AND m.name = s.name
         WHERE s.account = ?1 ORDER BY s.name <> 'INBOX', s.name",
    )?;
    let rows = statement
        .query_map([account.0], |row| Ok(Subscription { name: row.get(0)?, exists: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_one_spelling() {
        for (name, kept) in [
            ("inbox", "INBOX"),
            ("Inbox/a", "INBOX/a"),
            ("inboxes", "inboxes"),
            ("a/b/", "a/b"),
            ("邮件", "邮件"),
            ("Entwu\u{308}rfe", "Entw\u{fc}rfe"),
        ] {
            assert_eq!(canonical_name(name).unwrap(), kept);
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let deep = ["x"; NAME_LEVELS_MAX + 1].join("/");
        for bad in ["", "/", "/a", "a//b", "a\nb", "a\u{2028}", "a\u{85}", &long, &deep] {
            assert!(canonical_name(bad).is_err(), "{bad}");
        }
    }
}
