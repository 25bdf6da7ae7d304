//! What this session has told its client about the selected mailbox.
//!
//! The store moves on while the client still counts by old numbers. A view changes only together with
//! the untagged responses that tell the client, so sequence numbers always mean the same on both sides.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use store::{Changes, Entry, Flags, Mailbox, MailboxId, ModSeq, Rights, Snapshot, Uid, UidRanges};

use super::reply::{RECENT, sequence_set, write_flag_lists, write_flags};
use crate::parse::SequenceSet;

/// How changes are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    /// EXPUNGE may be sent now (RFC 3501 section 7.4.1).
    pub expunge: bool,
    /// The client enabled CONDSTORE: tell modification sequences.
    pub condstore: bool,
    /// Tell UIDs, because the command is a UID command or CONDSTORE is enabled.
    pub uid: bool,
    /// VANISHED instead of EXPUNGE (RFC 7162 section 3.2.10).
    pub vanished: bool,
    /// UIDs instead of sequence numbers (RFC 9586).
    pub uid_only: bool,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct View {
    pub mailbox: MailboxId,
    pub read_only: bool,
    /// Which flags the user may change (RFC 4314 section 4).
    pub rights: Rights,
    /// Messages by ascending UID; their place is the sequence number less one.
    entries: Vec<Entry>,
    /// Names of the keyword bits.
    pub keywords: Arc<[String]>,
    /// Everything up to here has been looked at.
    pub modseq: ModSeq,
    /// UIDs below this one have been looked at.
    pub uid_next: Uid,
    /// UIDs that are gone from the store and not yet from the client, ascending.
    gone: Vec<Uid>,
    /// The client knows `\Recent`; IMAP4rev2 does not.
    recents: bool,
    /// The highest UID this view has claimed as `\Recent`, and one more; 0 if it has not claimed any.
    pub recent_until: Uid,
}

/// A sequence number beyond the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSuchNumber;

impl View {
    /// The view of a client that just selected the mailbox. Messages from `first_recent` on are its own
    /// `\Recent` ones; `None` where the client does not know that flag.
    pub fn new(snapshot: Snapshot, read_only: bool, first_recent: Option<Uid>) -> Self {
        let mut entries = snapshot.entries.to_vec();
        for entry in
            entries.iter_mut().rev().take_while(|entry| first_recent.is_some_and(|first| entry.uid >= first))
        {
            entry.flags = entry.flags.union(RECENT);
        }
        Self {
            mailbox: snapshot.mailbox.id,
            read_only,
            rights: Rights::ALL,
            entries,
            keywords: snapshot.mailbox.keywords.into(),
            modseq: snapshot.mailbox.highest_modseq,
            uid_next: snapshot.mailbox.uid_next,
            gone: Vec::new(),
            recents: first_recent.is_some(),
            recent_until: 0,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// From here on the client does not know `\Recent`.
    pub fn forget_recents(&mut self) {
        self.recents = false;
        for entry in &mut self.entries {
            entry.flags = entry.flags.without(RECENT);
        }
    }

    /// Whether the client knows `\Recent`.
    pub fn has_recents(&self) -> bool {
        self.recents
    }

    /// How many messages are `\Recent` here.
    pub fn recent(&self) -> usize {
        self.entries.iter().filter(|entry| entry.flags.contains(RECENT)).count()
    }

    /// Sequence number of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<usize> {
        self.entries.iter().position(|entry| !entry.flags.contains(Flags::SEEN)).map(|at| at + 1)
    }

    /// Whether the message is gone from the store, as far as this view has heard.
    pub fn is_gone(&self, uid: Uid) -> bool {
        self.gone.binary_search(&uid).is_ok()
    }

    /// The highest UID, which `*` stands for.
    pub fn last_uid(&self) -> Uid {
        self.entries.last().map_or(0, |entry| entry.uid)
    }

    /// The messages of a set, as ascending places. Sequence numbers must exist; UIDs need not.
    pub fn places(&self, set: &SequenceSet, uid: bool) -> Result<Vec<Range<usize>>, NoSuchNumber> {
        let count = self.entries.len();
        if uid {
            let ranges = set.resolve(self.last_uid()).into_iter().map(|(first, last)| {
                let start = self.entries.partition_point(|entry| entry.uid < first);
                start..self.entries.partition_point(|entry| entry.uid <= last)
            });
            return Ok(ranges.filter(|range| !range.is_empty()).collect());
        }
        if set.ranges.is_empty() {
            return Ok(Vec::new());
        }
        // `*` does not exist either in an empty mailbox (RFC 3501 section 9, seq-number).
        if count == 0 || set.highest() as usize > count {
            return Err(NoSuchNumber);
        }
        Ok(set
            .resolve(count as u32)
            .into_iter()
            .map(|(first, last)| first as usize - 1..last as usize)
            .collect())
    }

    /// The same messages as UIDs for the store. What lies between the ends is in the view or has been
    /// expunged for good, so the ends are enough.
    pub fn uids(&self, places: &[Range<usize>]) -> UidRanges {
        places
            .iter()
            .filter_map(|range| self.entries.get(range.clone()))
            .filter_map(|slice| Some(slice.first()?.uid..=slice.last()?.uid))
            .collect()
    }

    /// Where a UID is.
    pub fn place(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    /// Takes over what this session's own STORE did; telling is the caller's business. False when the
    /// message is not in the view.
    pub fn note(&mut self, now: &Entry) -> bool {
        let Some(entry) = self.place(now.uid).and_then(|place| self.entries.get_mut(place)) else {
            return false;
        };
        entry.flags = now.flags.union(Flags(entry.flags.0 & RECENT.0));
        entry.modseq = now.modseq;
        true
    }

    /// Takes over the mailbox's keywords and tells them if there are new ones.
    pub fn note_keywords(&mut self, keywords: &[String], out: &mut Vec<u8>) {
        if *self.keywords != *keywords {
            self.keywords = keywords.into();
            write_flag_lists(out, keywords, self.read_only, self.rights);
        }
    }

    /// Takes over changes of the store and tells the client, as far as it may hear them now. What arrived
    /// with `first_recent` or later is this session's to see as `\Recent`.
    pub fn apply(&mut self, changes: &Changes, telling: Telling, first_recent: Uid, out: &mut Vec<u8>) {
        self.note_keywords(&changes.mailbox.keywords, out);
        for now in &changes.changed {
            self.tell_changed(now, telling, out);
        }
        if !changes.expunged.is_empty() {
            let known: Vec<Uid> =
                changes.expunged.iter().copied().filter(|uid| self.place(*uid).is_some()).collect();
            self.gone.extend(known);
            self.gone.sort_unstable();
            self.gone.dedup();
        }
        if telling.expunge {
            self.tell_expunged(telling.vanished, out);
        }
        self.take_arrivals(&changes.arrived, first_recent, out);
        self.modseq = changes.mailbox.highest_modseq;
        self.uid_next = changes.mailbox.uid_next;
    }

    /// The same from a whole snapshot, where the store's log of changes does not reach back far enough.
    pub fn compare(&mut self, snapshot: &Snapshot, telling: Telling, first_recent: Uid, out: &mut Vec<u8>) {
        let now = &snapshot.entries;
        let find =
            |uid: Uid| now.binary_search_by_key(&uid, |entry| entry.uid).ok().and_then(|at| now.get(at));
        let expunged =
            self.entries.iter().map(|entry| entry.uid).filter(|uid| find(*uid).is_none()).collect();
        let last = self.last_uid();
        let changes = Changes {
            mailbox: Mailbox::clone(&snapshot.mailbox),
            arrived: now.iter().filter(|entry| entry.uid > last).copied().collect(),
            changed: now
                .iter()
                .filter(|entry| entry.uid <= last && entry.modseq > self.modseq)
                .copied()
                .collect(),
            expunged,
            complete: true,
        };
        self.apply(&changes, telling, first_recent, out);
    }

    /// Sends the EXPUNGE responses that are owed, from the last message on, so that none of them moves the
    /// number of another; or one VANISHED for all.
    pub fn tell_expunged(&mut self, vanished: bool, out: &mut Vec<u8>) {
        if self.gone.is_empty() {
            return;
        }
        if vanished {
            let _ = write!(out, "* VANISHED {}\r\n", sequence_set(self.gone.iter().copied()));
        } else {
            for uid in self.gone.iter().rev() {
                if let Some(place) = self.place(*uid) {
                    let _ = write!(out, "* {} EXPUNGE\r\n", place + 1);
                }
            }
        }
        let gone = std::mem::take(&mut self.gone);
        self.entries.retain(|entry| gone.binary_search(&entry.uid).is_err());
    }

    fn tell_changed(&mut self, now: &Entry, telling: Telling, out: &mut Vec<u8>) {
        let Some(place) = self.place(now.uid) else { return };
        let Some(before) = self.entries.get(place).copied() else { return };
        if before.modseq >= now.modseq {
            return;
        }
        self.note(now);
        let same = before.flags.without(RECENT) == now.flags;
        if same && !telling.condstore {
            return;
        }
        if let Some(entry) = self.entries.get(place) {
            write_flag_change(out, place, entry, &self.keywords, telling);
        }
    }

    fn take_arrivals(&mut self, arrived: &[Entry], first_recent: Uid, out: &mut Vec<u8>) {
        let last = self.last_uid();
        let before = self.entries.len();
        for entry in arrived.iter().filter(|entry| entry.uid > last) {
            let is_recent = self.recents && entry.uid >= first_recent;
            let marks = if is_recent { RECENT } else { Flags::default() };
            self.entries.push(Entry { flags: entry.flags.union(marks), ..*entry });
        }
        if self.entries.len() > before {
            let _ = write!(out, "* {} EXISTS\r\n", self.entries.len());
            if self.recents {
                let _ = write!(out, "* {} RECENT\r\n", self.recent());
            }
        }
    }
}

/// Writes `* n FETCH (`, or `* uid UIDFETCH (` where the client counts by UIDs only (RFC 9586 section 3.4).
pub(super) fn write_fetch_start(out: &mut Vec<u8>, place: usize, uid: Uid, uid_only: bool) {
    let _ = if uid_only { write!(out, "* {uid} UIDFETCH (") } else { write!(out, "* {} FETCH (", place + 1) };
}

/// Writes `* n FETCH (FLAGS (...))` with what else the client wants to know.
pub(super) fn write_flag_change(
    out: &mut Vec<u8>,
    place: usize,
    entry: &Entry,
    keywords: &[String],
    telling: Telling,
) {
    write_fetch_start(out, place, entry.uid, telling.uid_only);
    if telling.uid && !telling.uid_only {
        let _ = write!(out, "UID {} ", entry.uid);
    }
    if telling.condstore {
        let _ = write!(out, "MODSEQ ({}) ", entry.modseq);
    }
    out.extend_from_slice(b"FLAGS ");
    write_flags(out, entry.flags, keywords);
    out.extend_from_slice(b")\r\n");
}

#[cfg(test)]
mod tests {
    use store::AccountId;

    use super::*;

    const QUIET: Telling =
        Telling { expunge: false, condstore: false, uid: false, vanished: false, uid_only: false };
    const OPEN: Telling = Telling { expunge: true, ..QUIET };

    fn entry(uid: Uid, modseq: ModSeq, flags: Flags) -> Entry {
        Entry { uid, size_bytes: 10, modseq, flags }
    }

    fn mailbox(highest_modseq: ModSeq) -> Mailbox {
        Mailbox {
            id: MailboxId(1),
            account: AccountId(1),
            name: "INBOX".to_owned(),
            uid_validity: 1,
            uid_next: 100,
            highest_modseq,
            first_recent: 100,
            messages: 0,
            unseen: 0,
            deleted: 0,
            bytes: 0,
            special_use: None,
            selectable: true,
            keywords: Vec::new(),
        }
    }

    fn view(uids: &[Uid]) -> View {
        let entries = uids.iter().map(|uid| entry(*uid, 1, Flags::default())).collect();
        View::new(Snapshot { mailbox: mailbox(1), entries }, false, Some(100))
    }

    fn changes(highest_modseq: ModSeq) -> Changes {
        let mailbox = mailbox(highest_modseq);
        Changes { mailbox, arrived: Vec::new(), changed: Vec::new(), expunged: Vec::new(), complete: true }
    }

    fn told(view: &mut View, changes: &Changes, telling: Telling) -> String {
        let mut out = Vec::new();
        view.apply(changes, telling, 12, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stay_until_the_expunge_is_told() {
        let mut view = view(&[3, 5, 9]);
        let expunged =
            Changes { expunged: vec![4, 5], arrived: vec![entry(12, 2, Flags::SEEN)], ..changes(2) };
        assert_eq!(told(&mut view, &expunged, QUIET), "* 4 EXISTS\r\n* 1 RECENT\r\n");
        assert!(view.is_gone(5) && !view.is_gone(4));
        assert_eq!(view.place(9), Some(2));
        assert_eq!(told(&mut view, &changes(3), OPEN), "* 2 EXPUNGE\r\n");
        assert_eq!(view.place(9), Some(1));
        assert_eq!(view.modseq, 3);
    }

    #[test]
    fn what_is_known_already_is_not_told_again() {
        let mut view = view(&[3, 5]);
        assert!(view.note(&entry(5, 4, Flags::SEEN)));
        let own = Changes { changed: vec![entry(5, 4, Flags::SEEN)], ..changes(4) };
        assert_eq!(told(&mut view, &own, OPEN), "");
        let other = Changes { changed: vec![entry(5, 6, Flags::FLAGGED)], ..changes(6) };
        assert_eq!(told(&mut view, &other, OPEN), "* 2 FETCH (FLAGS (\\Flagged))\r\n");
        assert_eq!(told(&mut view, &other, OPEN), "");
        // There and back again: only a client that counts modification sequences hears of it.
        let same = Changes { changed: vec![entry(5, 8, Flags::FLAGGED)], ..changes(8) };
        let mut condstore =
            View::new(Snapshot { mailbox: mailbox(6), entries: view.entries().into() }, false, Some(100));
        assert_eq!(told(&mut view, &same, OPEN), "");
        let telling = Telling { condstore: true, uid: true, ..OPEN };
        let expected = "* 2 FETCH (UID 5 MODSEQ (8) FLAGS (\\Flagged))\r\n";
        assert_eq!(told(&mut condstore, &same, telling), expected);
    }

    #[test]
    fn a_snapshot_tells_the_same_as_the_log() {
        let mut view = view(&[1, 2, 3]);
        let entries =
            [entry(2, 5, Flags::SEEN), entry(3, 1, Flags::default()), entry(7, 6, Flags::default())];
        let snapshot = Snapshot { mailbox: mailbox(6), entries: entries.into() };
        let mut out = Vec::new();
        view.compare(&snapshot, OPEN, 8, &mut out);
        let expected = "* 2 FETCH (FLAGS (\\Seen))\r\n* 1 EXPUNGE\r\n* 3 EXISTS\r\n* 0 RECENT\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(view.entries().iter().map(|entry| entry.uid).collect::<Vec<_>>(), [2, 3, 7]);
    }

    #[test]
    fn expunges_are_told_from_the_end() {
        let mut view = view(&[1, 2, 3, 4, 5]);
        let expunged = Changes { expunged: vec![1, 3, 5], ..changes(2) };
        assert_eq!(told(&mut view, &expunged, OPEN), "* 5 EXPUNGE\r\n* 3 EXPUNGE\r\n* 1 EXPUNGE\r\n");
        assert_eq!(view.uids(std::slice::from_ref(&(0..2))), [2..=4]);
    }

    #[test]
    fn a_client_of_uids_hears_uids_only() {
        let telling = Telling { vanished: true, uid_only: true, uid: true, condstore: true, ..OPEN };
        let mut view = view(&[1, 2, 3, 4, 9]);
        let both = Changes { changed: vec![entry(9, 2, Flags::SEEN)], expunged: vec![1, 2, 4], ..changes(2) };
        let expected = "* 9 UIDFETCH (MODSEQ (2) FLAGS (\\Seen))\r\n* VANISHED 1:2,4\r\n";
        assert_eq!(told(&mut view, &both, telling), expected);
    }

    #[test]
    fn a_client_of_rev2_knows_no_recent_messages() {
        let mut view = View::new(Snapshot { mailbox: mailbox(1), entries: [].into() }, false, None);
        let arrived = Changes { arrived: vec![entry(20, 2, Flags::SEEN)], ..changes(2) };
        assert_eq!(told(&mut view, &arrived, OPEN), "* 1 EXISTS\r\n");
        assert!(!view.entries()[0].flags.contains(RECENT));
    }
}
