//! SEARCH: each message is looked at only as far as it takes to decide.
//!
//! Most keys are decided by what the view knows. For the others a piece of messages gets its rows and
//! summaries with one query, then single messages their header, and last their whole text. A key is
//! `None` while what it needs is not loaded (RFC 3501 section 6.4.4).

use std::fmt::Write;
use std::sync::Arc;

use message::{Structure, Summary, SummaryView, decode_words, fields, search_text, sent_day};
use store::{Entry, Flags, MailboxId, Row, Store, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::append::now_s;
use super::connection::Stop;
use super::reply::{Reply, flag_bit, sequence_set};
use super::view::View;
use super::{Selected, Session, read_long};
use crate::parse::{CalendarDate, Criterion, DateField, SearchKey, SearchReturn};

/// Messages of one piece.
const PIECE_MESSAGES: usize = 128;

/// A search key with what does not depend on the message worked out.
#[derive(Debug)]
enum Test {
    And(Vec<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    /// True or false for every message.
    Always(bool),
    Has(Flags),
    Sequence(Vec<(u32, u32)>),
    Uid(Vec<(u32, u32)>),
    Larger(u64),
    Smaller(u64),
    ModSeq(u64),
    /// INTERNALDATE as a day in UTC, the zone it is shown in.
    Internal(DayTest),
    Sent(DayTest),
    /// INTERNALDATE is at this second or later.
    Younger(i64),
    Header {
        name: String,
        text: String,
    },
    Body(String),
    Text(String),
}

#[derive(Debug, Clone, Copy)]
enum DayTest {
    Before(i64),
    On(i64),
    Since(i64),
}

impl DayTest {
    fn holds(self, day: i64) -> bool {
        match self {
            Self::Before(limit) => day < limit,
            Self::On(wanted) => day == wanted,
            Self::Since(limit) => day >= limit,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn search(
        &mut self,
        tag: &str,
        uid: bool,
        returns: Option<Vec<SearchReturn>>,
        key: &SearchKey,
    ) -> Result<Reply, Stop> {
        let modseq = key.asks_modseq();
        if modseq {
            self.enable_condstore();
        }
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        let Some(Selected { view, .. }) = &self.selected else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let test = Arc::new(compile(key, view, now_s()));
        let mailbox = view.mailbox;
        let messages: Vec<(usize, Entry)> = view
            .entries()
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, entry)| !view.is_gone(entry.uid))
            .collect();

        let mut found: Vec<(usize, Entry)> = Vec::new();
        for piece in messages.chunks(PIECE_MESSAGES) {
            let mut open = Vec::new();
            for message in piece {
                match test.decide(&Facts::new(message)) {
                    Some(true) => found.push(*message),
                    Some(false) => {}
                    None => open.push(*message),
                }
            }
            if open.is_empty() {
                continue;
            }
            self.connection.check_shutdown()?;
            let test = Arc::clone(&test);
            match read_long(&self.context.store, move |store| look_closer(store, mailbox, &open, &test)).await
            {
                Ok(more) => found.extend(more),
                Err(error) => return Ok(Reply::refused(&error)),
            }
        }
        found.sort_unstable_by_key(|(place, _)| *place);
        let line = answer(tag, uid, returns.as_deref(), modseq, &found);
        self.connection.line(&line);
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        Ok(Reply::ok("done"))
    }
}

/// The untagged answer: SEARCH, or ESEARCH where RETURN was used (RFC 4731).
fn answer(
    tag: &str,
    uid: bool,
    returns: Option<&[SearchReturn]>,
    modseq: bool,
    found: &[(usize, Entry)],
) -> String {
    let number = |(place, entry): &(usize, Entry)| if uid { entry.uid } else { *place as u32 + 1 };
    let highest = |found: &[(usize, Entry)]| found.iter().map(|(_, entry)| entry.modseq).max();
    let Some(returns) = returns else {
        let mut line = "* SEARCH".to_owned();
        for message in found {
            line.push(' ');
            line.push_str(&number(message).to_string());
        }
        if modseq && let Some(highest) = highest(found) {
            let _ = write!(line, " (MODSEQ {highest})");
        }
        return line;
    };
    let mut line = format!("* ESEARCH (TAG \"{tag}\")");
    if uid {
        line.push_str(" UID");
    }
    let has = |option| returns.contains(&option);
    let (first, last) = (found.first(), found.last());
    if let Some(first) = first.filter(|_| has(SearchReturn::Min)) {
        let _ = write!(line, " MIN {}", number(first));
    }
    if let Some(last) = last.filter(|_| has(SearchReturn::Max)) {
        let _ = write!(line, " MAX {}", number(last));
    }
    if has(SearchReturn::All) && !found.is_empty() {
        let _ = write!(line, " ALL {}", sequence_set(found.iter().map(number)));
    }
    if has(SearchReturn::Count) {
        let _ = write!(line, " COUNT {}", found.len());
    }
    if modseq {
        // Of MIN and MAX alone, it is that of the messages named (RFC 7162 section 3.1.10).
        let named: Vec<(usize, Entry)> = if has(SearchReturn::All) || has(SearchReturn::Count) {
            found.to_vec()
        } else {
            let min = first.filter(|_| has(SearchReturn::Min));
            min.into_iter().chain(last.filter(|_| has(SearchReturn::Max))).copied().collect()
        };
        if let Some(highest) = highest(&named) {
            let _ = write!(line, " MODSEQ {highest}");
        }
    }
    line
}

fn compile(key: &SearchKey, view: &View, now_s: i64) -> Test {
    let again = |key: &SearchKey| compile(key, view, now_s);
    match key {
        SearchKey::And(keys) => Test::And(keys.iter().map(again).collect()),
        SearchKey::Or(left, right) => Test::Or(Box::new(again(left)), Box::new(again(right))),
        SearchKey::Not(key) => Test::Not(Box::new(again(key))),
        SearchKey::Is(criterion) => compile_criterion(criterion, view, now_s),
    }
}

fn compile_criterion(criterion: &Criterion, view: &View, now_s: i64) -> Test {
    let day = |field: DateField, test| match field {
        DateField::Internal => Test::Internal(test),
        DateField::Sent => Test::Sent(test),
    };
    match criterion {
        Criterion::Has(flag) => flag_bit(flag, &view.keywords).map_or(Test::Always(false), Test::Has),
        Criterion::Sequence(_) if view.entries().is_empty() => Test::Always(false),
        Criterion::Sequence(set) => Test::Sequence(set.resolve(view.entries().len() as u32)),
        Criterion::Uid(set) => Test::Uid(set.resolve(view.last_uid())),
        Criterion::Before(field, CalendarDate(limit)) => day(*field, DayTest::Before(*limit)),
        Criterion::On(field, CalendarDate(wanted)) => day(*field, DayTest::On(*wanted)),
        Criterion::Since(field, CalendarDate(limit)) => day(*field, DayTest::Since(*limit)),
        Criterion::Larger(bytes) => Test::Larger(*bytes),
        Criterion::Smaller(bytes) => Test::Smaller(*bytes),
        Criterion::ModSeq(modseq) => Test::ModSeq(*modseq),
        // A message that came exactly that long ago is neither younger nor older (RFC 5032 section 3).
        Criterion::Younger(seconds) => Test::Younger(now_s - i64::from(*seconds)),
        Criterion::Older(seconds) => Test::Not(Box::new(Test::Younger(now_s - i64::from(*seconds) + 1))),
        Criterion::Header { name, text } => Test::Header { name: name.clone(), text: text.0.to_lowercase() },
        Criterion::Body(text) => Test::Body(text.0.to_lowercase()),
        Criterion::Text(text) => Test::Text(text.0.to_lowercase()),
    }
}

/// What is known of a message so far.
struct Facts<'a> {
    number: u32,
    entry: &'a Entry,
    row: Option<&'a Row>,
    sent: Sent,
    header: Option<Header>,
    text: Option<Texts>,
}

/// What the summary tells of the sent date.
#[derive(Debug, Clone, Copy)]
enum Sent {
    /// It is not loaded.
    Unknown,
    /// There is no Date field, or it cannot be read.
    Never,
    /// The day in UTC.
    Utc(i64),
}

/// A header as search sees it.
struct Header {
    /// Field names in lower case, values decoded and in lower case.
    fields: Vec<(String, String)>,
    sent_day: Option<i64>,
}

/// A whole message as search sees it, in lower case.
struct Texts {
    headers: String,
    body: String,
    file_names: String,
}

impl<'a> Facts<'a> {
    fn new((place, entry): &'a (usize, Entry)) -> Self {
        Self { number: *place as u32 + 1, entry, row: None, sent: Sent::Unknown, header: None, text: None }
    }
}

impl Test {
    /// Whether the message passes; `None` while something is not loaded that could decide it.
    fn decide(&self, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::And(tests) => {
                let mut all = Some(true);
                for test in tests {
                    match test.decide(facts) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => all = None,
                    }
                }
                all
            }
            Self::Or(left, right) => match (left.decide(facts), right.decide(facts)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(test) => test.decide(facts).map(|holds| !holds),
            Self::Always(holds) => Some(*holds),
            Self::Has(flag) => Some(facts.entry.flags.contains(*flag)),
            Self::Sequence(ranges) => Some(within(ranges, facts.number)),
            Self::Uid(ranges) => Some(within(ranges, facts.entry.uid)),
            Self::Larger(bytes) => Some(u64::from(facts.entry.size_bytes) > *bytes),
            Self::Smaller(bytes) => Some(u64::from(facts.entry.size_bytes) < *bytes),
            Self::ModSeq(modseq) => Some(facts.entry.modseq >= *modseq),
            Self::Internal(test) => {
                facts.row.map(|row| test.holds(CalendarDate::of_instant(row.internal_date_s, 0).0))
            }
            Self::Younger(since_s) => facts.row.map(|row| row.internal_date_s >= *since_s),
            Self::Sent(test) => decide_sent(*test, facts),
            Self::Header { name, text } => {
                let fields = &facts.header.as_ref()?.fields;
                Some(
                    fields
                        .iter()
                        .any(|(field, value)| field.eq_ignore_ascii_case(name) && value.contains(text)),
                )
            }
            Self::Body(text) => {
                let texts = facts.text.as_ref()?;
                Some(texts.body.contains(text) || texts.file_names.contains(text))
            }
            Self::Text(text) => {
                let header = facts.header.as_ref()?;
                if header.fields.iter().any(|(_, value)| value.contains(text)) {
                    return Some(true);
                }
                let texts = facts.text.as_ref()?;
                Some([&texts.headers, &texts.body, &texts.file_names].iter().any(|part| part.contains(text)))
            }
        }
    }
}

/// The sender's own day is at most one away from the day in UTC, which the summary tells; often that
/// decides. A message without a readable Date field was sent on no day.
fn decide_sent(test: DayTest, facts: &Facts<'_>) -> Option<bool> {
    if let Some(header) = &facts.header {
        return Some(header.sent_day.is_some_and(|day| test.holds(day)));
    }
    let day = match facts.sent {
        Sent::Unknown => return None,
        Sent::Never => return Some(false),
        Sent::Utc(day) => day,
    };
    let around = [day - 1, day, day + 1].map(|day| test.holds(day));
    match around {
        [true, true, true] => Some(true),
        [false, false, false] => Some(false),
        _ => None,
    }
}

fn within(ranges: &[(u32, u32)], number: u32) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= number);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| number <= *last)
}

/// Decides about messages for which the view alone was not enough.
fn look_closer(
    store: &Store,
    mailbox: MailboxId,
    messages: &[(usize, Entry)],
    test: &Test,
) -> Result<Vec<(usize, Entry)>, StoreError> {
    let uids = messages.iter().map(|(_, entry)| entry.uid..=entry.uid).collect();
    let rows = store.rows(mailbox, &uids, true)?;
    let mut found = Vec::new();
    for message in messages {
        let row =
            rows.binary_search_by_key(&message.1.uid, |row| row.entry.uid).ok().and_then(|at| rows.get(at));
        // A message that has gone meanwhile is not found.
        let Some(row) = row else { continue };
        match decide_with_row(store, message, row, test) {
            Ok(true) => found.push(*message),
            Ok(false) | Err(StoreError::Gone) => {}
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, "a message cannot be searched");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn decide_with_row(
    store: &Store,
    message: &(usize, Entry),
    row: &Row,
    test: &Test,
) -> Result<bool, StoreError> {
    let made;
    let summary = if let Some(summary) = SummaryView::parse(&row.summary) {
        Some(summary)
    } else {
        made = Summary::of(&store.read_body(&row.body)?).encode();
        SummaryView::parse(&made)
    };
    let mut facts = Facts::new(message);
    facts.row = Some(row);
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
    let text = search_text(&raw, &structure);
    facts.text = Some(Texts {
        headers: text.headers.to_lowercase(),
        body: text.body.to_lowercase(),
        file_names: text.file_names.to_lowercase(),
    });
    Ok(test.decide(&facts).unwrap_or(false))
}

fn read_header(raw: &[u8]) -> Header {
    let mut header = Header { fields: Vec::new(), sent_day: None };
    for field in fields(raw) {
        if header.sent_day.is_none() && field.name.eq_ignore_ascii_case(b"Date") {
            header.sent_day = sent_day(field.value);
        }
        let name = String::from_utf8_lossy(field.name).to_lowercase();
        header.fields.push((name, decode_words(field.value).to_lowercase()));
    }
    header
}
