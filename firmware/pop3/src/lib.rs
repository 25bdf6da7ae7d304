//! POP3 as a state machine (RFC 1939), with the extensions of RFC 2449, 2595, 3206 and 5034.
//!
//! Bytes go in, answers and typed questions come out; the shell checks the password, lists the
//! maildrop, reads messages and removes them. Line ends, dots and credentials are those of `smtp`.
//! Nothing here opens a socket, reads a clock or touches a file.
//!
//! What always holds: a password is taken only under TLS unless the policy says otherwise; nothing read
//! before TLS is believed after it; what a session sees of the maildrop never changes while it lasts;
//! `+OK` to QUIT comes after the shell said that the removal is durable, and a session that ends in any
//! other way removes nothing.

mod command;
mod session;
#[cfg(test)]
mod tests;

pub use session::{
    AUTH_FAILURES_MAX, Answer, FAULTS_MAX, Maildrop, Message, Policy, Question, Refusal, SEND_STEP_BYTES,
    Session, Step,
};
pub use smtp::server::Credentials;
