//! The outgoing queue: changes.

use std::collections::BTreeSet;

use rusqlite::params;

use super::Ledger;
use crate::queue::{BY_RETURN, BY_TRACE, TRIES_KEPT, destination_of, next_rank};
use crate::{
    BodyId, Delivered, DestinationState, Outcome, Outgoing, QueueChange, QueueId, Settled, StoreError,
};

/// Longest answer of another server that is kept, in characters.
const ERROR_CHARS_MAX: usize = 500;

impl Ledger {
    /// Puts a message into the queue; the caller counts its reference to the body.
    pub(super) fn enqueue(&mut self, outgoing: &Outgoing, body: BodyId) -> Result<QueueId, StoreError> {
        outgoing.check()?;
        let by = outgoing.deliver_by;
        let by_options =
            by.map_or(0, |by| i64::from(by.return_late) * BY_RETURN + i64::from(by.trace) * BY_TRACE);
        self.run(
            "INSERT INTO queued_messages
                 (body, sender, accepted_ms, expires_ms, envelope_id, options, priority, by_ms, by_options, account)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                body.0 as i64,
                outgoing.sender,
                self.now_s() * 1_000,
                outgoing.expires_ms as i64,
                outgoing.envelope_id,
                outgoing.options(),
                outgoing.priority,
                by.map(|by| by.until_ms as i64),
                by_options,
                outgoing.account
            ],
        )?;
        let message = self.database.last_insert_rowid();
        let mut first = None;
        let mut destinations = BTreeSet::new();
        for recipient in &outgoing.recipients {
            let destination = destination_of(&recipient.address);
            self.run(
                "INSERT INTO queue (message, address, notify, original, next_ms, attempts, delay_noticed,
                                    destination, rank, alarm_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?7, ?8)",
                params![
                    message,
                    recipient.address,
                    recipient.notify,
                    recipient.original,
                    outgoing.first_try_ms as i64,
                    destination,
                    outgoing.rank(),
                    outgoing.alarm_ms as i64
                ],
            )?;
            first.get_or_insert(QueueId(self.database.last_insert_rowid() as u64));
            destinations.insert(destination);
        }
        for name in &destinations {
            self.run(
                "INSERT INTO destinations (name, ready_ms) VALUES (?1, ?2) ON CONFLICT (name)
                 DO UPDATE SET ready_ms = max(not_before_ms, min(ready_ms, excluded.ready_ms))",
                params![name, outgoing.first_try_ms as i64],
            )?;
        }
        self.queue_changed = true;
        first.ok_or(StoreError::NoSuchQueued)
    }

    /// Records outcomes, and delivers the notices about them, together or not at all.
    pub fn settle(&mut self, settled: &Settled) -> Result<Vec<Delivered>, StoreError> {
        let mut destinations = BTreeSet::new();
        for settlement in &settled.outcomes {
            let destination = match &settlement.outcome {
                Outcome::Finished => self.finish(settlement.id)?,
                Outcome::Deferred { next_ms, error, delay_noticed, alarm_ms, tried } => {
                    let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
                    let destination = self.find(
                        "UPDATE queue SET next_ms = ?2, attempts = attempts + ?6, last_error = ?3,
                                delay_noticed = delay_noticed OR ?4, alarm_ms = ?5
                         WHERE id = ?1 RETURNING destination",
                        params![
                            settlement.id.0 as i64,
                            *next_ms as i64,
                            error,
                            delay_noticed,
                            *alarm_ms as i64,
                            tried
                        ],
                        |row| row.get(0),
                    )?;
                    if *tried && destination.is_some() {
                        self.note_try(settlement.id, settled.now_ms, &error)?;
                    }
                    destination
                }
            };
            if let Some(destination) = destination {
                destinations.insert(destination);
            }
        }
        if let Some(state) = &settled.destination {
            self.set_destination(state)?;
            destinations.insert(state.name.clone());
        }
        for name in &destinations {
            self.refresh_destination(name)?;
        }
        self.queue_changed = true;
        settled.notices.iter().map(|notice| self.deliver(notice)).collect()
    }

    /// Holds, releases or hurries recipients; returns how many of them there are.
    pub fn queue_change(
        &mut self,
        ids: &[QueueId],
        change: QueueChange,
        now_ms: u64,
    ) -> Result<usize, StoreError> {
        let sql = match change {
            QueueChange::Hold => "UPDATE queue SET held = 1 WHERE id = ?1 AND ?2 >= 0 RETURNING destination",
            QueueChange::Release => {
                "UPDATE queue SET next_ms = CASE held WHEN 0 THEN next_ms ELSE ?2 END, held = 0
                 WHERE id = ?1 RETURNING destination"
            }
            QueueChange::Retry => {
                "UPDATE queue SET next_ms = min(next_ms, ?2) WHERE id = ?1 RETURNING destination"
            }
        };
        let mut destinations: BTreeSet<String> = BTreeSet::new();
        let mut changed = 0;
        for id in ids {
            let destination = self.find(sql, params![id.0 as i64, now_ms as i64], |row| row.get(0))?;
            changed += usize::from(destination.is_some());
            destinations.extend(destination);
        }
        for name in &destinations {
            if change != QueueChange::Hold {
                // What failed before may have been mended: that is why somebody asks.
                self.run("UPDATE destinations SET not_before_ms = 0 WHERE name = ?1", [name])?;
            }
            self.refresh_destination(name)?;
        }
        self.queue_changed = true;
        Ok(changed)
    }

    /// Finds out when a destination has something due, and forgets one that has nothing any more.
    pub fn refresh_destination(&mut self, name: &str) -> Result<(), StoreError> {
        let (mut first, mut rank): (Option<i64>, i64) = (None, -1);
        while let Some(next) = next_rank(&self.database, name, rank)? {
            rank = next;
            let due = self.find(
                "SELECT next_ms FROM queue WHERE held = 0 AND destination = ?1 AND rank = ?2
                 ORDER BY next_ms LIMIT 1",
                params![name, rank],
                |row| row.get::<_, i64>(0),
            )?;
            first = first.into_iter().chain(due).min();
        }
        match first {
            Some(first) => self.run(
                "INSERT INTO destinations (name, ready_ms) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET ready_ms = max(not_before_ms, excluded.ready_ms)",
                params![name, first],
            )?,
            None => self.run("DELETE FROM destinations WHERE name = ?1", [name])?,
        };
        Ok(())
    }

    fn set_destination(&mut self, state: &DestinationState) -> Result<(), StoreError> {
        let error: Option<String> =
            state.last_error.as_ref().map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
        self.run(
            "UPDATE destinations SET not_before_ms = ?2, failures = ?3, last_error = ?4 WHERE name = ?1",
            params![state.name, state.not_before_ms as i64, state.failures, error],
        )?;
        Ok(())
    }

    fn note_try(&mut self, id: QueueId, now_ms: u64, said: &str) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO queue_tries (item, number, at_ms, said)
             SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM queue_tries WHERE item = ?1",
            params![id.0 as i64, now_ms as i64, said],
        )?;
        self.run(
            "DELETE FROM queue_tries WHERE item = ?1
             AND number <= (SELECT max(number) FROM queue_tries WHERE item = ?1) - ?2",
            params![id.0 as i64, TRIES_KEPT],
        )?;
        Ok(())
    }

    /// Forgets a recipient, and with the last one the message; returns its destination. One that is gone
    /// already is no error: a settlement may be repeated.
    fn finish(&mut self, id: QueueId) -> Result<Option<String>, StoreError> {
        let gone: Option<(i64, String)> = self.find(
            "DELETE FROM queue WHERE id = ?1 RETURNING message, destination",
            [id.0 as i64],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let Some((message, destination)) = gone else { return Ok(None) };
        self.run("DELETE FROM queue_tries WHERE item = ?1", [id.0 as i64])?;
        let more = self.find("SELECT 1 FROM queue WHERE message = ?1 LIMIT 1", [message], |_| Ok(()))?;
        if more.is_none() {
            let body = "DELETE FROM queued_messages WHERE id = ?1 RETURNING body";
            let body = self.find(body, [message], |row| row.get::<_, i64>(0))?;
            if let Some(body) = body {
                self.release_body(BodyId(body as u64))?;
            }
        }
        Ok(Some(destination))
    }
}
