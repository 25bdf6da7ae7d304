//! Deciding about messages for which the view alone was not enough.

use message::{Piece, Structure, Summary, SummaryView, each_field, each_piece, fields, fold, sent_day};
use store::{MailboxId, Row, Store, StoreError};

use super::criteria::{Header, HeaderField, Sent, Test};
use super::{Numbered, Open};
use crate::parse::CalendarDate;

/// Looks at a piece of messages; those that pass are added to `found`.
pub(super) fn look(
    store: &Store,
    mailbox: MailboxId,
    messages: &[Open<'_>],
    test: &Test,
    found: &mut Vec<Numbered>,
) -> Result<(), StoreError> {
    let uids = messages.iter().map(|open| open.place.uid..=open.place.uid).collect();
    let rows = store.rows(mailbox, &uids, true)?;
    for open in messages {
        let row =
            rows.binary_search_by_key(&open.place.uid, |row| row.entry.uid).ok().and_then(|at| rows.get(at));
        // A message that has gone meanwhile is not found.
        let Some(row) = row else { continue };
        match decide_with_row(store, open, row, test) {
            Ok(true) => found.push(open.message),
            Ok(false) | Err(StoreError::Gone) => {}
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, "a message cannot be searched");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn decide_with_row(store: &Store, open: &Open<'_>, row: &Row, test: &Test) -> Result<bool, StoreError> {
    let made;
    let summary = if let Some(summary) = SummaryView::parse(&row.summary) {
        Some(summary)
    } else {
        made = Summary::of(&store.read_body(&row.body)?).encode();
        SummaryView::parse(&made)
    };
    let mut facts = open.facts();
    facts.summary = Some(summary);
    facts.sent = match summary.and_then(|summary| summary.sort_keys().sent_date_s) {
        Some(sent_s) => Sent::Utc(CalendarDate::of_instant(sent_s, 0).0),
        None => Sent::Never,
    };
    if let Some(decided) = test.decide(&facts) {
        return Ok(decided);
    }
    let header_bytes = summary.map_or(0, |summary| summary.header_bytes()).min(u64::from(row.body.length));
    facts.header = Some(read_header(&store.read_range(&row.body, 0..header_bytes)?));
    if let Some(decided) = test.decide(&facts) {
        return Ok(decided);
    }
    let raw = store.read_body(&row.body)?;
    let structure = summary.and_then(|summary| summary.structure()).unwrap_or_else(|| Structure::of(&raw));
    facts.bodies = Some(read_bodies(&raw, &structure));
    Ok(test.decide(&facts).unwrap_or(false))
}

fn read_header(raw: &[u8]) -> Header {
    let mut header = Header::default();
    let date = fields(raw).find(|field| field.name.eq_ignore_ascii_case(b"Date"));
    header.sent_day = date.and_then(|date| sent_day(date.value));
    each_field(raw, &mut |piece| {
        if let Piece::Field { name, value } = piece {
            header.fields.push(HeaderField::new(name, value));
        }
        true
    });
    header
}

fn read_bodies(raw: &[u8], structure: &Structure) -> Vec<String> {
    let mut bodies = Vec::new();
    each_piece(raw, structure, &mut |piece| {
        if let Piece::Body(text) = piece {
            bodies.push(fold(text));
        }
        true
    });
    bodies
}
