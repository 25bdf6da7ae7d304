//! SORT: putting messages into the order a client asks for (RFC 5256 section 3, RFC 5957), and reading the
//! keys for this and for THREAD.

use std::cmp::Ordering;

use message::{SortKeys, Summary, SummaryView};
use store::{MailboxId, Store, StoreError, Visited};
use unicode_normalization::UnicodeNormalization;

use crate::parse::{SortCriterion, SortKey};
use crate::search::Numbered;
use crate::threading::Threaded;

/// A text ready to be compared by octets: i;unicode-casemap (RFC 5051 section 2).
fn casemapped(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().flat_map(char::to_uppercase).nfkd().collect()
}

/// A value messages are compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(String),
}

/// The messages in the order of the criteria; what is equal stays in the order of the mailbox.
pub(crate) fn sort(
    store: &Store,
    mailbox: MailboxId,
    found: Vec<Numbered>,
    criteria: &[SortCriterion],
) -> Result<Vec<Numbered>, StoreError> {
    let mut keyed: Vec<(Numbered, Vec<Value>)> = Vec::with_capacity(found.len());
    let needs = |keys: &[SortKey]| criteria.iter().any(|criterion| keys.contains(&criterion.key));
    if needs(&[
        SortKey::Cc,
        SortKey::Date,
        SortKey::From,
        SortKey::Subject,
        SortKey::To,
        SortKey::DisplayFrom,
        SortKey::DisplayTo,
    ]) {
        visit(store, mailbox, &found, true, |message, row, keys, _| {
            keyed.push((*message, values(criteria, message, row.internal_date_s, keys)));
        })?;
    } else if needs(&[SortKey::Arrival]) {
        visit(store, mailbox, &found, false, |message, row, keys, _| {
            keyed.push((*message, values(criteria, message, row.internal_date_s, keys)));
        })?;
    } else {
        let none = SortKeys::default();
        keyed = found.into_iter().map(|message| (message, values(criteria, &message, 0, &none))).collect();
    }
    keyed.sort_by(|(_, a), (_, b)| compare(criteria, a, b));
    Ok(keyed.into_iter().map(|(message, _)| message).collect())
}

fn compare(criteria: &[SortCriterion], a: &[Value], b: &[Value]) -> Ordering {
    for ((criterion, a), b) in criteria.iter().zip(a).zip(b) {
        let order = if criterion.reverse { b.cmp(a) } else { a.cmp(b) };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn values(
    criteria: &[SortCriterion],
    message: &Numbered,
    internal_date_s: i64,
    keys: &SortKeys,
) -> Vec<Value> {
    criteria
        .iter()
        .map(|criterion| match criterion.key {
            SortKey::Arrival => Value::Number(internal_date_s),
            SortKey::Size => Value::Number(i64::from(message.entry.size_bytes)),
            // Without a sent date the INTERNALDATE counts (RFC 5256 section 3, DATE).
            SortKey::Date => Value::Number(keys.sent_date_s.unwrap_or(internal_date_s)),
            SortKey::Cc => Value::Text(casemapped(&keys.cc)),
            SortKey::From => Value::Text(casemapped(&keys.from)),
            SortKey::Subject => Value::Text(casemapped(&keys.base_subject)),
            SortKey::To => Value::Text(casemapped(&keys.to)),
            SortKey::DisplayFrom => Value::Text(casemapped(&keys.display_from)),
            SortKey::DisplayTo => Value::Text(casemapped(&keys.display_to)),
        })
        .collect()
}

/// What THREAD needs of the messages; `uid` shows UIDs.
pub(crate) fn read_threaded(
    store: &Store,
    mailbox: MailboxId,
    found: &[Numbered],
    uid: bool,
) -> Result<Vec<Threaded>, StoreError> {
    let mut threaded = Vec::with_capacity(found.len());
    visit(store, mailbox, found, true, |message, row, keys, summary| {
        let ids = summary.map(|summary| summary.thread_keys()).unwrap_or_default();
        threaded.push(Threaded {
            number: if uid { message.entry.uid } else { message.number },
            date_s: keys.sent_date_s.unwrap_or(row.internal_date_s),
            subject: casemapped(&keys.base_subject),
            is_reply: keys.is_reply,
            message_id: ids.message_id,
            references: ids.references,
        });
    })?;
    Ok(threaded)
}

/// Visits the rows of these messages, which are in ascending order; one that is gone is left out.
fn visit(
    store: &Store,
    mailbox: MailboxId,
    found: &[Numbered],
    summaries: bool,
    mut each: impl FnMut(&Numbered, &Visited<'_>, &SortKeys, Option<SummaryView<'_>>),
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(()) };
    let mut wanted = found.iter().peekable();
    let mut unreadable = Vec::new();
    store.visit_messages(mailbox, first.entry.uid..=last.entry.uid, summaries, |row| {
        while wanted.next_if(|message| message.entry.uid < row.uid).is_some() {}
        let Some(message) = wanted.next_if(|message| message.entry.uid == row.uid) else { return };
        if !summaries {
            return each(message, &row, &SortKeys::default(), None);
        }
        match SummaryView::parse(row.summary) {
            Some(summary) => each(message, &row, &summary.sort_keys(), Some(summary)),
            None => unreadable.push((*message, row.internal_date_s)),
        }
    })?;
    // A summary of another version is made anew from the message.
    for (message, internal_date_s) in unreadable {
        let uids = vec![message.entry.uid..=message.entry.uid];
        let Some(row) = store.rows(mailbox, &uids, false)?.pop() else { continue };
        let made = Summary::of(&store.read_body(&row.body)?).encode();
        let visited = Visited { uid: message.entry.uid, internal_date_s, summary: &made };
        let summary = SummaryView::parse(&made);
        let keys = summary.map(|summary| summary.sort_keys()).unwrap_or_default();
        each(&message, &visited, &keys, summary);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_form_make_no_difference() {
        assert_eq!(casemapped("Über"), casemapped("u\u{308}bER"));
        assert_eq!(casemapped("stra\u{df}e"), casemapped("STRASSE"));
        assert!(casemapped("a") < casemapped("B"));
    }
}
