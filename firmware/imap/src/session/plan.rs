//! What a FETCH needs of each message.

use std::sync::Arc;

use message::SectionText;

use super::text::is_header_only;
use super::view::Telling;
use crate::parse::FetchItem;

/// What a FETCH needs of each message.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub items: Arc<[FetchItem]>,
    /// The store's row: dates, and where the body is.
    pub rows: bool,
    pub summaries: bool,
    /// More of the body than its header.
    pub bodies: bool,
    /// Whole bodies are held, to undo their encoding.
    pub decodes: bool,
    pub sets_seen: bool,
    /// Flags that change are told with their modification sequence.
    pub condstore: bool,
    /// UIDs instead of sequence numbers.
    pub uid_only: bool,
}

impl Plan {
    /// `modseq`: tell modification sequences whether they are asked for or not.
    pub fn new(mut items: Vec<FetchItem>, telling: Telling, modseq: bool) -> Self {
        if telling.uid && !telling.uid_only && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        if modseq && !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
        let any = |test: fn(&FetchItem) -> bool| items.iter().any(test);
        let summaries = any(needs_summary);
        Self {
            rows: summaries
                || any(|item| {
                    matches!(item, FetchItem::InternalDate | FetchItem::SaveDate | FetchItem::EmailId)
                }),
            summaries,
            bodies: any(|item| match item {
                FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
                FetchItem::Section { section, .. } => !is_header_only(section),
                FetchItem::Binary { .. } | FetchItem::BinarySize(_) => true,
                _ => false,
            }),
            decodes: any(|item| match item {
                FetchItem::Binary { section, .. } | FetchItem::BinarySize(section) => {
                    section.text == SectionText::All && !section.part.is_empty()
                }
                _ => false,
            }),
            sets_seen: any(|item| {
                matches!(
                    item,
                    FetchItem::Rfc822
                        | FetchItem::Rfc822Text
                        | FetchItem::Section { peek: false, .. }
                        | FetchItem::Binary { peek: false, .. }
                )
            }),
            items: items.into(),
            condstore: telling.condstore,
            uid_only: telling.uid_only,
        }
    }
}

fn needs_summary(item: &FetchItem) -> bool {
    use FetchItem::{EmailId, Flags, InternalDate, ModSeq, Rfc822Size, SaveDate, Uid};
    !matches!(item, EmailId | Flags | InternalDate | ModSeq | Rfc822Size | SaveDate | Uid)
}
