//! FETCH: what to load, in which pieces, and how it is written.
//!
//! Flags, UIDs and sizes come from the view. For the rest the messages are taken in pieces of bounded
//! size: rows and summaries with one query a piece, bodies one by one. A text that is large is never held:
//! it is written chunk by chunk while it is read.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use message::{Summary, SummaryView};
use store::{
    BodyRef, Entry, FlagAction, FlagNames, Flags, MailboxId, Row, Store, StoreError, StoreFlags, UidRanges,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::reply::{Reply, write_flags};
use super::text::{CHUNK_BYTES, Source, Text, is_header_only, write_text_name};
use super::{Selected, Session, read_long};
use crate::parse::{FetchItem, SequenceSet, ZonedTime};

/// Messages of one piece. A hostile message can have a summary of some 100 KiB.
const PIECE_MESSAGES: usize = 128;
/// Bytes of bodies in one piece, unless one message alone has more.
const PIECE_BYTES: usize = 512 * 1024;

/// What a FETCH needs of each message.
#[derive(Debug, Clone)]
struct Plan {
    items: Arc<[FetchItem]>,
    /// The store's row, for INTERNALDATE and to find the body.
    rows: bool,
    summaries: bool,
    /// More of the body than its header.
    bodies: bool,
    sets_seen: bool,
    /// Flags that change are told with their modification sequence.
    condstore: bool,
}

impl Plan {
    fn new(mut items: Vec<FetchItem>, uid: bool, modseq: bool, condstore: bool) -> Self {
        if uid && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        if modseq && !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
        let any = |test: fn(&FetchItem) -> bool| items.iter().any(test);
        let summaries = any(needs_summary);
        Self {
            rows: summaries || any(|item| *item == FetchItem::InternalDate),
            summaries,
            bodies: any(|item| match item {
                FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
                FetchItem::Section { section, .. } => !is_header_only(section),
                _ => false,
            }),
            sets_seen: any(|item| {
                matches!(
                    item,
                    FetchItem::Rfc822 | FetchItem::Rfc822Text | FetchItem::Section { peek: false, .. }
                )
            }),
            items: items.into(),
            condstore,
        }
    }
}

fn needs_summary(item: &FetchItem) -> bool {
    use FetchItem::{Body, BodyStructure, Envelope, Rfc822, Rfc822Header, Rfc822Text, Section};
    matches!(item, Envelope | Body | BodyStructure | Rfc822 | Rfc822Header | Rfc822Text | Section { .. })
}

/// One message to be told about.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    place: usize,
    entry: Entry,
    /// This FETCH has set `\Seen`, so the flags are told too.
    seen_now: bool,
}

/// A piece of the answer.
enum Written {
    Bytes(Vec<u8>),
    /// A long text that goes here, straight from the store.
    Text {
        body: BodyRef,
        range: Range<u64>,
    },
}

struct Rendered {
    pieces: Vec<Written>,
    /// Messages that are no longer in the store.
    gone: usize,
    /// Messages whose bytes are damaged.
    damaged: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn fetch(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        items: Vec<FetchItem>,
        changed_since: Option<u64>,
    ) -> Result<Reply, Stop> {
        if changed_since.is_some() || items.contains(&FetchItem::ModSeq) {
            self.enable_condstore();
        }
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        let plan = Plan::new(items, uid, changed_since.is_some(), self.enabled.condstore);
        let Some(Selected { view, .. }) = &self.selected else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let Ok(ranges) = view.places(set, uid) else {
            return Ok(Reply::bad("there is no message with such a number"));
        };
        let mut gone = 0;
        let mut places = Vec::new();
        for place in ranges.into_iter().flatten() {
            let Some(entry) = view.entries().get(place) else { continue };
            if view.is_gone(entry.uid) {
                gone += 1;
            } else if changed_since.is_none_or(|since| entry.modseq > since) {
                places.push(place);
            }
        }
        let mut damaged = 0;
        let mut rest = places.as_slice();
        while !rest.is_empty() {
            self.connection.check_shutdown()?;
            let (piece, later) = rest.split_at(self.piece_length(&plan, rest));
            rest = later;
            match self.fetch_piece(&plan, piece).await? {
                Ok((piece_gone, piece_damaged)) => {
                    gone += piece_gone;
                    damaged += piece_damaged;
                }
                Err(error) => return Ok(Reply::refused(&error)),
            }
        }
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        Ok(if damaged > 0 {
            Reply::no(
                "[SERVERBUG] some messages are damaged on disk; the administrator finds them in the log",
            )
        } else if gone > 0 && !uid {
            Reply::no("[EXPUNGEISSUED] some of these messages are gone")
        } else {
            Reply::ok("done")
        })
    }

    /// How many of the next messages are taken together.
    fn piece_length(&self, plan: &Plan, places: &[usize]) -> usize {
        let most = places.len().min(PIECE_MESSAGES);
        let Some(Selected { view, .. }) = &self.selected else { return most };
        if !plan.bodies {
            return most;
        }
        let mut bytes = 0;
        let sizes = places.iter().take(most).filter_map(|place| view.entries().get(*place));
        let fitting = sizes.take_while(|entry| {
            bytes += entry.size_bytes as usize;
            bytes <= PIECE_BYTES
        });
        fitting.count().max(1)
    }

    /// Answers for some messages; how many were gone, and damaged.
    async fn fetch_piece(
        &mut self,
        plan: &Plan,
        places: &[usize],
    ) -> Result<Result<(usize, usize), StoreError>, Stop> {
        let seen_now = if plan.sets_seen { self.set_seen(places).await } else { Vec::new() };
        let Some(Selected { view, .. }) = &self.selected else { return Ok(Ok((0, 0))) };
        let wanted: Vec<Wanted> = places
            .iter()
            .filter_map(|place| {
                let entry = *view.entries().get(*place)?;
                Some(Wanted { place: *place, entry, seen_now: seen_now.binary_search(&entry.uid).is_ok() })
            })
            .collect();
        let keywords = Arc::clone(&view.keywords);
        if !plan.rows {
            for message in &wanted {
                write_from_view(&mut self.connection.out, plan, message, &keywords);
            }
            self.connection.flush_when_large().await?;
            return Ok(Ok((0, 0)));
        }
        let uids = view.uids(&runs(places));
        let (mailbox, plan) = (view.mailbox, plan.clone());
        let store = &self.context.store;
        let rendered =
            match read_long(store, move |store| render(store, mailbox, &uids, &plan, &wanted, &keywords))
                .await
            {
                Ok(rendered) => rendered,
                Err(error) => return Ok(Err(error)),
            };
        for piece in rendered.pieces {
            match piece {
                Written::Bytes(bytes) if self.connection.out.is_empty() => self.connection.out = bytes,
                Written::Bytes(bytes) => self.connection.out.extend_from_slice(&bytes),
                Written::Text { body, range } => self.write_text(body, range).await?,
            }
            self.connection.flush_when_large().await?;
        }
        Ok(Ok((rendered.gone, rendered.damaged)))
    }

    /// Writes a long text. Its length is announced already, so a failure can only end the connection.
    async fn write_text(&mut self, body: BodyRef, range: Range<u64>) -> Result<(), Stop> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + CHUNK_BYTES);
            match read_long(&self.context.store, move |store| store.read_range(&body, start..end)).await {
                Ok(chunk) if chunk.len() as u64 == end - start => {
                    self.connection.out.extend_from_slice(&chunk);
                }
                Ok(_) => return Err(Stop::Gone),
                Err(error) => {
                    tracing::error!(%error, "a message cannot be read to its end");
                    return Err(Stop::Gone);
                }
            }
            self.connection.flush().await?;
            start = end;
        }
        Ok(())
    }

    /// Sets `\Seen` where it is not (RFC 3501 section 6.4.5, BODY[]); the UIDs of messages that got it now,
    /// ascending. Where that cannot be done, on a full disk say, the message can still be read.
    async fn set_seen(&mut self, places: &[usize]) -> Vec<u32> {
        let Some(Selected { view, .. }) = &mut self.selected else { return Vec::new() };
        let unseen = |place: &usize| {
            view.entries().get(*place).is_some_and(|entry| !entry.flags.contains(Flags::SEEN))
        };
        let places: Vec<usize> = places.iter().copied().filter(|place| unseen(place)).collect();
        if view.read_only || places.is_empty() {
            return Vec::new();
        }
        let change = StoreFlags {
            action: FlagAction::Add,
            flags: FlagNames::system(Flags::SEEN),
            unchanged_since: None,
        };
        match self.context.store.store_flags(view.mailbox, view.uids(&runs(&places)), change).await {
            Ok(stored) => {
                view.note_keywords(&stored.keywords, &mut self.connection.out);
                let noted = stored.changed.iter().chain(&stored.unchanged).filter(|entry| view.note(entry));
                let mut uids: Vec<u32> = noted.map(|entry| entry.uid).collect();
                uids.sort_unstable();
                uids
            }
            Err(error) => {
                tracing::debug!(%error, "messages cannot be marked as read");
                Vec::new()
            }
        }
    }
}

/// Ascending places as ranges of neighbours.
fn runs(places: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for place in places {
        match runs.last_mut() {
            Some(run) if run.end == *place => run.end += 1,
            _ => runs.push(*place..*place + 1),
        }
    }
    runs
}

fn begin(out: &mut Vec<u8>, message: &Wanted) {
    let _ = write!(out, "* {} FETCH (", message.place + 1);
}

fn end(out: &mut Vec<u8>, plan: &Plan, message: &Wanted, keywords: &[String]) {
    if message.seen_now && !plan.items.contains(&FetchItem::Flags) {
        out.extend_from_slice(b" FLAGS ");
        write_flags(out, message.entry.flags, keywords);
        if plan.condstore && !plan.items.contains(&FetchItem::ModSeq) {
            let _ = write!(out, " MODSEQ ({})", message.entry.modseq);
        }
    }
    out.extend_from_slice(b")\r\n");
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

fn write_from_view(out: &mut Vec<u8>, plan: &Plan, message: &Wanted, keywords: &[String]) {
    begin(out, message);
    for (number, item) in plan.items.iter().enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        write_known(out, item, message, keywords);
    }
    end(out, plan, message, keywords);
}

/// Loads and writes the messages of one piece.
fn render(
    store: &Store,
    mailbox: MailboxId,
    uids: &UidRanges,
    plan: &Plan,
    wanted: &[Wanted],
    keywords: &[String],
) -> Result<Rendered, StoreError> {
    let rows = store.rows(mailbox, uids, plan.summaries)?;
    let mut rendered = Rendered { pieces: Vec::new(), gone: 0, damaged: 0 };
    let mut out = Vec::new();
    for message in wanted {
        let Ok(at) = rows.binary_search_by_key(&message.entry.uid, |row| row.entry.uid) else {
            rendered.gone += 1;
            continue;
        };
        let Some(row) = rows.get(at) else { continue };
        let (complete_pieces, complete_bytes) = (rendered.pieces.len(), out.len());
        match write_message(store, plan, message, row, keywords, &mut rendered.pieces, &mut out) {
            Ok(()) => {}
            Err(error @ (StoreError::Gone | StoreError::Damaged { .. })) => {
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
                if matches!(error, StoreError::Gone) {
                    rendered.gone += 1;
                } else {
                    tracing::error!(%error, "a message is damaged");
                    rendered.damaged += 1;
                }
            }
            Err(error) => return Err(error),
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
) -> Result<(), StoreError> {
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
    begin(out, message);
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
                ZonedTime { unix_s: row.internal_date_s, offset_s: 0 }.write(out);
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
            text => {
                let (section, partial) = write_text_name(out, text);
                match source.find(&section, partial, out.len())? {
                    Text::Missing => out.extend_from_slice(b"NIL"),
                    Text::Here(bytes) => {
                        let _ = write!(out, "{{{}}}\r\n", bytes.len());
                        out.extend_from_slice(&bytes);
                    }
                    Text::Long(range) => {
                        let _ = write!(out, "{{{}}}\r\n", range.end - range.start);
                        pieces.push(Written::Bytes(std::mem::take(out)));
                        pieces.push(Written::Text { body: row.body, range });
                    }
                }
            }
        }
    }
    end(out, plan, message, keywords);
    Ok(())
}
