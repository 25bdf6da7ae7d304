//! Deliberate faults in the rules, to prove that the model checker and the simulator see them.
//!
//! Each is one rule less. The feature `checking` switches them in; the product is never built with it
//! (`tests/tidy` keeps that), and without it every question here is answered *no* while compiling.

use crate::Core;
#[cfg(feature = "checking")]
use crate::situation::PeerSeen;
#[cfg(feature = "checking")]
use crate::{Medium, Time};

/// One rule less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(not(feature = "checking"), expect(dead_code, reason = "only asked for"))]
pub enum Mutant {
    /// Whatever the reservation says, it is a proof.
    ProofUnchecked,
    /// A proof never expires.
    ProofNeverExpires,
    /// A lapsed proof does not hold the group still.
    LapseIgnored,
    /// Silence of the cables is enough; the disk slot is not asked.
    SlotIgnored,
    /// Silence on one medium is enough.
    OneMediumIsEnough,
    /// Half the dead time is enough.
    DeadTimeHalved,
    /// What was silent while this box itself stood still counts as silence.
    DeafnessForgotten,
    /// What was read of the array before this box stood still counts afterwards.
    OldReadingBelieved,
    /// A take uses the epoch of the former owner once more.
    EpochNotRaised,
    /// Earlier owners' registrations are no obstacle to a proof.
    EarlierOwnersIgnored,
    /// The addresses come first, then the file system.
    AnnouncedFirst,
    /// The reservation goes before the file system is unmounted.
    ReleasedBeforeUnmounted,
    /// The file system stays mounted when the reservation goes.
    NeverUnmounted,
    /// Registration and reservation are not given back.
    StaysRegistered,
    /// The reservation is let go whatever the other box does.
    ReleasedBlindly,
    /// A reservation that is lost, and a refused write, do not matter.
    PreemptIgnored,
    /// An owner says that it is a standby.
    OwnerSaysStandby,
    /// Silence is never a reason to take.
    SilenceIgnored,
    /// A step may take for ever.
    StepWithoutBound,
    /// A reservation that is gone is made again, though another box has it now.
    TakenBack,
}

impl Mutant {
    /// All of them.
    #[cfg(feature = "checking")]
    pub const ALL: [Self; 20] = [
        Self::ProofUnchecked,
        Self::ProofNeverExpires,
        Self::LapseIgnored,
        Self::SlotIgnored,
        Self::OneMediumIsEnough,
        Self::DeadTimeHalved,
        Self::DeafnessForgotten,
        Self::OldReadingBelieved,
        Self::EpochNotRaised,
        Self::EarlierOwnersIgnored,
        Self::AnnouncedFirst,
        Self::ReleasedBeforeUnmounted,
        Self::NeverUnmounted,
        Self::StaysRegistered,
        Self::ReleasedBlindly,
        Self::PreemptIgnored,
        Self::OwnerSaysStandby,
        Self::SilenceIgnored,
        Self::StepWithoutBound,
        Self::TakenBack,
    ];
}

impl Core {
    /// Whether this rule is out of force.
    #[cfg(feature = "checking")]
    pub(crate) fn lacks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether this rule is out of force: never.
    #[cfg(not(feature = "checking"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn lacks(&self, _mutant: Mutant) -> bool {
        false
    }

    /// Takes one rule out of force.
    #[cfg(feature = "checking")]
    pub fn without_rule(mut self, mutant: Option<Mutant>) -> Self {
        self.mutant = mutant;
        self
    }

    /// The other box as a core sees it that lacks a rule about silence.
    #[cfg(feature = "checking")]
    pub(crate) fn seen_wrongly(&self, now: Time) -> Option<PeerSeen> {
        let dead_time_ms = self.config().dead_time_ms;
        let silent = |medium| self.evidence.is_silent_on(medium, now, dead_time_ms);
        let wrong = match self.mutant? {
            Mutant::SlotIgnored => silent(Medium::Serial) && silent(Medium::Private),
            Mutant::OneMediumIsEnough => Medium::ALL.into_iter().any(silent),
            Mutant::DeadTimeHalved => self.evidence.is_silent(now, dead_time_ms / 2),
            _ => false,
        };
        wrong.then_some(PeerSeen::Silent)
    }

    /// As a core sees it that lacks no rule: not wrongly.
    #[cfg(not(feature = "checking"))]
    pub(crate) const fn seen_wrongly(&self, _now: crate::Time) -> Option<crate::situation::PeerSeen> {
        None
    }
}
