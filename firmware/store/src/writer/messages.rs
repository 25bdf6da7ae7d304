//! Messages that are there: flags, copies, moves, removal.

use std::ops::RangeInclusive;

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use super::deliver::NewMessage;
use crate::snapshots::Touch;
use crate::{
    BodyId, Copied, Entry, Expunged, FlagAction, Flags, MailboxId, SpecialUse, StoreError, StoreFlags,
    Stored, Uid,
};

/// Expunged UIDs remembered per mailbox for sessions that come back (RFC 7162); half go when it is full.
const EXPUNGED_MAX: i64 = 50_000;

/// A message row as changes need it.
struct Found {
    entry: Entry,
    body: BodyId,
    internal_date_s: i64,
    zone_min: i16,
}

impl Ledger {
    /// STORE.
    pub fn store_flags(
        &mut self,
        mailbox: MailboxId,
        uids: &[RangeInclusive<Uid>],
        change: &StoreFlags,
    ) -> Result<Stored, StoreError> {
        self.selectable(mailbox)?;
        let named = if change.action == FlagAction::Remove {
            self.known_flag_bits(mailbox, change)?
        } else {
            self.flag_bits(mailbox, &change.flags)?
        };
        let mut stored = Stored::default();
        let mut modseq = None;
        for found in self.find_messages(mailbox, uids)? {
            let mut entry = found.entry;
            if change.unchanged_since.is_some_and(|since| entry.modseq > since) {
                stored.refused.push(entry.uid);
                continue;
            }
            let flags = match change.action {
                FlagAction::Add => entry.flags.union(named),
                FlagAction::Remove => entry.flags.without(named),
                FlagAction::Replace => named,
            };
            if flags == entry.flags {
                stored.unchanged.push(entry);
                continue;
            }
            let state = self.mailbox_mut(mailbox)?;
            let modseq = *modseq.get_or_insert_with(|| state.advance());
            let was = |flag| i64::from(entry.flags.contains(flag));
            let is = |flag| i64::from(flags.contains(flag));
            state.unseen += was(Flags::SEEN) - is(Flags::SEEN);
            state.deleted += is(Flags::DELETED) - was(Flags::DELETED);
            self.run(
                "UPDATE messages SET flags = ?3, modseq = ?4 WHERE mailbox = ?1 AND uid = ?2",
                params![mailbox.0, entry.uid, flags.0 as i64, modseq],
            )?;
            entry.flags = flags;
            entry.modseq = modseq as u64;
            self.note_touch(mailbox, Touch::Changed(entry));
            stored.changed.push(entry);
        }
        let state = self.mailbox(mailbox)?;
        stored.keywords = state.keywords.to_vec();
        stored.highest_modseq = state.modseq as u64;
        Ok(stored)
    }

    /// COPY and MOVE: all or none.
    pub fn copy(
        &mut self,
        from: MailboxId,
        uids: &[RangeInclusive<Uid>],
        to: MailboxId,
        is_move: bool,
    ) -> Result<Copied, StoreError> {
        let source = self.selectable(from)?.account;
        let target = self.selectable(to)?;
        let (target, uid_validity) = (target.account, target.uid_validity);
        let found = self.find_messages(from, uids)?;
        let mut copied = Copied { uid_validity, ..Copied::default() };
        if found.is_empty() {
            copied.source_modseq = self.mailbox(from)?.modseq as u64;
            return Ok(copied);
        }
        let (bytes, messages) =
            (found.iter().map(|found| u64::from(found.entry.size_bytes)).sum(), found.len() as u64);
        // A move within an account needs no room.
        if source != target {
            self.check_room(target, bytes, messages)?;
        } else if !is_move {
            self.check_room_in_trash(to, bytes, messages)?;
        }
        let mut keyword_bits = [None; Flags::KEYWORDS_MAX];
        for found in &found {
            let flags = self.translate(found.entry.flags, from, to, &mut keyword_bits)?;
            let size_bytes = found.entry.size_bytes;
            let (internal_date_s, zone_min) = (found.internal_date_s, found.zone_min);
            let row = NewMessage { body: found.body, size_bytes, flags, internal_date_s, zone_min };
            let placed = self.insert_message(to, &row)?;
            copied.uids.push((found.entry.uid, placed.uid));
            if !is_move {
                self.run(
                    "INSERT INTO shares (body, refs) VALUES (?1, 2) ON CONFLICT (body) DO UPDATE SET refs = refs + 1",
                    [found.body.0 as i64],
                )?;
            }
        }
        if is_move {
            copied.source_modseq = self.take_out(from, &found)?;
        }
        Ok(copied)
    }

    /// Removes messages: of `uids` or all, with `\Deleted` only or whatever their flags.
    pub fn expunge(
        &mut self,
        mailbox: MailboxId,
        uids: Option<&[RangeInclusive<Uid>]>,
        only_deleted: bool,
    ) -> Result<Expunged, StoreError> {
        let state = self.selectable(mailbox)?;
        let modseq = state.modseq as u64;
        if only_deleted && state.deleted == 0 {
            return Ok(Expunged { uids: Vec::new(), modseq });
        }
        let mut found = self.find_messages(mailbox, uids.unwrap_or(&[1..=Uid::MAX]))?;
        if only_deleted {
            found.retain(|found| found.entry.flags.contains(Flags::DELETED));
        }
        if found.is_empty() {
            return Ok(Expunged { uids: Vec::new(), modseq });
        }
        let modseq = self.take_out(mailbox, &found)?;
        for found in &found {
            self.release_body(found.body)?;
        }
        Ok(Expunged { uids: found.iter().map(|found| found.entry.uid).collect(), modseq })
    }

    /// One name less for a body; without any its row and bytes are given up.
    pub(super) fn release_body(&mut self, body: BodyId) -> Result<(), StoreError> {
        let body = body.0 as i64;
        let left =
            self.find("UPDATE shares SET refs = refs - 1 WHERE body = ?1 RETURNING refs", [body], |row| {
                row.get::<_, i64>(0)
            })?;
        match left {
            Some(1) => {
                self.run("DELETE FROM shares WHERE body = ?1", [body])?;
            }
            Some(_) => {}
            None => {
                let place =
                    self.find("DELETE FROM bodies WHERE id = ?1 RETURNING segment, length", [body], |row| {
                        Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?))
                    })?;
                if let Some((segment, length)) = place {
                    self.appender.release(segment, length);
                    self.note_unwanted_text(BodyId(body as u64))?;
                }
            }
        }
        Ok(())
    }

    /// Deletes rows and remembers their UIDs; bodies stay. Returns the mod-sequence of it.
    fn take_out(&mut self, mailbox: MailboxId, found: &[Found]) -> Result<u64, StoreError> {
        let state = self.mailbox_mut(mailbox)?;
        let modseq = state.advance();
        let account = state.account;
        let mut bytes = 0;
        for Found { entry, .. } in found {
            bytes += i64::from(entry.size_bytes);
            state.unseen -= i64::from(!entry.flags.contains(Flags::SEEN));
            state.deleted -= i64::from(entry.flags.contains(Flags::DELETED));
        }
        state.bytes -= bytes;
        state.messages -= found.len() as i64;
        state.expunged += found.len() as i64;
        self.count(account, -bytes, -(found.len() as i64))?;
        for Found { entry, .. } in found {
            self.run("DELETE FROM messages WHERE mailbox = ?1 AND uid = ?2", params![mailbox.0, entry.uid])?;
            self.run(
                "INSERT INTO expunged (mailbox, modseq, uid) VALUES (?1, ?2, ?3)",
                params![mailbox.0, modseq, entry.uid],
            )?;
            self.note_touch(mailbox, Touch::Expunged(entry.uid, modseq as u64));
        }
        self.trim_expunged(mailbox)?;
        Ok(modseq as u64)
    }

    /// Keeps the log of expunged messages bounded.
    fn trim_expunged(&mut self, mailbox: MailboxId) -> Result<(), StoreError> {
        if self.mailbox(mailbox)?.expunged <= EXPUNGED_MAX {
            return Ok(());
        }
        let floor: Option<i64> = self.find(
            "SELECT modseq FROM expunged WHERE mailbox = ?1 ORDER BY modseq DESC LIMIT 1 OFFSET ?2",
            params![mailbox.0, EXPUNGED_MAX / 2],
            |row| row.get(0),
        )?;
        let Some(floor) = floor else { return Ok(()) };
        let removed =
            self.run("DELETE FROM expunged WHERE mailbox = ?1 AND modseq <= ?2", params![mailbox.0, floor])?;
        let state = self.mailbox_mut(mailbox)?;
        state.expunged -= removed as i64;
        state.expunged_floor = floor;
        Ok(())
    }

    fn find_messages(
        &self,
        mailbox: MailboxId,
        uids: &[RangeInclusive<Uid>],
    ) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for range in uids {
            found.extend(self.list(
                "SELECT uid, size, modseq, flags, body, internal_date, zone_min FROM messages
                 WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3",
                params![mailbox.0, range.start(), range.end()],
                |row| {
                    Ok(Found {
                        entry: crate::changes::read_entry(row)?,
                        body: BodyId(row.get::<_, i64>(4)? as u64),
                        internal_date_s: row.get(5)?,
                        zone_min: row.get(6)?,
                    })
                },
            )?);
        }
        // Ranges of a client may overlap or stand in any order.
        if uids.len() > 1 {
            found.sort_by_key(|found| found.entry.uid);
            found.dedup_by_key(|found| found.entry.uid);
        }
        Ok(found)
    }

    /// Bits of the named flags, without adding keywords.
    fn known_flag_bits(&mut self, mailbox: MailboxId, change: &StoreFlags) -> Result<Flags, StoreError> {
        let known = &self.mailbox(mailbox)?.keywords;
        let named = change.flags.keywords.iter();
        let indices =
            named.filter_map(|name| known.iter().position(|known| known.eq_ignore_ascii_case(name)));
        Ok(indices.fold(change.flags.system.system(), |flags, index| flags.union(Flags::keyword(index))))
    }

    /// Flags of a message in another mailbox, whose keywords have other bits.
    fn translate(
        &mut self,
        flags: Flags,
        from: MailboxId,
        to: MailboxId,
        known: &mut [Option<Flags>; Flags::KEYWORDS_MAX],
    ) -> Result<Flags, StoreError> {
        let mut translated = flags.system();
        for index in flags.keywords() {
            let bit = if let Some(bit) = known.get(index).copied().flatten() {
                bit
            } else {
                let Some(name) = self.mailbox(from)?.keywords.get(index).cloned() else { continue };
                let names = crate::FlagNames { system: Flags::default(), keywords: vec![name] };
                let bit = self.flag_bits(to, &names)?;
                if let Some(slot) = known.get_mut(index) {
                    *slot = Some(bit);
                }
                bit
            };
            translated = translated.union(bit);
        }
        Ok(translated)
    }

    pub(super) fn has_use(&self, mailbox: MailboxId, special_use: SpecialUse) -> Result<bool, StoreError> {
        let mut statement =
            self.database.prepare_cached("SELECT special_use FROM mailboxes WHERE id = ?1")?;
        let found: Option<Option<i64>> = statement.query_row([mailbox.0], |row| row.get(0)).optional()?;
        Ok(found.flatten() == Some(special_use as i64))
    }
}
