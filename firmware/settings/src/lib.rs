//! The box's own settings: schema, and the two-copy record on the system partition.
//!
//! What an administrator decided once: names, addresses, the pair's key, the LUN, the domain. It
//! lives on the box itself, never on the array, so that a box knows who it is before it may touch
//! the array. Two copies are written in turn, so that a power cut in the middle of a change leaves
//! the old settings, whole.
//!
//! Nothing here is mail, and nothing here is logged: the record holds the pair's key.

mod controller;
mod record;
mod ring;
mod schema;
mod telling;

pub use controller::{
    CONTROLLER_PASSWORD_MAX_BYTES, CONTROLLER_PORT, CONTROLLER_USER_MAX_BYTES, Controller, ControllerError,
    Controllers, Hidden,
};
pub use record::{COPIES, COPY_BYTES, RecordError, SettingsFile};
pub use ring::{RING_SLOTS, RING_TEXT_MAX, Ring, RingPlace, try_system_partition};
pub use schema::{
    BOX_NAME_MAX, FURTHER_GROUPS_MAX, FurtherGroup, Language, Node, PASSWORD_MIN, Secret, Settings,
    SettingsError, Timing, check_box_name, check_domain, hash_password, parse_interface_address,
    verify_password,
};
pub use telling::{
    AlarmTargets, DrillTime, Metrics, SyslogPlace, SyslogWay, TARGETS_MAX, Telling, TellingError, WebPlace,
};
