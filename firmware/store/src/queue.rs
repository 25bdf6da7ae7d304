//! The outgoing queue: durable, and claimed only in memory.

use crate::{BodyRef, StoreError};

/// Number of an outgoing message for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// Recipients of one outgoing message.
pub const RECIPIENTS_MAX: usize = 10_000;

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Envelope sender; empty for a notice.
    pub sender: String,
    /// Envelope recipients, at least one.
    pub recipients: Vec<OutgoingRecipient>,
    /// When to try first, milliseconds since 1970.
    pub first_try_ms: u64,
    /// When to give up, milliseconds since 1970.
    pub expires_ms: u64,
    /// ENVID of DSN (RFC 3461).
    pub envelope_id: Option<String>,
    /// RET=FULL of DSN: return the whole message, not only its header.
    pub return_full: bool,
    /// BODY=8BITMIME was declared.
    pub eight_bit: bool,
    /// SMTPUTF8 was declared (RFC 6531).
    pub smtp_utf8: bool,
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
    /// Envelope sender.
    pub sender: String,
    /// Recipient.
    pub recipient: OutgoingRecipient,
    /// Tries so far.
    pub attempts: u32,
    /// A delay notice has been sent.
    pub delay_noticed: bool,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: u64,
    /// When to give up, milliseconds since 1970.
    pub expires_ms: u64,
    /// ENVID of DSN.
    pub envelope_id: Option<String>,
    /// RET=FULL of DSN.
    pub return_full: bool,
    /// BODY=8BITMIME was declared.
    pub eight_bit: bool,
    /// SMTPUTF8 was declared.
    pub smtp_utf8: bool,
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
    /// Size of the message.
    pub size_bytes: u64,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: u64,
    /// Next try, milliseconds since 1970.
    pub next_ms: u64,
    /// Tries so far.
    pub attempts: u32,
    /// What the other side said last.
    pub last_error: Option<String>,
}

impl Outgoing {
    /// Checks the bounds.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.recipients.is_empty() || self.recipients.len() > RECIPIENTS_MAX {
            return Err(StoreError::TooManyTargets { max: RECIPIENTS_MAX });
        }
        Ok(())
    }
}
