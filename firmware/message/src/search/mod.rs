//! What a search looks in, and how text is compared.
//!
//! ```text
//! pieces   a message as decoded texts: header fields, text parts, file names
//! fold     the form in which texts are compared (RFC 5051)
//! tokens   what of a message goes into a full-text index
//! plan     what such an index is asked for, to find every message that can hold a text
//! ```
//!
//! Whether a message holds a text is decided by one rule alone: the folded text stands in one of the
//! folded pieces, character for character ([`Needle`]). Tokens and plans only narrow down which messages
//! need a look, and never leave out one that holds it; where a plan says that it is certain, what it finds
//! needs no look either.

mod fold;
mod pieces;
mod plan;
mod token_set;
mod tokens;

pub use fold::{Needle, fold};
pub use pieces::{Piece, each_field, each_piece};
pub use plan::{Fit, Place, TextPart, TextPlan, Verdict};
pub use token_set::eight_at;
pub use tokens::{WIDE, is_word, tokens};
