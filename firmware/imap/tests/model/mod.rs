//! A client that remembers what it was told of one mailbox, and complains when that cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// How a client counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Plain,
    Condstore,
    Qresync,
    UidOnly,
    Rev2,
}

/// What is known of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub uid: Option<u32>,
    pub flags: Option<BTreeSet<String>>,
    pub modseq: Option<u64>,
}

/// Who was told of which message as `\Recent`.
pub type Recents = Arc<Mutex<BTreeMap<u32, usize>>>;

/// The client's picture.
#[derive(Debug)]
pub struct Model {
    pub mode: Mode,
    pub number: usize,
    pub messages: Vec<Known>,
    pub uid_validity: u64,
    /// Up to here the client has heard everything.
    pub modseq: u64,
    pub recents: Recents,
    /// What is being answered.
    pub command: String,
    /// EXISTS, as last told.
    pub exists: usize,
    /// UIDs that have vanished since this was last emptied.
    pub vanished: BTreeSet<u32>,
}

impl Model {
    pub fn new(mode: Mode, number: usize, recents: Recents) -> Self {
        Self {
            mode,
            number,
            messages: Vec::new(),
            uid_validity: 0,
            modseq: 0,
            recents,
            command: String::new(),
            exists: 0,
            vanished: BTreeSet::new(),
        }
    }

    /// A new selection begins; `keep` for a client that resynchronizes.
    pub fn begin_selection(&mut self, keep: bool) {
        self.messages.retain(|known| keep && known.uid.is_some());
    }

    fn complain(&self, line: &str, why: &str) -> ! {
        let uids: Vec<Option<u32>> = self.messages.iter().map(|known| known.uid).collect();
        panic!(
            "client {} ({:?}) during {:?}: {line:?}: {why}; it knows {} messages, UIDs {uids:?}",
            self.number,
            self.mode,
            self.command,
            self.messages.len()
        );
    }

    /// Whether a message may be taken away now (RFC 3501 section 7.4.1).
    fn may_expunge(&self) -> bool {
        !["FETCH", "STORE", "SEARCH"].iter().any(|word| self.command.starts_with(word))
    }

    fn is_selecting(&self) -> bool {
        self.command.starts_with("SELECT")
    }

    /// Takes an untagged response.
    pub fn hear(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("* ") else { return };
        let mut words = rest.splitn(3, ' ');
        let (first, second, tail) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let number: Option<usize> = first.parse().ok();
        match (number, second) {
            (Some(count), "EXISTS") => self.exists(line, count),
            (Some(number), "EXPUNGE") => self.expunge(line, number),
            (Some(number), "FETCH") => {
                if self.mode == Mode::UidOnly {
                    self.complain(line, "a client of UIDs only hears a sequence number");
                }
                self.fetch(line, number, tail);
            }
            (Some(uid), "UIDFETCH") => {
                if self.mode != Mode::UidOnly {
                    self.complain(line, "nobody asked for UIDFETCH");
                }
                let uid = uid as u32;
                let at = self.place_of(uid);
                self.fetch(line, at + 1, &format!("(UID {uid} {}", tail.trim_start_matches('(')));
            }
            (None, _) if first == "VANISHED" => self.vanished(line, rest),
            (Some(_), "RECENT") if self.mode == Mode::Rev2 => self.complain(line, "RECENT is of revision 1"),
            _ => self.code(line),
        }
    }

    /// Where a UID is, or is to be: a client of UIDs only learns them in any order.
    fn place_of(&mut self, uid: u32) -> usize {
        if let Some(at) = self.messages.iter().position(|known| known.uid == Some(uid)) {
            return at;
        }
        let free = self.messages.iter().position(|known| known.uid.is_none());
        let Some(free) = free else { self.complain(&uid.to_string(), "more messages than EXISTS told") };
        self.messages[free].uid = Some(uid);
        free
    }

    fn exists(&mut self, line: &str, count: usize) {
        self.exists = count;
        if self.is_selecting() && self.mode == Mode::Qresync {
            // A client that comes back puts its picture together from UIDs alone, see `vanished`.
            return;
        }
        if count < self.messages.len() {
            self.complain(line, "messages disappeared without EXPUNGE");
        }
        self.messages.resize_with(count, Known::default);
    }

    fn expunge(&mut self, line: &str, number: usize) {
        if matches!(self.mode, Mode::Qresync | Mode::UidOnly) {
            self.complain(line, "VANISHED was expected");
        }
        if !self.may_expunge() {
            self.complain(line, "a sequence number moves while they are in use");
        }
        if number == 0 || number > self.messages.len() {
            self.complain(line, "there is no such message");
        }
        self.messages.remove(number - 1);
    }

    fn vanished(&mut self, line: &str, rest: &str) {
        if !matches!(self.mode, Mode::Qresync | Mode::UidOnly) {
            self.complain(line, "EXPUNGE was expected");
        }
        let earlier = rest.starts_with("VANISHED (EARLIER) ");
        if !earlier && !self.may_expunge() {
            self.complain(line, "a sequence number moves while they are in use");
        }
        let set = rest.rsplit(' ').next().unwrap_or_default();
        for uid in numbers(set) {
            self.vanished.insert(uid);
            match self.messages.iter().position(|known| known.uid == Some(uid)) {
                Some(at) => drop(self.messages.remove(at)),
                None if earlier => {}
                // It was never fetched: one of those without a UID, between its neighbours.
                None => match self.unknown_place(uid) {
                    Some(at) => drop(self.messages.remove(at)),
                    None => self.complain(line, "this message was not known"),
                },
            }
        }
    }

    /// A message without a UID that can have this one.
    fn unknown_place(&self, uid: u32) -> Option<usize> {
        if self.mode == Mode::UidOnly {
            return self.messages.iter().position(|known| known.uid.is_none());
        }
        let below = self.messages.iter().rposition(|known| known.uid.is_some_and(|known| known < uid));
        let from = below.map_or(0, |at| at + 1);
        let above = self.messages.iter().position(|known| known.uid.is_some_and(|known| known > uid));
        let to = above.unwrap_or(self.messages.len());
        (from..to).find(|at| self.messages[*at].uid.is_none())
    }

    fn fetch(&mut self, line: &str, number: usize, items: &str) {
        let uid = word_after(items, "UID ").and_then(|word| word.parse().ok());
        if self.is_selecting() && self.mode == Mode::Qresync {
            let Some(uid) = uid else { self.complain(line, "a resynchronizing client hears no UID") };
            let at = self.messages.partition_point(|known| known.uid.is_some_and(|known| known < uid));
            if self.messages.get(at).is_none_or(|known| known.uid != Some(uid)) {
                self.messages.insert(at, Known { uid: Some(uid), ..Known::default() });
            }
            return self.note(line, at, items);
        }
        if number == 0 || number > self.messages.len() {
            self.complain(line, "there is no such message");
        }
        let at = number - 1;
        if let Some(uid) = uid {
            if self.messages[at].uid.is_some_and(|known| known != uid) {
                self.complain(line, "the message had another UID");
            }
            if self.mode != Mode::UidOnly {
                let below = self.messages[..at].iter().filter_map(|known| known.uid).max().unwrap_or(0);
                let above =
                    self.messages[at + 1..].iter().filter_map(|known| known.uid).min().unwrap_or(u32::MAX);
                if uid <= below || uid >= above {
                    self.complain(line, "UIDs do not ascend");
                }
            }
            self.messages[at].uid = Some(uid);
        } else if self.mode == Mode::Qresync && !self.command.starts_with("FETCH") {
            self.complain(line, "a resynchronizing client hears no UID");
        }
        self.note(line, at, items);
    }

    fn note(&mut self, line: &str, at: usize, items: &str) {
        if let Some(flags) = items.split("FLAGS (").nth(1).and_then(|rest| rest.split(')').next()) {
            let mut flags: BTreeSet<String> = flags.split_ascii_whitespace().map(str::to_owned).collect();
            let recent = flags.remove("\\Recent");
            if recent && self.mode == Mode::Rev2 {
                self.complain(line, "\\Recent is of revision 1");
            }
            if let (true, Some(uid)) = (recent, self.messages[at].uid) {
                let first = *self.recents.lock().expect("nobody panicked").entry(uid).or_insert(self.number);
                if first != self.number {
                    self.complain(line, &format!("it was \\Recent to client {first} as well"));
                }
            }
            self.messages[at].flags = Some(flags);
        }
        let modseq: Option<u64> = word_after(items, "MODSEQ (").and_then(|word| word.parse().ok());
        if let Some(modseq) = modseq {
            if self.messages[at].modseq.is_some_and(|known| known > modseq) {
                self.complain(line, "its modification sequence went down");
            }
            self.messages[at].modseq = Some(modseq);
        } else if matches!(self.mode, Mode::Condstore | Mode::Qresync)
            && !self.command.contains("FETCH")
            && items.contains("FLAGS")
        {
            self.complain(line, "a change is told without its modification sequence");
        }
    }

    /// The messages of a set of numbers, or of UIDs.
    fn named(&mut self, set: &str, uid: bool) -> impl Iterator<Item = &mut Known> {
        let wanted = numbers(set);
        self.messages.iter_mut().enumerate().filter_map(move |(at, known)| {
            let number = if uid { known.uid? } else { at as u32 + 1 };
            wanted.contains(&number).then_some(known)
        })
    }

    /// A silent STORE is being sent: unless something else is told, this comes of it.
    pub fn foresee(&mut self, set: &str, uid: bool, sign: &str, flags: &str) {
        for known in self.named(set, uid) {
            let Some(before) = &mut known.flags else { continue };
            if sign.is_empty() {
                before.clear();
            }
            for flag in flags.split(' ') {
                if sign == "-" {
                    before.remove(flag);
                } else {
                    before.insert(flag.to_owned());
                }
            }
        }
    }

    /// A STORE left these alone.
    pub fn forget_flags(&mut self, set: &str, uid: bool) {
        for known in self.named(set, uid) {
            known.flags = None;
        }
    }

    /// Response codes of interest, of tagged responses too.
    pub fn code(&mut self, line: &str) {
        if let Some(modseq) = word_after(line, "[HIGHESTMODSEQ ").and_then(|word| word.parse().ok()) {
            if modseq < self.modseq {
                self.complain(line, "the highest modification sequence went down");
            }
            self.modseq = modseq;
        }
        if let Some(validity) = word_after(line, "[UIDVALIDITY ").and_then(|word| word.parse().ok()) {
            if self.uid_validity != 0 && self.uid_validity != validity {
                self.complain(line, "UIDVALIDITY changed");
            }
            self.uid_validity = validity;
        }
    }
}

/// The word that follows a mark.
pub fn word_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let at = text.find(mark)? + mark.len();
    text[at..].split([' ', ')', ']']).next()
}

/// The numbers of a set without `*`.
pub fn numbers(set: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().expect("a number");
    set.split(',')
        .flat_map(|range| match range.split_once(':') {
            Some((first, last)) => number(first)..=number(last),
            None => number(range)..=number(range),
        })
        .collect()
}
