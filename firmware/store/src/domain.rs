//! Domains: what each is set to, and a memory of them for those who ask with every message.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension, Row};

use crate::limits::{LIMITS, Limit, LimitSet, Protocols, system_limits};
use crate::{DomainId, Quota, StoreError};

/// Names remembered, ours and others'; when it is full it begins anew.
const REMEMBERED_MAX: usize = 10_000;

/// What a domain is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRecord {
    /// Its number.
    pub id: DomainId,
    /// Its name, lower case, A-labels.
    pub name: String,
    /// Whether it accepts mail and logins.
    pub enabled: bool,
    /// Space all its users may use together.
    pub space_bytes: Limit,
    /// Users it may have.
    pub users: Limit,
    /// Protocols its users may use.
    pub protocols: Protocols,
    /// Whether `user+detail@` leads to `user@`.
    pub plus_addressing: bool,
    /// Language of its notices, and the default of its users: `en` or `zh`.
    pub language: Option<String>,
    /// Limits of users who have none of their own.
    pub defaults: LimitSet,
    /// What all its users may send together; the other limits of the set are not used.
    pub sending: LimitSet,
}

const SELECT: &str =
    "SELECT id, name, enabled, limit_bytes, limit_accounts, protocols, plus_addressing, language,
        default_bytes, default_messages, default_message_bytes, default_attachment_bytes,
        default_messages_hour, default_messages_day, default_recipients_hour, default_recipients_day,
        sends_messages_hour, sends_messages_day, sends_recipients_hour, sends_recipients_day
    FROM domains";
/// Where the limits begin in it.
const LIMITS_AT: usize = 8;
const _: () = assert!(LIMITS == 8, "the statement names every limit");

fn read_domain(row: &Row<'_>) -> rusqlite::Result<DomainRecord> {
    Ok(DomainRecord {
        id: DomainId(row.get(0)?),
        name: row.get(1)?,
        enabled: row.get(2)?,
        space_bytes: row.get(3)?,
        users: row.get(4)?,
        protocols: row.get::<_, Option<u8>>(5)?.map_or(Protocols::ALL, Protocols),
        plus_addressing: row.get(6)?,
        language: row.get(7)?,
        defaults: LimitSet::read(row, LIMITS_AT)?,
        sending: LimitSet {
            messages_hour: row.get(LIMITS_AT + LIMITS)?,
            messages_day: row.get(LIMITS_AT + LIMITS + 1)?,
            recipients_hour: row.get(LIMITS_AT + LIMITS + 2)?,
            recipients_day: row.get(LIMITS_AT + LIMITS + 3)?,
            ..LimitSet::default()
        },
    })
}

impl DomainRecord {
    /// What the domain uses and may use.
    pub(crate) fn quota(&self, database: &Connection) -> Result<Quota, StoreError> {
        let mut statement =
            database.prepare_cached("SELECT bytes, messages FROM domain_usage WHERE domain = ?1")?;
        let used = statement.query_row([self.id.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        let (bytes, messages) = used.optional()?.unwrap_or_default();
        Ok(Quota {
            limit_bytes: self.space_bytes.value(),
            limit_messages: None,
            used_bytes: bytes.max(0) as u64,
            used_messages: messages.max(0) as u64,
        })
    }
}

/// One domain.
pub(crate) fn by_name(database: &Connection, name: &str) -> Result<Option<DomainRecord>, StoreError> {
    let mut statement = database.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?;
    Ok(statement.query_row([name], read_domain).optional()?)
}

/// A domain by its number, with what it uses.
pub(crate) fn by_number(
    database: &Connection,
    id: DomainId,
) -> Result<Option<(DomainRecord, Quota)>, StoreError> {
    let mut statement = database.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    let Some(record) = statement.query_row([id.0], read_domain).optional()? else { return Ok(None) };
    let quota = record.quota(database)?;
    Ok(Some((record, quota)))
}

/// Domains after `after`, by name, at most `limit`.
/// Domain of what the box keeps for itself, the mailbox of its probes: in no list, and nobody's first
/// domain. The name is nobody's in the DNS (RFC 2606 2).
pub const HIDDEN_DOMAIN: &str = "probe.invalid";
/// The only address in it.
pub const HIDDEN_ADDRESS: &str = "probe@probe.invalid";

pub(crate) fn page(
    database: &Connection,
    after: &str,
    limit: usize,
) -> Result<Vec<DomainRecord>, StoreError> {
    let mut statement = database
        .prepare_cached(&format!("{SELECT} WHERE name > ?1 AND name <> ?3 ORDER BY name LIMIT ?2"))?;
    let limit = limit.min(i64::MAX as usize) as i64;
    let rows = statement.query_map(rusqlite::params![after, limit, HIDDEN_DOMAIN], read_domain)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The domain that was made first: the one of `Postmaster` alone (RFC 5321 4.5.1).
pub(crate) fn first(database: &Connection) -> Result<Option<String>, StoreError> {
    let mut statement =
        database.prepare_cached("SELECT name FROM domains WHERE name <> ?1 ORDER BY id LIMIT 1")?;
    Ok(statement.query_row([HIDDEN_DOMAIN], |row| row.get(0)).optional()?)
}

/// What is remembered of domains and of the system's defaults. A change of the directory bumps the
/// generation, and what was read before is forgotten.
#[derive(Default)]
pub(crate) struct DomainMemory {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    generation: u64,
    system: Option<Arc<LimitSet>>,
    domains: HashMap<String, Option<Arc<DomainRecord>>>,
}

/// A domain and the system's defaults.
pub(crate) type Known = (Option<Arc<DomainRecord>>, Arc<LimitSet>);

/// Reads a domain and the system's defaults.
pub(crate) fn read_known(database: &Connection, name: &str) -> Result<Known, StoreError> {
    Ok((by_name(database, name)?.map(Arc::new), Arc::new(system_limits(database)?)))
}

impl DomainMemory {
    /// What is known of a domain; it is read at the first question after a change.
    pub fn get(
        &self,
        generation: &AtomicU64,
        name: &str,
        read: impl FnOnce() -> Result<Known, StoreError>,
    ) -> Result<Known, StoreError> {
        // Before reading: what is read after a change is at worst forgotten once too often.
        let now = generation.load(Ordering::Acquire);
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            if kept.generation == now
                && let (Some(domain), Some(system)) = (kept.domains.get(name), &kept.system)
            {
                return Ok((domain.clone(), Arc::clone(system)));
            }
        }
        let known = read()?;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.generation != now || kept.domains.len() >= REMEMBERED_MAX {
            if kept.generation > now {
                return Ok(known);
            }
            *kept = Kept { generation: now, ..Kept::default() };
        }
        kept.system = Some(Arc::clone(&known.1));
        kept.domains.insert(name.to_owned(), known.0.clone());
        Ok(known)
    }
}
