//! What a box sees at one moment, and what it makes of it.
//!
//! Everything a decision rests on is in [`Situation`], and the two functions here are all there is to
//! decide. `tests/situations.rs` is the same as a table.

use core::fmt;

use crate::config::{FAIL_BACK_MS, PUBLIC_GRACE_MS, REPAIR_YIELD_MS, STAY_MS, YIELD_MS};
use crate::{Ability, HandOver, Node, Role};

/// What a box sees at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// This box.
    pub me: Node,
    /// Whether this box could serve.
    pub ability: Ability,
    /// The other box.
    pub peer: PeerSeen,
    /// The reservation at the array.
    pub reservation: Reserved,
    /// Who owned the group last, by reservation or slots.
    pub last_owner: Option<Node>,
    /// Preferred owner.
    pub preferred: Option<Node>,
    /// Whether the group goes back to the preferred owner by itself.
    pub fail_back: bool,
    /// This box has just released the group for the other one to take.
    pub granted: bool,
    /// For how long both boxes have been alive and neither had the group, in milliseconds.
    pub ownerless_ms: u64,
    /// For how long the other box has had the group with nobody holding the reservation, in milliseconds:
    /// the array forgot it.
    pub forgotten_ms: u64,
    /// For how long the public link has been lost, in milliseconds; 0 while it is there.
    pub public_lost_ms: u64,
    /// For how long this box has been active, in milliseconds.
    pub active_ms: u64,
    /// For how long the other box has been a ready standby, in milliseconds.
    pub peer_well_ms: u64,
}

/// The other box as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerSeen {
    /// Not heard, but not for long enough on every medium.
    Unclear,
    /// Silent on all media for the dead time.
    Silent,
    /// At least one medium is fresh, and this is what it said last.
    Alive {
        /// What it does.
        role: Role,
        /// Whether it could serve.
        ability: Ability,
        /// What it wants.
        hand_over: HandOver,
    },
}

/// The reservation at the array as last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// Not read, or too long ago.
    Unread,
    /// By nobody.
    Nobody,
    /// By a key of this box.
    Mine,
    /// By a key of the other box.
    Peers,
    /// By a key that is none of this pair.
    Strangers,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Nothing changes.
    Stay(Stay),
    /// Take the group.
    Take(TakeReason),
    /// Release the group for the other box to take.
    HandOver(HandOverReason),
}

/// Why nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// This box serves, and may go on.
    Serving,
    /// The other box has the group, or is about to.
    PeerHasIt,
    /// This box could not serve.
    Unable(Ability),
    /// The array was not read lately.
    ArrayUnread,
    /// The silence is not long enough yet, or not on all media.
    Listening,
    /// The other box is first choice and is given time.
    PeerFirst,
}

/// Why this box takes the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeReason {
    /// The other box is silent on all media for the dead time.
    PeerSilent,
    /// The other box owns it but says that it cannot serve.
    PeerCannotServe,
    /// The other box says that it was fenced.
    PeerFenced,
    /// The other box released it for this one.
    HandedOver,
    /// Both are alive, and nobody has it.
    NobodyServes,
}

/// Why this box releases the group for the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOverReason {
    /// The other box's operator asked.
    Asked,
    /// The operator of this box said so.
    Operator,
    /// This box goes into maintenance.
    Maintenance,
    /// The mail service failed here too often.
    MailFailed,
    /// The public link is lost here and not there.
    PublicLost,
    /// The preferred owner is well again.
    FailBack,
}

/// How good a box is as owner of a group nobody has. 0 cannot take it at all.
fn rank(ability: Ability) -> u8 {
    match ability {
        // A box that has just started is given time to find out.
        Ability::Ready | Ability::Unknown => 3,
        Ability::PublicLost => 2,
        Ability::MailFailed => 1,
        Ability::ArrayLost | Ability::ArrayTaken | Ability::TakeFailed | Ability::Maintenance => 0,
    }
}

impl Situation {
    /// What a box does that does not have the group.
    pub fn choose_as_standby(&self) -> Choice {
        if self.ability == Ability::Unknown || self.reservation == Reserved::Unread {
            return Choice::Stay(Stay::ArrayUnread);
        }
        if rank(self.ability) == 0 || self.reservation == Reserved::Strangers {
            return Choice::Stay(Stay::Unable(self.ability));
        }
        match self.peer {
            PeerSeen::Unclear => Choice::Stay(Stay::Listening),
            PeerSeen::Silent => Choice::Take(TakeReason::PeerSilent),
            PeerSeen::Alive { role, ability, hand_over } => self.choose_beside(role, ability, hand_over),
        }
    }

    fn choose_beside(&self, role: Role, ability: Ability, hand_over: HandOver) -> Choice {
        match role {
            // An owner that only has to make its reservation again is given time for that.
            Role::Active
                if hand_over == HandOver::Offer
                    && self.ability == Ability::Ready
                    && (self.reservation != Reserved::Nobody || self.forgotten_ms >= REPAIR_YIELD_MS) =>
            {
                Choice::Take(TakeReason::PeerCannotServe)
            }
            Role::Active | Role::Taking | Role::Releasing => Choice::Stay(Stay::PeerHasIt),
            Role::Fenced => Choice::Take(TakeReason::PeerFenced),
            Role::Starting | Role::Standby | Role::Undecided => {
                if hand_over == HandOver::Granted {
                    return Choice::Take(TakeReason::HandedOver);
                }
                let (mine, theirs) = (rank(self.ability), rank(ability));
                let i_am_first = mine > theirs || (mine == theirs && self.first_choice() == self.me);
                let wait =
                    if self.granted { theirs > 0 } else { !i_am_first && self.ownerless_ms < YIELD_MS };
                if wait { Choice::Stay(Stay::PeerFirst) } else { Choice::Take(TakeReason::NobodyServes) }
            }
        }
    }

    /// Who takes a group that nobody has, if both could: both boxes see the same and agree.
    fn first_choice(&self) -> Node {
        self.preferred.or(self.last_owner).unwrap_or(Node::A)
    }

    /// What a box does that serves the group.
    pub fn choose_as_owner(&self) -> Choice {
        let PeerSeen::Alive { role: Role::Standby, ability: Ability::Ready, hand_over } = self.peer else {
            return Choice::Stay(Stay::Serving);
        };
        if hand_over == HandOver::Ask {
            return Choice::HandOver(HandOverReason::Asked);
        }
        if self.ability == Ability::MailFailed {
            return Choice::HandOver(HandOverReason::MailFailed);
        }
        if self.public_lost_ms >= PUBLIC_GRACE_MS && self.active_ms >= STAY_MS {
            return Choice::HandOver(HandOverReason::PublicLost);
        }
        let peer_preferred = self.preferred == Some(self.me.peer());
        if peer_preferred && self.fail_back && self.peer_well_ms >= FAIL_BACK_MS {
            return Choice::HandOver(HandOverReason::FailBack);
        }
        Choice::Stay(Stay::Serving)
    }
}

impl fmt::Display for TakeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerSilent => "the other box is silent on all media",
            Self::PeerCannotServe => "the other box says that it cannot serve",
            Self::PeerFenced => "the other box says that it lost the reservation",
            Self::HandedOver => "the other box handed the group over",
            Self::NobodyServes => "no box has the group, and this one is to take it",
        })
    }
}

impl fmt::Display for HandOverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "the operator asked for it at the other box",
            Self::Operator => "the operator asked for it",
            Self::Maintenance => "this box goes into maintenance",
            Self::MailFailed => "the mail service failed here too often, and the other box is ready",
            Self::PublicLost => "the public network has no link here, and the other box is ready",
            Self::FailBack => "the preferred owner has been well long enough",
        })
    }
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving => f.write_str("this box serves"),
            Self::PeerHasIt => f.write_str("the other box has the group"),
            Self::Unable(ability) => write!(f, "this box cannot take the group: {ability}"),
            Self::ArrayUnread => f.write_str("the array was not read yet"),
            Self::Listening => f.write_str("the other box has not been silent on all media for long enough"),
            Self::PeerFirst => f.write_str("the other box is to take the group"),
        }
    }
}
