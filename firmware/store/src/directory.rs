//! Domains, accounts, aliases: who gets mail here.

use std::collections::HashSet;
use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::StoreError;

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
    /// What it uses and may use.
    pub quota: Quota,
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

/// Reads limit_bytes, limit_messages, used bytes, used messages from the row's first columns.
pub(crate) fn read_quota(row: &Row<'_>) -> rusqlite::Result<Quota> {
    quota_at(row, 0)
}

fn quota_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Quota> {
    let number =
        |at: usize| row.get::<_, Option<i64>>(at).map(|number| number.map(|number| number.max(0) as u64));
    Ok(Quota {
        limit_bytes: number(at)?,
        limit_messages: number(at + 1)?,
        used_bytes: number(at + 2)?.unwrap_or(0),
        used_messages: number(at + 3)?.unwrap_or(0),
    })
}

fn read_account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId(row.get(0)?),
        address: row.get(1)?,
        password: PasswordHash(row.get(2)?),
        quota: quota_at(row, 3)?,
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

fn is_local(database: &Connection, domain: &str) -> Result<bool, StoreError> {
    Ok(database.prepare_cached("SELECT 1 FROM domains WHERE name = ?1")?.exists([domain])?)
}

fn account_number(database: &Connection, address: &str) -> Result<Option<AccountId>, StoreError> {
    let mut statement = database.prepare_cached("SELECT id FROM accounts WHERE address = ?1")?;
    Ok(statement.query_row([address], |row| row.get(0).map(AccountId)).optional()?)
}

fn alias_targets(database: &Connection, address: &str) -> Result<Vec<String>, StoreError> {
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
    let select = "SELECT id, address, password, limit_bytes, limit_messages, bytes, messages
                  FROM accounts JOIN usage ON account = id WHERE";
    let found = match which {
        Which::Id(id) => database
            .prepare_cached(&format!("{select} id = ?1"))?
            .query_row([id.0], read_account)
            .optional()?,
        Which::Address(address) => {
            let Ok(address) = normal_address(address) else { return Ok(None) };
            database
                .prepare_cached(&format!("{select} address = ?1"))?
                .query_row([address], read_account)
                .optional()?
        }
    };
    Ok(found)
}

pub(crate) fn domains(database: &Connection) -> Result<Vec<Domain>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT id, name, (SELECT count(*) FROM accounts WHERE domain = domains.id),
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
    let mut statement = database.prepare_cached(
        "SELECT accounts.id, address, password, limit_bytes, limit_messages, bytes, messages
         FROM accounts JOIN usage ON account = accounts.id JOIN domains ON domains.id = domain
         WHERE ?1 IS NULL OR name = ?1 ORDER BY name, address",
    )?;
    let rows = statement.query_map([domain], read_account)?;
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
