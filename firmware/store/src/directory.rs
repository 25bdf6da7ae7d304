//! Domains, accounts, aliases: who gets mail here.

use std::fmt;

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
