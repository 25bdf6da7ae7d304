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

pub mod template;
