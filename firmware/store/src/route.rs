//! Where mail for an address goes, one step at a time, and whether it may come in.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::directory::{alias_targets, normal_address, normal_domain, split_address};
use crate::domain::DomainRecord;
use crate::group::{self, Group};
use crate::limits::LIMITS;
use crate::{Access, AccountId, LimitSet, Protocol, Protocols, Quota, StoreError, mailbox};

/// Between a user and the detail behind it (RFC 5233).
pub const DETAIL_SEPARATOR: char = '+';

/// Where mail for an address goes: one step, so that whoever follows it can apply what each step asks
/// for and stop loops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To an account.
    Account(Box<Addressee>),
    /// To other addresses, here or elsewhere.
    Alias {
        /// The alias's own address; `@domain` for the catch-all.
        address: String,
        /// Its targets.
        targets: Vec<String>,
    },
    /// To the members of a group, if the sender may.
    Group(Box<Group>),
    /// The domain is ours and accepts no mail now.
    DomainDisabled,
    /// The domain is ours, the user is not.
    UnknownUser,
    /// The domain is not ours.
    UnknownDomain,
}

/// An account as whoever brings mail needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// Its number.
    pub account: AccountId,
    /// Its own address, without a detail.
    pub address: String,
    /// Mailbox named by the detail behind the plus, if it exists.
    pub folder: Option<String>,
    /// Whether the account is in use.
    pub enabled: bool,
    /// What the mailbox uses and may use.
    pub quota: Quota,
    /// What the domain uses and may use; it has no limit on messages.
    pub domain_quota: Quota,
    /// Limits in force.
    pub limits: LimitSet,
    /// Addresses its mail is forwarded to.
    pub forward_to: Vec<String>,
    /// Whether forwarded mail is kept here too; true without forwarding.
    pub keep_copy: bool,
    /// Language for notices: `en` or `zh`.
    pub language: String,
}

/// Why an account does not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// The account is disabled.
    AccountDisabled,
    /// The message is larger than this user takes.
    MessageTooLarge {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// An attachment is larger than this user takes.
    AttachmentTooLarge {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// The mailbox is full.
    MailboxFull {
        /// The message would not fit into the empty mailbox either.
        never_fits: bool,
    },
    /// The domain is full.
    DomainFull {
        /// The message would not fit into the empty domain either.
        never_fits: bool,
    },
}

impl Addressee {
    /// Whether a message of so many bytes may come in, as far as it is known now: with 0 bytes, whether
    /// any may. Who forwards without keeping a copy needs no room.
    pub fn takes(&self, message_bytes: u64) -> Result<(), NotTaken> {
        if !self.enabled {
            return Err(NotTaken::AccountDisabled);
        }
        if let Some(limit_bytes) = self.limits.message_bytes.value().filter(|limit| message_bytes > *limit) {
            return Err(NotTaken::MessageTooLarge { limit_bytes });
        }
        if !self.keep_copy {
            return Ok(());
        }
        let never = |quota: &Quota| quota.limit_bytes.is_some_and(|limit| message_bytes > limit);
        if !self.quota.has_room(message_bytes.max(1), 1) {
            return Err(NotTaken::MailboxFull { never_fits: never(&self.quota) });
        }
        if !self.domain_quota.has_room(message_bytes.max(1), 1) {
            return Err(NotTaken::DomainFull { never_fits: never(&self.domain_quota) });
        }
        Ok(())
    }

    /// Whether its largest attachment may come in.
    pub fn takes_attachment(&self, attachment_bytes: u64) -> Result<(), NotTaken> {
        match self.limits.attachment_bytes.value() {
            Some(limit_bytes) if attachment_bytes > limit_bytes => {
                Err(NotTaken::AttachmentTooLarge { limit_bytes })
            }
            _ => Ok(()),
        }
    }
}

/// What belongs to the account itself, read in one statement.
pub(crate) struct Standing {
    pub account: AccountId,
    pub address: String,
    pub enabled: bool,
    pub protocols: Protocols,
    pub language: Option<String>,
    pub forwards: bool,
    pub keep_copy: bool,
    pub own: LimitSet,
    pub used_bytes: u64,
    pub used_messages: u64,
}

const SELECT: &str = "SELECT id, address, enabled, protocols, language, forward_keep,
        EXISTS (SELECT 1 FROM forwards WHERE forwards.account = id), bytes, messages,
        limit_bytes, limit_messages, limit_message_bytes, limit_attachment_bytes,
        limit_messages_hour, limit_messages_day, limit_recipients_hour, limit_recipients_day
    FROM accounts JOIN usage ON usage.account = id WHERE";
/// Where the limits begin in it.
const LIMITS_AT: usize = 9;
const _: () = assert!(LIMITS == 8, "the statement names every limit");

fn read_standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    Ok(Standing {
        account: AccountId(row.get(0)?),
        address: row.get(1)?,
        enabled: row.get(2)?,
        protocols: row.get::<_, Option<u8>>(3)?.map_or(Protocols::ALL, Protocols),
        language: row.get(4)?,
        keep_copy: row.get(5)?,
        forwards: row.get(6)?,
        used_bytes: row.get::<_, i64>(7)?.max(0) as u64,
        used_messages: row.get::<_, i64>(8)?.max(0) as u64,
        own: LimitSet::read(row, LIMITS_AT)?,
    })
}

/// By number.
pub(crate) fn standing(database: &Connection, account: AccountId) -> Result<Option<Standing>, StoreError> {
    let mut statement = database.prepare_cached(&format!("{SELECT} id = ?1"))?;
    Ok(statement.query_row([account.0], read_standing).optional()?)
}

fn standing_of(database: &Connection, address: &str) -> Result<Option<Standing>, StoreError> {
    let mut statement = database.prepare_cached(&format!("{SELECT} address = ?1"))?;
    Ok(statement.query_row([address], read_standing).optional()?)
}

impl Standing {
    /// Whether it may be used over a protocol.
    pub fn access(&self, domain: &DomainRecord, protocol: Protocol) -> Access {
        if !domain.enabled {
            Access::DomainDisabled
        } else if !self.enabled {
            Access::AccountDisabled
        } else if self.protocols.and(domain.protocols).has(protocol) {
            Access::Allowed
        } else {
            Access::ProtocolOff
        }
    }

    /// What the mailbox uses and may use.
    pub fn quota(&self, limits: &LimitSet) -> Quota {
        Quota {
            limit_bytes: limits.space_bytes.value(),
            limit_messages: limits.messages.value(),
            used_bytes: self.used_bytes,
            used_messages: self.used_messages,
        }
    }
}

/// The domain of an address, as the store keeps it; none for what cannot be a domain of ours.
pub(crate) fn domain_of(address: &str) -> Option<String> {
    split_address(address).and_then(|(_, domain)| normal_domain(domain).ok())
}

/// One step. `domain` is what is known of the address's domain, `system` the system's defaults.
pub(crate) fn route(
    database: &Connection,
    address: &str,
    domain: &DomainRecord,
    system: &LimitSet,
) -> Result<Route, StoreError> {
    if !domain.enabled {
        return Ok(Route::DomainDisabled);
    }
    // Other servers may have stranger users than we do.
    let Ok(address) = normal_address(address) else { return Ok(Route::UnknownUser) };
    let Some((local, _)) = split_address(&address) else { return Ok(Route::UnknownUser) };
    if let Some(found) = exact(database, &address, None, domain, system)? {
        return Ok(found);
    }
    if domain.plus_addressing
        && let Some((user, detail)) = local.split_once(DETAIL_SEPARATOR).filter(|(user, _)| !user.is_empty())
    {
        let base = format!("{user}@{}", domain.name);
        if let Some(found) = exact(database, &base, Some(detail), domain, system)? {
            return Ok(found);
        }
    }
    let address = format!("@{}", domain.name);
    let targets = alias_targets(database, &address)?;
    Ok(if targets.is_empty() { Route::UnknownUser } else { Route::Alias { address, targets } })
}

/// What has exactly this address.
fn exact(
    database: &Connection,
    address: &str,
    detail: Option<&str>,
    domain: &DomainRecord,
    system: &LimitSet,
) -> Result<Option<Route>, StoreError> {
    if let Some(standing) = standing_of(database, address)? {
        return addressee(database, standing, detail, domain, system)
            .map(|found| Some(Route::Account(Box::new(found))));
    }
    let targets = alias_targets(database, address)?;
    if !targets.is_empty() {
        return Ok(Some(Route::Alias { address: address.to_owned(), targets }));
    }
    Ok(group::group(database, address)?.map(|group| Route::Group(Box::new(group))))
}

fn addressee(
    database: &Connection,
    standing: Standing,
    detail: Option<&str>,
    domain: &DomainRecord,
    system: &LimitSet,
) -> Result<Addressee, StoreError> {
    let limits = standing.own.or(domain.defaults).or(*system);
    let forward_to = if standing.forwards { forwards(database, standing.account)? } else { Vec::new() };
    let folder = match detail {
        Some(detail) => mailbox::named_like(database, standing.account, detail)?,
        None => None,
    };
    Ok(Addressee {
        account: standing.account,
        folder,
        enabled: standing.enabled,
        quota: standing.quota(&limits),
        domain_quota: domain.quota(database)?,
        limits,
        keep_copy: standing.keep_copy || forward_to.is_empty(),
        forward_to,
        language: standing.language.or_else(|| domain.language.clone()).unwrap_or_else(|| "en".to_owned()),
        address: standing.address,
    })
}

/// Addresses an account's mail is forwarded to.
pub(crate) fn forwards(database: &Connection, account: AccountId) -> Result<Vec<String>, StoreError> {
    let mut statement =
        database.prepare_cached("SELECT address FROM forwards WHERE account = ?1 ORDER BY address")?;
    let rows = statement.query_map([account.0], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
