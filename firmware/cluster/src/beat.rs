//! What one heartbeat says.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Node;

/// One way a beat can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Medium {
    /// The null-modem cable.
    Serial,
    /// UDP on the private network.
    Private,
    /// The peer's slot on the array.
    Array,
}

impl Medium {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Serial, Self::Private, Self::Array];

    /// Stable name, as in status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Private => "private",
            Self::Array => "array",
        }
    }
}

/// What a box does for the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Waiting for evidence after boot.
    Starting,
    /// Watching.
    Standby,
    /// Taking it, step by step.
    Taking,
    /// Serving it.
    Active,
    /// Giving it up, step by step.
    Releasing,
    /// Only a person can decide.
    Undecided,
    /// Lost it; will reset.
    Fenced,
}

impl Role {
    /// Whether a box in this role has, or is about to have, the group.
    pub fn claims(self) -> bool {
        matches!(self, Self::Taking | Self::Active | Self::Releasing)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Taking => "taking",
            Self::Active => "active",
            Self::Releasing => "releasing",
            Self::Undecided => "undecided",
            Self::Fenced => "fenced",
        })
    }
}

/// Whether a box could serve the group, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ability {
    /// It could, or does.
    Ready,
    /// It does not know yet.
    Unknown,
    /// The array does not answer.
    ArrayLost,
    /// The reservation is held by a system that is not of this pair.
    ArrayTaken,
    /// The mail service failed too often here.
    MailFailed,
    /// A step of taking failed here, not long ago.
    TakeFailed,
    /// Its public network has no link.
    PublicLost,
    /// The operator took it out of service.
    Maintenance,
}

impl Ability {
    /// Whether the group was tried there and failed.
    pub fn has_failed(self) -> bool {
        matches!(self, Self::MailFailed | Self::TakeFailed)
    }

    /// Stable word, as in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unknown => "unknown",
            Self::ArrayLost => "array_lost",
            Self::ArrayTaken => "array_taken",
            Self::MailFailed => "mail_failed",
            Self::TakeFailed => "take_failed",
            Self::PublicLost => "public_lost",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "it is ready",
            Self::Unknown => "it is still finding out",
            Self::ArrayLost => "it does not reach the array",
            Self::ArrayTaken => "the array is reserved by a system outside this pair",
            Self::MailFailed => "the mail service failed there too often",
            Self::TakeFailed => "its last attempt to take the group failed",
            Self::PublicLost => "its public network has no link",
            Self::Maintenance => "it is in maintenance",
        })
    }
}

/// What a box wants of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HandOver {
    /// Nothing.
    None,
    /// Standby to owner: give me the group.
    Ask,
    /// Owner to standby: take it from me, I cannot serve.
    Offer,
    /// Former owner to standby: I released it cleanly; it is yours.
    Granted,
}

/// Who shall own the group when both boxes could. The higher revision counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Preference {
    /// Counts up with every change on either box.
    pub revision: u32,
    /// The preferred owner.
    pub owner: Option<Node>,
    /// Whether the group goes back to it by itself.
    pub fail_back: bool,
}

/// What one heartbeat says; the same on all media. At most 32 bytes in postcard's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Which service group it is about.
    pub group: u8,
    /// Who speaks.
    pub node: Node,
    /// Drawn at random at every start of the speaker.
    pub boot: u32,
    /// Counts up with every beat of this boot.
    pub seq: u32,
    /// Highest epoch the speaker knows of.
    pub epoch: u32,
    /// Epoch with which the speaker has or takes the group; 0 if it does neither.
    pub claim: u32,
    /// What the speaker does.
    pub role: Role,
    /// Whether it could serve.
    pub ability: Ability,
    /// What it wants.
    pub hand_over: HandOver,
    /// Whether its public network has a link.
    pub public_up: bool,
    /// Who it thinks shall own the group.
    pub preference: Preference,
}
