//! Killed at random moments under load: nothing acknowledged is lost, nothing is there twice, and
//! every row has its body.
//!
//! This program runs itself as a child. Its tasks lead every message through the same life and print
//! a line after each answer; the parent kills the child, opens the store and compares. A message may
//! be where its last printed step left it, or one step further, never elsewhere. No UID ever means another
//! message, acknowledged or only seen, and no mailbox changes its UIDVALIDITY. Three in four messages are
//! removed, so that segments are compacted and unlinked while it goes on.
//!
//! `CRASH_ROUNDS` sets how often it is killed, `SEED` repeats a run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use store::{
    AccountId, Body, Delivery, FlagAction, FlagNames, Flags, MailboxId, PasswordHash, Recipient, Store,
    StoreFlags,
};

const ROUNDS: u64 = 30;
/// Longest message. Many segments are filled in a run.
const MESSAGE_BYTES_MAX: u64 = 120 * 1024;
const TASKS: u64 = 24;
/// Steps of a message's life: delivered, seen, moved to the archive, removed.
const DELIVERED: u8 = 1;
const SEEN: u8 = 2;
const MOVED: u8 = 3;
const REMOVED: u8 = 4;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, role, dir, round] = words.as_slice()
        && role == "write-until-killed"
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime
            .expect("a runtime")
            .block_on(write_until_killed(Path::new(dir), round.parse().expect("a number")));
        return ExitCode::SUCCESS;
    }
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64)
    });
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    println!("crash: {rounds} rounds, SEED={seed}");
    let dir = tempfile::tempdir().expect("a directory");
    let mut dice = Dice(seed | 1);
    let (mut settled, mut numbers) = (BTreeMap::new(), Numbers::default());
    let mut segments = 0;
    for round in 0..rounds {
        let time = Duration::from_millis(20 + dice.roll(200));
        let acknowledged = run_and_kill(dir.path(), round, time, &mut numbers);
        segments += compare(dir.path(), round as u32 + 2, &mut settled, acknowledged, &mut numbers);
    }
    println!("crash: {} messages, none lost; segments were missing {segments} times", settled.len());
    assert!(settled.len() > 100, "the child hardly did anything");
    ExitCode::SUCCESS
}

/// What each UID has ever meant, and each mailbox's UIDVALIDITY.
#[derive(Default)]
struct Numbers {
    messages: BTreeMap<(String, u32), u64>,
    validities: BTreeMap<String, u32>,
}

impl Numbers {
    fn learn(&mut self, mailbox: &str, uid: u32, message: u64) {
        let before = self.messages.insert((mailbox.to_owned(), uid), message);
        assert!(before.is_none_or(|before| before == message), "UID {uid} of {mailbox} was used twice");
    }

    fn learn_validity(&mut self, mailbox: &str, validity: u32) {
        let before = self.validities.insert(mailbox.to_owned(), validity);
        assert!(before.is_none_or(|before| before == validity), "the UIDVALIDITY of {mailbox} has changed");
    }
}

/// Starts the child, kills it after `time` of work, and returns the last printed step of each message.
fn run_and_kill(dir: &Path, round: u64, time: Duration, numbers: &mut Numbers) -> BTreeMap<u64, u8> {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["write-until-killed".as_ref(), dir.as_os_str(), round.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "open", "the child could not open the store");
    std::thread::sleep(time);
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it ends");
    assert!(!status.success(), "the child ended by itself");
    let mut acknowledged = BTreeMap::new();
    for line in lines.map_while(Result::ok) {
        // The last line may be cut.
        let mut words = line.split(' ');
        let (number, step, uid) = (words.next(), words.next(), words.next());
        let (Some(number), Some(step), Some(uid), Some(".")) = (number, step, uid, words.next()) else {
            continue;
        };
        let number = number.parse().expect("a number");
        let (step, uid) = (step.parse().expect("a step"), uid.parse().expect("a UID"));
        numbers.learn(if step < MOVED { "INBOX" } else { "Archive" }, uid, number);
        acknowledged.insert(number, step);
    }
    acknowledged
}

/// What the store holds against what was acknowledged. What a round left is settled: nobody touches
/// it in later rounds, so there it must stay. Returns how many segments are gone.
fn compare(
    dir: &Path,
    epoch: u32,
    settled: &mut BTreeMap<u64, u8>,
    acknowledged: BTreeMap<u64, u8>,
    numbers: &mut Numbers,
) -> usize {
    let store = Store::open(dir, epoch).expect("the store opens");
    let report = store.check().expect("a check");
    assert_eq!(report.faults, [""; 0]);
    let mut found = BTreeMap::new();
    for account in store.accounts(None).expect("accounts") {
        for mailbox in store.mailboxes(account.id).expect("mailboxes") {
            numbers.learn_validity(&mailbox.name, mailbox.uid_validity);
            for row in store.rows(mailbox.id, &vec![1..=u32::MAX], false).expect("rows") {
                let body = store.read_body(&row.body).expect("a body");
                let number: u64 = String::from_utf8_lossy(&body[9..29]).trim().parse().expect("a number");
                assert_eq!(body, message(number), "the body is another one");
                numbers.learn(&mailbox.name, row.entry.uid, number);
                let step = match (mailbox.name.as_str(), row.entry.flags.contains(Flags::SEEN)) {
                    ("INBOX", false) => DELIVERED,
                    ("INBOX", true) => SEEN,
                    ("Archive", true) => MOVED,
                    other => panic!("message {number} is in a state nobody made: {other:?}"),
                };
                assert_eq!(found.insert(number, step), None, "message {number} is there twice");
            }
        }
    }
    for (number, step) in settled.iter() {
        let there = found.remove(number).unwrap_or(REMOVED);
        assert_eq!(there, *step, "message {number} of an earlier round has changed");
    }
    for (number, step) in acknowledged {
        // What is not there was removed, or its removal was under way.
        let there = found.remove(&number).unwrap_or(REMOVED);
        assert!(there == step || there == step + 1, "message {number}: acknowledged {step}, found {there}");
        settled.insert(number, there);
    }
    for (number, step) in found {
        assert_eq!(step, DELIVERED, "message {number} was never acknowledged, and yet it went on");
        settled.insert(number, step);
    }
    missing_segments(dir)
}

/// Segments up to the last one whose files are gone.
fn missing_segments(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir.join("segments")).expect("a listing");
    let name =
        |file: std::fs::DirEntry| file.file_name().into_string().ok()?.strip_suffix(".seg")?.parse().ok();
    let numbers: Vec<usize> = files.filter_map(|file| name(file.ok()?)).collect();
    numbers.iter().max().map_or(0, |last| last - numbers.len())
}

async fn write_until_killed(dir: &Path, round: u64) {
    let store = Store::open(dir, round as u32 + 2).expect("the store opens");
    let known = store.account_by_name("alice@example.test").expect("a look-up");
    let account = if let Some(account) = known {
        account.id
    } else {
        store.add_domain("example.test").await.expect("a domain");
        let password = PasswordHash(String::new());
        store.add_account("alice@example.test", password, None).await.expect("an account")
    };
    let box_id = |name| store.mailbox(account, name).expect("a look-up").expect("a mailbox").id;
    let (inbox, archive) = (box_id("INBOX"), box_id("Archive"));
    println!("open");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(live(store.clone(), account, inbox, archive, (round * TASKS + task) << 20)))
        .collect();
    for task in tasks {
        task.await.expect("a task never ends by itself");
    }
}

/// Leads one message after the other through its life.
async fn live(store: Store, account: AccountId, inbox: MailboxId, archive: MailboxId, first: u64) {
    for number in first.. {
        let body = Body::new(message(number));
        let recipients = vec![Recipient::inbox(account)];
        let delivery = Delivery { body, internal_date_s: 0, recipients, outgoing: None };
        let delivered = store.deliver(delivery).await.expect("a delivery");
        let uid = delivered.recipients[0].as_ref().expect("a place").uid;
        acknowledge(number, DELIVERED, uid);
        if number % 8 == 0 {
            continue;
        }
        let flags = FlagNames::system(Flags::SEEN);
        let change = StoreFlags { action: FlagAction::Add, flags, unchanged_since: None };
        store.store_flags(inbox, vec![uid..=uid], change).await.expect("a flag");
        acknowledge(number, SEEN, uid);
        let moved = store.move_messages(inbox, vec![uid..=uid], archive).await.expect("a move");
        let uid = moved.uids[0].1;
        acknowledge(number, MOVED, uid);
        if number % 8 != 1 {
            store.remove(archive, vec![uid..=uid]).await.expect("a removal");
            acknowledge(number, REMOVED, uid);
        }
    }
}

fn acknowledge(number: u64, step: u8, uid: u32) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{number} {step} {uid} .").expect("the parent reads");
}

/// The message of this number; its length differs.
fn message(number: u64) -> bytes::Bytes {
    let mut text = format!("Subject: {number:<20}\r\n\r\n");
    let length = Dice(number.wrapping_mul(2) | 1).roll(MESSAGE_BYTES_MAX) as usize;
    while text.len() < length {
        text.push_str("one line of text\r\n");
    }
    text.into()
}

/// A small generator of numbers (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}
