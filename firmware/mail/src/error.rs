//! Why the service cannot start or must end.

use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// Why the mail service cannot start or must end; each is a sentence to the administrator.
#[derive(Debug, Error)]
pub enum MailError {
    /// The assignment cannot be read.
    #[error(
        "the assignment {path} cannot be read: {source}; the cluster service writes it before it starts mail"
    )]
    Assignment {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The assignment is not what it should be.
    #[error("the assignment {path} is not understood: {source}; both services must be of the same version")]
    AssignmentFormat {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The store does not open, or failed while it served.
    #[error("the mail store: {0}")]
    Store(#[from] store::StoreError),
    /// The store failed while it served; nothing was acknowledged after that.
    #[error("the mail store failed, so the service ends without acknowledging anything more: {0}")]
    StoreFailed(String),
    /// A listener cannot be opened.
    #[error("cannot listen on {address}: {source}; is another mail server running there?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The administration socket cannot be opened.
    #[error("cannot listen on {path}: {source}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate and key can neither be read nor made.
    #[error("TLS cannot be set up: {0}; check the files in the tls folder of the data directory")]
    Tls(String),
    /// A password cannot be hashed.
    #[error("the password cannot be used: {0}")]
    Password(&'static str),
    /// The runtime does not start.
    #[error("the service cannot start its threads: {0}")]
    Runtime(std::io::Error),
}
