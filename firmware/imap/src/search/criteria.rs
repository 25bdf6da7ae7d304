//! Search keys with what does not depend on the message worked out, and how one is decided.

use message::{Needle, fold};
use store::{Entry, Flags, Row};

use super::{Numbered, Searched};
use crate::parse::{CalendarDate, Criterion, DateField, SearchKey};
use crate::session::flag_bit;

/// A search key with what does not depend on the message worked out.
#[derive(Debug)]
pub(crate) enum Test {
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
        text: Needle,
    },
    Body(Needle),
    Text(Needle),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum DayTest {
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

impl Test {
    /// Works out what does not depend on the message.
    pub fn compile(key: &SearchKey, searched: &Searched, now_s: i64) -> Self {
        let again = |key: &SearchKey| Self::compile(key, searched, now_s);
        match key {
            SearchKey::And(keys) => Test::And(keys.iter().map(again).collect()),
            SearchKey::Or(left, right) => Test::Or(Box::new(again(left)), Box::new(again(right))),
            SearchKey::Not(key) => Test::Not(Box::new(again(key))),
            SearchKey::Is(criterion) => compile_criterion(criterion, searched, now_s),
        }
    }
}

fn compile_criterion(criterion: &Criterion, searched: &Searched, now_s: i64) -> Test {
    let day = |field: DateField, test| match field {
        DateField::Internal => Test::Internal(test),
        DateField::Sent => Test::Sent(test),
    };
    match criterion {
        Criterion::Has(flag) => flag_bit(flag, &searched.keywords).map_or(Test::Always(false), Test::Has),
        Criterion::Sequence(_) if searched.exists == 0 => Test::Always(false),
        Criterion::Sequence(set) => Test::Sequence(set.resolve(searched.exists)),
        Criterion::Uid(set) => Test::Uid(set.resolve(searched.last_uid)),
        Criterion::Before(field, CalendarDate(limit)) => day(*field, DayTest::Before(*limit)),
        Criterion::On(field, CalendarDate(wanted)) => day(*field, DayTest::On(*wanted)),
        Criterion::Since(field, CalendarDate(limit)) => day(*field, DayTest::Since(*limit)),
        Criterion::Larger(bytes) => Test::Larger(*bytes),
        Criterion::Smaller(bytes) => Test::Smaller(*bytes),
        Criterion::ModSeq(modseq) => Test::ModSeq(*modseq),
        // A message that came exactly that long ago is neither younger nor older (RFC 5032 section 3).
        Criterion::Younger(seconds) => Test::Younger(now_s - i64::from(*seconds)),
        Criterion::Older(seconds) => Test::Not(Box::new(Test::Younger(now_s - i64::from(*seconds) + 1))),
        Criterion::Header { name, text } => Test::Header { name: name.clone(), text: Needle::new(&text.0) },
        // Nothing stands in everything.
        Criterion::Body(text) | Criterion::Text(text) if text.0.is_empty() => Test::Always(true),
        Criterion::Body(text) => Test::Body(Needle::new(&text.0)),
        Criterion::Text(text) => Test::Text(Needle::new(&text.0)),
    }
}

/// What is known of a message so far.
pub(super) struct Facts<'a> {
    pub number: u32,
    pub entry: &'a Entry,
    pub row: Option<&'a Row>,
    pub sent: Sent,
    pub header: Option<Header>,
    /// The texts of the body, folded.
    pub bodies: Option<Vec<String>>,
}

/// What the summary tells of the sent date.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sent {
    /// It is not loaded.
    Unknown,
    /// There is no Date field, or it cannot be read.
    Never,
    /// The day in UTC.
    Utc(i64),
}

/// A header as search sees it.
#[derive(Default)]
pub(super) struct Header {
    pub fields: Vec<HeaderField>,
    pub sent_day: Option<i64>,
}

/// A header field in the form in which texts are compared.
pub(super) struct HeaderField {
    name: String,
    /// `name: value`
    line: String,
    value_at: usize,
}

impl HeaderField {
    pub fn new(name: &str, value: &str) -> Self {
        let mut line = fold(name);
        line.push_str(": ");
        let value_at = line.len();
        line.push_str(&fold(value));
        Self { name: name.to_owned(), line, value_at }
    }
}

impl<'a> Facts<'a> {
    pub fn new(message: &'a Numbered) -> Self {
        Self {
            number: message.number,
            entry: &message.entry,
            row: None,
            sent: Sent::Unknown,
            header: None,
            bodies: None,
        }
    }
}

impl Test {
    /// Whether the message passes; `None` while something is not loaded that could decide it.
    pub(super) fn decide(&self, facts: &Facts<'_>) -> Option<bool> {
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
                let mut named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
                Some(named.any(|field| text.is_in(&field.line[field.value_at..])))
            }
            Self::Body(text) => Some(facts.bodies.as_ref()?.iter().any(|body| text.is_in(body))),
            Self::Text(text) => {
                let header = facts.header.as_ref()?;
                if header.fields.iter().any(|field| text.is_in(&field.line)) {
                    return Some(true);
                }
                Some(facts.bodies.as_ref()?.iter().any(|body| text.is_in(body)))
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
