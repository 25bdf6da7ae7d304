//! Search keys with what does not depend on the message worked out, and how one is decided.

use message::{Needle, SummaryView, TextPlan, Verdict, fold};
use store::{Entry, Flags, Place};

use super::{Numbered, Searched};
use crate::parse::{CalendarDate, Criterion, DateField, SearchKey};
use crate::session::flag_bit;
use crate::thread_id::ThreadId;

/// Texts of one search that the full-text index is asked about; the others are looked up.
const PLANS_MAX: usize = 16;

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
    /// SAVEDATE, the same way.
    Saved(DayTest),
    Sent(DayTest),
    /// INTERNALDATE is at this second or later.
    Younger(i64),
    /// The body's number is this one.
    Email(u64),
    /// It belongs to this thread.
    Thread(ThreadId),
    Header {
        name: String,
        text: Needle,
        asked: Asked,
    },
    Body(Needle, Asked),
    Text(Needle, Asked),
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

/// Which of the plans put to the full-text index a text has; not every one of many has any.
type Asked = Option<usize>;

/// Works out what does not depend on the message.
pub(super) struct Compiler<'a> {
    searched: &'a Searched,
    now_s: i64,
    /// What the full-text index is to be asked.
    plans: Vec<TextPlan>,
}

impl<'a> Compiler<'a> {
    pub fn new(searched: &'a Searched, now_s: i64) -> Self {
        Self { searched, now_s, plans: Vec::new() }
    }

    /// The test, and the plans its texts refer to.
    pub fn compile(mut self, key: &SearchKey) -> (Test, Vec<TextPlan>) {
        let test = self.key(key);
        (test, self.plans)
    }

    fn key(&mut self, key: &SearchKey) -> Test {
        match key {
            SearchKey::And(keys) => Test::And(keys.iter().map(|key| self.key(key)).collect()),
            SearchKey::Or(left, right) => Test::Or(Box::new(self.key(left)), Box::new(self.key(right))),
            SearchKey::Not(key) => Test::Not(Box::new(self.key(key))),
            SearchKey::Is(criterion) => self.criterion(criterion),
        }
    }

    fn ask(&mut self, plan: TextPlan) -> Asked {
        if self.plans.len() >= PLANS_MAX || plan.parts.is_empty() {
            return None;
        }
        self.plans.push(plan);
        Some(self.plans.len() - 1)
    }

    fn criterion(&mut self, criterion: &Criterion) -> Test {
        let (searched, now_s) = (self.searched, self.now_s);
        let day = |field: DateField, test| match field {
            DateField::Internal => Test::Internal(test),
            DateField::Sent => Test::Sent(test),
            DateField::Saved => Test::Saved(test),
        };
        match criterion {
            Criterion::Has(flag) => flag_bit(flag, &searched.keywords).map_or(Test::Always(false), Test::Has),
            Criterion::Sequence(_) if searched.exists == 0 => Test::Always(false),
            Criterion::Sequence(set) => Test::Sequence(set.resolve(searched.exists)),
            Criterion::Uid(set) => Test::Uid(set.resolve(searched.last_uid)),
            Criterion::Before(field, CalendarDate(limit)) => day(*field, DayTest::Before(*limit)),
            Criterion::On(field, CalendarDate(wanted)) => day(*field, DayTest::On(*wanted)),
            Criterion::Since(field, CalendarDate(limit)) => day(*field, DayTest::Since(*limit)),
            Criterion::EmailId(number) => number.map_or(Test::Always(false), Test::Email),
            Criterion::ThreadId(thread) => thread.map_or(Test::Always(false), Test::Thread),
            Criterion::Larger(bytes) => Test::Larger(*bytes),
            Criterion::Smaller(bytes) => Test::Smaller(*bytes),
            Criterion::ModSeq(modseq) => Test::ModSeq(*modseq),
            // A message that came exactly that long ago is neither younger nor older (RFC 5032 section 3).
            Criterion::Younger(seconds) => Test::Younger(now_s - i64::from(*seconds)),
            Criterion::Older(seconds) => Test::Not(Box::new(Test::Younger(now_s - i64::from(*seconds) + 1))),
            Criterion::Header { name, text } => {
                let text = Needle::new(&text.0);
                let asked = self.ask(TextPlan::field(name, &text));
                Test::Header { name: name.clone(), text, asked }
            }
            // Nothing stands in everything.
            Criterion::Body(text) | Criterion::Text(text) if text.0.is_empty() => Test::Always(true),
            Criterion::Body(text) => {
                let text = Needle::new(&text.0);
                let asked = self.ask(TextPlan::body(&text));
                Test::Body(text, asked)
            }
            Criterion::Text(text) => {
                let text = Needle::new(&text.0);
                let asked = self.ask(TextPlan::anywhere(&text));
                Test::Text(text, asked)
            }
        }
    }
}

/// What is known of a message so far.
pub(super) struct Facts<'a> {
    pub number: u32,
    pub entry: &'a Entry,
    pub place: Option<&'a Place>,
    /// What the full-text index says of this message, for each plan.
    pub verdicts: Option<Verdicts<'a>>,
    pub sent: Sent,
    /// Not loaded, or what is kept of the message, if that can be read.
    pub summary: Option<Option<SummaryView<'a>>>,
    pub header: Option<Header>,
    /// The texts of the body, folded.
    pub bodies: Option<Vec<String>>,
}

/// What the index says of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdicts<'a> {
    /// By plan, then by message.
    pub all: &'a [Vec<Verdict>],
    pub message: usize,
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
            place: None,
            verdicts: None,
            sent: Sent::Unknown,
            summary: None,
            header: None,
            bodies: None,
        }
    }

    /// What the index says, where it is sure.
    fn judged(&self, asked: Asked) -> Option<bool> {
        let verdicts = self.verdicts?;
        match verdicts.all.get(asked?)?.get(verdicts.message)? {
            Verdict::Yes => Some(true),
            Verdict::No => Some(false),
            Verdict::Look => None,
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
            // The day in the zone it was given in: RFC 9051 6.4.4 disregards both time and zone.
            Self::Internal(test) => facts.place.map(|place| {
                let offset_s = i64::from(place.zone_min) * 60;
                test.holds(CalendarDate::of_instant(place.internal_date_s, offset_s).0)
            }),
            Self::Younger(since_s) => facts.place.map(|place| place.internal_date_s >= *since_s),
            Self::Saved(test) => {
                facts.place.map(|place| test.holds(CalendarDate::of_instant(place.save_date_s, 0).0))
            }
            Self::Email(body) => facts.place.map(|place| place.body.0 == *body),
            Self::Thread(thread) => {
                let (place, summary) = (facts.place?, facts.summary?);
                Some(ThreadId::of(summary, place.body) == *thread)
            }
            Self::Sent(test) => decide_sent(*test, facts),
            Self::Header { asked, .. } | Self::Body(_, asked) | Self::Text(_, asked)
                if facts.judged(*asked).is_some() =>
            {
                facts.judged(*asked)
            }
            Self::Header { name, text, .. } => {
                let fields = &facts.header.as_ref()?.fields;
                let mut named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
                Some(named.any(|field| text.is_in(&field.line[field.value_at..])))
            }
            Self::Body(text, _) => Some(facts.bodies.as_ref()?.iter().any(|body| text.is_in(body))),
            Self::Text(text, _) => {
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
