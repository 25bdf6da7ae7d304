//! Domains, accounts, aliases: who gets mail here.

use std::collections::HashSet;
use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::limits::{LimitSet, system_limits};
use crate::{Protocols, StoreError};

/// Tables of the directory that came later.
pub(crate) const LATER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS domain_usage (
    domain INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    accounts INTEGER NOT NULL,
    warned INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS warnings (
    kind INTEGER NOT NULL, subject INTEGER NOT NULL, percent INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forwards (
    account INTEGER NOT NULL, address TEXT NOT NULL, PRIMARY KEY (account, address)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain INTEGER NOT NULL REFERENCES domains(id),
    address TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    who INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS groups_of_domain ON groups(domain, address);
CREATE TABLE IF NOT EXISTS group_members (
    group_id INTEGER NOT NULL, member TEXT NOT NULL, PRIMARY KEY (group_id, member)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS group_senders (
    group_id INTEGER NOT NULL, sender TEXT NOT NULL, PRIMARY KEY (group_id, sender)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS app_passwords (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    last_used_s INTEGER,
    UNIQUE (account, name));
";

/// Indexes that came later, and what domains of before use.
pub(crate) const LATER_INDEXES: &str = "
DROP INDEX IF EXISTS accounts_by_domain;
CREATE INDEX IF NOT EXISTS accounts_of_domain ON accounts(domain, address);
INSERT INTO domain_usage (domain, bytes, messages, accounts, warned)
    SELECT d.id, ifnull(sum(u.bytes), 0), ifnull(sum(u.messages), 0), count(a.id), 0
    FROM domains d LEFT JOIN accounts a ON a.domain = d.id LEFT JOIN usage u ON u.account = a.id
    WHERE d.id NOT IN (SELECT domain FROM domain_usage) GROUP BY d.id;
";

/// Number of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(pub i64);

/// Number of an account, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

/// Targets one alias can have, and addresses it can come to after expansion.
pub const TARGETS_MAX: usize = 1_000;
/// Aliases of aliases followed this deep.
pub const ALIAS_DEPTH_MAX: usize = 8;

/// Longest address, RFC 5321 4.5.3.1.3 with room for a long local part.
const ADDRESS_BYTES_MAX: usize = 320;
/// Longest local part; RFC 5321 4.5.3.1.1 asks for 64, UTF-8 needs more.
const LOCAL_BYTES_MAX: usize = 128;
/// Longest domain, RFC 5321 4.5.3.1.2.
const DOMAIN_BYTES_MAX: usize = 255;

/// A domain and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its number.
    pub id: DomainId,
    /// Its name, lower case.
    pub name: String,
    /// How many accounts.
    pub accounts: u64,
    /// How many aliases.
    pub aliases: u64,
}

/// A password as PHC string; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its address, lower case; the user name to log in with.
    pub address: String,
    /// Its password.
    pub password: PasswordHash,
    /// What it uses and may use, with the limits in force.
    pub quota: Quota,
    /// Whether it is in use.
    pub enabled: bool,
    /// Protocols it may use, as far as the account itself is concerned.
    pub protocols: Protocols,
    /// The user's name for people; may be empty.
    pub display_name: String,
    /// Its language, if it has one of its own: `en` or `zh`.
    pub language: Option<String>,
    /// Its own limits.
    pub limits: LimitSet,
    /// Whether forwarded mail is kept here too.
    pub forward_keep: bool,
}

/// What an account uses and may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Space it may use; none is no limit.
    pub limit_bytes: Option<u64>,
    /// Messages it may have; none is no limit.
    pub limit_messages: Option<u64>,
    /// Space it uses.
    pub used_bytes: u64,
    /// Messages it has.
    pub used_messages: u64,
}

impl Quota {
    /// Whether `messages` with `bytes` together still fit.
    pub fn has_room(&self, bytes: u64, messages: u64) -> bool {
        self.limit_bytes.is_none_or(|limit| self.used_bytes.saturating_add(bytes) <= limit)
            && self.limit_messages.is_none_or(|limit| self.used_messages.saturating_add(messages) <= limit)
    }
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its address, lower case.
    pub address: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
}

/// Where mail for an address goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// To one account.
    Account(AccountId),
    /// To the targets of an alias, expanded: no loops, no target twice.
    Alias(Vec<Target>),
    /// The domain is ours, the user is not.
    UnknownUser,
    /// The domain is not ours.
    UnknownDomain,
}

/// One target of an expanded alias.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A local account.
    Account(AccountId),
    /// An address elsewhere.
    Remote(String),
}

/// An account's row, and the defaults of its domain that quotas need.
const SELECT_ACCOUNT: &str =
    "SELECT a.id, a.address, a.password, a.enabled, a.protocols, a.display_name, a.language,
        a.forward_keep, u.bytes, u.messages, d.default_bytes, d.default_messages,
        a.limit_bytes, a.limit_messages, a.limit_message_bytes, a.limit_attachment_bytes,
        a.limit_messages_hour, a.limit_messages_day, a.limit_recipients_hour, a.limit_recipients_day
    FROM accounts a JOIN usage u ON u.account = a.id JOIN domains d ON d.id = a.domain";
/// Where the limits begin in it.
const LIMITS_AT: usize = 12;

fn read_account(row: &Row<'_>, system: &LimitSet) -> rusqlite::Result<Account> {
    let limits = LimitSet::read(row, LIMITS_AT)?;
    let used = |at| row.get::<_, i64>(at).map(|used| used.max(0) as u64);
    Ok(Account {
        id: AccountId(row.get(0)?),
        address: row.get(1)?,
        password: PasswordHash(row.get(2)?),
        enabled: row.get(3)?,
        protocols: row.get::<_, Option<u8>>(4)?.map_or(Protocols::ALL, Protocols),
        display_name: row.get(5)?,
        language: row.get(6)?,
        forward_keep: row.get(7)?,
        quota: Quota {
            limit_bytes: limits.space_bytes.or(row.get(10)?).or(system.space_bytes).value(),
            limit_messages: limits.messages.or(row.get(11)?).or(system.messages).value(),
            used_bytes: used(8)?,
            used_messages: used(9)?,
        },
        limits,
    })
}

/// Local part and domain.
pub(crate) fn split_address(address: &str) -> Option<(&str, &str)> {
    address.rsplit_once('@').filter(|(_, domain)| !domain.is_empty())
}

/// An address as the store keeps it: lower case. `@domain` stands for every user of the domain.
pub(crate) fn normal_address(address: &str) -> Result<String, StoreError> {
    let bad = || StoreError::BadAddress(address.chars().take(ADDRESS_BYTES_MAX).collect());
    let (local, domain) = split_address(address).ok_or_else(bad)?;
    let is_plain =
        |letter: char| !letter.is_control() && !letter.is_whitespace() && !matches!(letter, '<' | '>' | ',');
    if address.len() > ADDRESS_BYTES_MAX || local.len() > LOCAL_BYTES_MAX || !local.chars().all(is_plain) {
        return Err(bad());
    }
    let domain = normal_domain(domain).map_err(|_| bad())?;
    Ok(format!("{}@{domain}", local.to_lowercase()))
}

/// A domain as the store keeps it: lower case, without a dot at the end.
pub(crate) fn normal_domain(domain: &str) -> Result<String, StoreError> {
    let name = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
    };
    if name.len() > DOMAIN_BYTES_MAX || !name.split('.').all(is_label) {
        return Err(StoreError::BadAddress(domain.chars().take(DOMAIN_BYTES_MAX).collect()));
    }
    Ok(name)
}

/// Where mail for an address goes.
pub(crate) fn resolve(database: &Connection, address: &str) -> Result<Resolution, StoreError> {
    let Some((_, domain)) = split_address(address) else { return Ok(Resolution::UnknownUser) };
    // An address literal is no domain of ours.
    let Ok(domain) = normal_domain(domain) else { return Ok(Resolution::UnknownDomain) };
    if !is_local(database, &domain)? {
        return Ok(Resolution::UnknownDomain);
    }
    // Other servers may have stranger users than we do.
    let Ok(address) = normal_address(address) else { return Ok(Resolution::UnknownUser) };
    let mut expansion = Expansion { database, seen: HashSet::new(), targets: Vec::new() };
    if let Some(account) = account_number(database, &address)? {
        return Ok(Resolution::Account(account));
    }
    expansion.expand(address, 0)?;
    if expansion.targets.is_empty() {
        return Ok(Resolution::UnknownUser);
    }
    Ok(Resolution::Alias(expansion.targets))
}

/// Following an alias to its end.
struct Expansion<'a> {
    database: &'a Connection,
    seen: HashSet<String>,
    targets: Vec<Target>,
}

impl Expansion<'_> {
    fn expand(&mut self, address: String, depth: usize) -> Result<(), StoreError> {
        if depth > ALIAS_DEPTH_MAX || self.targets.len() >= TARGETS_MAX || self.seen.len() > 2 * TARGETS_MAX {
            return Ok(());
        }
        let Some((_, domain)) = split_address(&address) else { return Ok(()) };
        let domain = domain.to_owned();
        if !self.seen.insert(address.clone()) {
            return Ok(());
        }
        if let Some(account) = account_number(self.database, &address)? {
            self.add(Target::Account(account));
            return Ok(());
        }
        let mut next = alias_targets(self.database, &address)?;
        if next.is_empty() {
            if !is_local(self.database, &domain)? {
                self.add(Target::Remote(address));
                return Ok(());
            }
            next = alias_targets(self.database, &format!("@{domain}"))?;
        }
        for target in next {
            self.expand(target, depth + 1)?;
        }
        Ok(())
    }

    fn add(&mut self, target: Target) {
        if self.targets.len() < TARGETS_MAX && !self.targets.contains(&target) {
            self.targets.push(target);
        }
    }
}

pub(crate) fn is_local(database: &Connection, domain: &str) -> Result<bool, StoreError> {
    Ok(database.prepare_cached("SELECT 1 FROM domains WHERE name = ?1")?.exists([domain])?)
}

pub(crate) fn account_number(database: &Connection, address: &str) -> Result<Option<AccountId>, StoreError> {
    let mut statement = database.prepare_cached("SELECT id FROM accounts WHERE address = ?1")?;
    Ok(statement.query_row([address], |row| row.get(0).map(AccountId)).optional()?)
}

pub(crate) fn alias_targets(database: &Connection, address: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = database.prepare_cached("SELECT target FROM aliases WHERE address = ?1")?;
    let rows = statement.query_map([address], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Which account.
pub(crate) enum Which<'a> {
    Id(AccountId),
    Address(&'a str),
}

pub(crate) fn account(database: &Connection, which: Which<'_>) -> Result<Option<Account>, StoreError> {
    let system = system_limits(database)?;
    let read = |row: &Row<'_>| read_account(row, &system);
    let found = match which {
        Which::Id(id) => database
            .prepare_cached(&format!("{SELECT_ACCOUNT} WHERE a.id = ?1"))?
            .query_row([id.0], read)
            .optional()?,
        Which::Address(address) => {
            let Ok(address) = normal_address(address) else { return Ok(None) };
            database
                .prepare_cached(&format!("{SELECT_ACCOUNT} WHERE a.address = ?1"))?
                .query_row([address], read)
                .optional()?
        }
    };
    Ok(found)
}

pub(crate) fn domains(database: &Connection) -> Result<Vec<Domain>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT id, name, (SELECT accounts FROM domain_usage WHERE domain = domains.id),
                (SELECT count(DISTINCT address) FROM aliases WHERE domain = domains.id)
         FROM domains ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        let count = |at| row.get::<_, i64>(at).map(|count| count as u64);
        Ok(Domain { id: DomainId(row.get(0)?), name: row.get(1)?, accounts: count(2)?, aliases: count(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn accounts(database: &Connection, domain: Option<&str>) -> Result<Vec<Account>, StoreError> {
    let domain = domain.map(normal_domain).transpose()?;
    let system = system_limits(database)?;
    let sql = format!("{SELECT_ACCOUNT} WHERE ?1 IS NULL OR d.name = ?1 ORDER BY d.name, a.address");
    let mut statement = database.prepare_cached(&sql)?;
    let rows = statement.query_map([domain], |row| read_account(row, &system))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn aliases(database: &Connection, domain: Option<&str>) -> Result<Vec<Alias>, StoreError> {
    let domain = domain.map(normal_domain).transpose()?;
    let mut statement = database.prepare_cached(
        "SELECT address, target FROM aliases JOIN domains ON id = domain
         WHERE ?1 IS NULL OR name = ?1 ORDER BY name, address, target",
    )?;
    let mut rows = statement.query([domain])?;
    let mut aliases: Vec<Alias> = Vec::new();
    while let Some(row) = rows.next()? {
        let (address, target): (String, String) = (row.get(0)?, row.get(1)?);
        match aliases.last_mut().filter(|last| last.address == address) {
            Some(last) => last.targets.push(target),
            None => aliases.push(Alias { address, targets: vec![target] }),
        }
    }
    Ok(aliases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_in_one_spelling() {
        assert_eq!(normal_address("Alice@Example.TEST.").unwrap(), "alice@example.test");
        assert_eq!(normal_address("@Example.test").unwrap(), "@example.test");
        assert_eq!(normal_address("\"a@b\"@x.test").unwrap(), "\"a@b\"@x.test");
        for bad in ["", "alice", "alice@", "a b@x.test", "a@x..test", "a@-_.test", "<a@x.test>"] {
            assert!(normal_address(bad).is_err(), "{bad}");
        }
    }
}
