//! Reading a mail message: what IMAP, POP3 and search must know about raw RFC 5322 bytes.
//!
//! A message is looked at once, when it comes in, and [`Summary::of`] keeps what is asked for again
//! and again: ENVELOPE, BODYSTRUCTURE, the tree of parts as byte ranges, sort keys, thread keys and
//! a preview. Sections (`BODY[1.2.MIME]`) are later cut out of the raw bytes, byte for byte, with
//! [`section`].
//!
//! It never does I/O, never changes a message, and never refuses one: any bytes have a summary.
//!
//! What always holds here: no input makes it panic; depth, parts, header fields and addresses are
//! bounded by the constants below; what it writes is valid IMAP syntax whatever the message holds.

mod address;
mod body_structure;
mod date;
mod encoding;
mod envelope;
mod field;
mod html;
mod imap_text;
mod mime;
mod search;
mod section;
mod structure;
mod subject;
mod summary;
mod text;
mod words;

pub use address::{Address, addresses};
pub use body_structure::without_extension_data;
pub use date::{sent_date, sent_day};
pub use encoding::{Decoded, decode_body, decode_charset};
pub use field::{Field, fields, header_end};
pub use imap_text::{write_nstring, write_string};
pub use search::{
    Fit, Needle, Piece, Place, TextPart, TextPlan, Verdict, WIDE, each_field, each_piece, eight_at, fold,
    is_word, tokens,
};
pub use section::{SectionSpec, SectionText, binary, partial, section, section_range, select_fields};
pub use structure::{Part, PartKind, Structure, largest_attachment};
pub use subject::{BaseSubject, base_subject};
pub use summary::{SortKeys, Summary, SummaryView, ThreadKeys};
pub use text::preview;
pub use words::decode_words;

/// Parts looked at in one message; what follows belongs to the last one.
pub const PARTS_MAX: usize = 1_000;
/// How deep parts may nest; a deeper multipart is one opaque part.
pub const DEPTH_MAX: usize = 40;
/// Header fields looked at in one header.
pub const FIELDS_MAX: usize = 250_000;
/// Addresses listed in one field of an ENVELOPE.
pub const ADDRESSES_MAX: usize = 1_000;
/// Longest header value that goes into a summary, in bytes; the raw header has all of it.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Parameters looked at in one MIME field.
pub const PARAMETERS_MAX: usize = 100;
/// Message-IDs kept of one References field: the first and the most recent ones.
pub const REFERENCES_MAX: usize = 50;
/// Longest preview, in characters (RFC 8970 4 allows 200, which is 256 bytes of most scripts).
pub const PREVIEW_CHARS_MAX: usize = 200;
/// Most text one message gives to search, in bytes.
pub const SEARCH_BYTES_MAX: usize = 4 * 1024 * 1024;
