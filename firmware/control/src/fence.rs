//! Power fencing: the part of [`crate::cluster`] about the boxes' management controllers.

use serde::{Deserialize, Serialize};
pub use settings::{Controller, Hidden};

/// A request about power fencing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What is set, and how the last look at each controller ended.
    Show,
    /// Use this controller for the box; both boxes take it over.
    Set {
        /// Name of the box.
        box_name: String,
        /// Its controller.
        controller: Controller,
    },
    /// Use none for the box any more.
    Clear {
        /// Name of the box.
        box_name: String,
    },
    /// Log in and ask for the power state, of one box or of every box that has a controller. Nothing
    /// changes.
    Test {
        /// Name of the box.
        box_name: Option<String>,
    },
}

/// The controller of one box as it is known; never with its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Name of the box.
    pub box_name: String,
    /// Where its controller listens, with the port; none where none is set.
    pub place: Option<String>,
    /// User that logs in.
    pub user: Option<String>,
    /// The last look from this box.
    pub look: Option<Look>,
}

/// How a look at a controller ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When, as milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether its box had power, where it answered.
    pub has_power: Option<bool>,
    /// Why it did not answer as it should, a sentence.
    pub fault: Option<String>,
}
