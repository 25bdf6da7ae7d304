//! Changes of domains, accounts and groups: what is not named stays as it is.

use crate::{Limit, LimitName, LimitSet, Protocols, WhoMaySend};

/// A change of a domain's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainChange {
    /// Whether it accepts mail and logins.
    pub enabled: Option<bool>,
    /// Space all its users may use together.
    pub space_bytes: Option<Limit>,
    /// Users it may have.
    pub users: Option<Limit>,
    /// Protocols its users may use.
    pub protocols: Option<Protocols>,
    /// Whether `user+detail@` leads to `user@`.
    pub plus_addressing: Option<bool>,
    /// Language of its notices; none is the system's.
    pub language: Option<Option<String>>,
    /// Limits of users who have none of their own.
    pub defaults: Vec<(LimitName, Limit)>,
    /// What all its users may send together; only the limits of sending count.
    pub sending: Vec<(LimitName, Limit)>,
    /// Where mail for unknown users goes; none refuses it.
    pub catch_all: Option<Option<String>>,
}

/// A change of an account's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// Whether it is in use.
    pub enabled: Option<bool>,
    /// Protocols it may use.
    pub protocols: Option<Protocols>,
    /// The user's name for people.
    pub display_name: Option<String>,
    /// Its language; none is its domain's.
    pub language: Option<Option<String>>,
    /// Its own limits.
    pub limits: Vec<(LimitName, Limit)>,
    /// Addresses its mail is forwarded to; empty ends forwarding.
    pub forward_to: Option<Vec<String>>,
    /// Whether forwarded mail is kept here too.
    pub forward_keep: Option<bool>,
}

/// A change of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupChange {
    /// Its name for people.
    pub name: Option<String>,
    /// Who may send to it.
    pub who: Option<WhoMaySend>,
    /// Members to add.
    pub add_members: Vec<String>,
    /// Members to remove.
    pub remove_members: Vec<String>,
    /// Senders to add: addresses, or `@domain`.
    pub add_senders: Vec<String>,
    /// Senders to remove.
    pub remove_senders: Vec<String>,
}

/// `limits` with the named ones changed.
pub(crate) fn changed(limits: LimitSet, changes: &[(LimitName, Limit)]) -> LimitSet {
    changes.iter().fold(limits, |limits, (name, limit)| limits.with(*name, *limit))
}
