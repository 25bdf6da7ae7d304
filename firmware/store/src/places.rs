//! What a search wants to know of messages before it looks into them: which body, and when they came.

use std::ops::RangeInclusive;

use rusqlite::params;

use crate::{BodyId, MailboxId, Store, StoreError, Uid};

/// A message's body and dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its UID.
    pub uid: Uid,
    /// Its body; the EMAILID (RFC 8474).
    pub body: BodyId,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// The zone it was given in, minutes ahead of UTC.
    pub zone_min: i16,
    /// SAVEDATE (RFC 8514), seconds since 1970.
    pub save_date_s: i64,
}

impl Store {
    /// The messages with these UIDs, ascending.
    pub fn places(&self, mailbox: MailboxId, uids: RangeInclusive<Uid>) -> Result<Vec<Place>, StoreError> {
        self.readers().read(|database| {
            let mut statement = database.prepare_cached(
                "SELECT uid, body, internal_date, save_date, zone_min FROM messages
                 WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid",
            )?;
            let rows = statement.query_map(params![mailbox.0, uids.start(), uids.end()], |row| {
                Ok(Place {
                    uid: row.get(0)?,
                    body: BodyId(row.get::<_, i64>(1)? as u64),
                    internal_date_s: row.get(2)?,
                    zone_min: row.get(4)?,
                    save_date_s: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
