//! Writing the messages of a FETCH.

use std::io::Write;
use std::ops::Range;

use message::{Summary, SummaryView, write_string};
use store::{BodyRef, Entry, MailboxId, Row, Store, StoreError, UidRanges};

use super::plan::Plan;
use super::reply::write_flags;
use super::text::{Source, Text, write_section_name, write_text_name};
use super::view::write_fetch_start;
use crate::parse::{FetchItem, ZonedTime};
use crate::thread_id::ThreadId;

/// One message to be told about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub place: usize,
    pub entry: Entry,
    /// This FETCH has set `\Seen`, so the flags are told too.
    pub seen_now: bool,
}

/// A piece of the answer.
pub(super) enum Written {
    Bytes(Vec<u8>),
    /// A long text that goes here, straight from the store.
    Text {
        body: BodyRef,
        range: Range<u64>,
        /// Announced as a literal8, which may hold NUL.
        binary: bool,
    },
}

pub(super) struct Rendered {
    pub pieces: Vec<Written>,
    pub missed: Missed,
}

/// Messages that could not be told about.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Missed {
    /// They are no longer in the store.
    pub gone: usize,
    /// Their bytes are damaged.
    pub damaged: usize,
    /// The encoding of a part is unknown (RFC 3516 section 4.3).
    pub unknown_encoding: usize,
}

impl Missed {
    pub fn add(&mut self, other: Self) {
        self.gone += other.gone;
        self.damaged += other.damaged;
        self.unknown_encoding += other.unknown_encoding;
    }
}

/// Why a message is not in the answer.
#[derive(Debug)]
enum Unwritten {
    Store(StoreError),
    /// The encoding of a part is unknown.
    Encoding,
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn end(out: &mut Vec<u8>, plan: &Plan, message: &Wanted, keywords: &[String]) {
    if message.seen_now && !plan.items.contains(&FetchItem::Flags) {
        out.extend_from_slice(b" FLAGS ");
        write_flags(out, message.entry.flags, keywords);
    }
    if message.seen_now && plan.condstore && !plan.items.contains(&FetchItem::ModSeq) {
        let _ = write!(out, " MODSEQ ({})", message.entry.modseq);
    }
    out.extend_from_slice(b")\r\n");
}

/// Writes the content of a literal. NUL is only for literal8 (RFC 3516 section 4.2, RFC 9051 section 4.3.1);
/// elsewhere 0x80 stands for it, as with [`write_string`].
pub(super) fn write_literal(out: &mut Vec<u8>, bytes: &[u8], binary: bool) {
    let from = out.len();
    out.extend_from_slice(bytes);
    if binary || memchr::memchr(0, bytes).is_none() {
        return;
    }
    for byte in out.iter_mut().skip(from).filter(|byte| **byte == 0) {
        *byte = 0x80;
    }
}

/// Writes what the view knows of a message; false for other items.
fn write_known(out: &mut Vec<u8>, item: &FetchItem, message: &Wanted, keywords: &[String]) -> bool {
    let entry = &message.entry;
    match item {
        FetchItem::Uid => {
            let _ = write!(out, "UID {}", entry.uid);
        }
        FetchItem::Flags => {
            out.extend_from_slice(b"FLAGS ");
            write_flags(out, entry.flags, keywords);
        }
        FetchItem::Rfc822Size => {
            let _ = write!(out, "RFC822.SIZE {}", entry.size_bytes);
        }
        FetchItem::ModSeq => {
            let _ = write!(out, "MODSEQ ({})", entry.modseq);
        }
        _ => return false,
    }
    true
}

pub(super) fn write_from_view(out: &mut Vec<u8>, plan: &Plan, message: &Wanted, keywords: &[String]) {
    write_fetch_start(out, message.place, message.entry.uid, plan.uid_only);
    for (number, item) in plan.items.iter().enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        write_known(out, item, message, keywords);
    }
    end(out, plan, message, keywords);
}

/// Loads and writes the messages of one piece.
pub(super) fn render(
    store: &Store,
    mailbox: MailboxId,
    uids: &UidRanges,
    plan: &Plan,
    wanted: &[Wanted],
    keywords: &[String],
) -> Result<Rendered, StoreError> {
    let rows = store.rows(mailbox, uids, plan.summaries)?;
    let mut rendered = Rendered { pieces: Vec::new(), missed: Missed::default() };
    let mut out = Vec::new();
    for message in wanted {
        let Ok(at) = rows.binary_search_by_key(&message.entry.uid, |row| row.entry.uid) else {
            rendered.missed.gone += 1;
            continue;
        };
        let Some(row) = rows.get(at) else { continue };
        let (complete_pieces, complete_bytes) = (rendered.pieces.len(), out.len());
        match write_message(store, plan, message, row, keywords, &mut rendered.pieces, &mut out) {
            Ok(()) => {}
            Err(
                error @ (Unwritten::Encoding
                | Unwritten::Store(StoreError::Gone | StoreError::Damaged { .. })),
            ) => {
                if rendered.pieces.len() == complete_pieces {
                    out.truncate(complete_bytes);
                } else {
                    // The beginning was set aside when the first long text came.
                    rendered.pieces.truncate(complete_pieces + 1);
                    out.clear();
                    if let Some(Written::Bytes(bytes)) = rendered.pieces.last_mut() {
                        bytes.truncate(complete_bytes);
                    }
                }
                match error {
                    Unwritten::Encoding => rendered.missed.unknown_encoding += 1,
                    Unwritten::Store(StoreError::Gone) => rendered.missed.gone += 1,
                    Unwritten::Store(error) => {
                        tracing::error!(%error, "a message is damaged");
                        rendered.missed.damaged += 1;
                    }
                }
            }
            Err(Unwritten::Store(error)) => return Err(error),
        }
    }
    rendered.pieces.push(Written::Bytes(out));
    Ok(rendered)
}

fn write_message(
    store: &Store,
    plan: &Plan,
    message: &Wanted,
    row: &Row,
    keywords: &[String],
    pieces: &mut Vec<Written>,
    out: &mut Vec<u8>,
) -> Result<(), Unwritten> {
    let made;
    let summary = match SummaryView::parse(&row.summary) {
        Some(summary) => Some(summary),
        None if plan.summaries => {
            // Written by another version: the message itself tells the same.
            made = Summary::of(&store.read_body(&row.body)?).encode();
            SummaryView::parse(&made)
        }
        None => None,
    };
    let mut source = Source::new(store, row.body, summary, plan.bodies);
    write_fetch_start(out, message.place, message.entry.uid, plan.uid_only);
    for (number, item) in plan.items.iter().enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        if write_known(out, item, message, keywords) {
            continue;
        }
        match item {
            FetchItem::InternalDate => {
                out.extend_from_slice(b"INTERNALDATE \"");
                let offset_s = i32::from(row.zone_min) * 60;
                ZonedTime { unix_s: row.internal_date_s, offset_s }.write(out);
                out.push(b'"');
            }
            FetchItem::Envelope => {
                out.extend_from_slice(b"ENVELOPE ");
                out.extend_from_slice(summary.map_or(&b"NIL"[..], |summary| summary.envelope()));
            }
            FetchItem::BodyStructure => {
                out.extend_from_slice(b"BODYSTRUCTURE ");
                out.extend_from_slice(summary.map_or(&b"NIL"[..], |summary| summary.body_structure()));
            }
            FetchItem::Body => {
                out.extend_from_slice(b"BODY ");
                out.extend_from_slice(&summary.map_or(b"NIL".to_vec(), |summary| summary.body()));
            }
            FetchItem::SaveDate => {
                out.extend_from_slice(b"SAVEDATE \"");
                ZonedTime { unix_s: row.save_date_s, offset_s: 0 }.write(out);
                out.push(b'"');
            }
            FetchItem::EmailId => {
                let _ = write!(out, "EMAILID (E{})", row.body.id.0);
            }
            FetchItem::ThreadId => {
                let _ = write!(out, "THREADID ({})", ThreadId::of(summary, row.body.id).write());
            }
            FetchItem::Preview => {
                out.extend_from_slice(b"PREVIEW ");
                write_string(out, summary.map_or("", |summary| summary.preview()).as_bytes());
            }
            FetchItem::BinarySize(section) => {
                write_section_name(out, "BINARY.SIZE", section);
                let length = match source.find_decoded(section, None, 0)? {
                    Text::Missing => 0,
                    Text::Here(bytes) => bytes.len() as u64,
                    Text::Long(range) => range.end - range.start,
                    Text::UnknownEncoding => return Err(Unwritten::Encoding),
                };
                let _ = write!(out, " {length}");
            }
            text => {
                let held = out.len();
                let (section, partial) = write_text_name(out, text);
                let found = if matches!(text, FetchItem::Binary { .. }) {
                    source.find_decoded(&section, partial, held)?
                } else {
                    source.find(&section, partial, held)?
                };
                match found {
                    Text::Missing => out.extend_from_slice(b"NIL"),
                    Text::Here(bytes) => {
                        let binary = matches!(text, FetchItem::Binary { .. });
                        let tilde = if binary && memchr::memchr(0, &bytes).is_some() { "~" } else { "" };
                        let _ = write!(out, "{tilde}{{{}}}\r\n", bytes.len());
                        write_literal(out, &bytes, binary);
                    }
                    Text::Long(range) => {
                        let binary = matches!(text, FetchItem::Binary { .. });
                        let tilde = if binary { "~" } else { "" };
                        let _ = write!(out, "{tilde}{{{}}}\r\n", range.end - range.start);
                        pieces.push(Written::Bytes(std::mem::take(out)));
                        pieces.push(Written::Text { body: row.body, range, binary });
                    }
                    Text::UnknownEncoding => return Err(Unwritten::Encoding),
                }
            }
        }
    }
    end(out, plan, message, keywords);
    Ok(())
}
