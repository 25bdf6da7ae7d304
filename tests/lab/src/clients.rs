//! Mail clients of the judge: plain, blocking, and strict about what they were answered.
//!
//! A client that got an answer knows what the server promised; one that got none knows that it does
//! not know. Everything the judge counts rests on that difference.

pub mod imap;
pub mod pop3;
pub mod smtp;
pub mod stream;

use thiserror::Error;

/// Why a client's step did not succeed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The connection could not be made, broke, or no answer came in time.
    #[error("no answer: {0}")]
    NoAnswer(#[from] std::io::Error),
    /// The server answered that it will not.
    #[error("refused: {0}")]
    Refused(String),
    /// The server answered something that the protocol does not allow.
    #[error("not understood: {0}")]
    Nonsense(String),
}

/// Result of a client's step.
pub type Answer<T> = Result<T, ClientError>;
