//! What the console wants done by others: it does nothing itself.

use admin::Language;
use control::cluster::{FirstBox, SecondBox};

use crate::deed::Deed;

/// Something for the shell around the console to do; the result comes back as news.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask for the LUNs of the box.
    Luns,
    /// Set the first box of a pair up.
    First(Box<FirstBox>),
    /// Join the pair that offers.
    Join(SecondBox),
    /// Check the administrator's password.
    Verify(String),
    /// Run a command of the `twinmail` command line.
    Run {
        /// Its words.
        words: Vec<String>,
        /// A password typed for it.
        password: Option<String>,
        /// Language of its answer.
        language: Language,
    },
    /// Fetch the log.
    Log,
    /// Fetch the decisions.
    Records,
    /// Do what was confirmed.
    Deed(Deed),
}

impl std::fmt::Debug for Action {
    /// Names the action only: passwords are in some.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Luns => "Luns",
            Self::First(_) => "First(..)",
            Self::Join(_) => "Join(..)",
            Self::Verify(_) => "Verify(..)",
            Self::Run { .. } => "Run(..)",
            Self::Log => "Log",
            Self::Records => "Records",
            Self::Deed(_) => "Deed(..)",
        })
    }
}
