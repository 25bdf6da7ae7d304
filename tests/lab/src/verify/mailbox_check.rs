//! Reads every mailbox from end to end and compares it with the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clients::imap::{Door, Reader};
use crate::clients::stream::Tls;
use crate::clients::{Answer, ClientError};
use crate::error::{LabError, Result};
use crate::parts::{ACCOUNT_PASSWORD, ACCOUNTS, virtual_port};

use super::ledger::{Ledger, Message};
use super::load::{READER_PATIENCE, uid_set};
use super::message::{address, is_whole, recipient, serial_of};

/// Messages fetched at once.
const FETCHED_AT_ONCE: usize = 50;
/// How long the reading is tried.
const CHECK_MAX: Duration = Duration::from_mins(1);

/// What the mailboxes hold, against what was promised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MailboxReport {
    /// Messages of this run found.
    pub found: u64,
    /// Promised and not there.
    pub lost: Vec<u64>,
    /// There more often than the answers that never came explain.
    pub duplicated: Vec<u64>,
    /// There more than once, after an answer that never came; allowed.
    pub repeated: Vec<u64>,
    /// There, but not as it was sent.
    pub damaged: Vec<u64>,
    /// In somebody else's mailbox.
    pub misdelivered: Vec<u64>,
    /// Flags that got OK and are not set.
    pub flags_lost: Vec<String>,
}

#[derive(Debug, Default)]
struct Copies {
    number: u32,
    flags: BTreeSet<String>,
}

/// Compares all mailboxes with the ledger.
pub fn check(ledger: &Ledger, tls: &Tls) -> Result<MailboxReport> {
    let mut report = MailboxReport::default();
    let mut copies = BTreeMap::new();
    for account in 0..ACCOUNTS.len() {
        let began = Instant::now();
        loop {
            // A mailbox counts only when it was read in one go.
            let mut part = (report.clone(), BTreeMap::new());
            match read_mailbox(ledger, tls, account, &mut part.0, &mut part.1) {
                Ok(()) => {
                    report = part.0;
                    merge(&mut copies, part.1);
                    break;
                }
                Err(error) if began.elapsed() > CHECK_MAX => {
                    return Err(LabError::Refused(format!(
                        "the mailbox of {} cannot be read: {error}",
                        address(account)
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_secs(1)),
            }
        }
    }
    compare(ledger, &copies, &mut report);
    Ok(report)
}

fn merge(all: &mut BTreeMap<u64, Copies>, part: BTreeMap<u64, Copies>) {
    for (serial, copies) in part {
        let entry = all.entry(serial).or_default();
        entry.number += copies.number;
        entry.flags.extend(copies.flags);
    }
}

fn read_mailbox(
    ledger: &Ledger,
    tls: &Tls,
    account: usize,
    report: &mut MailboxReport,
    copies: &mut BTreeMap<u64, Copies>,
) -> Answer<()> {
    let login = (&*address(account), ACCOUNT_PASSWORD);
    let mut reader =
        Reader::connect(virtual_port(Door::Imaps.port()), Door::Imaps, tls, login, READER_PATIENCE)?;
    let exists = reader.select("INBOX")?;
    let uids = reader.search("ALL")?;
    if uids.len() != exists as usize {
        return Err(ClientError::Nonsense(format!("{exists} messages, {} numbers", uids.len())));
    }
    for some in uids.chunks(FETCHED_AT_ONCE) {
        let Some(set) = uid_set(some) else { continue };
        let messages = reader.fetch(&set, "BODY.PEEK[]")?;
        if messages.len() != some.len() {
            return Err(ClientError::Nonsense(format!("{} asked for, {} came", some.len(), messages.len())));
        }
        for message in messages {
            let Some(serial) = serial_of(ledger.run(), &message.content) else { continue };
            report.found += 1;
            if !is_whole(ledger.run(), serial, &message.content) {
                report.damaged.push(serial);
            }
            if recipient(serial) != account {
                report.misdelivered.push(serial);
            }
            let entry = copies.entry(serial).or_default();
            entry.number += 1;
            entry.flags.extend(message.flags);
        }
    }
    reader.logout();
    Ok(())
}

fn compare(ledger: &Ledger, copies: &BTreeMap<u64, Copies>, report: &mut MailboxReport) {
    for (serial, message) in ledger.messages() {
        let number = copies.get(&serial).map_or(0, |copies| copies.number);
        judge_number(serial, message, number, report);
    }
    for (serial, flags) in ledger.flags() {
        let set = copies.get(&serial).map(|copies| &copies.flags);
        let missing = flags.iter().filter(|flag| !set.is_some_and(|set| set.contains(**flag)));
        report.flags_lost.extend(missing.map(|flag| format!("{flag} of message {serial}")));
    }
}

fn judge_number(serial: u64, message: Message, number: u32, report: &mut MailboxReport) {
    let promised = u32::from(message.accepted);
    if number < promised {
        report.lost.push(serial);
    } else if number > promised + message.unknown {
        report.duplicated.push(serial);
    } else if number > 1 {
        report.repeated.push(serial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(accepted: bool, unknown: u32, number: u32) -> MailboxReport {
        let mut report = MailboxReport::default();
        judge_number(1, Message { accepted, unknown, refused: 0 }, number, &mut report);
        report
    }

    #[test]
    fn promised_and_absent_is_lost() {
        assert_eq!(judged(true, 0, 0).lost, [1]);
        assert_eq!(judged(true, 3, 0).lost, [1], "an unknown try does not excuse it");
        assert_eq!(judged(false, 1, 0), MailboxReport::default(), "nobody was promised anything");
    }

    #[test]
    fn twice_is_allowed_only_after_an_answer_that_never_came() {
        assert_eq!(judged(true, 0, 2).duplicated, [1]);
        assert_eq!(judged(true, 1, 2).repeated, [1]);
        assert_eq!(judged(true, 1, 3).duplicated, [1]);
        assert_eq!(judged(false, 0, 1).duplicated, [1], "a refused message must not be kept");
    }
}
