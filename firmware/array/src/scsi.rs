//! SCSI commands as bytes: what goes out, what comes back (SPC-4, SAM-5). No I/O.

pub mod cdb;
pub mod reply;
pub mod sense;
