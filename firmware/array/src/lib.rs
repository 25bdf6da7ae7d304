//! The host channel: LUNs, SCSI-3 persistent reservations, the heartbeat slot, mount.
