//! What a core wants done.

use core::fmt;

use crate::{Beat, HeldProof, Key, Preference, Record, Refusal};

/// What a core wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the reservation and answer with [`crate::Event::Read`].
    Read {
        /// Comes back in the answer.
        number: u32,
    },
    /// Send a beat on every medium.
    Beat {
        /// The beat.
        beat: Beat,
        /// With it, the beat goes to this box's slot on the array as well; else the slot is not touched.
        slot: Option<HeldProof>,
    },
    /// Carry out an order and answer with [`crate::Event::Done`].
    Run {
        /// Comes back in the answer.
        run: u32,
        /// What to do.
        order: Order,
        /// After so many milliseconds the answer is not waited for any longer.
        deadline_ms: u64,
    },
    /// A proof was renewed: this is the one to show from now on.
    Prove(HeldProof),
    /// The proof has lapsed: hold every process of the group still, at once.
    Suspend,
    /// The proof is renewed: let them go on.
    Resume,
    /// Stop without flushing, and reset the box, at once.
    Reset {
        /// Why, a sentence.
        reason: String,
    },
    /// Answer to a command.
    Answer {
        /// Number of the command.
        id: u32,
        /// Accepted, or refused.
        result: Result<(), Refusal>,
    },
    /// Keep this record of a decision.
    Record(Record),
    /// Save the preference in the settings.
    SavePreference(Preference),
    /// Save whether this box is in maintenance.
    SaveMaintenance(bool),
}

/// One order. Each is idempotent, and safe to repeat after a crash in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Register `key`; reserve, or preempt `over` where it holds the reservation; then remove every
    /// registration of an earlier epoch of this pair. [`crate::StepFault::RaceLost`] if somebody
    /// else holds the reservation.
    Fence {
        /// This box's key from now on.
        key: Key,
        /// Key of the holder that may be preempted.
        over: Option<u64>,
    },
    /// Put the owner's registrations in order, on every path: register `key`, reserve if nobody holds the
    /// reservation, and remove registrations of earlier epochs. [`crate::StepFault::RaceLost`] if
    /// somebody else holds it.
    Repair {
        /// This box's key, with which it has the group.
        key: Key,
    },
    /// Mount the group's data.
    Mount {
        /// Proof for it.
        proof: HeldProof,
    },
    /// Start the mail service; it recovers its store.
    Recover {
        /// Proof for it.
        proof: HeldProof,
    },
    /// Wait until the mail service answers.
    Serve {
        /// Proof for it.
        proof: HeldProof,
    },
    /// Claim the virtual addresses.
    Announce {
        /// Proof for it.
        proof: HeldProof,
    },
    /// Stop and start the mail service, and wait until it answers.
    RestartMail {
        /// Proof for it.
        proof: HeldProof,
    },
    /// Stop the mail service: running transactions end, for a bounded time, and nobody new is taken.
    Halt,
    /// Give the virtual addresses up.
    Withdraw,
    /// Unmount the group's data.
    Unmount {
        /// Proof for what is flushed.
        proof: HeldProof,
    },
    /// Unregister `key`, unless it holds the reservation and `release` is not set.
    ///
    /// A LUN without a reservation takes writes from everybody, a box among them that was fenced
    /// while it stood still. So the reservation is let go only for a box that is known to be well.
    Unreserve {
        /// This box's key.
        key: Key,
        /// Release the reservation as well.
        release: bool,
    },
}

impl Order {
    /// The step this order is.
    pub fn step(&self) -> Step {
        match self {
            Self::Fence { .. } | Self::Repair { .. } => Step::Fence,
            Self::Mount { .. } => Step::Mount,
            Self::Recover { .. } => Step::Recover,
            Self::Serve { .. } => Step::Serve,
            Self::Announce { .. } => Step::Announce,
            Self::RestartMail { .. } => Step::RestartMail,
            Self::Withdraw => Step::Withdraw,
            Self::Halt => Step::Halt,
            Self::Unmount { .. } => Step::Unmount,
            Self::Unreserve { .. } => Step::Unreserve,
        }
    }
}

/// One step of taking, serving or releasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Take: the array refuses the former owner's writes.
    Fence,
    /// Take: read back that it does.
    Prove,
    /// Take: the file system.
    Mount,
    /// Take: the store.
    Recover,
    /// Take: the mail service answers.
    Serve,
    /// Take: the virtual addresses.
    Announce,
    /// While active: the mail service once more.
    RestartMail,
    /// Release: the mail service; what it has begun comes to its end while the addresses are still here.
    Halt,
    /// Release: the virtual addresses.
    Withdraw,
    /// Release: the file system.
    Unmount,
    /// Release: the reservation.
    Unreserve,
}

impl Step {
    /// After so many milliseconds the step counts as failed. A starved box on a busy machine needs
    /// seconds for what takes milliseconds elsewhere.
    pub fn deadline_ms(self) -> u64 {
        match self {
            Self::Fence | Self::Prove | Self::Announce | Self::Withdraw | Self::Unreserve => 5_000,
            Self::Mount => 20_000,
            Self::Recover | Self::Serve | Self::RestartMail => 30_000,
            Self::Unmount => 10_000,
            // Init kills what does not end by itself, and needs its time for that.
            Self::Halt => 12_000,
        }
    }

    /// Stable word, as in records and status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Prove => "prove",
            Self::Mount => "mount",
            Self::Recover => "recover",
            Self::Serve => "serve",
            Self::Announce => "announce",
            Self::RestartMail => "restart_mail",
            Self::Withdraw => "withdraw",
            Self::Halt => "halt",
            Self::Unmount => "unmount",
            Self::Unreserve => "unreserve",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
