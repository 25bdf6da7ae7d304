//! Access control lists (RFC 4314): who may do what in a mailbox that is not theirs.
//!
//! A list names users, groups, or everybody of the domain (`anyone`), each with rights that are given or, as a
//! negative entry, taken away. What counts is the union of what is given less the union of what is taken.
//! Nobody outside the owner's domain ever has a right. The owner of a mailbox has every right unless an
//! entry of the list narrows it, and always those to look, to administer, and to make and delete mailboxes.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::mailbox::{SELECT_COLUMNS, read_mailbox};
use crate::{AccountId, Mailbox, MailboxId, StoreError, mailbox};

/// Entries one list can have.
pub const ACL_ENTRIES_MAX: usize = 500;
/// Entries of other users' lists that are looked at for one user.
const VISIBLE_ENTRIES_MAX: usize = 20_000;
/// The identifier of everybody in the owner's domain.
pub const ANYONE: &str = "anyone";

/// The tables of this module; rows go with their mailbox and with the user they name.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS acl (
    mailbox INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    identifier TEXT NOT NULL,
    negative INTEGER NOT NULL,
    rights INTEGER NOT NULL,
    PRIMARY KEY (mailbox, identifier, negative)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS acl_by_identifier ON acl(domain, identifier);
CREATE TRIGGER IF NOT EXISTS acl_of_mailbox AFTER DELETE ON mailboxes
    BEGIN DELETE FROM acl WHERE mailbox = OLD.id; END;
CREATE TRIGGER IF NOT EXISTS acl_of_account AFTER DELETE ON accounts
    BEGIN DELETE FROM acl WHERE domain = OLD.domain AND identifier = OLD.address; END;
";

/// Rows that go with the group they name, and the way from a member to its groups.
pub(crate) const LATER_INDEXES: &str = "
CREATE INDEX IF NOT EXISTS groups_of_member ON group_members(member);
CREATE TRIGGER IF NOT EXISTS acl_of_group AFTER DELETE ON groups
    BEGIN DELETE FROM acl WHERE domain = OLD.domain AND identifier = OLD.address; END;
";

/// The identifiers of user ?1 besides the own address and `anyone`: groups, also those that groups of the
/// user are members of. A circle of groups ends, because a row comes once.
const CIRCLE: &str = "WITH RECURSIVE circle(address) AS (
        SELECT address FROM accounts WHERE id = ?1
        UNION SELECT groups.address FROM circle
        JOIN group_members ON group_members.member = circle.address
        JOIN groups ON groups.id = group_members.group_id)";

/// Rights as a set of letters (RFC 4314 section 2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(pub u16);

impl Rights {
    /// `l`: see the name.
    pub const LOOKUP: Self = Self(1);
    /// `r`: select, read, STATUS.
    pub const READ: Self = Self(1 << 1);
    /// `s`: change `\Seen`.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: change other flags than `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: put messages in.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: send mail to the mailbox's address.
    pub const POST: Self = Self(1 << 5);
    /// `k`: make mailboxes below.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: delete the mailbox.
    pub const DELETE_MAILBOX: Self = Self(1 << 7);
    /// `t`: change `\Deleted`.
    pub const DELETE_MESSAGES: Self = Self(1 << 8);
    /// `e`: expunge.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: read and change the list.
    pub const ADMIN: Self = Self(1 << 10);
    /// Every right.
    pub const ALL: Self = Self((1 << 11) - 1);
    /// What the owner has whatever the list says.
    pub const OWNER_ALWAYS: Self =
        Self(Self::LOOKUP.0 | Self::CREATE.0 | Self::DELETE_MAILBOX.0 | Self::ADMIN.0);

    const LETTERS: [(char, Self); 11] = [
        ('l', Self::LOOKUP),
        ('r', Self::READ),
        ('s', Self::SEEN),
        ('w', Self::WRITE),
        ('i', Self::INSERT),
        ('p', Self::POST),
        ('k', Self::CREATE),
        ('x', Self::DELETE_MAILBOX),
        ('t', Self::DELETE_MESSAGES),
        ('e', Self::EXPUNGE),
        ('a', Self::ADMIN),
    ];

    /// Reads letters; `None` if one is unknown. The `c` and `d` of RFC 2086 stand for `kx` and `te`
    /// (RFC 4314 section 2.1.1).
    pub fn parse(letters: &str) -> Option<Self> {
        let mut rights = Self::default();
        for letter in letters.chars() {
            rights = rights.union(match letter {
                'c' => Self::CREATE.union(Self::DELETE_MAILBOX),
                'd' => Self::DELETE_MESSAGES.union(Self::EXPUNGE),
                _ => Self::LETTERS.iter().find(|(known, _)| *known == letter)?.1,
            });
        }
        Some(rights)
    }

    /// Has all of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Has some of `other`.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// No right at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The single rights in it.
    pub fn each(self) -> impl Iterator<Item = Self> {
        Self::LETTERS.into_iter().map(|(_, right)| right).filter(move |right| self.contains(*right))
    }
}

impl fmt::Display for Rights {
    /// The letters, with the `c` and `d` that older clients look for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, _) in Self::LETTERS.iter().filter(|(_, right)| self.contains(*right)) {
            write!(f, "{letter}")?;
        }
        if self.intersects(Self::CREATE.union(Self::DELETE_MAILBOX)) {
            f.write_str("c")?;
        }
        if self.intersects(Self::DELETE_MESSAGES.union(Self::EXPUNGE)) {
            f.write_str("d")?;
        }
        Ok(())
    }
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    /// The address of a user or of a group, or [`ANYONE`].
    pub identifier: String,
    /// The rights are taken away.
    pub negative: bool,
    /// Which.
    pub rights: Rights,
}

/// How an entry is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclChange {
    /// These and no other.
    Replace,
    /// `+`
    Add,
    /// `-`
    Remove,
}

/// A mailbox of another user that this one can see something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedMailbox {
    /// The mailbox, with the name its owner sees.
    pub mailbox: Mailbox,
    /// The owner's address.
    pub owner: String,
    /// What this user may do.
    pub rights: Rights,
}

/// What counts of some entries.
#[derive(Default)]
struct Sum {
    given: Option<Rights>,
    taken: Rights,
}

impl Sum {
    fn add(&mut self, negative: bool, rights: Rights) {
        if negative {
            self.taken = self.taken.union(rights);
        } else {
            self.given = Some(self.given.unwrap_or_default().union(rights));
        }
    }

    fn of_guest(&self) -> Rights {
        self.given.unwrap_or_default().without(self.taken)
    }

    fn of_owner(&self) -> Rights {
        self.given.unwrap_or(Rights::ALL).without(self.taken).union(Rights::OWNER_ALWAYS)
    }
}

fn read_rights(row: &Row<'_>, at: usize) -> rusqlite::Result<Rights> {
    Ok(Rights(row.get::<_, u16>(at)?))
}

/// The entries of a list as stored; the owner's is there only if it was set.
pub(crate) fn entries(database: &Connection, mailbox: MailboxId) -> Result<Vec<AclEntry>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT identifier, negative, rights FROM acl WHERE mailbox = ?1 ORDER BY identifier, negative",
    )?;
    let rows = statement.query_map([mailbox.0], |row| {
        Ok(AclEntry { identifier: row.get(0)?, negative: row.get(1)?, rights: read_rights(row, 2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a mailbox has a list. Each IMAP command that names a mailbox asks, and most have none; the
/// statement that reads a list is made ready anew by SQLite for every value.
const HAS_ENTRIES: &str = "SELECT 1 FROM acl WHERE mailbox = ?1";

/// What a user may do in a mailbox.
pub(crate) fn rights(
    database: &Connection,
    account: AccountId,
    mailbox: MailboxId,
    owner: AccountId,
) -> Result<Rights, StoreError> {
    let mut sum = Sum::default();
    if database.prepare_cached(HAS_ENTRIES)?.exists([mailbox.0])? {
        // To the owner only an entry of the own name applies.
        let mut statement = database.prepare_cached(&format!(
            "{CIRCLE}
             SELECT acl.negative, acl.rights FROM accounts
             JOIN acl ON acl.mailbox = ?2 AND acl.domain = accounts.domain
                 AND (acl.identifier = accounts.address OR accounts.id <> ?3
                     AND (acl.identifier = 'anyone' OR acl.identifier IN circle))
             WHERE accounts.id = ?1"
        ))?;
        let mut rows = statement.query(params![account.0, mailbox.0, owner.0])?;
        while let Some(row) = rows.next()? {
            sum.add(row.get(0)?, read_rights(row, 1)?);
        }
    }
    Ok(if account == owner { sum.of_owner() } else { sum.of_guest() })
}

/// Another user's mailbox by the owner's address and name, if both are of one domain; the caller decides
/// by the rights whether there is one.
pub(crate) fn shared(
    database: &Connection,
    account: AccountId,
    owner: &str,
    name: &str,
) -> Result<Option<SharedMailbox>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT other.id, other.address FROM accounts AS other JOIN accounts AS me ON me.domain = other.domain
         WHERE me.id = ?1 AND other.address = ?2",
    )?;
    let found = statement
        .query_row(params![account.0, owner], |row| Ok((AccountId(row.get(0)?), row.get::<_, String>(1)?)));
    let Some((owner_id, owner)) = found.optional()? else { return Ok(None) };
    let Some(mailbox) = mailbox::by_name(database, owner_id, name)? else { return Ok(None) };
    let rights = rights(database, account, mailbox.id, owner_id)?;
    Ok(Some(SharedMailbox { mailbox, owner, rights }))
}

/// Own mailboxes in which the owner's rights are narrowed.
pub(crate) fn narrowed(
    database: &Connection,
    account: AccountId,
) -> Result<Vec<(MailboxId, Rights)>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT acl.mailbox, acl.negative, acl.rights FROM accounts AS me
         JOIN acl ON acl.domain = me.domain AND acl.identifier = me.address
         JOIN mailboxes ON mailboxes.id = acl.mailbox AND mailboxes.account = me.id
         WHERE me.id = ?1 ORDER BY acl.mailbox",
    )?;
    let mut found: Vec<(MailboxId, Sum)> = Vec::new();
    let mut rows = statement.query([account.0])?;
    while let Some(row) = rows.next()? {
        let id = MailboxId(row.get(0)?);
        if found.last().is_none_or(|(last, _)| *last != id) {
            found.push((id, Sum::default()));
        }
        if let Some((_, sum)) = found.last_mut() {
            sum.add(row.get(1)?, read_rights(row, 2)?);
        }
    }
    Ok(found.into_iter().map(|(id, sum)| (id, sum.of_owner())).collect())
}

/// Every mailbox of other users that an entry gives this one something of.
pub(crate) fn visible(database: &Connection, account: AccountId) -> Result<Vec<SharedMailbox>, StoreError> {
    let mut statement = database.prepare_cached(&format!(
        "{CIRCLE}, known(identifier) AS (SELECT address FROM circle UNION ALL SELECT 'anyone')
         SELECT {SELECT_COLUMNS}, owner.address, acl.negative, acl.rights
         FROM accounts AS me JOIN known
         JOIN acl ON acl.domain = me.domain AND acl.identifier = known.identifier
         JOIN mailboxes ON mailboxes.id = acl.mailbox JOIN counters ON counters.mailbox = mailboxes.id
         JOIN accounts AS owner ON owner.id = mailboxes.account
         WHERE me.id = ?1 AND mailboxes.account <> ?1
         ORDER BY owner.address, mailboxes.name, mailboxes.id LIMIT ?2"
    ))?;
    let mut found: Vec<(SharedMailbox, Sum)> = Vec::new();
    let mut rows = statement.query(params![account.0, VISIBLE_ENTRIES_MAX as i64])?;
    while let Some(row) = rows.next()? {
        let id = MailboxId(row.get(0)?);
        if found.last().is_none_or(|(last, _)| last.mailbox.id != id) {
            let mailbox = read_mailbox(row)?;
            let shared = SharedMailbox { mailbox, owner: row.get(14)?, rights: Rights::default() };
            found.push((shared, Sum::default()));
        }
        if let Some((_, sum)) = found.last_mut() {
            sum.add(row.get(15)?, read_rights(row, 16)?);
        }
    }
    Ok(found
        .into_iter()
        .map(|(shared, sum)| SharedMailbox { rights: sum.of_guest(), ..shared })
        .filter(|shared| !shared.rights.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_of_each_mailbox_are_asked_for_with_one_prepared_statement() {
        let database = Connection::open_in_memory().unwrap();
        crate::schema::prepare(&database, 1).unwrap();
        let mut statement = database.prepare(HAS_ENTRIES).unwrap();
        for number in 1..10 {
            assert!(!statement.exists([number]).unwrap());
        }
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }

    #[test]
    fn letters() {
        assert_eq!(Rights::parse("lrs").unwrap().to_string(), "lrs");
        assert_eq!(Rights::parse("cd").unwrap().to_string(), "kxtecd");
        assert_eq!(Rights::ALL.to_string(), "lrswipkxteacd");
        assert_eq!(Rights::parse(""), Some(Rights::default()));
        assert_eq!(Rights::parse("lq"), None);
        assert_eq!(Rights::parse("L"), None);
        assert_eq!(Rights::ALL.each().count(), 11);
    }
}
