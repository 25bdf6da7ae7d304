//! Search keys (RFC 3501 section 6.4.4, RFC 4731, RFC 5032, RFC 7162, RFC 8474, RFC 8514).

use super::cursor::Cursor;
use super::{CalendarDate, Fault, Flag, Page, SequenceSet};
use crate::thread_id::ThreadId;

/// Deepest nesting of keys.
const DEPTH_MAX: usize = 200;
/// Most keys in one search.
const KEYS_MAX: usize = 4096;

/// A tree of criteria.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchKey {
    /// Every one of these; all messages when there are none.
    And(Vec<SearchKey>),
    /// One of these.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not this.
    Not(Box<SearchKey>),
    /// One thing to look at.
    Is(Criterion),
}

/// What is looked at in a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Criterion {
    /// It has the flag.
    Has(Flag),
    /// Sequence numbers.
    Sequence(SequenceSet),
    /// `UID`
    Uid(SequenceSet),
    /// `BEFORE`, `SENTBEFORE`: earlier than this day.
    Before(DateField, CalendarDate),
    /// `ON`, `SENTON`: on this day.
    On(DateField, CalendarDate),
    /// `SINCE`, `SENTSINCE`: on this day or later.
    Since(DateField, CalendarDate),
    /// `LARGER`
    Larger(u64),
    /// `SMALLER`
    Smaller(u64),
    /// `BCC`, `CC`, `FROM`, `SUBJECT`, `TO`, `HEADER`: the field holds the text; an empty text asks
    /// whether there is such a field.
    Header {
        /// Field name.
        name: String,
        /// Text in it.
        text: SearchText,
    },
    /// `BODY`
    Body(SearchText),
    /// `TEXT`
    Text(SearchText),
    /// `OLDER`: more seconds ago than this (RFC 5032).
    Older(u32),
    /// `YOUNGER`: at most this many seconds ago.
    Younger(u32),
    /// `EMAILID` (RFC 8474), the number behind its letter; `None` is the id of no message.
    EmailId(Option<u64>),
    /// `THREADID` (RFC 8474); `None` is the id of no thread.
    ThreadId(Option<ThreadId>),
    /// `MODSEQ`: changed at this modification sequence or later (RFC 7162 section 3.1.5).
    ModSeq(u64),
}

/// Which date of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateField {
    /// INTERNALDATE
    Internal,
    /// The Date field.
    Sent,
    /// SAVEDATE (RFC 8514).
    Saved,
}

/// A text to look for, as Unicode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText(pub String);

/// Result options of ESEARCH (RFC 4731 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchReturn {
    /// `MIN`
    Min,
    /// `MAX`
    Max,
    /// `ALL`
    All,
    /// `COUNT`
    Count,
    /// `SAVE`: keep the result for `$` (RFC 5182).
    Save,
    /// `PARTIAL`: a page of the result (RFC 9394).
    Partial(Page),
}

/// How the strings of one search are written, and how much of it was read.
struct Reading {
    charset: Option<&'static encoding_rs::Encoding>,
    keys: usize,
}

impl Cursor<'_> {
    /// The arguments of SEARCH, after its first space.
    pub fn search(&mut self) -> Result<(Option<Vec<SearchReturn>>, SearchKey), Fault> {
        let returns = self.return_options()?;
        let mut charset = None;
        if self.take_word("CHARSET") {
            // Every string is UTF-8 already (RFC 6855 section 3).
            if self.dialect.utf8_strings {
                return Err(Fault::Syntax("CHARSET has no meaning since UTF8=ACCEPT is enabled"));
            }
            self.space()?;
            let label = self.astring()?;
            let save = returns.as_ref().is_some_and(|returns| returns.contains(&SearchReturn::Save));
            charset = Some(known_charset(&label).map_err(|_| Fault::Charset { save })?);
            self.space()?;
        }
        Ok((returns, self.search_program(charset)?))
    }

    /// A charset and the keys in it, as SORT and THREAD have them.
    pub fn keys_in_charset(&mut self) -> Result<SearchKey, Fault> {
        self.space()?;
        let label = self.astring()?;
        let charset = known_charset(&label)?;
        self.space()?;
        self.search_program(Some(charset))
    }

    fn search_program(
        &mut self,
        charset: Option<&'static encoding_rs::Encoding>,
    ) -> Result<SearchKey, Fault> {
        let mut reading = Reading { charset, keys: 0 };
        let mut keys = vec![self.search_key(&mut reading, 0)?];
        while !self.is_at_end() {
            self.space()?;
            keys.push(self.search_key(&mut reading, 0)?);
        }
        Ok(only_or_all(keys))
    }

    /// `RETURN (...)` and the space behind it, if it is there.
    pub fn return_options(&mut self) -> Result<Option<Vec<SearchReturn>>, Fault> {
        if !self.take_word("RETURN") {
            return Ok(None);
        }
        self.space()?;
        let returns = self.search_returns()?;
        self.space()?;
        Ok(Some(returns))
    }

    fn search_returns(&mut self) -> Result<Vec<SearchReturn>, Fault> {
        let mut returns = Vec::new();
        self.options(|cursor| {
            returns.push(match cursor.atom()?.to_ascii_uppercase().as_str() {
                "MIN" => SearchReturn::Min,
                "MAX" => SearchReturn::Max,
                "ALL" => SearchReturn::All,
                "COUNT" => SearchReturn::Count,
                "SAVE" => SearchReturn::Save,
                "PARTIAL" => {
                    cursor.space()?;
                    SearchReturn::Partial(cursor.page()?)
                }
                _ => return Err(Fault::Syntax("no such result option of SEARCH")),
            });
            Ok(())
        })?;
        let is_page = |option: &&SearchReturn| matches!(option, SearchReturn::Partial(_) | SearchReturn::All);
        if returns.iter().any(|option| matches!(option, SearchReturn::Partial(_)))
            && returns.iter().filter(is_page).count() > 1
        {
            return Err(Fault::Syntax("PARTIAL stands alone, without ALL and without another"));
        }
        // RETURN () is RETURN (ALL), RFC 4731 section 3.1.
        if returns.is_empty() {
            returns.push(SearchReturn::All);
        }
        Ok(returns)
    }

    fn search_key(&mut self, reading: &mut Reading, depth: usize) -> Result<SearchKey, Fault> {
        reading.keys += 1;
        if depth > DEPTH_MAX || reading.keys > KEYS_MAX {
            return Err(Fault::Syntax("the search is nested too deep or too long"));
        }
        if self.take(b'(') {
            let mut keys = vec![self.search_key(reading, depth + 1)?];
            while !self.take(b')') {
                self.expect(b' ', "a ( in the search is not closed")?;
                keys.push(self.search_key(reading, depth + 1)?);
            }
            return Ok(only_or_all(keys));
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'$')) {
            if self.dialect.uid_only && self.peek() != Some(b'$') {
                return Err(Fault::UidRequired);
            }
            return Ok(SearchKey::Is(Criterion::Sequence(SequenceSet::parse(self)?)));
        }
        let word = self.atom()?.to_ascii_uppercase();
        match word.as_str() {
            "NOT" => {
                self.space()?;
                Ok(not(self.search_key(reading, depth + 1)?))
            }
            "OR" => {
                self.space()?;
                let left = self.search_key(reading, depth + 1)?;
                self.space()?;
                let right = self.search_key(reading, depth + 1)?;
                Ok(SearchKey::Or(Box::new(left), Box::new(right)))
            }
            _ => match flag_key(&word) {
                Some(key) => Ok(key),
                None => self.search_key_with_argument(&word, reading),
            },
        }
    }

    fn search_key_with_argument(&mut self, word: &str, reading: &Reading) -> Result<SearchKey, Fault> {
        use DateField::{Internal, Saved, Sent};
        if !ARGUMENT_KEYS.contains(&word) {
            return Err(Fault::Syntax("no such search key"));
        }
        self.space()?;
        let criterion = match word {
            "KEYWORD" => Criterion::Has(Flag::Keyword(self.atom()?.to_owned())),
            "UNKEYWORD" => {
                let keyword = Flag::Keyword(self.atom()?.to_owned());
                return Ok(not(SearchKey::Is(Criterion::Has(keyword))));
            }
            "BEFORE" => Criterion::Before(Internal, self.date()?),
            "ON" => Criterion::On(Internal, self.date()?),
            "SINCE" => Criterion::Since(Internal, self.date()?),
            "SENTBEFORE" => Criterion::Before(Sent, self.date()?),
            "SENTON" => Criterion::On(Sent, self.date()?),
            "SENTSINCE" => Criterion::Since(Sent, self.date()?),
            "SAVEDBEFORE" => Criterion::Before(Saved, self.date()?),
            "SAVEDON" => Criterion::On(Saved, self.date()?),
            "SAVEDSINCE" => Criterion::Since(Saved, self.date()?),
            "EMAILID" => {
                let id = self.astring()?;
                let number = id.strip_prefix(b"E").and_then(|digits| std::str::from_utf8(digits).ok());
                Criterion::EmailId(number.and_then(|digits| digits.parse().ok()))
            }
            "THREADID" => Criterion::ThreadId(ThreadId::parse(&self.astring()?)),
            "LARGER" => Criterion::Larger(self.number()?),
            "SMALLER" => Criterion::Smaller(self.number()?),
            "OLDER" => Criterion::Older(self.interval()?),
            "YOUNGER" => Criterion::Younger(self.interval()?),
            "BODY" => Criterion::Body(self.search_text(reading)?),
            "TEXT" => Criterion::Text(self.search_text(reading)?),
            "HEADER" => {
                let name = self.astring()?;
                let name = std::str::from_utf8(&name)
                    .map_err(|_| Fault::Syntax("a field name in the search is not ASCII"))?
                    .to_owned();
                self.space()?;
                Criterion::Header { name, text: self.search_text(reading)? }
            }
            "UID" => Criterion::Uid(SequenceSet::parse(self)?),
            "MODSEQ" => self.search_modseq()?,
            // BCC, CC, FROM, SUBJECT, TO
            field => Criterion::Header { name: field.to_owned(), text: self.search_text(reading)? },
        };
        Ok(SearchKey::Is(criterion))
    }

    fn interval(&mut self) -> Result<u32, Fault> {
        match self.number32()? {
            0 => Err(Fault::Syntax("an interval of 0 seconds is not allowed")),
            seconds => Ok(seconds),
        }
    }

    /// `MODSEQ ["/flags/\\Seen" all] n`; the flag and its type are allowed to be ignored where the
    /// server keeps one sequence a message (RFC 7162 section 3.1.5).
    fn search_modseq(&mut self) -> Result<Criterion, Fault> {
        if self.peek() == Some(b'"') {
            self.string()?;
            self.space()?;
            if !(self.take_word("PRIV") || self.take_word("SHARED") || self.take_word("ALL")) {
                return Err(Fault::Syntax("priv, shared or all is expected in MODSEQ"));
            }
            self.space()?;
        }
        self.number().map(Criterion::ModSeq)
    }

    fn search_text(&mut self, reading: &Reading) -> Result<SearchText, Fault> {
        let raw = self.astring()?;
        let encoding = reading.charset.unwrap_or(encoding_rs::UTF_8);
        encoding
            .decode_without_bom_handling_and_without_replacement(&raw)
            .map(|text| SearchText(text.into_owned()))
            .ok_or(Fault::Syntax("a string of the search is not in its charset"))
    }
}

const ARGUMENT_KEYS: [&str; 27] = [
    "EMAILID",
    "SAVEDBEFORE",
    "SAVEDON",
    "SAVEDSINCE",
    "THREADID",
    "BCC",
    "BEFORE",
    "BODY",
    "CC",
    "FROM",
    "HEADER",
    "KEYWORD",
    "LARGER",
    "MODSEQ",
    "OLDER",
    "ON",
    "SENTBEFORE",
    "SENTON",
    "SENTSINCE",
    "SINCE",
    "SMALLER",
    "SUBJECT",
    "TEXT",
    "TO",
    "UID",
    "UNKEYWORD",
    "YOUNGER",
];

/// The charset with this name. US-ASCII is read as UTF-8, of which it is a part.
fn known_charset(label: &[u8]) -> Result<&'static encoding_rs::Encoding, Fault> {
    if label.eq_ignore_ascii_case(b"US-ASCII") || label.eq_ignore_ascii_case(b"ASCII") {
        return Ok(encoding_rs::UTF_8);
    }
    encoding_rs::Encoding::for_label_no_replacement(label).ok_or(Fault::Charset { save: false })
}

/// The keys that are words alone.
fn flag_key(word: &str) -> Option<SearchKey> {
    let has = |flag| SearchKey::Is(Criterion::Has(flag));
    Some(match word {
        // Every mailbox here has save dates (RFC 8514 section 4.3).
        "ALL" | "SAVEDATESUPPORTED" => SearchKey::And(Vec::new()),
        "ANSWERED" => has(Flag::Answered),
        "DELETED" => has(Flag::Deleted),
        "DRAFT" => has(Flag::Draft),
        "FLAGGED" => has(Flag::Flagged),
        "RECENT" => has(Flag::Recent),
        "SEEN" => has(Flag::Seen),
        "UNANSWERED" => not(has(Flag::Answered)),
        "UNDELETED" => not(has(Flag::Deleted)),
        "UNDRAFT" => not(has(Flag::Draft)),
        "UNFLAGGED" => not(has(Flag::Flagged)),
        "UNSEEN" => not(has(Flag::Seen)),
        "OLD" => not(has(Flag::Recent)),
        "NEW" => SearchKey::And(vec![has(Flag::Recent), not(has(Flag::Seen))]),
        _ => return None,
    })
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn only_or_all(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.pop() {
        Some(only) if keys.is_empty() => only,
        Some(last) => {
            keys.push(last);
            SearchKey::And(keys)
        }
        None => SearchKey::And(keys),
    }
}

impl SearchKey {
    /// Whether messages are named by number, or by a saved result.
    pub fn names_numbers(&self) -> bool {
        match self {
            Self::And(keys) => keys.iter().any(Self::names_numbers),
            Self::Or(left, right) => left.names_numbers() || right.names_numbers(),
            Self::Not(key) => key.names_numbers(),
            Self::Is(Criterion::Sequence(_)) => true,
            Self::Is(Criterion::Uid(set)) => set.is_saved(),
            Self::Is(_) => false,
        }
    }

    /// Puts the saved result, as UIDs, in the place of every `$` (RFC 5182 section 2).
    pub fn put_saved(&mut self, saved: &SequenceSet) {
        match self {
            Self::And(keys) => keys.iter_mut().for_each(|key| key.put_saved(saved)),
            Self::Or(left, right) => {
                left.put_saved(saved);
                right.put_saved(saved);
            }
            Self::Not(key) => key.put_saved(saved),
            Self::Is(Criterion::Sequence(set) | Criterion::Uid(set)) if set.is_saved() => {
                *self = Self::Is(Criterion::Uid(saved.clone()));
            }
            Self::Is(_) => {}
        }
    }

    /// Whether the tree asks for modification sequences, which enables CONDSTORE.
    pub fn asks_modseq(&self) -> bool {
        match self {
            Self::And(keys) => keys.iter().any(Self::asks_modseq),
            Self::Or(left, right) => left.asks_modseq() || right.asks_modseq(),
            Self::Not(key) => key.asks_modseq(),
            Self::Is(criterion) => matches!(criterion, Criterion::ModSeq(_)),
        }
    }
}
