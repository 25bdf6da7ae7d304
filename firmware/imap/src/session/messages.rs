//! Changing messages, STORE, COPY, MOVE and EXPUNGE, and telling the client of changes.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use store::{
    AccountId, Entry, FlagAction, Flags, Mailbox, ModSeq, Rights, StoreError, StoreFlags, Stored, Uid,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::connection::Stop;
use super::reply::{RECENT, Reply, flag_bit, flag_names, sequence_set};
use super::view::{Telling, View, write_fetch_start, write_flag_change};
use super::{Selected, Session};
use crate::parse::{Flag, SequenceSet, StoreMode};

const NO_SUCH_NUMBER: &str = "there is no message with such a number";
const EXPUNGED: &str = "[EXPUNGEISSUED] some of these messages are gone";
const READ_ONLY: &str = "[NOPERM] the mailbox is selected read-only";

/// What STORE asks for.
pub(super) struct FlagChange {
    pub unchanged_since: Option<u64>,
    pub mode: StoreMode,
    pub silent: bool,
    pub flags: Vec<Flag>,
}

impl FlagChange {
    /// What the flags of a message become by this change alone.
    fn applied_to(&self, before: Flags, keywords: &[String]) -> Flags {
        let named = self
            .flags
            .iter()
            .filter_map(|flag| flag_bit(flag, keywords))
            .fold(Flags::default(), Flags::union);
        match self.mode {
            StoreMode::Replace => named,
            StoreMode::Add => before.union(named),
            StoreMode::Remove => before.without(named),
        }
        .without(RECENT)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Tells what has changed, then ends the command.
    pub(super) fn told(&mut self, expunge: bool, reply: Reply) -> Result<Reply, Stop> {
        let telling = self.telling(expunge, false);
        self.sync(telling)?;
        Ok(reply)
    }

    /// Brings the view and the client up to the store, as far as may be told.
    pub(super) fn sync(&mut self, telling: Telling) -> Result<(), Stop> {
        let Some(Selected { view, changes, .. }) = &mut self.selected else { return Ok(()) };
        let out = &mut self.connection.out;
        let latest = *changes.borrow_and_update();
        if latest == 0 {
            return Err(Stop::Bye("the selected mailbox was deleted"));
        }
        if latest <= view.modseq {
            if telling.expunge {
                view.tell_expunged(telling.vanished, out);
            }
            return Ok(());
        }
        let store = &self.context.store;
        let first_recent = |view: &mut View, mailbox: &Mailbox| {
            if view.read_only || !view.has_recents() || mailbox.uid_next == view.uid_next {
                return store.first_recent(mailbox);
            }
            view.recent_until = mailbox.uid_next;
            store.claim_recent(mailbox)
        };
        let applied = match store.changes_since(view.mailbox, view.modseq) {
            Ok(found) if found.complete => {
                let first = first_recent(view, &found.mailbox);
                view.apply(&found, telling, first, out);
                Ok(())
            }
            Ok(_) => store.snapshot(view.mailbox).map(|snapshot| {
                let first = first_recent(view, &snapshot.mailbox);
                view.compare(&snapshot, telling, first, out);
            }),
            Err(error) => Err(error),
        };
        match applied {
            Ok(()) => Ok(()),
            // The view stays as it is and catches up with the next command.
            Err(StoreError::Busy) => Ok(()),
            Err(StoreError::NoSuchMailbox) => Err(Stop::Bye("the selected mailbox was deleted")),
            Err(error) => {
                tracing::error!(%error, "changes of a mailbox cannot be read");
                Err(Stop::Bye("the mail store has a problem; the administrator finds it in the log"))
            }
        }
    }

    /// IDLE (RFC 2177): tells changes as they come, until DONE.
    pub(super) async fn idle(&mut self) -> Result<Reply, Stop> {
        self.connection.line("+ idling");
        let deadline = Instant::now() + self.context.limits.idle_timeout;
        let interval = self.context.limits.keepalive_interval;
        let mut keepalive = Instant::now() + interval;
        loop {
            let telling = self.telling(true, false);
            self.sync(telling)?;
            self.tell_notified().await?;
            self.connection.flush().await?;
            if let Some(line) = self.connection.take_answer()? {
                let done = line.trim_ascii().eq_ignore_ascii_case(b"DONE");
                return Ok(if done { Reply::ok("done") } else { Reply::bad("DONE is expected after IDLE") });
            }
            let Self { connection, selected, notify, .. } = self;
            let heard = async {
                match notify {
                    Some(notify) => notify.arrived().await,
                    None => std::future::pending().await,
                }
            };
            let changed = async {
                match selected {
                    Some(selected) => selected.changes.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                filled = connection.fill(deadline) => filled?,
                () = heard => {}
                alive = changed => {
                    if !alive {
                        return Err(Stop::Bye("the mail store is closing"));
                    }
                }
                () = tokio::time::sleep_until(keepalive) => {
                    connection.line("* OK Still here");
                    keepalive = Instant::now() + interval;
                }
            }
        }
    }

    pub(super) async fn store_flags(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        change: FlagChange,
    ) -> Result<Reply, Stop> {
        if change.unchanged_since.is_some() {
            self.enable_condstore();
        }
        let Some(selected) = &self.selected else { return Ok(Reply::bad("select a mailbox first")) };
        if selected.view.read_only {
            return Ok(Reply::no(READ_ONLY));
        }
        let Ok(places) = selected.view.places(set, uid) else { return Ok(Reply::bad(NO_SUCH_NUMBER)) };
        if places.is_empty() {
            return self.told(uid, Reply::ok("there are no such messages"));
        }
        let wanted = StoreFlags {
            action: match change.mode {
                StoreMode::Replace => FlagAction::Replace,
                StoreMode::Add => FlagAction::Add,
                StoreMode::Remove => FlagAction::Remove,
            },
            flags: flag_names(change.flags.clone()),
            unchanged_since: change.unchanged_since,
        };
        let (mailbox, uids) = (selected.view.mailbox, selected.view.uids(&places));
        let store = self.context.store.clone();
        let stored = match self.patiently(store.store_flags(mailbox, uids, wanted)).await {
            Ok(stored) => stored,
            Err(error) => return self.told(uid, Reply::refused(&error)),
        };
        let reply = self.tell_stored(uid, &places, &change, &stored);
        let before = self.known_of(&stored.refused);
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        self.tell_refused(&before, uid);
        Ok(reply)
    }

    /// What the client knows of some messages: UID and modification sequence.
    fn known_of(&self, uids: &[Uid]) -> Vec<(Uid, ModSeq)> {
        let Some(Selected { view, .. }) = &self.selected else { return Vec::new() };
        let known = |uid: &Uid| {
            let entry = view.place(*uid).and_then(|place| view.entries().get(place))?;
            Some((entry.uid, entry.modseq))
        };
        uids.iter().filter_map(known).collect()
    }

    /// Tells how the messages are that a conditional STORE left alone, unless that was just told: the client
    /// asks for it next anyway (RFC 7162 section 3.1.3).
    fn tell_refused(&mut self, before: &[(Uid, ModSeq)], uid: bool) {
        let telling = self.telling(false, uid);
        let Some(Selected { view, .. }) = &self.selected else { return };
        for (uid, modseq) in before {
            let Some(place) = view.place(*uid) else { continue };
            if let Some(entry) = view.entries().get(place).filter(|entry| entry.modseq == *modseq) {
                write_flag_change(&mut self.connection.out, place, entry, &view.keywords, telling);
            }
        }
    }

    /// Tells what a STORE did and words its end.
    fn tell_stored(
        &mut self,
        uid: bool,
        places: &[Range<usize>],
        change: &FlagChange,
        stored: &Stored,
    ) -> Reply {
        let telling = self.telling(false, uid);
        let Some(Selected { view, .. }) = &mut self.selected else { return Reply::ok("done") };
        let out = &mut self.connection.out;
        view.note_keywords(&stored.keywords, out);
        let keywords = Arc::clone(&view.keywords);
        for (now, changed) in in_order(stored) {
            let Some(place) = view.place(now.uid) else { continue };
            let Some(before) = view.entries().get(place).copied() else { continue };
            view.note(now);
            let Some(entry) = view.entries().get(place) else { continue };
            // Even a silent STORE tells what another session did to the message (RFC 3501 section 6.4.6).
            let expected = change.applied_to(before.flags, &keywords) == now.flags;
            if !change.silent || !expected {
                write_flag_change(out, place, entry, &keywords, telling);
            } else if telling.condstore && changed {
                write_fetch_start(out, place, entry.uid, telling.uid_only);
                if telling.uid && !telling.uid_only {
                    let _ = write!(out, "UID {} ", entry.uid);
                }
                let _ = write!(out, "MODSEQ ({}))\r\n", entry.modseq);
            }
        }
        let addressed: usize = places.iter().map(ExactSizeIterator::len).sum();
        let found = stored.changed.len() + stored.unchanged.len() + stored.refused.len();
        if !stored.refused.is_empty() {
            let numbers: Vec<Uid> = if uid {
                stored.refused.clone()
            } else {
                stored
                    .refused
                    .iter()
                    .filter_map(|uid| view.place(*uid))
                    .map(|place| place as u32 + 1)
                    .collect()
            };
            return Reply::ok(format!("[MODIFIED {}] some messages had changed", sequence_set(numbers)));
        }
        if found < addressed && !uid {
            return Reply::no(EXPUNGED);
        }
        Reply::ok("done")
    }

    pub(super) async fn expunge(&mut self, set: Option<SequenceSet>) -> Result<Reply, Stop> {
        let Some(selected) = &self.selected else { return Ok(Reply::bad("select a mailbox first")) };
        if selected.view.read_only {
            return Ok(Reply::no(READ_ONLY));
        }
        let mut uids = None;
        if let Some(set) = set {
            // UIDs need not exist, so this cannot fail.
            let places = selected.view.places(&set, true).unwrap_or_default();
            if places.is_empty() {
                return self.told(true, Reply::ok("there are no such messages"));
            }
            uids = Some(selected.view.uids(&places));
        }
        let (mailbox, store) = (selected.view.mailbox, self.context.store.clone());
        let reply = match self.patiently(store.expunge(mailbox, uids)).await {
            Ok(expunged) if !expunged.uids.is_empty() => self.ok_with_modseq(expunged.modseq, "expunged"),
            Ok(_) => Reply::ok("expunged"),
            Err(error) => Reply::refused(&error),
        };
        self.told(true, reply)
    }

    /// CLOSE: expunges without telling (RFC 3501 section 6.4.2).
    pub(super) async fn close_mailbox(&mut self) -> Result<Reply, Stop> {
        let mut reply = Reply::ok("closed");
        if let Some(selected) = &self.selected
            && !selected.view.read_only
        {
            match self.context.store.expunge(selected.view.mailbox, None).await {
                Ok(expunged) if expunged.uids.is_empty() => {}
                Ok(expunged) => reply = self.ok_with_modseq(expunged.modseq, "closed"),
                Err(error) => reply = Reply::refused(&error),
            }
        }
        self.leave_mailbox().await;
        Ok(reply)
    }

    pub(super) async fn copy(
        &mut self,
        uid: bool,
        remove: bool,
        set: &SequenceSet,
        target: &str,
    ) -> Result<Reply, Stop> {
        let (Some(selected), Some(account)) = (&self.selected, self.account) else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let view = &selected.view;
        if remove && view.read_only {
            return Ok(Reply::no(READ_ONLY));
        }
        let Ok(places) = view.places(set, uid) else { return Ok(Reply::bad(NO_SUCH_NUMBER)) };
        let gone = places.iter().filter_map(|range| view.entries().get(range.clone())).flatten();
        if !uid && gone.into_iter().any(|entry| view.is_gone(entry.uid)) {
            return self.told(true, Reply::no(EXPUNGED));
        }
        let reply = match self.copy_to(account, remove, &places, target).await {
            Ok(reply) => reply,
            Err(error) => Reply::refused_target(&error),
        };
        self.told(true, reply)
    }

    async fn copy_to(
        &mut self,
        account: AccountId,
        remove: bool,
        places: &[Range<usize>],
        target: &str,
    ) -> Result<Reply, StoreError> {
        let (target, rights) = self.find_with(account, target, Rights::INSERT)?;
        if !target.selectable {
            return Err(StoreError::NotSelectable);
        }
        let Some(selected) = &self.selected else { return Err(StoreError::NoSuchMailbox) };
        let (from, uids) = (selected.view.mailbox, selected.view.uids(places));
        if uids.is_empty() {
            return Ok(Reply::ok("there are no such messages"));
        }
        let store = self.context.store.clone();
        let copied = if remove {
            self.patiently(store.move_messages(from, uids, target.id)).await?
        } else {
            self.patiently(store.copy(from, uids, target.id)).await?
        };
        if copied.uids.is_empty() {
            return Ok(Reply::no(EXPUNGED));
        }
        if rights != Rights::ALL {
            self.strip_copied_flags(target.id, rights, &copied).await?;
        }
        let sources = sequence_set(copied.uids.iter().map(|(source, _)| *source));
        let copies = sequence_set(copied.uids.iter().map(|(_, copy)| *copy));
        let code = format!("[COPYUID {} {sources} {copies}]", copied.uid_validity);
        if remove {
            // Before the EXPUNGE responses, so that a client can follow (RFC 6851 section 4.3).
            self.connection.line(&format!("* OK {code} moved"));
            return Ok(self.ok_with_modseq(copied.source_modseq, "moved"));
        }
        Ok(Reply::ok(format!("{code} copied")))
    }

    /// OK, with the modification sequence of an expunge where the client counts them (RFC 7162 section 3.2.7).
    pub(super) fn ok_with_modseq(&self, modseq: ModSeq, text: &str) -> Reply {
        if self.enabled.condstore {
            Reply::ok(format!("[HIGHESTMODSEQ {modseq}] {text}"))
        } else {
            Reply::ok(text)
        }
    }

    /// Turns CONDSTORE on with the first command that asks for it (RFC 7162 section 3.1.2).
    pub(super) fn enable_condstore(&mut self) {
        if self.enabled.condstore {
            return;
        }
        self.enabled.condstore = true;
        if let Some(selected) = &self.selected {
            let line = format!("* OK [HIGHESTMODSEQ {}] CONDSTORE is on", selected.view.modseq);
            self.connection.line(&line);
        }
    }
}

/// The messages a STORE found, by ascending UID, and whether it changed them.
fn in_order(stored: &Stored) -> Vec<(&Entry, bool)> {
    let changed = stored.changed.iter().map(|entry| (entry, true));
    let mut all: Vec<(&Entry, bool)> =
        changed.chain(stored.unchanged.iter().map(|entry| (entry, false))).collect();
    all.sort_unstable_by_key(|(entry, _)| entry.uid);
    all
}
