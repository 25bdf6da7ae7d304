//! What can go wrong, on purpose, and what the pair must make of it.
//!
//! The simulator uses the same words for the same faults.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What can go wrong with a box, or with what both share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The plug is pulled: QEMU is killed, nothing is flushed.
    PowerCut,
    /// The box stands still, with all it has in flight, until it is healed.
    Freeze,
    /// The reset button.
    Reset,
    /// The reset button again and again, until it is healed.
    ResetLoop,
    /// The power button: an ordered stop.
    PowerButton,
    /// The kernel panics: an NMI, as from hardware in distress.
    Panic,
    /// Its clock jumps a day ahead, and back when it is healed.
    ClockJump,
    /// Loses power and comes back with a clock that is a day ahead.
    WrongClock,
    /// The null-modem cable is pulled.
    CutSerial,
    /// The null-modem cable carries noise.
    GarbageSerial,
    /// The null-modem cable carries a kernel's console: long readable lines.
    ConsoleSerial,
    /// What this box sends on the null-modem cable is lost; the way back works.
    OneWaySerial,
    /// The cross-over Ethernet cable is pulled.
    CutPrivate,
    /// The public Ethernet cable is pulled.
    CutPublic,
    /// A stranger in the public network uses the virtual address.
    AddressTaken,
    /// The host adapter loses its LUN.
    CutArray,
    /// The host adapter itself is gone.
    LoseAdapter,
    /// The host adapter's commands never come back: the cable is dead.
    HangArray,
    /// The host adapter's commands stand still; they reach the array when it is healed, however late.
    StallArray,
    /// Commands reach the array and take effect, but no answer comes back.
    HalfOpenPath,
    /// Each command to the array takes 50 ms more.
    SlowArray,
    /// What this box reads from the array comes back as a medium error.
    UnreadableArray,
    /// What this box writes to the array comes back as write protected.
    ReadOnlyArray,
    /// The LUN is write protected at the array, for both boxes.
    ReadOnlyLun,
    /// The array loses power for two seconds and has forgotten its reservations.
    ArrayForgets,
    /// The owner's slot on the array is torn in the middle.
    TornSlot,
    /// A third initiator clears all registrations and the reservation.
    StrangerClears,
    /// A third initiator takes the reservation, and gives it up when it is healed.
    StrangerSteals,
    /// The box loses power, and of the two copies of its settings the newer one is damaged.
    TornSettings,
    /// What the box writes to its own disk fails: there is no space left.
    FullSystem,
    /// Both copies of the settings on the box's own disk are damaged.
    CorruptSystem,
    /// The mail service crashes.
    KillMail,
    /// The mail service stands still.
    HangMail,
    /// The mail service has no memory left.
    ExhaustMail,
    /// The mail service answers wrongly: it refuses every message.
    WrongMail,
    /// The cluster service crashes.
    KillCluster,
    /// The cluster service stands still.
    HangCluster,
    /// The cluster service has no memory left.
    ExhaustCluster,
    /// The panel crashes.
    KillPanel,
    /// The panel stands still.
    HangPanel,
    /// The panel has no memory left.
    ExhaustPanel,
    /// An ordered switch-over to the other box; no fault, but an outage all the same.
    SwitchOver,
}

/// What the pair must make of a fault of the box that serves, with the other one whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The other box takes over.
    Moves,
    /// An ordered hand-over to the other box.
    HandsOver,
    /// The same box serves on after a short pause.
    RestartsOnTheSpot,
    /// Nobody notices: there is a spare.
    Stays,
    /// Either box serves soon.
    Serves,
    /// Nobody can serve while it lasts; service comes back by itself when it is healed.
    NeedsHealing,
}

/// Longest outage: half of the times, and 99 of 100 times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Median.
    pub p50_ms: u64,
    /// The 99th of a hundred.
    pub p99_ms: u64,
}

impl Outcome {
    /// How long clients may wait on two cores without hardware acceleration; none where the fault or
    /// the healer decides.
    pub fn bar(self) -> Option<Bar> {
        match self {
            Self::Moves => Some(Bar { p50_ms: 4_000, p99_ms: 8_000 }),
            Self::HandsOver | Self::RestartsOnTheSpot => Some(Bar { p50_ms: 1_500, p99_ms: 1_500 }),
            Self::Stays | Self::Serves | Self::NeedsHealing => None,
        }
    }
}

impl Kind {
    /// Whether it lasts until it is healed.
    pub fn lasts(self) -> bool {
        match self {
            Self::PowerCut
            | Self::Freeze
            | Self::ResetLoop
            | Self::PowerButton
            | Self::ClockJump
            | Self::CutSerial
            | Self::GarbageSerial
            | Self::ConsoleSerial
            | Self::OneWaySerial
            | Self::CutPrivate
            | Self::CutPublic
            | Self::AddressTaken
            | Self::CutArray
            | Self::LoseAdapter
            | Self::HangArray
            | Self::StallArray
            | Self::HalfOpenPath
            | Self::SlowArray
            | Self::UnreadableArray
            | Self::ReadOnlyArray
            | Self::ReadOnlyLun
            | Self::StrangerSteals
            | Self::FullSystem
            | Self::CorruptSystem => true,
            Self::Reset
            | Self::Panic
            | Self::WrongClock
            | Self::ArrayForgets
            | Self::TornSlot
            | Self::StrangerClears
            | Self::TornSettings
            | Self::KillMail
            | Self::HangMail
            | Self::ExhaustMail
            | Self::WrongMail
            | Self::KillCluster
            | Self::HangCluster
            | Self::ExhaustCluster
            | Self::KillPanel
            | Self::HangPanel
            | Self::ExhaustPanel
            | Self::SwitchOver => false,
        }
    }

    /// Whether it is done to what both boxes share, whichever is named.
    pub fn hits_both(self) -> bool {
        matches!(
            self,
            Self::AddressTaken
                | Self::ReadOnlyLun
                | Self::ArrayForgets
                | Self::TornSlot
                | Self::StrangerClears
                | Self::StrangerSteals
        )
    }

    /// What must become of it when it is done to the box that serves and the other one is whole.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::PowerCut
            | Self::Freeze
            | Self::ResetLoop
            | Self::Panic
            | Self::WrongClock
            | Self::TornSettings
            | Self::CutPublic
            | Self::CutArray
            | Self::LoseAdapter
            | Self::HangArray
            | Self::StallArray
            | Self::HalfOpenPath
            | Self::UnreadableArray
            | Self::ReadOnlyArray => Outcome::Moves,
            Self::PowerButton | Self::SwitchOver => Outcome::HandsOver,
            Self::KillMail | Self::ExhaustMail | Self::KillCluster | Self::ExhaustCluster => {
                Outcome::RestartsOnTheSpot
            }
            Self::ClockJump
            | Self::CutSerial
            | Self::GarbageSerial
            | Self::ConsoleSerial
            | Self::OneWaySerial
            | Self::CutPrivate
            | Self::TornSlot
            | Self::FullSystem
            | Self::CorruptSystem
            | Self::KillPanel
            | Self::HangPanel
            | Self::ExhaustPanel
            | Self::StrangerClears => Outcome::Stays,
            Self::Reset
            | Self::HangMail
            | Self::WrongMail
            | Self::HangCluster
            | Self::SlowArray
            | Self::ArrayForgets => Outcome::Serves,
            Self::AddressTaken | Self::ReadOnlyLun | Self::StrangerSteals => Outcome::NeedsHealing,
        }
    }

    /// Whether writes to the LUN may be seen for a moment without any reservation in force: somebody
    /// else took it away.
    pub fn takes_the_reservation_away(self) -> bool {
        matches!(self, Self::ArrayForgets | Self::StrangerClears | Self::StrangerSteals)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}
