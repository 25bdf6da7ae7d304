//! Warnings that a mailbox or a domain is nearly full: once per crossing, kept until they are delivered.

use rusqlite::{Connection, Row};

use crate::{AccountId, DomainId, Quota, StoreError};

/// Levels at which a warning is due, in percent, ascending.
pub const WARNING_PERCENTS: [u8; 2] = [80, 95];
/// Warnings read at once.
const PAGE: usize = 100;

/// Who is to be warned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The user of an account.
    Account(AccountId),
    /// The postmaster of a domain.
    Domain(DomainId),
}

impl Subject {
    /// Kind and number, as kept.
    pub(crate) fn key(self) -> (i64, i64) {
        match self {
            Self::Account(account) => (0, account.0),
            Self::Domain(domain) => (1, domain.0),
        }
    }
}

/// A warning that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Who is to be warned.
    pub subject: Subject,
    /// The level that was crossed, in percent.
    pub percent: u8,
}

/// The highest level that is reached; 0 is none. Who may have nothing at all is not warned of it.
pub(crate) fn level(quota: &Quota) -> u8 {
    let reached = |used: u64, limit: Option<u64>, percent: u8| {
        limit.is_some_and(|limit| {
            limit > 0 && u128::from(used) * 100 >= u128::from(limit) * u128::from(percent)
        })
    };
    let is_reached = |percent: &&u8| {
        reached(quota.used_bytes, quota.limit_bytes, **percent)
            || reached(quota.used_messages, quota.limit_messages, **percent)
    };
    WARNING_PERCENTS.iter().rev().find(is_reached).copied().unwrap_or(0)
}

/// Warnings that are due, at most some.
pub(crate) fn due(database: &Connection) -> Result<Vec<Warning>, StoreError> {
    let mut statement = database.prepare_cached("SELECT kind, subject, percent FROM warnings LIMIT ?1")?;
    let read = |row: &Row<'_>| {
        let number = row.get(1)?;
        let subject = match row.get::<_, i64>(0)? {
            0 => Subject::Account(AccountId(number)),
            _ => Subject::Domain(DomainId(number)),
        };
        Ok(Warning { subject, percent: row.get(2)? })
    };
    let rows = statement.query_map([PAGE as i64], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_reached_by_space_or_by_count() {
        let quota = |used_bytes, used_messages| Quota {
            limit_bytes: Some(1_000),
            limit_messages: Some(100),
            used_bytes,
            used_messages,
        };
        for (bytes, messages, percent) in [
            (0, 0, 0),
            (799, 79, 0),
            (800, 0, 80),
            (0, 80, 80),
            (949, 94, 80),
            (950, 0, 95),
            (1, 95, 95),
            (5_000, 0, 95),
        ] {
            assert_eq!(level(&quota(bytes, messages)), percent, "{bytes} {messages}");
        }
        assert_eq!(level(&Quota { used_bytes: u64::MAX, ..Quota::default() }), 0);
        assert_eq!(level(&Quota { limit_bytes: Some(0), ..Quota::default() }), 0);
        let huge = Quota { limit_bytes: Some(u64::MAX), used_bytes: u64::MAX / 10 * 9, ..Quota::default() };
        assert_eq!(level(&huge), 80);
    }
}
