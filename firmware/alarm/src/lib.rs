//! Alarms on their way to people: what is sent, when, and in which words.
//!
//! [`Dispatcher`] is told which alarms there are and what time it is, and says what is to be sent: once
//! when one begins, once when it is over, a reminder a day at most, and one word about an alarm that
//! comes and goes. [`syslog_line`], [`webhook_body`] and [`letter`] put it into words; [`in_chinese`]
//! knows the box's own sentences.
//!
//! It sends nothing itself, and knows no socket, no file and no clock.
//!
//! What always holds here: no input makes more than [`NOTICES_MAX_PER_DAY`] notices of one alarm a day,
//! and what was told of one is never forgotten without being told that it is over.

mod dispatch;
mod sentence;
mod words;

pub use dispatch::{CODES_MAX, Dispatcher, Kind, NOTICES_MAX_PER_DAY, Notice};
pub use sentence::in_chinese;
pub use words::{Severity, letter, rfc3339, severity, syslog_line, webhook_body};
