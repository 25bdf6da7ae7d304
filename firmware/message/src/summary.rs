//! What is kept of a message beside its bytes: made once, stored, and read in place.

use crate::Structure;

/// Keys for SORT (RFC 5256) and what RFC 5957 shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SortKeys {
    /// Base subject, decoded (RFC 5256 2.1).
    pub base_subject: String,
    /// The subject had a reply or forward mark.
    pub is_reply: bool,
    /// Sent date in UTC, seconds since 1970; `None` if absent or unreadable.
    pub sent_date_s: Option<i64>,
    /// Mailbox (local part) of the first From address.
    pub from: String,
    /// Mailbox of the first To address.
    pub to: String,
    /// Mailbox of the first Cc address.
    pub cc: String,
    /// Display name of the first From address, or its address.
    pub display_from: String,
    /// Display name of the first To address, or its address.
    pub display_to: String,
}

/// What THREAD=REFERENCES needs: message ids without angle brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadKeys {
    /// Message-ID.
    pub message_id: Option<String>,
    /// References, else the first of In-Reply-To.
    pub references: Vec<String>,
}

/// All that is kept of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// RFC822.SIZE.
    pub size_bytes: u64,
    /// ENVELOPE as IMAP syntax, from `(` to `)`.
    pub envelope: Vec<u8>,
    /// BODYSTRUCTURE as IMAP syntax, from `(` to `)`.
    pub body_structure: Vec<u8>,
    /// Where header, body and parts are.
    pub structure: Structure,
    /// Keys to sort by.
    pub sort: SortKeys,
    /// Keys to thread by.
    pub thread: ThreadKeys,
    /// The first words of the text (RFC 8970).
    pub preview: String,
}

impl Summary {
    /// Reads a message. Any bytes have a summary.
    pub fn of(raw: &[u8]) -> Self {
        todo!()
    }

    /// BODY as IMAP syntax: BODYSTRUCTURE without extension data.
    pub fn body(&self) -> Vec<u8> {
        crate::without_extension_data(&self.body_structure)
    }

    /// The bytes the store keeps; [`SummaryView`] reads them in place.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}

/// A stored summary, read in place.
#[derive(Debug, Clone, Copy)]
pub struct SummaryView<'a> {
    envelope: &'a [u8],
    body_structure: &'a [u8],
    rest: &'a [u8],
}

impl<'a> SummaryView<'a> {
    /// Reads what [`Summary::encode`] wrote; `None` if it is damaged or of a later format.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        todo!()
    }
    /// ENVELOPE as IMAP syntax.
    pub fn envelope(&self) -> &'a [u8] {
        self.envelope
    }
    /// BODYSTRUCTURE as IMAP syntax.
    pub fn body_structure(&self) -> &'a [u8] {
        self.body_structure
    }
    /// BODY as IMAP syntax.
    pub fn body(&self) -> Vec<u8> {
        crate::without_extension_data(self.body_structure)
    }
    /// RFC822.SIZE.
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }
    /// Where header, body and parts are.
    pub fn structure(&self) -> Option<Structure> {
        todo!()
    }
    /// Length of the message's header with the empty line, without decoding the whole tree.
    pub fn header_bytes(&self) -> usize {
        todo!()
    }
    /// Keys to sort by.
    pub fn sort_keys(&self) -> SortKeys {
        todo!()
    }
    /// Keys to thread by.
    pub fn thread_keys(&self) -> ThreadKeys {
        todo!()
    }
    /// The first words of the text.
    pub fn preview(&self) -> &'a str {
        todo!()
    }
}
