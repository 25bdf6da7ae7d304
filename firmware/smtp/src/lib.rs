//! SMTP as state machines: receiving and sending sessions, the queue's schedule, delivery notices.
//!
//! Bytes go in, replies and typed questions come out. A session asks its shell what only the shell
//! can know (does this user exist, is this password right, is the message on disk) and goes on when
//! it is answered. Nothing here opens a socket, reads a clock or touches a file; the time is handed in.
//!
//! What always holds: a line ends with CRLF and with nothing else, a message ends with CRLF.CRLF and
//! with nothing else; nothing read before TLS is believed after it; every buffer and count has a
//! bound that is a named constant or part of the policy; a message is confirmed only after the shell
//! said that it is durable.

pub mod address;
pub mod client;
pub mod command;
pub mod date;
pub mod dispatch;
pub mod dots;
pub mod downgrade;
pub mod header;
pub mod line;
pub mod notice;
pub mod parameter;
pub mod reply;
pub mod schedule;
pub mod server;
pub mod sts;
pub mod xtext;

pub use address::Mailbox;
pub use reply::Reply;
