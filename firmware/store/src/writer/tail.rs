//! The end of the bodies, looked at when a store is opened.
//!
//! Bodies and the rows that name them become durable by one sync, and until it has returned nothing of
//! the batch is acknowledged. Should a power cut leave the rows without the bodies all the same (a disk
//! that flushes its cache in part), then it is the last batch that added bodies, and no other: the next is
//! not written before the sync has returned. So its records alone are read, and what is not whole was
//! never acknowledged and goes, rows and all. Its UIDs stay used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::Ledger;
use crate::{BodyId, BodyRef, MailboxId, Outcome, QueueId, Settled, Settlement, StoreError, Uid};

/// Bytes read at once when the tail is written again.
const PIECE_BYTES: u64 = 1024 * 1024;

impl Ledger {
    /// Makes sure that every body of the last batch is there and durable.
    pub fn verify_tail(&mut self) -> Result<(), StoreError> {
        let Some((segment, range)) = self.appender.unsettled() else { return Ok(()) };
        let torn = self.torn_bodies(segment, range.start)?;
        self.write_again(segment, range)?;
        self.begin(false)?;
        if !torn.is_empty() {
            tracing::warn!("{} messages that were never acknowledged are incomplete and removed", torn.len());
            self.drop_bodies(&torn)?;
        }
        self.appender.settle(segment);
        self.commit()?;
        Ok(())
    }

    /// Records that the sync of the last batch has returned: its bodies need no look at the next start.
    /// Done when there is time; a full disk only puts it off.
    pub fn remember_tail(&mut self) -> Result<(), StoreError> {
        let Some((segment, _)) = self.appender.unsettled() else { return Ok(()) };
        self.begin(false)?;
        self.appender.settle(segment);
        match self.commit() {
            Err(error) if error.is_disk_full() => self.roll_back(),
            other => other.map(drop),
        }
    }

    /// The bodies from `start` on that are not whole. The last batch has the highest numbers.
    fn torn_bodies(&self, segment: u32, start: u64) -> Result<BTreeSet<i64>, StoreError> {
        let mut torn = BTreeSet::new();
        let mut statement =
            self.database.prepare("SELECT id, segment, offset, length FROM bodies ORDER BY id DESC")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)?;
            let offset = row.get::<_, i64>(2)? as u64;
            let body = BodyRef { id: BodyId(id as u64), segment: row.get(1)?, offset, length: row.get(3)? };
            if body.segment != segment || body.offset < start {
                break;
            }
            match self.appender.files().read(&body) {
                Ok(Some(_)) => {}
                Ok(None) | Err(StoreError::Damaged { .. }) => drop(torn.insert(id)),
                Err(error) => return Err(error),
            }
        }
        Ok(torn)
    }

    /// After a failed sync only memory may have what was read: it is written once more and synced.
    fn write_again(&self, segment: u32, range: Range<u64>) -> Result<(), StoreError> {
        let path = self.appender.files().path(segment);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let end = range.end.min(file.metadata()?.len());
        let mut at = range.start;
        while at < end {
            let mut piece = vec![0; (end - at).min(PIECE_BYTES) as usize];
            file.read_exact_at(&mut piece, at)?;
            file.write_all_at(&piece, at)?;
            at += piece.len() as u64;
        }
        file.sync_all()?;
        Ok(())
    }

    /// Removes everything that names these bodies. Reads all rows; it happens after a torn write only.
    fn drop_bodies(&mut self, bodies: &BTreeSet<i64>) -> Result<(), StoreError> {
        let first = bodies.first().copied().unwrap_or(i64::MAX);
        let named =
            self.list("SELECT mailbox, uid, body FROM messages WHERE body >= ?1", [first], |row| {
                Ok((MailboxId(row.get(0)?), row.get::<_, Uid>(1)?, row.get::<_, i64>(2)?))
            })?;
        let mut places: BTreeMap<MailboxId, Vec<_>> = BTreeMap::new();
        for (mailbox, uid, _) in named.into_iter().filter(|(_, _, body)| bodies.contains(body)) {
            places.entry(mailbox).or_default().push(uid..=uid);
        }
        for (mailbox, uids) in places {
            // What a deleted mailbox held is removed with it.
            match self.expunge(mailbox, Some(&uids), false) {
                Err(StoreError::NoSuchMailbox) => {}
                other => drop(other?),
            }
        }
        let queued = self.list(
            "SELECT queue.id, body FROM queue JOIN queued_messages ON queued_messages.id = message WHERE body >= ?1",
            [first],
            |row| Ok((QueueId(row.get::<_, i64>(0)? as u64), row.get::<_, i64>(1)?)),
        )?;
        let torn = queued.into_iter().filter(|(_, body)| bodies.contains(body));
        let outcomes = torn.map(|(id, _)| Settlement { id, outcome: Outcome::Finished }).collect();
        self.settle(&Settled { outcomes, ..Settled::default() })?;
        Ok(())
    }
}
