//! LIST and LSUB, worked out from names alone (RFC 3501 sections 6.3.8 and 6.3.9, RFC 5258).

use std::collections::{BTreeMap, BTreeSet};

use store::{Mailbox, Subscription};

use super::place::{Owned, owned};
use super::reply::write_mailbox;
use crate::parse::{ListRequest, ListReturn, ListSelection};

/// Longest patterns of one LIST together, in bytes; matching costs this times the length of all names.
pub(super) const PATTERNS_MAX_BYTES: usize = 2048;

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub name: String,
    attributes: Vec<&'static str>,
    /// What names below it have that are not in the answer (RFC 5258 section 3.5).
    child_info: Vec<&'static str>,
    /// Whether the name itself was selected: one that is only there for names below it is told without
    /// STATUS and METADATA (RFC 5819 section 2, RFC 9590 section 2).
    pub is_wanted: bool,
}

impl Line {
    /// Writes it as `* LIST` or `* LSUB`.
    pub fn write(&self, command: &str, utf8: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("* {command} ({}) \"/\" ", self.attributes.join(" ")).as_bytes());
        write_mailbox(out, &self.name, utf8);
        if !self.child_info.is_empty() {
            let reasons: Vec<String> = self.child_info.iter().map(|reason| format!("\"{reason}\"")).collect();
            out.extend_from_slice(format!(" (\"CHILDINFO\" ({}))", reasons.join(" ")).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// A name that exists, is subscribed, or both.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    mailbox: Option<&'a Mailbox>,
    subscribed: bool,
    /// A level above mailboxes, where there is none itself.
    level: bool,
}

/// The answer to LIST, but for STATUS.
pub(super) fn list(
    mailboxes: &[Mailbox],
    subscriptions: &[Subscription],
    request: &ListRequest,
) -> Vec<Line> {
    let selects = |option| request.selections.contains(&option);
    let patterns = patterns(&request.reference, &request.patterns);
    let mut known: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    for mailbox in mailboxes {
        known.insert(&mailbox.name, Known { mailbox: Some(mailbox), ..Known::default() });
    }
    // The levels above other users' mailboxes are no mailboxes themselves.
    for mailbox in mailboxes.iter().filter(|mailbox| owned(&mailbox.name) != Owned::Own) {
        for level in ancestors(&mailbox.name) {
            known.entry(level).or_default().level = true;
        }
    }
    for subscription in subscriptions {
        known.entry(&subscription.name).or_default().subscribed = true;
    }
    let wanted = |this: &Known<'_>| {
        (this.mailbox.is_some() || this.level || selects(ListSelection::Subscribed))
            && (!selects(ListSelection::Subscribed) || this.subscribed)
            && (!selects(ListSelection::SpecialUse)
                || this.mailbox.is_some_and(|mailbox| mailbox.special_use.is_some()))
    };
    // Parents of wanted names that are not themselves in the answer.
    let mut parents: BTreeSet<&str> = BTreeSet::new();
    if selects(ListSelection::RecursiveMatch) {
        for (name, _) in known.iter().filter(|(name, this)| wanted(this) && !matches_any(&patterns, name)) {
            parents.extend(ancestors(name));
        }
        for parent in &parents {
            known.entry(parent).or_default();
        }
    }
    let with_children: BTreeSet<&str> =
        mailboxes.iter().flat_map(|mailbox| ancestors(&mailbox.name)).collect();
    let tell_subscribed =
        selects(ListSelection::Subscribed) || request.returns.contains(&ListReturn::Subscribed);
    let mut lines = Vec::new();
    for (name, this) in &known {
        let for_children = parents.contains(name);
        if !(wanted(this) || for_children) || !matches_any(&patterns, name) {
            continue;
        }
        let mut attributes = attributes(this.mailbox, with_children.contains(name));
        if tell_subscribed && this.subscribed {
            attributes.push("\\Subscribed");
        }
        let mut child_info = Vec::new();
        if for_children && selects(ListSelection::Subscribed) {
            child_info.push("SUBSCRIBED");
        }
        if for_children && selects(ListSelection::SpecialUse) {
            child_info.push("SPECIAL-USE");
        }
        let is_wanted = wanted(this);
        lines.push(Line { name: (*name).to_owned(), attributes, child_info, is_wanted });
    }
    lines
}

/// The answer to LSUB.
pub(super) fn lsub(
    mailboxes: &[Mailbox],
    subscriptions: &[Subscription],
    reference: &str,
    pattern: &str,
) -> Vec<Line> {
    let patterns = patterns(reference, &[pattern.to_owned()]);
    let unselectable: BTreeSet<&str> =
        mailboxes.iter().filter(|mailbox| !mailbox.selectable).map(|mailbox| mailbox.name.as_str()).collect();
    let mut lines: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for subscription in subscriptions {
        let name = subscription.name.as_str();
        if matches_any(&patterns, name) {
            let holds_mail = !unselectable.contains(name);
            lines.insert(name, if holds_mail { Vec::new() } else { vec!["\\Noselect"] });
            continue;
        }
        // `%` shows the parents of what lies deeper (RFC 3501 section 6.3.9).
        for parent in ancestors(name).filter(|parent| matches_any(&patterns, parent)) {
            lines.entry(parent).or_insert_with(|| vec!["\\Noselect"]);
        }
    }
    let line = |(name, attributes): (&str, Vec<&'static str>)| Line {
        name: name.to_owned(),
        attributes,
        child_info: Vec::new(),
        is_wanted: true,
    };
    lines.into_iter().map(line).collect()
}

fn attributes(mailbox: Option<&Mailbox>, has_children: bool) -> Vec<&'static str> {
    let mut attributes = Vec::new();
    match mailbox {
        None if has_children => attributes.extend(["\\NonExistent", "\\Noselect"]),
        None => attributes.push("\\NonExistent"),
        Some(mailbox) if !mailbox.selectable => attributes.push("\\Noselect"),
        Some(_) => {}
    }
    attributes.push(if has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    if let Some(special_use) = mailbox.and_then(|mailbox| mailbox.special_use) {
        attributes.push(special_use.attribute());
    }
    attributes
}

/// The names above a name: `a` and `a/b` for `a/b/c`.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').filter_map(|(at, _)| name.get(..at))
}

/// The patterns with the reference in front, cut into words of the matcher.
fn patterns(reference: &str, patterns: &[String]) -> Vec<Vec<Word>> {
    patterns.iter().map(|pattern| words(&format!("{reference}{pattern}"))).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Letter(char),
    /// `%`: anything within one level.
    Level,
    /// `*`: anything.
    All,
}

fn words(pattern: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::with_capacity(pattern.len());
    for character in pattern.chars() {
        match (character, words.last()) {
            ('*' | '%', Some(Word::All)) | ('%', Some(Word::Level)) => {}
            ('*', Some(Word::Level)) => {
                words.pop();
                words.push(Word::All);
            }
            ('*', _) => words.push(Word::All),
            ('%', _) => words.push(Word::Level),
            (letter, _) => words.push(Word::Letter(letter)),
        }
    }
    words
}

fn matches_any(patterns: &[Vec<Word>], name: &str) -> bool {
    // INBOX is matched in any case (RFC 3501 section 5.1).
    let is_inbox = name == "INBOX" || name.starts_with("INBOX/");
    patterns.iter().any(|pattern| matches(pattern, name, if is_inbox { 5 } else { 0 }))
}

/// Whether the whole name matches. Follows all ways through the pattern at once, so the cost is bounded by
/// the product of the lengths. The first `caseless` letters are compared without case.
fn matches(pattern: &[Word], name: &str, caseless: usize) -> bool {
    // ways[i]: the first i words match what was read so far.
    let mut ways = vec![false; pattern.len() + 1];
    let mut next = ways.clone();
    if let Some(first) = ways.first_mut() {
        *first = true;
    }
    skip_wildcards(pattern, &mut ways);
    for (at, letter) in name.chars().enumerate() {
        next.fill(false);
        for (place, word) in pattern.iter().enumerate().filter(|(place, _)| ways.get(*place) == Some(&true)) {
            let stays = *word == Word::All || (*word == Word::Level && letter != '/');
            let moves = match word {
                Word::Letter(wanted) => {
                    *wanted == letter || (at < caseless && wanted.eq_ignore_ascii_case(&letter))
                }
                Word::Level | Word::All => false,
            };
            if stays && let Some(way) = next.get_mut(place) {
                *way = true;
            }
            if moves && let Some(way) = next.get_mut(place + 1) {
                *way = true;
            }
        }
        skip_wildcards(pattern, &mut next);
        std::mem::swap(&mut ways, &mut next);
        if !ways.contains(&true) {
            return false;
        }
    }
    ways.last() == Some(&true)
}

/// A wildcard can stand for nothing.
fn skip_wildcards(pattern: &[Word], ways: &mut [bool]) {
    for (place, word) in pattern.iter().enumerate() {
        if !matches!(word, Word::Letter(_))
            && ways.get(place) == Some(&true)
            && let Some(way) = ways.get_mut(place + 1)
        {
            *way = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, name: &str) -> bool {
        matches_any(&[words(pattern)], name)
    }

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("a/%", "a/b", true),
            ("a/%", "a", false),
            ("a*", "a", true),
            ("a*c", "a/b/c", true),
            ("a%c", "a/c", false),
            ("%%", "ab", true),
            ("%*", "a/b", true),
            ("*%", "a/b", true),
            ("inbox", "INBOX", true),
            ("iNb%", "INBOX", true),
            ("inbox/x", "INBOX/x", true),
            ("inbox/X", "INBOX/x", false),
            ("archive", "Archive", false),
            ("台*", "台北", true),
            ("", "a", false),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_bomb_of_wildcards_goes_off_quietly() {
        let pattern = "*a%".repeat(300);
        let name = "a".repeat(500) + "b";
        let begin = std::time::Instant::now();
        assert!(!is_match(&pattern, &name[..200]));
        assert!(begin.elapsed() < std::time::Duration::from_secs(20));
    }
}
