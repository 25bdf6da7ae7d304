//! Typed messages between the processes of one box, and their unix socket transport.
//!
//! init, the cluster service, the mail service, the panel and the command line talk to each other
//! only in the words of this crate: one JSON object a line, one request, one reply. There is a
//! module per listener, named after it; `directory` is the part of `mail` about users, `telling` the part of `cluster`
//! about alarms, metrics and readiness.
//!
//! This crate decides nothing and starts nothing. It never blocks without a time limit, and never
//! reads a line longer than [`wire::LINE_MAX_BYTES`].

pub mod cluster;
pub mod directory;
pub mod fence;
mod group;
pub mod init;
pub mod mail;
pub mod queue;
pub mod telling;
pub mod wire;

pub use group::{FIRST_GROUP, GROUPS, GroupPlace, REHEARSAL, SECOND_GROUP, group_named};

/// Directory of the control sockets in the box.
pub const RUN_DIR: &str = "/run/twinmail";
/// Where init listens.
pub const INIT_SOCKET: &str = "/run/twinmail/init.sock";
/// Where the cluster service listens.
pub const CLUSTER_SOCKET: &str = "/run/twinmail/cluster.sock";
/// Where the mail service of the box listens for administration.
pub const MAIL_SOCKET: &str = "/run/twinmail/mail.sock";
/// What the cluster service tells the mail service at its start; see [`mail::Assignment`].
pub const MAIL_ASSIGNMENT: &str = "/run/twinmail/mail.json";
/// Where the data of the group is mounted in the box.
pub const DATA_DIR: &str = "/data";
/// User and group of the mail service: it owns the group's data and nothing else.
pub const MAIL_UID: u32 = 1000;
