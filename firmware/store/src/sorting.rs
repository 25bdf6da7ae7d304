//! What SORT and THREAD read of many messages at once, without keeping it.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use crate::{MailboxId, Store, StoreError, Uid};

/// One message, as long as the visit lasts.
#[derive(Debug, Clone, Copy)]
pub struct Visited<'a> {
    /// Its UID.
    pub uid: Uid,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// Its summary as stored, for `message::SummaryView`; empty if not asked for.
    pub summary: &'a [u8],
}

impl Store {
    /// Visits the messages of a mailbox between two UIDs, ascending.
    pub fn visit_messages(
        &self,
        mailbox: MailboxId,
        uids: std::ops::RangeInclusive<Uid>,
        summaries: bool,
        mut visit: impl FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        self.readers().read(|database| visit_all(database, mailbox, &uids, summaries, &mut visit))
    }
}

fn visit_all(
    database: &Connection,
    mailbox: MailboxId,
    uids: &std::ops::RangeInclusive<Uid>,
    summaries: bool,
    visit: &mut dyn FnMut(Visited<'_>),
) -> Result<(), StoreError> {
    let mut statement = database.prepare_cached(if summaries {
        "SELECT uid, internal_date, summary FROM messages JOIN bodies ON id = body
         WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid"
    } else {
        "SELECT uid, internal_date FROM messages
         WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid"
    })?;
    let mut rows = statement.query(params![mailbox.0, uids.start(), uids.end()])?;
    while let Some(row) = rows.next()? {
        let summary = match row.get_ref(2) {
            Ok(ValueRef::Blob(summary)) if summaries => summary,
            _ => &[],
        };
        visit(Visited { uid: row.get(0)?, internal_date_s: row.get(1)?, summary });
    }
    Ok(())
}
