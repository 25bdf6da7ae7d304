//! The shells around the protocol machines: one task a connection.

pub(crate) mod imap;
pub(crate) mod pop3;
pub(crate) mod smtp;
