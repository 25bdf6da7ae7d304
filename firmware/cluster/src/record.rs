//! What was seen, what was decided, and what it cost.

use crate::situation::Reserved;
use crate::{Medium, Step, Time};

/// Most phases one record names.
pub const PHASES_MAX: usize = 16;

/// One decision with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was decided.
    pub at: Time,
    /// What was decided.
    pub decision: Decided,
    /// What was seen, a sentence.
    pub cause: String,
    /// Epoch at the decision.
    pub epoch: u32,
    /// What was known of the other box and of the array at that moment.
    pub sight: Sight,
    /// From the last sign of the former owner to the decision to take, in milliseconds; only where the
    /// group is taken.
    pub detect_ms: Option<u64>,
    /// Cost per phase, for a finished sequence.
    pub phases: Vec<Phase>,
}

/// What was known of the other box and of the array when something was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// How long ago each medium brought a beat, in milliseconds, in the order of [`Medium::ALL`]; the
    /// last one is the other box's slot.
    pub media_ms: [Option<u64>; Medium::ALL.len()],
    /// Who held the reservation, as last read.
    pub reserved: Reserved,
    /// Age of that reading in milliseconds.
    pub read_age_ms: Option<u64>,
}

/// What a finished step cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// The step.
    pub step: Step,
    /// What it took, in milliseconds.
    pub ms: u64,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// To watch: it is clear who serves.
    Watch,
    /// To take the group.
    Take,
    /// The take is complete.
    Taken,
    /// The take failed, and is undone.
    TakeFailed,
    /// To release the group.
    Release,
    /// The release is complete.
    Released,
    /// To hold the group still until the array answers again.
    Suspend,
    /// To go on serving.
    Resume,
    /// To restart the mail service.
    RestartMail,
    /// That this box cannot serve for now.
    CannotServe,
    /// To ask the other box for the group.
    Ask,
    /// That this box was fenced: stop and reset.
    Fenced,
    /// That only a person can decide.
    Undecided,
    /// To put the reservation in order.
    Repair,
    /// What the operator chose.
    Operator,
}

impl Decided {
    /// Stable word, as in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Take => "take",
            Self::Taken => "taken",
            Self::TakeFailed => "take_failed",
            Self::Release => "release",
            Self::Released => "released",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::RestartMail => "restart_mail",
            Self::CannotServe => "cannot_serve",
            Self::Ask => "ask",
            Self::Fenced => "fenced",
            Self::Undecided => "undecided",
            Self::Repair => "repair",
            Self::Operator => "operator",
        }
    }
}

/// One finished take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// Why this box took, a sentence.
    pub cause: String,
    /// Epoch it took with.
    pub epoch: u32,
    /// When it was decided.
    pub decided_at: Time,
    /// From the last sign of the owner to the decision, in milliseconds.
    pub detect_ms: u64,
    /// Cost of each step.
    pub phases: Vec<Phase>,
    /// From decision to announced, in milliseconds.
    pub total_ms: u64,
}
