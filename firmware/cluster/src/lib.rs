//! The decision core of a pair: who serves a group, and when it changes hands.
//!
//! It never does anything itself: no I/O, no clock, no thread, no randomness. Events go in with the
//! time they happened, actions come out, and the same events always give the same actions. One
//! [`Core`] decides for one service group; a pair with two groups runs two of them on the same beats.
//!
//! What always holds: nothing is mounted, written or served without a [`HeldProof`]; a group is taken
//! only if its owner released it, said it cannot serve, or is silent on all media for the dead time;
//! and whatever this core decides, the array's reservation has the last word.

mod action;
mod beat;
pub mod config;
mod decision;
mod event;
mod evidence;
mod key;
mod mutant;
mod reading;
mod record;
pub mod situation;
mod time;

pub use action::{Action, Order, Step};
pub use beat::{Ability, Beat, HandOver, Medium, Preference, Role};
pub use config::{Config, ConfigError};
#[cfg(feature = "checking")]
pub use decision::Digest;
pub use decision::{Core, GroupView};
pub use event::{Command, Event, Refusal, StepFault};
pub use evidence::{Evidence, Heard};
pub use key::{KEY_MAGIC, Key, Node};
#[cfg(feature = "checking")]
pub use mutant::Mutant;
pub use reading::{HeldProof, Holder, KEYS_MAX, NotHeld, Reading, ReservationType};
pub use record::{Decided, PHASES_MAX, Phase, Record, Sight, Takeover};
pub use time::Time;
