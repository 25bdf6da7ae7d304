//! FETCH: which messages, and in which pieces.
//!
//! Flags, UIDs and sizes come from the view. For the rest the messages are taken in pieces of bounded
//! size: rows and summaries with one query a piece, bodies one by one. A text that is large is never held:
//! it is written chunk by chunk while it is read.

use std::ops::Range;
use std::sync::Arc;

use store::{BodyRef, FlagAction, FlagNames, Flags, StoreError, StoreFlags};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::plan::Plan;
use super::render::{Missed, Wanted, Written, render, write_from_view, write_literal};
use super::reply::Reply;
use super::text::CHUNK_BYTES;
use super::view::Telling;
use super::{Selected, Session, large_memory, read_long, resync};
use crate::parse::{FetchItem, FetchModifiers, SequenceSet};

/// Messages of one piece. A hostile message can have a summary of some 100 KiB.
const PIECE_MESSAGES: usize = 128;
/// Bytes of bodies in one piece, unless one message alone has more.
const PIECE_BYTES: usize = 512 * 1024;

/// The messages of a FETCH.
struct Chosen {
    places: Vec<usize>,
    /// How many of the set are gone already.
    gone: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn fetch(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        items: Vec<FetchItem>,
        modifiers: FetchModifiers,
    ) -> Result<Reply, Stop> {
        if modifiers.vanished && !(uid && self.enabled.qresync) {
            return Ok(Reply::bad("VANISHED needs UID FETCH, and QRESYNC enabled"));
        }
        if modifiers.changed_since.is_some() || items.contains(&FetchItem::ModSeq) {
            self.enable_condstore();
        }
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        // RFC 7162 sections 3.1.4.1 and 3.2.4.
        let modseq = modifiers.changed_since.is_some() || (uid && self.enabled.qresync);
        let plan = Plan::new(items, Telling { uid, ..telling }, modseq);
        let chosen = match self.choose(uid, set, modifiers, &plan) {
            Ok(chosen) => chosen,
            Err(reply) => return Ok(reply),
        };
        let mut missed = Missed { gone: chosen.gone, ..Missed::default() };
        let mut rest = chosen.places.as_slice();
        while !rest.is_empty() {
            self.connection.check_shutdown()?;
            let (piece, later) = rest.split_at(self.piece_length(&plan, rest));
            rest = later;
            match self.fetch_piece(&plan, piece).await? {
                Ok(more) => missed.add(more),
                Err(error) => return Ok(Reply::refused(&error)),
            }
        }
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        Ok(if missed.damaged > 0 {
            Reply::no(
                "[SERVERBUG] some messages are damaged on disk; the administrator finds them in the log",
            )
        } else if missed.unknown_encoding > 0 {
            Reply::no("[UNKNOWN-CTE] the transfer encoding of a part is not known")
        } else if missed.gone > 0 && !uid {
            Reply::no("[EXPUNGEISSUED] some of these messages are gone")
        } else {
            Reply::ok("done")
        })
    }

    /// The messages of the set that are to be told; tells what has vanished of it, if that is wanted.
    fn choose(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        modifiers: FetchModifiers,
        plan: &Plan,
    ) -> Result<Chosen, Reply> {
        let Some(Selected { view, .. }) = &self.selected else {
            return Err(Reply::bad("select a mailbox first"));
        };
        let Ok(ranges) = view.places(set, uid) else {
            return Err(Reply::bad("there is no message with such a number"));
        };
        // What the client has been told already can be told again, until it hears of the expunge.
        let needs_message = uid || plan.rows || plan.sets_seen;
        let mut chosen = Chosen { places: Vec::new(), gone: 0 };
        for place in ranges.into_iter().flatten() {
            let Some(entry) = view.entries().get(place) else { continue };
            if needs_message && view.is_gone(entry.uid) {
                chosen.gone += 1;
            } else if modifiers.changed_since.is_none_or(|since| entry.modseq > since) {
                chosen.places.push(place);
            }
        }
        if let Some(page) = modifiers.page {
            chosen.places = chosen.places.get(page.of(chosen.places.len())).unwrap_or_default().to_vec();
        }
        if let Some(since) = modifiers.changed_since.filter(|_| modifiers.vanished) {
            // `*` reaches over what was there behind the last message.
            let known = set.resolve(view.uid_next.saturating_sub(1));
            match resync::vanished(&self.context.store, view, since, &known, 0) {
                Ok(vanished) => resync::write_vanished(&vanished, &mut self.connection.out),
                Err(error) => return Err(Reply::refused(&error)),
            }
        }
        Ok(chosen)
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
    ) -> Result<Result<Missed, StoreError>, Stop> {
        let seen_now = if plan.sets_seen { self.set_seen(places).await } else { Vec::new() };
        let Some(Selected { view, .. }) = &self.selected else { return Ok(Ok(Missed::default())) };
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
            return Ok(Ok(Missed::default()));
        }
        let uids = view.uids(&runs(places));
        let largest = wanted.iter().map(|message| u64::from(message.entry.size_bytes)).max().unwrap_or(0);
        let _share = if plan.decodes && largest > CHUNK_BYTES {
            // The message and what it is decoded to.
            Some(large_memory(&mut self.connection, &self.context.limits, largest.saturating_mul(2)).await?)
        } else {
            None
        };
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
                Written::Text { body, range, binary } => self.write_text(body, range, binary).await?,
            }
            self.connection.flush_when_large().await?;
        }
        Ok(Ok(rendered.missed))
    }

    /// Writes a long text. Its length is announced already, so a failure can only end the connection.
    async fn write_text(&mut self, body: BodyRef, range: Range<u64>, binary: bool) -> Result<(), Stop> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + CHUNK_BYTES);
            match read_long(&self.context.store, move |store| store.read_range(&body, start..end)).await {
                Ok(chunk) if chunk.len() as u64 == end - start => {
                    write_literal(&mut self.connection.out, &chunk, binary);
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
