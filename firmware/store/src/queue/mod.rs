//! The outgoing queue: durable, and claimed only in memory.
//!
//! One row per recipient in `queue`, one per message in `queued_messages`, and one per destination that
//! has something waiting in `destinations`: when its first recipient is due, and not before when it may
//! be tried at all. So the next piece of work is found by three short index walks, however many
//! recipients wait and however many of them wait for the same dead server.

mod calls;
mod due;
mod list;

use rusqlite::{Connection, Row};

use crate::{BodyId, BodyRef, Delivery, StoreError};

pub(crate) use due::next_rank;

/// Number of an outgoing message for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// Recipients of one outgoing message.
pub const RECIPIENTS_MAX: usize = 10_000;
/// Highest and, negated, lowest priority (RFC 6710 1).
pub const PRIORITY_MAX: i8 = 9;
/// Tries kept in a recipient's history.
pub(crate) const TRIES_KEPT: i64 = 20;

/// Tables of the queue that came after the first release of the format.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS destinations (
    name TEXT PRIMARY KEY,
    ready_ms INTEGER NOT NULL,
    not_before_ms INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    last_error TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS destinations_by_time ON destinations(ready_ms);
CREATE TABLE IF NOT EXISTS queue_tries (
    item INTEGER NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL, said TEXT NOT NULL,
    PRIMARY KEY (item, number)) WITHOUT ROWID;
";

/// Indexes over the columns that came later.
pub(crate) const INDEXES: &str = "
DROP INDEX IF EXISTS queue_by_time;
DROP INDEX IF EXISTS queue_by_message;
CREATE INDEX IF NOT EXISTS queue_by_message_and_destination ON queue(message, destination);
CREATE INDEX IF NOT EXISTS queue_ready ON queue(destination, rank, next_ms) WHERE held = 0;
CREATE INDEX IF NOT EXISTS queue_alarms ON queue(alarm_ms) WHERE held = 0;
";

/// Bits of the stored options.
pub(crate) const OPTION_RETURN_FULL: i64 = 1;
pub(crate) const OPTION_EIGHT_BIT: i64 = 2;
pub(crate) const OPTION_SMTP_UTF8: i64 = 4;
pub(crate) const OPTION_REQUIRE_TLS: i64 = 8;
pub(crate) const OPTION_BINARY: i64 = 16;
pub(crate) const OPTION_SIGN: i64 = 32;
pub(crate) const OPTION_RETURN_HEADERS: i64 = 64;
/// Bits of the stored options of a deadline.
pub(crate) const BY_RETURN: i64 = 1;
pub(crate) const BY_TRACE: i64 = 2;

/// A message on its way out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Envelope sender; empty for a notice.
    pub sender: String,
    /// Envelope recipients, at least one.
    pub recipients: Vec<OutgoingRecipient>,
    /// When to try first, milliseconds since 1970; later than now for FUTURERELEASE (RFC 4865).
    pub first_try_ms: u64,
    /// When something is to be said about it if it still waits then: a delay notice, a deadline.
    pub alarm_ms: u64,
    /// When to give up, milliseconds since 1970.
    pub expires_ms: u64,
    /// ENVID of DSN (RFC 3461).
    pub envelope_id: Option<String>,
    /// RET of DSN: the whole message (`true`) or its header; none if it was not said.
    pub return_full: Option<bool>,
    /// The message has octets above 127.
    pub eight_bit: bool,
    /// SMTPUTF8 was declared (RFC 6531).
    pub smtp_utf8: bool,
    /// Only BINARYMIME carries it as it is (RFC 3030).
    pub binary: bool,
    /// REQUIRETLS was demanded (RFC 8689).
    pub require_tls: bool,
    /// It is ours to sign (RFC 6376).
    pub sign: bool,
    /// MT-PRIORITY (RFC 6710).
    pub priority: i8,
    /// DELIVERBY (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// The account that submitted it.
    pub account: Option<String>,
}

/// A deadline (RFC 2852).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// Until when, milliseconds since 1970.
    pub until_ms: u64,
    /// Mode R: what is late goes back. Otherwise its sender only hears of it.
    pub return_late: bool,
    /// Mode T: every hop is reported.
    pub trace: bool,
}

/// One envelope recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRecipient {
    /// Address.
    pub address: String,
    /// NOTIFY of DSN: bit 0 SUCCESS, bit 1 FAILURE, bit 2 DELAY; 0 is NEVER. The default is 6.
    pub notify: u8,
    /// ORCPT of DSN.
    pub original: Option<String>,
}

/// A recipient whose time has come; nobody else gets it until it is settled or released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueItem {
    /// Its number.
    pub id: QueueId,
    /// Number shared by the recipients of one message.
    pub message: u64,
    /// Recipient.
    pub recipient: OutgoingRecipient,
    /// Domain it goes to, lower case.
    pub destination: String,
    /// Tries so far.
    pub attempts: u32,
    /// A delay notice has been sent.
    pub delay_noticed: bool,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: u64,
    /// What the other side said last.
    pub last_error: Option<String>,
    /// The message's own; its recipients are left out, and the times are those of this recipient.
    pub envelope: Outgoing,
    /// The message.
    pub body: BodyRef,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side took it, or it was given up and its sender told: forget it.
    Finished,
    /// Try again.
    Deferred {
        /// When, milliseconds since 1970.
        next_ms: u64,
        /// What the other side said.
        error: String,
        /// A delay notice goes out with this.
        delay_noticed: bool,
        /// When something is to be said about it next, milliseconds since 1970.
        alarm_ms: u64,
        /// Whether it was tried, or only its alarm has come.
        tried: bool,
    },
}

/// One recipient's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Whose.
    pub id: QueueId,
    /// What became of it.
    pub outcome: Outcome,
}

/// All that one try changes, in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    /// When, milliseconds since 1970; the history has it.
    pub now_ms: u64,
    /// What became of the recipients.
    pub outcomes: Vec<Settlement>,
    /// What senders are told.
    pub notices: Vec<Delivery>,
    /// What was learned about the destination.
    pub destination: Option<DestinationState>,
}

/// Whether a destination answers at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationState {
    /// Domain, lower case.
    pub name: String,
    /// It is left alone until then, milliseconds since 1970; 0 when it answers.
    pub not_before_ms: u64,
    /// Tries in a row that reached none of its servers.
    pub failures: u32,
    /// Why.
    pub last_error: Option<String>,
}

/// One recipient as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its number.
    pub id: QueueId,
    /// Number shared by the recipients of one message.
    pub message: u64,
    /// Envelope sender.
    pub sender: String,
    /// Envelope recipient.
    pub recipient: String,
    /// Domain it goes to.
    pub destination: String,
    /// Size of the message.
    pub size_bytes: u64,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: u64,
    /// Next try, milliseconds since 1970; that of its destination where that is later.
    pub next_ms: u64,
    /// Tries so far.
    pub attempts: u32,
    /// It waits for an administrator.
    pub held: bool,
    /// What the other side said last, to it or to its destination.
    pub last_error: Option<String>,
}

/// Which recipients an administrator means; everything given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueFilter {
    /// Part of the envelope sender; empty means the null sender.
    pub sender: Option<String>,
    /// Part of the recipient.
    pub recipient: Option<String>,
    /// Domain it goes to, whole.
    pub destination: Option<String>,
    /// Only what is held, or only what is not.
    pub held: Option<bool>,
}

/// What an administrator does with recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueChange {
    /// They are not tried until released; they do not grow old either.
    Hold,
    /// They are tried at once, if they were held.
    Release,
    /// They are tried at once.
    Retry,
}

/// The queue in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueTotals {
    /// Recipients that wait.
    pub recipients: u64,
    /// Messages that have them.
    pub messages: u64,
    /// Of the recipients, those that are held.
    pub held: u64,
    /// Destinations that have some.
    pub destinations: u64,
}

impl Outgoing {
    /// Checks the bounds.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.recipients.is_empty() || self.recipients.len() > RECIPIENTS_MAX {
            return Err(StoreError::TooManyTargets { max: RECIPIENTS_MAX });
        }
        Ok(())
    }

    pub(crate) fn options(&self) -> i64 {
        let bits = [
            (self.return_full == Some(true), OPTION_RETURN_FULL),
            (self.return_full == Some(false), OPTION_RETURN_HEADERS),
            (self.eight_bit, OPTION_EIGHT_BIT),
            (self.smtp_utf8, OPTION_SMTP_UTF8),
            (self.require_tls, OPTION_REQUIRE_TLS),
            (self.binary, OPTION_BINARY),
            (self.sign, OPTION_SIGN),
        ];
        bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()
    }

    /// Where the recipients of this message stand among others: the highest priority first.
    pub(crate) fn rank(&self) -> i64 {
        i64::from(PRIORITY_MAX) - i64::from(self.priority.clamp(-PRIORITY_MAX, PRIORITY_MAX))
    }
}

/// Domain of an address, lower case; what has none is a destination of its own.
pub fn destination_of(address: &str) -> String {
    address.rsplit('@').next().unwrap_or_default().to_lowercase()
}

/// Rows of a queue from before there were destinations.
pub(crate) fn bring_up_to_date(database: &Connection) -> Result<(), StoreError> {
    let old =
        "SELECT id, address, next_ms FROM queue WHERE held = 0 AND destination = '' AND rank = 9 LIMIT 1000";
    loop {
        let mut statement = database.prepare(old)?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        for (id, address, next_ms) in rows {
            let name = match destination_of(&address) {
                name if name.is_empty() => "unknown".to_owned(),
                name => name,
            };
            database
                .execute("UPDATE queue SET destination = ?2 WHERE id = ?1", rusqlite::params![id, name])?;
            database.execute(
                "INSERT INTO destinations (name, ready_ms) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET ready_ms = min(ready_ms, excluded.ready_ms)",
                rusqlite::params![name, next_ms],
            )?;
        }
    }
}

const SELECT_ITEM: &str = "SELECT q.id, q.message, q.address, q.notify, q.original, q.destination, q.attempts,
    q.delay_noticed, q.last_error, q.next_ms, q.alarm_ms, m.sender, m.accepted_ms, m.expires_ms, m.envelope_id,
    m.options, m.priority, m.by_ms, m.by_options, m.account, b.id, b.segment, b.offset, b.length
    FROM queue q JOIN queued_messages m ON m.id = q.message JOIN bodies b ON b.id = m.body";

fn read_item(row: &Row<'_>) -> rusqlite::Result<DueItem> {
    let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
    let options: i64 = row.get(15)?;
    let has = |bit| options & bit != 0;
    let by_options: i64 = row.get(18)?;
    let by = |until_ms: i64| DeliverBy {
        until_ms: until_ms as u64,
        return_late: by_options & BY_RETURN != 0,
        trace: by_options & BY_TRACE != 0,
    };
    Ok(DueItem {
        id: QueueId(number(0)?),
        message: number(1)?,
        recipient: OutgoingRecipient { address: row.get(2)?, notify: row.get(3)?, original: row.get(4)? },
        destination: row.get(5)?,
        attempts: row.get(6)?,
        delay_noticed: row.get(7)?,
        accepted_ms: number(12)?,
        last_error: row.get(8)?,
        envelope: Outgoing {
            sender: row.get(11)?,
            recipients: Vec::new(),
            first_try_ms: number(9)?,
            alarm_ms: number(10)?,
            expires_ms: number(13)?,
            envelope_id: row.get(14)?,
            return_full: match (has(OPTION_RETURN_FULL), has(OPTION_RETURN_HEADERS)) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            },
            eight_bit: has(OPTION_EIGHT_BIT),
            smtp_utf8: has(OPTION_SMTP_UTF8),
            binary: has(OPTION_BINARY),
            require_tls: has(OPTION_REQUIRE_TLS),
            sign: has(OPTION_SIGN),
            priority: row.get(16)?,
            deliver_by: row.get::<_, Option<i64>>(17)?.map(by),
            account: row.get(19)?,
        },
        body: BodyRef {
            id: BodyId(number(20)?),
            segment: row.get(21)?,
            offset: number(22)?,
            length: row.get(23)?,
        },
    })
}
