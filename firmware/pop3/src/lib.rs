//! POP3 as a state machine (RFC 1939), with the extensions of RFC 2449, 2595, 3206, 5034 and 6856.
//!
//! Bytes go in, answers and typed questions come out; the shell checks the password, lists the
//! maildrop, reads messages and removes them. Line ends and dots are those of `smtp`, logins those of
//! `sasl`. Nothing here opens a socket, reads a clock or touches a file.
//!
//! What always holds: a password is taken only under TLS unless the policy says otherwise; nothing read
//! before TLS is believed after it; what a session sees of the maildrop never changes while it lasts;
//! `+OK` to QUIT comes after the shell said that the removal is durable, and a session that ends in any
//! other way removes nothing; a client that does not read its answers makes no more of them.

mod command;
mod language;
mod login;
mod maildrop;
mod session;
mod surrogate;
#[cfg(test)]
mod tests;
mod transaction;

pub use language::{Language, Text};
pub use maildrop::{Maildrop, Message, SEND_STEP_BYTES};
pub use session::{AUTH_FAILURES_MAX, Answer, Code, FAULTS_MAX, Policy, Question, Refusal, Session, Step};
