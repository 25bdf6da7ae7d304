//! The directory in pages: whoever lists a hundred thousand users does it in pieces.

use rusqlite::{Connection, Row, params};

use crate::directory::{self, Which, alias_targets, normal_domain};
use crate::domain::{self, DomainRecord, HIDDEN_ADDRESS};
use crate::{Account, AccountId, Alias, Group, Quota, StoreError, group, route};

/// Rows of one page at most.
pub const PAGE_MAX: usize = 1_000;

/// Which piece of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only this domain.
    pub domain: Option<String>,
    /// Only addresses that begin like this.
    pub prefix: String,
    /// Only what comes after this address or name.
    pub after: String,
    /// How many, at most [`PAGE_MAX`].
    pub limit: usize,
}

/// A user with everything that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The account.
    pub account: Account,
    /// Addresses its mail is forwarded to.
    pub forward_to: Vec<String>,
}

/// A domain with everything that is set, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInUse {
    /// Its settings.
    pub record: DomainRecord,
    /// What it uses.
    pub quota: Quota,
    /// How many accounts.
    pub accounts: u64,
    /// How many aliases.
    pub aliases: u64,
    /// How many groups.
    pub groups: u64,
    /// Where mail for unknown users goes.
    pub catch_all: Vec<String>,
}

impl Page {
    fn limit(&self) -> i64 {
        self.limit.min(PAGE_MAX) as i64
    }

    fn domain(&self) -> Result<Option<String>, StoreError> {
        self.domain.as_deref().map(normal_domain).transpose()
    }

    /// Addresses from a table in this piece, by address; `tail` ends the statement.
    fn addresses(&self, database: &Connection, table: &str) -> Result<Vec<String>, StoreError> {
        let domain = self.domain()?;
        let in_domain = "AND domain = (SELECT id FROM domains WHERE name = ?1)";
        let in_domain = if domain.is_some() { in_domain } else { "AND ?1 IS NULL" };
        let sql = format!(
            "SELECT DISTINCT address FROM {table} WHERE address > ?2 AND address >= ?3 AND address < ?4 {in_domain}
               AND address <> ?6 ORDER BY address LIMIT ?5"
        );
        let prefix = self.prefix.to_lowercase();
        let end = format!("{prefix}\u{10ffff}");
        let mut statement = database.prepare_cached(&sql)?;
        let after = self.after.to_lowercase();
        let rows = statement
            .query_map(params![domain, after, prefix, end, self.limit(), HIDDEN_ADDRESS], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

pub(crate) fn users(database: &Connection, page: &Page) -> Result<Vec<User>, StoreError> {
    let mut users = Vec::new();
    for address in page.addresses(database, "accounts")? {
        users.extend(user(database, &address)?);
    }
    Ok(users)
}

pub(crate) fn user(database: &Connection, address: &str) -> Result<Option<User>, StoreError> {
    let Some(account) = directory::account(database, Which::Address(address))? else { return Ok(None) };
    let forward_to = route::forwards(database, account.id)?;
    Ok(Some(User { account, forward_to }))
}

pub(crate) fn aliases(database: &Connection, page: &Page) -> Result<Vec<Alias>, StoreError> {
    let addresses = page.addresses(database, "aliases")?.into_iter();
    addresses.map(|address| Ok(Alias { targets: alias_targets(database, &address)?, address })).collect()
}

pub(crate) fn groups(database: &Connection, page: &Page) -> Result<Vec<Group>, StoreError> {
    let mut groups = Vec::new();
    for address in page.addresses(database, "groups")? {
        groups.extend(group::group(database, &address)?);
    }
    Ok(groups)
}

pub(crate) fn domains(database: &Connection, page: &Page) -> Result<Vec<DomainInUse>, StoreError> {
    let records = domain::page(database, &page.after.to_lowercase(), page.limit() as usize)?.into_iter();
    records.map(|record| in_use(database, record)).collect()
}

pub(crate) fn in_use(database: &Connection, record: DomainRecord) -> Result<DomainInUse, StoreError> {
    let count = |row: &Row<'_>, at| row.get::<_, i64>(at).map(|count| count.max(0) as u64);
    let (accounts, aliases, groups) = database
        .prepare_cached(
            "SELECT (SELECT accounts FROM domain_usage WHERE domain = ?1),
                    (SELECT count(DISTINCT address) FROM aliases WHERE domain = ?1),
                    (SELECT count(*) FROM groups WHERE domain = ?1)",
        )?
        .query_row([record.id.0], |row| Ok((count(row, 0)?, count(row, 1)?, count(row, 2)?)))?;
    let catch_all = alias_targets(database, &format!("@{}", record.name))?;
    Ok(DomainInUse { quota: record.quota(database)?, record, accounts, aliases, groups, catch_all })
}

/// Accounts that get what is sent to an address here, for notices: the account itself, or those behind an
/// alias or a group, at most some.
pub(crate) fn accounts_behind(
    database: &Connection,
    address: &str,
    limit: usize,
) -> Result<Vec<AccountId>, StoreError> {
    let (mut found, mut seen, mut waiting) = (Vec::new(), Vec::new(), vec![address.to_owned()]);
    while let Some(address) = waiting.pop() {
        if found.len() >= limit || seen.len() >= PAGE_MAX || seen.contains(&address) {
            continue;
        }
        if let Some(account) = directory::account_number(database, &address)? {
            if !found.contains(&account) {
                found.push(account);
            }
        } else {
            waiting.extend(alias_targets(database, &address)?);
            waiting.extend(group::group(database, &address)?.map(|group| group.members).unwrap_or_default());
        }
        seen.push(address);
    }
    Ok(found)
}
