//! The host channel: LUNs, SCSI-3 persistent reservations, the heartbeat slot, format and mount.
//!
//! It finds the array's LUNs, says what is on them, takes, proves and releases the reservation that
//! lets this box write, keeps the 4 KiB heartbeat slots, makes the file system and mounts it.
//!
//! It never decides who owns a LUN: that is the `cluster` core. It never writes to a LUN that holds
//! somebody else's data, and it waits for no command longer than its named bound.
//!
//! What always holds here: nothing is mounted or formatted without a `cluster::HeldProof` for it, and
//! a reading of the reservation comes from the array itself, never from memory.

pub mod content;
mod device;
mod device_mapper;
mod format;
mod kernel;
pub mod layout;
mod lun;
mod membership;
mod mount;
mod multipath;
mod pages;
pub mod paths;
mod reservation;
pub mod scsi;
mod slot;
pub mod template;

pub use content::Content;
pub use device::{ATTENTIONS_MAX, BUSY_TRIES_MAX, COMMAND_TIMEOUT, Device, ScsiError};
pub use format::{FormatError, format, make_filesystem};
pub use layout::Header;
pub use lun::{
    LUNS_MAX, Lun, LunError, ONE_OF_PATHS_TIMEOUT_S, PATH_TIMEOUT_S, discover, disks, find, hosts,
    rescan_hosts,
};
pub use membership::{Membership, REPLACED, Standing};
pub use mount::{MountError, OPTIONS, abandon, errors_met, is_mounted, mount, unmount};
pub use multipath::{Multipath, MultipathError};
pub use pages::{Page, Pages};
pub use reservation::{ROUNDS_MAX, Reservation, ReservationError, Taken, now};
pub use slot::{SlotError, Slots, is_fenced};
