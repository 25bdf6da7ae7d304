//! What reaches the decision loop, from every thread beside it.

use cluster::{Event, Medium};
use control::init::Service;
use settings::{FurtherGroup, Secret};

use crate::requests::Asked;

/// Most inputs that may wait for the decision loop; threads wait when there are more.
pub const INPUTS_MAX: usize = 256;

/// What reaches the decision loop.
#[derive(Debug)]
pub enum Input {
    /// Something the core wants to hear.
    Core(Event),
    /// How a medium does: counters and fault for the status.
    Medium(MediumReport),
    /// A request over the control socket.
    Asked(Asked),
    /// What the threads that tell have found.
    Telling(crate::teller::News),
    /// The other box is no member any more, and the pair has this key; or nothing was changed.
    PeerForgotten(Option<Secret>),
    /// The LUN of a group that is to be added is ready, or why it is not.
    GroupMade(Box<Result<FurtherGroup, String>>),
    /// Services of this box, as init sees them now.
    Services(Vec<Service>),
    /// The second box has joined over the serial cable.
    PeerJoined {
        /// Its name.
        name: String,
    },
    /// Something for the administrator: an alarm begins (with its sentence) or ends (without).
    Alarm {
        /// Stable word for machines.
        code: &'static str,
        /// The sentence, while it lasts.
        text: Option<String>,
    },
}

/// How one medium does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediumReport {
    /// Which.
    pub medium: Medium,
    /// Good frames so far.
    pub good: u64,
    /// Frames refused so far.
    pub bad: u64,
    /// Why it cannot work at all, where that is known.
    pub fault: Option<String>,
}
