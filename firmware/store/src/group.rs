//! Groups: one address for many, and who may write to it.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use crate::StoreError;
use crate::directory::{account_number, is_local, normal_address, split_address};

/// Members one group can have, and senders it can name.
pub const MEMBERS_MAX: usize = 10_000;
/// Groups looked into for one question, however they are nested.
const GROUPS_VISITED_MAX: usize = 1_000;

/// Who may send to a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhoMaySend {
    /// Anybody.
    #[default]
    Anyone = 0,
    /// Its members, also those of groups in it.
    Members = 1,
    /// Users of its domain.
    Domain = 2,
    /// Named addresses and domains (`@example.com`) only.
    Named = 3,
}

impl WhoMaySend {
    pub(crate) fn from_stored(number: i64) -> Self {
        [Self::Anyone, Self::Members, Self::Domain, Self::Named]
            .into_iter()
            .find(|who| *who as i64 == number)
            .unwrap_or(Self::Named)
    }
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its address, lower case.
    pub address: String,
    /// Its name for people; may be empty.
    pub name: String,
    /// Who may send to it; the named senders may whatever it says.
    pub who: WhoMaySend,
    /// Addresses, or `@domain`, that may always send to it.
    pub senders: Vec<String>,
    /// Addresses of users, of other groups, or elsewhere.
    pub members: Vec<String>,
}

/// One group, with members and senders.
pub(crate) fn group(database: &Connection, address: &str) -> Result<Option<Group>, StoreError> {
    let mut statement = database.prepare_cached("SELECT id, name, who FROM groups WHERE address = ?1")?;
    let found = statement.query_row([address], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    });
    let Some((id, name, who)) = found.optional()? else { return Ok(None) };
    Ok(Some(Group {
        address: address.to_owned(),
        name,
        who: WhoMaySend::from_stored(who),
        senders: addresses(
            database,
            "SELECT sender FROM group_senders WHERE group_id = ?1 ORDER BY sender",
            id,
        )?,
        members: addresses(
            database,
            "SELECT member FROM group_members WHERE group_id = ?1 ORDER BY member",
            id,
        )?,
    }))
}

fn addresses(database: &Connection, sql: &str, id: i64) -> Result<Vec<String>, StoreError> {
    let mut statement = database.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether `sender` may send to the group. `account` is the address of the account that is logged in:
/// an address of ours counts only for somebody who has logged in, because anybody can write it.
pub(crate) fn may_send(
    database: &Connection,
    group: &Group,
    sender: &str,
    account: Option<&str>,
) -> Result<bool, StoreError> {
    if group.who == WhoMaySend::Anyone {
        return Ok(true);
    }
    let mut identities: Vec<String> = Vec::new();
    identities.extend(account.and_then(|account| normal_address(account).ok()));
    if let Ok(sender) = normal_address(sender)
        && let Some((_, domain)) = split_address(&sender)
        && (account.is_some() || !is_local(database, domain)?)
    {
        identities.push(sender);
    }
    let is_named = |identity: &String| {
        let domain = split_address(identity).map(|(_, domain)| format!("@{domain}"));
        group.senders.iter().any(|named| named == identity || domain.as_ref() == Some(named))
    };
    if identities.iter().any(is_named) {
        return Ok(true);
    }
    match group.who {
        WhoMaySend::Anyone => Ok(true),
        WhoMaySend::Named => Ok(false),
        WhoMaySend::Domain => {
            let own = split_address(&group.address).map(|(_, domain)| domain);
            Ok(account.is_some() && identities.iter().any(|one| split_address(one).map(|(_, d)| d) == own))
        }
        WhoMaySend::Members => is_member(database, group, &identities),
    }
}

/// Whether one of the addresses is among the members, also of groups in the group.
fn is_member(database: &Connection, group: &Group, identities: &[String]) -> Result<bool, StoreError> {
    let mut seen = HashSet::from([group.address.clone()]);
    let mut waiting = group.members.clone();
    while let Some(member) = waiting.pop() {
        if identities.contains(&member) {
            return Ok(true);
        }
        if seen.len() >= GROUPS_VISITED_MAX || account_number(database, &member)?.is_some() {
            continue;
        }
        if !seen.contains(&member)
            && let Some(inner) = self::group(database, &member)?
        {
            seen.insert(member);
            waiting.extend(inner.members);
        }
    }
    Ok(false)
}
