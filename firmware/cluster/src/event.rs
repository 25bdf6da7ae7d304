//! What a core hears.

use thiserror::Error;

use crate::{Beat, Medium, Node, Reading, Time};

/// What a core hears. Each is handed in with the time at which it is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed. Due at least every beat.
    Tick,
    /// A beat came in over a cable, checked for authenticity by the link.
    Heard {
        /// The cable.
        medium: Medium,
        /// The beat.
        beat: Beat,
    },
    /// Both slots on the array were read, whether they changed or not.
    SlotsRead {
        /// When the read was started.
        started: Time,
        /// This box's own slot; none if it holds nothing valid.
        own: Option<Beat>,
        /// The other box's slot; none if it holds nothing valid.
        peer: Option<Beat>,
    },
    /// Answer to [`crate::Action::Read`]; none if the array did not answer properly.
    Read {
        /// Number of the demand.
        number: u32,
        /// What was read.
        reading: Option<Reading>,
    },
    /// An order came to its end.
    Done {
        /// Number of the order.
        run: u32,
        /// How it ended.
        result: Result<(), StepFault>,
    },
    /// The mail service was probed.
    MailProbe {
        /// Whether it answered as it should.
        well: bool,
    },
    /// The mail service was judged: it does not work, and waiting does not help.
    MailIll {
        /// In what way, a sentence.
        why: String,
        /// Its paced restarts on the spot are used up.
        given_up: bool,
    },
    /// State of the public network's link.
    PublicLink {
        /// Whether there is one.
        up: bool,
    },
    /// A path to the array came, or came back and may not be registered any more: the reservation is read
    /// over it at once.
    PathReturned,
    /// The array refused a write of this box for its reservation (EBADE).
    WriteFenced,
    /// The operator, or init for him, wants something.
    Command {
        /// Comes back in the answer.
        id: u32,
        /// What he wants.
        command: Command,
    },
}

/// What an operator may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Make this box the owner.
    SwitchOver {
        /// Who shall own the group.
        to: Node,
    },
    /// Take this box out of service, or put it back.
    Maintenance {
        /// Out of service.
        on: bool,
    },
    /// Choose a preferred owner.
    Prefer {
        /// The preferred owner, if any.
        owner: Option<Node>,
        /// Whether the group goes back to it by itself.
        fail_back: bool,
    },
    /// The box is going down: release the group whether or not the other box is ready.
    Stop,
}

/// Why a command is refused; each is a sentence to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The other box is not heard.
    #[error("the other box is not heard on any medium; see to its power and cables first")]
    PeerNotHeard,
    /// The other box could not serve.
    #[error("the other box cannot take over: {0}")]
    PeerNotReady(crate::Ability),
    /// This box could not serve.
    #[error("this box cannot take over: {0}")]
    NotReady(crate::Ability),
    /// The group is changing hands.
    #[error("the group is changing hands just now; try again in a few seconds")]
    Busy,
    /// Nobody owns the group, so nobody can hand it over.
    #[error("no box serves the group now; the status says why")]
    NoOwner,
}

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StepFault {
    /// The other box won the reservation.
    #[error("another box won the reservation")]
    RaceLost,
    /// The array or the store has seen this or a higher epoch.
    #[error("epoch {0} has been in use already")]
    EpochSeen(u32),
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}
