//! Limits: what a user may have, from three levels resolved in one place.
//!
//! A limit that a user does not have of its own is the domain's default, and one that the domain does
//! not set is the system's. [`LimitSet::or`] is the only place where that is decided.

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::StoreError;

/// The setting with the system's defaults.
pub(crate) const SYSTEM_LIMITS: &str = "default_limits";
/// Drafts can be saved at any fill level while the mailbox for them holds no more than this …
const DRAFTS_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// … and no more messages than this.
const DRAFTS_MESSAGES_MAX: u64 = 32;
/// How many limits a level has.
pub(crate) const LIMITS: usize = 8;
/// Largest limit that is kept, so that sums of two never overflow the database's numbers.
const LIMIT_MAX: u64 = 1 << 62;

/// One limit at one level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limit {
    /// Not set here: the next level decides.
    #[default]
    Unset,
    /// Set here to have no limit.
    Unlimited,
    /// Set here.
    AtMost(u64),
}

impl Limit {
    /// This one, or where it is not set `fallback`.
    pub fn or(self, fallback: Self) -> Self {
        if self == Self::Unset { fallback } else { self }
    }

    /// The number; none is no limit.
    pub fn value(self) -> Option<u64> {
        match self {
            Self::AtMost(limit) => Some(limit),
            Self::Unset | Self::Unlimited => None,
        }
    }

    /// Whether `amount` is within it.
    pub fn allows(self, amount: u64) -> bool {
        self.value().is_none_or(|limit| amount <= limit)
    }

    fn stored(self) -> Option<i64> {
        match self {
            Self::Unset => None,
            Self::Unlimited => Some(-1),
            Self::AtMost(limit) => Some(limit.min(LIMIT_MAX) as i64),
        }
    }

    fn from_stored(number: Option<i64>) -> Self {
        match number {
            None => Self::Unset,
            Some(number) => u64::try_from(number).map_or(Self::Unlimited, Self::AtMost),
        }
    }
}

impl From<Option<u64>> for Limit {
    /// None is no limit.
    fn from(limit: Option<u64>) -> Self {
        limit.map_or(Self::Unlimited, Self::AtMost)
    }
}

impl ToSql for Limit {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.stored().map_or(ToSqlOutput::Owned(Value::Null), Into::into))
    }
}

impl FromSql for Limit {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Option::<i64>::column_result(value).map(Self::from_stored)
    }
}

/// All limits of one level, or with [`LimitSet::or`] those in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSet {
    /// Space, in bytes.
    pub space_bytes: Limit,
    /// Messages kept.
    pub messages: Limit,
    /// Largest message that comes in, in bytes.
    pub message_bytes: Limit,
    /// Largest attachment that comes in, in bytes, decoded.
    pub attachment_bytes: Limit,
    /// Messages sent in an hour.
    pub messages_hour: Limit,
    /// Messages sent in a day.
    pub messages_day: Limit,
    /// Recipients sent to in an hour.
    pub recipients_hour: Limit,
    /// Recipients sent to in a day.
    pub recipients_day: Limit,
}

impl LimitSet {
    /// Each limit, or where it is not set that of `fallback`.
    pub fn or(self, fallback: Self) -> Self {
        let (own, fallback) = (self.all(), fallback.all());
        Self::of(std::array::from_fn(|at| own[at].or(fallback[at])))
    }

    /// What may be sent.
    pub fn sending_rate(&self) -> SendingRate {
        SendingRate {
            messages_hour: self.messages_hour.value(),
            messages_day: self.messages_day.value(),
            recipients_hour: self.recipients_hour.value(),
            recipients_day: self.recipients_day.value(),
        }
    }

    /// With one limit changed.
    pub fn with(self, name: LimitName, limit: Limit) -> Self {
        let mut all = self.all();
        all[name as usize] = limit;
        Self::of(all)
    }

    /// One limit.
    pub fn get(&self, name: LimitName) -> Limit {
        self.all()[name as usize]
    }

    /// In the order of the columns.
    pub(crate) fn all(&self) -> [Limit; LIMITS] {
        [
            self.space_bytes,
            self.messages,
            self.message_bytes,
            self.attachment_bytes,
            self.messages_hour,
            self.messages_day,
            self.recipients_hour,
            self.recipients_day,
        ]
    }

    pub(crate) fn of(all: [Limit; LIMITS]) -> Self {
        let [space_bytes, messages, message_bytes, attachment_bytes, rest @ ..] = all;
        let [messages_hour, messages_day, recipients_hour, recipients_day] = rest;
        Self {
            space_bytes,
            messages,
            message_bytes,
            attachment_bytes,
            messages_hour,
            messages_day,
            recipients_hour,
            recipients_day,
        }
    }

    /// From the columns that begin at `at`.
    pub(crate) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        let mut all = [Limit::Unset; LIMITS];
        for (index, limit) in all.iter_mut().enumerate() {
            *limit = row.get(at + index)?;
        }
        Ok(Self::of(all))
    }

    /// As the setting keeps it: numbers, `-1` for no limit, `-` for not set.
    pub(crate) fn to_setting(self) -> String {
        let words =
            self.all().map(|limit| limit.stored().map_or("-".to_owned(), |number| number.to_string()));
        words.join(" ")
    }

    fn from_setting(text: &str) -> Self {
        let mut all = [Limit::Unset; LIMITS];
        for (limit, word) in all.iter_mut().zip(text.split(' ')) {
            *limit = Limit::from_stored(word.parse().ok());
        }
        Self::of(all)
    }
}

/// The name of one limit; its number is its place in the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitName {
    /// Space.
    SpaceBytes,
    /// Messages kept.
    Messages,
    /// Largest message.
    MessageBytes,
    /// Largest attachment.
    AttachmentBytes,
    /// Messages sent in an hour.
    MessagesHour,
    /// Messages sent in a day.
    MessagesDay,
    /// Recipients sent to in an hour.
    RecipientsHour,
    /// Recipients sent to in a day.
    RecipientsDay,
}

impl LimitName {
    /// All of them, in order.
    pub const ALL: [Self; LIMITS] = [
        Self::SpaceBytes,
        Self::Messages,
        Self::MessageBytes,
        Self::AttachmentBytes,
        Self::MessagesHour,
        Self::MessagesDay,
        Self::RecipientsHour,
        Self::RecipientsDay,
    ];
}

/// What an account may send; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendingRate {
    /// Messages in an hour.
    pub messages_hour: Option<u64>,
    /// Messages in a day.
    pub messages_day: Option<u64>,
    /// Recipients in an hour.
    pub recipients_hour: Option<u64>,
    /// Recipients in a day.
    pub recipients_day: Option<u64>,
}

/// The system's defaults.
pub(crate) fn system_limits(database: &Connection) -> Result<LimitSet, StoreError> {
    let mut statement = database.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
    let text: Option<String> = statement.query_row([SYSTEM_LIMITS], |row| row.get(0)).optional()?;
    Ok(text.map_or_else(LimitSet::default, |text| LimitSet::from_setting(&text)))
}

/// Whether the mailbox for drafts, which holds so much, takes so much more at any fill level.
pub(crate) fn is_little_in_drafts(held_bytes: u64, held: u64, bytes: u64, messages: u64) -> bool {
    held_bytes.saturating_add(bytes) <= DRAFTS_BYTES_MAX
        && held.saturating_add(messages) <= DRAFTS_MESSAGES_MAX
}

/// A way to use an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Sending over SMTP.
    Submission = 1,
    /// IMAP.
    Imap = 2,
    /// POP3.
    Pop3 = 4,
    /// Webmail and JMAP.
    Webmail = 8,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Submission, Self::Imap, Self::Pop3, Self::Webmail];
}

/// Which protocols are switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols(pub u8);

impl Protocols {
    /// All.
    pub const ALL: Self = Self(15);
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether one is on.
    pub fn has(self, protocol: Protocol) -> bool {
        self.0 & protocol as u8 != 0
    }

    /// With one more.
    pub fn with(self, protocol: Protocol) -> Self {
        Self(self.0 | protocol as u8)
    }

    /// Those that are on in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Self::ALL
    }
}

/// Whether an account may be used in some way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Allowed,
    /// The protocol is switched off for the account or its domain.
    ProtocolOff,
    /// The account is disabled.
    AccountDisabled,
    /// The domain is disabled.
    DomainDisabled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_level_that_says_something_decides() {
        let system =
            LimitSet { space_bytes: Limit::AtMost(1), messages: Limit::AtMost(2), ..LimitSet::default() };
        let domain = LimitSet { space_bytes: Limit::Unlimited, ..LimitSet::default() };
        let user = LimitSet { message_bytes: Limit::AtMost(3), ..LimitSet::default() };
        let effective = user.or(domain).or(system);
        assert_eq!(effective.space_bytes.value(), None);
        assert_eq!(effective.messages.value(), Some(2));
        assert_eq!(effective.message_bytes.value(), Some(3));
        assert_eq!(effective.attachment_bytes.value(), None);
        assert!(effective.messages.allows(2) && !effective.messages.allows(3));
    }

    #[test]
    fn limits_survive_their_setting() {
        let mut all = [Limit::Unset; LIMITS];
        all[1] = Limit::Unlimited;
        all[7] = Limit::AtMost(77);
        assert_eq!(LimitSet::from_setting(&LimitSet::of(all).to_setting()), LimitSet::of(all));
        assert_eq!(LimitSet::from_setting("x"), LimitSet::default());
    }
}
