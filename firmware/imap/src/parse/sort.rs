//! SORT, THREAD (RFC 5256, RFC 5267, RFC 5957) and ESEARCH over several mailboxes (RFC 7377).

use super::Fault;
use super::command::Command;
use super::cursor::Cursor;

/// Most criteria in one SORT.
const CRITERIA_MAX: usize = 32;
/// Most sources of one ESEARCH, and most mailboxes of one filter.
const SOURCES_MAX: usize = 100;

/// What messages are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// `ARRIVAL`: INTERNALDATE.
    Arrival,
    /// `CC`: local part of the first address.
    Cc,
    /// `DATE`: sent date.
    Date,
    /// `FROM`
    From,
    /// `SIZE`
    Size,
    /// `SUBJECT`: base subject.
    Subject,
    /// `TO`
    To,
    /// `DISPLAYFROM` (RFC 5957)
    DisplayFrom,
    /// `DISPLAYTO` (RFC 5957)
    DisplayTo,
}

/// One criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortCriterion {
    /// `REVERSE`
    pub reverse: bool,
    /// By what.
    pub key: SortKey,
}

/// How THREAD puts messages together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// `ORDEREDSUBJECT`
    OrderedSubject,
    /// `REFERENCES`
    References,
}

/// Mailboxes by what they are (RFC 5465 section 6, RFC 7377 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxFilter {
    /// Where new mail comes in.
    Inboxes,
    /// The user's own.
    Personal,
    /// Subscribed ones.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<String>),
    /// These and those one level below.
    SubtreeOne(Vec<String>),
    /// These.
    Mailboxes(Vec<String>),
}

/// Where ESEARCH searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchSource {
    /// The selected mailbox.
    Selected,
    /// Others, or the same by its name.
    Mailboxes(MailboxFilter),
}

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn sort_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        if matches!(word, "SORT" | "THREAD") && !uid && self.dialect.uid_only {
            return Err(Fault::UidRequired);
        }
        Ok(Some(match word {
            "SORT" => {
                self.space()?;
                let returns = self.return_options()?;
                let criteria = self.sort_criteria()?;
                let key = self.keys_in_charset()?;
                Command::Sort { uid, returns, criteria, key }
            }
            "THREAD" => {
                self.space()?;
                let algorithm = match self.atom()?.to_ascii_uppercase().as_str() {
                    "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
                    "REFERENCES" => ThreadAlgorithm::References,
                    _ => return Err(Fault::Syntax("no such algorithm of THREAD")),
                };
                Command::Thread { uid, algorithm, key: self.keys_in_charset()? }
            }
            "ESEARCH" if !uid => {
                self.space()?;
                let mut sources = Vec::new();
                if self.take_word("IN") {
                    self.space()?;
                    sources = self.search_sources()?;
                    self.space()?;
                }
                let (returns, key) = self.search()?;
                Command::MultiSearch { sources, returns: returns.unwrap_or_default(), key }
            }
            _ => return Ok(None),
        }))
    }

    fn sort_criteria(&mut self) -> Result<Vec<SortCriterion>, Fault> {
        let mut criteria = Vec::new();
        self.options(|cursor| {
            let reverse = cursor.take_word("REVERSE");
            if reverse {
                cursor.space()?;
            }
            let key = match cursor.atom()?.to_ascii_uppercase().as_str() {
                "ARRIVAL" => SortKey::Arrival,
                "CC" => SortKey::Cc,
                "DATE" => SortKey::Date,
                "FROM" => SortKey::From,
                "SIZE" => SortKey::Size,
                "SUBJECT" => SortKey::Subject,
                "TO" => SortKey::To,
                "DISPLAYFROM" => SortKey::DisplayFrom,
                "DISPLAYTO" => SortKey::DisplayTo,
                _ => return Err(Fault::Syntax("no such criterion of SORT")),
            };
            if criteria.len() == CRITERIA_MAX {
                return Err(Fault::Syntax("too many criteria of SORT"));
            }
            criteria.push(SortCriterion { reverse, key });
            Ok(())
        })?;
        if criteria.is_empty() { Err(Fault::Syntax("SORT has no criterion")) } else { Ok(criteria) }
    }

    /// `(` sources `)`, each with options or without.
    fn search_sources(&mut self) -> Result<Vec<SearchSource>, Fault> {
        let mut sources = Vec::new();
        self.options(|cursor| {
            if sources.len() == SOURCES_MAX {
                return Err(Fault::Syntax("too many sources of ESEARCH"));
            }
            if cursor.take_word("SELECTED") || cursor.take_word("SELECTED-DELAYED") {
                sources.push(SearchSource::Selected);
            } else {
                sources.push(SearchSource::Mailboxes(cursor.mailbox_filter(true)?));
            }
            Ok(())
        })?;
        if sources.is_empty() { Err(Fault::Syntax("ESEARCH names no source")) } else { Ok(sources) }
    }

    /// `filter-mailboxes-other` (RFC 5465 section 8); ESEARCH has `subtree-one` beside it.
    pub(super) fn mailbox_filter(&mut self, one: bool) -> Result<MailboxFilter, Fault> {
        Ok(match self.atom()?.to_ascii_uppercase().as_str() {
            "INBOXES" => MailboxFilter::Inboxes,
            "PERSONAL" => MailboxFilter::Personal,
            "SUBSCRIBED" => MailboxFilter::Subscribed,
            "SUBTREE" => MailboxFilter::Subtree(self.one_or_more_mailboxes()?),
            "SUBTREE-ONE" if one => MailboxFilter::SubtreeOne(self.one_or_more_mailboxes()?),
            "MAILBOXES" => MailboxFilter::Mailboxes(self.one_or_more_mailboxes()?),
            _ => return Err(Fault::Syntax("no such filter of mailboxes")),
        })
    }

    fn one_or_more_mailboxes(&mut self) -> Result<Vec<String>, Fault> {
        self.space()?;
        if self.peek() != Some(b'(') {
            return Ok(vec![self.mailbox()?]);
        }
        let mut names = Vec::new();
        self.options(|cursor| {
            if names.len() == SOURCES_MAX {
                return Err(Fault::Syntax("too many mailboxes in one filter"));
            }
            names.push(cursor.mailbox()?);
            Ok(())
        })?;
        if names.is_empty() { Err(Fault::Syntax("a filter names no mailbox")) } else { Ok(names) }
    }
}
