//! The load: senders by every door, readers by IMAP and POP3, all the time, faults or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::clients::Answer;
use crate::clients::imap::{self, Reader};
use crate::clients::pop3::Mailbox;
use crate::clients::smtp::{Door, Fate, Sender};
use crate::clients::stream::{Patience, Tls};
use crate::parts::{ACCOUNT_PASSWORD, virtual_port};

use super::ledger::Ledger;
use super::message::{address, for_sending, is_whole, recipient, serial_of};
use super::plan::splitmix;

/// Pause of a sender with TLS and password after each message: the boxes are emulated, and the judge is not
/// a benchmark.
const SENDER_PAUSE: Duration = Duration::from_millis(250);
/// Pause of the sender at the server's door. Its messages cost little: the outage is measured mostly with them.
const SERVER_PAUSE: Duration = Duration::from_millis(60);
/// Messages over one connection; at the server's door every message comes over a new one, as from
/// servers everywhere.
const MESSAGES_PER_CONNECTION: u32 = 8;
/// Pause after a connection that could not be made.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Pause of a reader between two looks.
const READER_PAUSE: Duration = Duration::from_millis(900);
/// Messages flagged at a look.
const FLAGGED_AT_ONCE: usize = 6;
/// Senders give up soon: the outage is measured with them, and no finer than this.
const SENDER_PATIENCE: Patience =
    Patience { connect: Duration::from_millis(120), answer: Duration::from_secs(2) };
/// Readers have more time.
pub const READER_PATIENCE: Patience =
    Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(10) };
/// Load yields to the boxes (nice(2)).
const NICENESS: i32 = 5;

/// The running load.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Client {
    ledger: Arc<Ledger>,
    tls: Tls,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts three senders, two IMAP readers and one POP3 reader.
    pub fn start(ledger: Arc<Ledger>, tls: &Tls) -> Self {
        let _ = rustix::process::nice(NICENESS);
        let stop = Arc::new(AtomicBool::new(false));
        let client = Client { ledger, tls: tls.clone(), stop: Arc::clone(&stop) };
        let senders = [Door::Server, Door::Submission, Door::Submissions].map(|door| {
            let client = client.clone();
            thread::spawn(move || client.send_all_the_time(door))
        });
        let imap = [(0, imap::Door::Imaps), (1, imap::Door::Imap)].map(|(account, door)| {
            let client = client.clone();
            thread::spawn(move || client.flag_all_the_time(account, door))
        });
        let pop3 = thread::spawn(move || client.fetch_all_the_time(1));
        Self { stop, senders: senders.into(), readers: imap.into_iter().chain([pop3]).collect() }
    }

    /// Ends the load once every sender got an answer for its last message; gives how many did not
    /// within `most`.
    pub fn finish(self, most: Duration) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let began = Instant::now();
        let unfinished = || self.senders.iter().filter(|sender| !sender.is_finished()).count();
        while unfinished() > 0 && began.elapsed() < most {
            thread::sleep(Duration::from_millis(50));
        }
        let unanswered = unfinished();
        while self.readers.iter().any(|reader| !reader.is_finished()) && began.elapsed() < 2 * most {
            thread::sleep(Duration::from_millis(50));
        }
        unanswered
    }
}

impl Client {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn send_all_the_time(&self, door: Door) {
        let mut connection = None;
        let mut sent = 0;
        let pause = if door == Door::Server { SERVER_PAUSE } else { SENDER_PAUSE };
        while self.goes_on() {
            let serial = self.ledger.new_message();
            // One message until it is answered, then the next: as a mail server would.
            while !self.try_to_send(&mut connection, door, serial) {
                thread::sleep(RETRY_PAUSE);
            }
            sent += 1;
            if (door == Door::Server || sent % MESSAGES_PER_CONNECTION == 0)
                && let Some(sender) = connection.take()
            {
                Sender::quit(sender);
            }
            thread::sleep(pause);
        }
    }

    fn try_to_send(&self, connection: &mut Option<Sender>, door: Door, serial: u64) -> bool {
        let from = address(recipient(serial) + 1);
        let sender = connection.take().map_or_else(|| self.connect(door, &from), Ok);
        let Ok(mut sender) = sender else { return false };
        let message = for_sending(self.ledger.run(), serial);
        match sender.send(&from, &address(recipient(serial)), &message) {
            Ok(Fate::Accepted) => {
                self.ledger.accepted(serial);
                *connection = Some(sender);
                true
            }
            Ok(Fate::Refused(_)) => {
                self.ledger.refused(serial);
                false
            }
            Ok(Fate::Unknown(_)) => {
                self.ledger.unknown(serial);
                false
            }
            Err(_) => false,
        }
    }

    fn connect(&self, door: Door, from: &str) -> Answer<Sender> {
        let to = virtual_port(door.port());
        Sender::connect(to, door, &self.tls, (from, ACCOUNT_PASSWORD), SENDER_PATIENCE)
    }

    fn flag_all_the_time(&self, account: usize, door: imap::Door) {
        let mut connection = None;
        while self.goes_on() {
            let reader = match connection.take() {
                Some(reader) => Ok(reader),
                None => self.open_inbox(account, door),
            };
            if let Ok(mut reader) = reader
                && self.flag_some(&mut reader).is_ok()
            {
                connection = Some(reader);
            }
            thread::sleep(READER_PAUSE);
        }
        if let Some(reader) = connection {
            reader.logout();
        }
    }

    fn open_inbox(&self, account: usize, door: imap::Door) -> Answer<Reader> {
        let login = (&*address(account), ACCOUNT_PASSWORD);
        let mut reader = Reader::connect(virtual_port(door.port()), door, &self.tls, login, READER_PATIENCE)?;
        reader.select("INBOX")?;
        Ok(reader)
    }

    fn flag_some(&self, reader: &mut Reader) -> Answer<()> {
        let mut unseen = reader.search("UNSEEN")?;
        unseen.truncate(FLAGGED_AT_ONCE);
        let Some(set) = uid_set(&unseen) else { return Ok(()) };
        let headers = reader.fetch(&set, "BODY.PEEK[HEADER]")?;
        let serials: Vec<_> = headers
            .iter()
            .filter_map(|header| Some((header.uid, serial_of(self.ledger.run(), &header.content)?)))
            .collect();
        let even: Vec<_> = serials.iter().copied().filter(|(_, serial)| serial % 4 < 2).collect();
        for (flag, chosen) in [("\\Flagged", even), ("\\Seen", serials)] {
            let uids: Vec<u32> = chosen.iter().map(|(uid, _)| *uid).collect();
            let Some(set) = uid_set(&uids) else { continue };
            reader.set_flag(&set, flag)?;
            for (_, serial) in chosen {
                self.ledger.flagged(serial, flag);
            }
        }
        // What other runs left unread would be found again and again.
        reader.set_flag(&set, "\\Seen")
    }

    fn fetch_all_the_time(&self, account: usize) {
        let mut random = 1;
        while self.goes_on() {
            let _ = self.fetch_one(account, &mut random);
            thread::sleep(2 * READER_PAUSE);
        }
    }

    fn fetch_one(&self, account: usize, random: &mut u64) -> Answer<()> {
        let login = (&*address(account), ACCOUNT_PASSWORD);
        let mut mailbox = Mailbox::connect(virtual_port(995), &self.tls, login, READER_PATIENCE)?;
        let list = mailbox.unique_ids()?;
        if let Some((number, _)) = list.get(splitmix(random) as usize % list.len().max(1)) {
            let message = mailbox.retrieve(*number)?;
            if let Some(serial) = serial_of(self.ledger.run(), &message) {
                let whole = is_whole(self.ledger.run(), serial, &message);
                self.ledger
                    .read((!whole).then(|| format!("message {serial} read by POP3 is not what was sent")));
            }
        }
        mailbox.quit();
        Ok(())
    }
}

/// UIDs as a set (RFC 9051 section 9).
pub fn uid_set(uids: &[u32]) -> Option<String> {
    let list: Vec<String> = uids.iter().map(u32::to_string).collect();
    (!list.is_empty()).then(|| list.join(","))
}
