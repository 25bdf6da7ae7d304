//! The whole verification: database, counts, references, every body's checksum.

use std::collections::HashMap;

use rusqlite::{Connection, Params};

use crate::segment::{SegmentFiles, record_bytes};
use crate::{BodyId, BodyRef, StoreError};

/// Faults listed; a broken store has many of one kind.
const FAULTS_MAX: usize = 200;

/// What [`crate::Store::check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Messages looked at.
    pub messages: u64,
    /// Bodies looked at.
    pub bodies: u64,
    /// What is wrong, a sentence each; empty is clean.
    pub faults: Vec<String>,
}

impl CheckReport {
    fn fault(&mut self, sentence: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(sentence);
        }
    }
}

/// Looks at everything, in one read transaction of its own connection.
pub(crate) fn check(database: &Connection, files: &SegmentFiles) -> Result<CheckReport, StoreError> {
    let moment = database.unchecked_transaction()?;
    let mut report = CheckReport::default();
    integrity(&moment, &mut report)?;
    report.messages = count(&moment, "SELECT count(*) FROM messages", [])?;
    counts(&moment, &mut report)?;
    references(&moment, &mut report)?;
    bodies(&moment, files, &mut report)?;
    moment.finish()?;
    Ok(report)
}

fn integrity(database: &Connection, report: &mut CheckReport) -> Result<(), StoreError> {
    let mut statement = database.prepare("PRAGMA integrity_check")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            report.fault(format!("The database is damaged: {line}."));
        }
    }
    Ok(())
}

/// What is counted as messages come and go, against what is there.
fn counts(database: &Connection, report: &mut CheckReport) -> Result<(), StoreError> {
    let wrong = "SELECT c.mailbox FROM counters c LEFT JOIN (
            SELECT mailbox, count(*) AS n, sum(flags & 1 = 0) AS unseen, sum(flags & 8 <> 0) AS deleted,
                   sum(size) AS bytes, max(uid) AS last, max(modseq) AS modseq FROM messages GROUP BY mailbox) m
        ON m.mailbox = c.mailbox
        WHERE c.messages <> ifnull(n, 0) OR c.unseen <> ifnull(m.unseen, 0) OR c.deleted <> ifnull(m.deleted, 0)
           OR c.bytes <> ifnull(m.bytes, 0) OR c.uid_next <= ifnull(last, 0) OR c.modseq < ifnull(m.modseq, 0)";
    for mailbox in numbers(database, wrong)? {
        report.fault(format!("The counts of mailbox {mailbox} are wrong."));
    }
    let wrong = "SELECT u.account FROM usage u LEFT JOIN (
            SELECT account, sum(bytes) AS bytes, sum(messages) AS messages
            FROM mailboxes JOIN counters ON mailbox = id GROUP BY account) m ON m.account = u.account
        WHERE u.bytes <> ifnull(m.bytes, 0) OR u.messages <> ifnull(m.messages, 0)";
    for account in numbers(database, wrong)? {
        report.fault(format!("The space account {account} uses is counted wrong."));
    }
    let wrong = "SELECT d.domain FROM domain_usage d LEFT JOIN (
            SELECT domain, sum(bytes) AS bytes, sum(messages) AS messages, count(*) AS accounts
            FROM accounts JOIN usage ON account = id GROUP BY domain) u ON u.domain = d.domain
        WHERE d.bytes <> ifnull(u.bytes, 0) OR d.messages <> ifnull(u.messages, 0)
           OR d.accounts <> ifnull(u.accounts, 0)";
    for domain in numbers(database, wrong)? {
        report.fault(format!("What domain {domain} uses is counted wrong."));
    }
    let wrong = "SELECT DISTINCT mailbox FROM messages
        WHERE mailbox NOT IN (SELECT mailbox FROM counters) AND mailbox NOT IN (SELECT mailbox FROM doomed)";
    for mailbox in numbers(database, wrong)? {
        report.fault(format!("There are messages in mailbox {mailbox}, which does not exist."));
    }
    Ok(())
}

/// Rows that name bodies, against bodies and their reference counts.
fn references(database: &Connection, report: &mut CheckReport) -> Result<(), StoreError> {
    let lost = "SELECT body FROM messages WHERE body NOT IN (SELECT id FROM bodies)
        UNION SELECT body FROM queued_messages WHERE body NOT IN (SELECT id FROM bodies)";
    for body in numbers(database, lost)? {
        report.fault(format!("A message names body {body}, which does not exist."));
    }
    let wrong = "SELECT b.id FROM bodies b LEFT JOIN shares s ON s.body = b.id LEFT JOIN (
            SELECT body, count(*) AS refs FROM
                (SELECT body FROM messages UNION ALL SELECT body FROM queued_messages) GROUP BY body) r
        ON r.body = b.id WHERE ifnull(s.refs, 1) <> ifnull(r.refs, 0)";
    for body in numbers(database, wrong)? {
        report.fault(format!("Body {body} has a wrong number of references."));
    }
    let stray = count(database, "SELECT count(*) FROM shares WHERE body NOT IN (SELECT id FROM bodies)", [])?;
    if stray > 0 {
        report.fault(format!("{stray} reference counts belong to no body."));
    }
    Ok(())
}

/// Every body's bytes, and what every segment is said to hold.
fn bodies(database: &Connection, files: &SegmentFiles, report: &mut CheckReport) -> Result<(), StoreError> {
    let mut live: HashMap<u32, u64> = HashMap::new();
    // In the order they lie on the disk.
    let mut statement =
        database.prepare("SELECT id, segment, offset, length FROM bodies ORDER BY segment, offset")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = BodyId(row.get::<_, i64>(0)? as u64);
        let offset = row.get::<_, i64>(2)? as u64;
        let body = BodyRef { id, segment: row.get(1)?, offset, length: row.get(3)? };
        report.bodies += 1;
        *live.entry(body.segment).or_default() += record_bytes(body.length);
        match files.read(&body) {
            Ok(Some(_)) => {}
            Ok(None) => {
                report.fault(format!("Body {} is in segment {}, which is missing.", id.0, body.segment));
            }
            Err(error) => report.fault(format!("Body {} cannot be read: {error}.", id.0)),
        }
    }
    let mut statement = database.prepare("SELECT id, bytes, live_bytes FROM segments")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let segment: u32 = row.get(0)?;
        let (bytes, counted) = (row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64);
        let found = live.remove(&segment).unwrap_or(0);
        if found != counted || found > bytes {
            report.fault(format!("Segment {segment} holds {found} live bytes, {counted} are counted."));
        }
    }
    for segment in live.keys() {
        report.fault(format!("Segment {segment} is not listed."));
    }
    Ok(())
}

fn numbers(database: &Connection, sql: &str) -> Result<Vec<i64>, StoreError> {
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.take(FAULTS_MAX).collect::<Result<_, _>>()?)
}

fn count(database: &Connection, sql: &str, params: impl Params) -> Result<u64, StoreError> {
    Ok(database.query_row(sql, params, |row| row.get::<_, i64>(0))? as u64)
}
