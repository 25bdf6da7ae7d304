//! Commands as bytes in, commands as types out (RFC 3501 section 9 and the extensions served).
//!
//! [`CommandReader`] cuts the byte stream into commands, [`parse`] reads one command. Both are plain
//! functions of bytes: nothing here waits, allocates without a bound, or panics.

mod access;
mod append;
mod command;
mod cursor;
mod date;
mod fetch;
mod flag;
mod grammar;
mod list;
mod login;
mod mailbox;
mod name;
mod notify;
mod page;
mod reader;
mod search;
mod select;
mod selected;
mod sequence;
mod sort;
mod url;

#[cfg(test)]
mod tests;

pub use access::{AclCommand, MetadataCommand, MetadataDepth};
pub use append::{Announced, announced};
pub use command::{
    AppendContent, AppendMessage, AppendPiece, Command, Flag, IdPairs, Resync, SelectParameters, StoreMode,
    Tagged,
};
pub use cursor::Dialect;
pub use date::{CalendarDate, ZonedTime};
pub use fetch::{FetchItem, FetchModifiers, Partial};
pub use grammar::parse;
pub use list::{ListRequest, ListReturn, ListSelection, StatusItem};
pub use name::{decode_name, encode_name};
pub use notify::{NotifyEvents, NotifyRequest};
pub use page::Page;
pub use reader::{CommandReader, Incoming, ReaderLimits};
pub use search::{Criterion, DateField, SearchKey, SearchReturn, SearchText};
pub use sequence::{SequenceSet, SetRange};
pub use sort::{MailboxFilter, SearchSource, SortCriterion, SortKey, ThreadAlgorithm};
pub use url::MessageUrl;

use thiserror::Error;

/// Why a command was not understood. The text is for the person who reads the client's log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The grammar was broken.
    #[error("{0}")]
    Syntax(&'static str),
    /// No such command.
    #[error("no such command: {0}")]
    Unknown(String),
    /// A message was named by its sequence number where only UIDs may be used (RFC 9586 section 3).
    #[error("messages can only be named by their UIDs since UIDONLY is enabled")]
    UidRequired,
    /// The charset of a search is not known; answered with `NO [BADCHARSET]`.
    #[error("this charset cannot be searched")]
    Charset {
        /// Its result was to be saved, which is empty now (RFC 5182 section 2.1).
        save: bool,
    },
}

/// A command that was not understood, with its tag if that was readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Tag to answer with; `None` means an untagged `BAD`.
    pub tag: Option<String>,
    /// What was wrong.
    pub fault: Fault,
}
