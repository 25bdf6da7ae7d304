//! The outgoing queue: changes.

use rusqlite::params;

use super::Ledger;
use crate::queue::{OPTION_EIGHT_BIT, OPTION_RETURN_FULL, OPTION_SMTP_UTF8};
use crate::{BodyId, Delivered, Delivery, Outcome, Outgoing, QueueId, Settlement, StoreError};

/// Longest answer of another server that is kept, in characters.
const ERROR_CHARS_MAX: usize = 500;

impl Ledger {
    /// Puts a message into the queue; the caller counts its reference to the body.
    pub(super) fn enqueue(&mut self, outgoing: &Outgoing, body: BodyId) -> Result<QueueId, StoreError> {
        outgoing.check()?;
        let options = [
            (outgoing.return_full, OPTION_RETURN_FULL),
            (outgoing.eight_bit, OPTION_EIGHT_BIT),
            (outgoing.smtp_utf8, OPTION_SMTP_UTF8),
        ];
        let options: i64 = options.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
        self.run(
            "INSERT INTO queued_messages (body, sender, accepted_ms, expires_ms, envelope_id, options)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                body.0 as i64,
                outgoing.sender,
                self.now_s() * 1_000,
                outgoing.expires_ms as i64,
                outgoing.envelope_id,
                options
            ],
        )?;
        let message = self.database.last_insert_rowid();
        let mut first = None;
        for recipient in &outgoing.recipients {
            self.run(
                "INSERT INTO queue (message, address, notify, original, next_ms, attempts, delay_noticed)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)",
                params![
                    message,
                    recipient.address,
                    recipient.notify,
                    recipient.original,
                    outgoing.first_try_ms as i64
                ],
            )?;
            first.get_or_insert(QueueId(self.database.last_insert_rowid() as u64));
        }
        self.queue_changed = true;
        first.ok_or(StoreError::NoSuchQueued)
    }

    /// Records outcomes and delivers the notice about them, together or not at all.
    pub fn settle(
        &mut self,
        settlements: &[Settlement],
        notice: Option<&Delivery>,
    ) -> Result<Option<Delivered>, StoreError> {
        for settlement in settlements {
            match &settlement.outcome {
                Outcome::Finished => self.finish(settlement.id)?,
                Outcome::Deferred { next_ms, error, delay_noticed } => {
                    let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
                    self.run(
                        "UPDATE queue SET next_ms = ?2, attempts = attempts + 1, last_error = ?3,
                                delay_noticed = delay_noticed OR ?4 WHERE id = ?1",
                        params![settlement.id.0 as i64, *next_ms as i64, error, delay_noticed],
                    )?;
                }
            }
        }
        self.queue_changed = true;
        notice.map(|notice| self.deliver(notice)).transpose()
    }

    /// Makes one recipient, or all, due.
    pub fn queue_retry(&mut self, id: Option<QueueId>, now_ms: u64) -> Result<(), StoreError> {
        let changed = match id {
            Some(id) => {
                let now = params![id.0 as i64, now_ms as i64];
                self.run("UPDATE queue SET next_ms = min(next_ms, ?2) WHERE id = ?1", now)?
            }
            None => self.run("UPDATE queue SET next_ms = ?1 WHERE next_ms > ?1", [now_ms as i64])?,
        };
        self.queue_changed = true;
        if id.is_some() && changed == 0 { Err(StoreError::NoSuchQueued) } else { Ok(()) }
    }

    /// Forgets a recipient, and with the last one the message. One that is gone already is no error:
    /// a settlement may be repeated.
    fn finish(&mut self, id: QueueId) -> Result<(), StoreError> {
        let message: Option<i64> =
            self.find("DELETE FROM queue WHERE id = ?1 RETURNING message", [id.0 as i64], |row| row.get(0))?;
        let Some(message) = message else { return Ok(()) };
        let more = self.find("SELECT 1 FROM queue WHERE message = ?1 LIMIT 1", [message], |_| Ok(()))?;
        if more.is_none() {
            let body = "DELETE FROM queued_messages WHERE id = ?1 RETURNING body";
            let body = self.find(body, [message], |row| row.get::<_, i64>(0))?;
            if let Some(body) = body {
                self.release_body(BodyId(body as u64))?;
            }
        }
        Ok(())
    }
}
