//! A disk that says no, at every point.
//!
//! This program runs itself as a child under strace(1), which makes the kernel's answer to one kind of
//! system call an error from some call on: a failed sync, a fenced write (EBADE), a file system that has
//! become read-only (EROFS), a full disk for a while (ENOSPC). The child delivers and prints what was
//! acknowledged; the parent opens the store afterwards, without faults, and compares.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use store::{AccountId, Body, Delivery, PasswordHash, Recipient, Store, StoreError};

/// Deliveries of a child at the same time, and in all.
const TASKS: u64 = 4;
const MESSAGES: u64 = 60;

/// An error, the calls that answer it, from which call on.
struct Fault {
    error: &'static str,
    calls: &'static str,
    first: &'static [u32],
    /// How many calls in a row; 0 is all.
    count: u32,
    end: End,
}

/// What the store must make of it.
#[derive(PartialEq, Eq)]
enum End {
    /// It fails, and acknowledges nothing more.
    Fails,
    /// It refuses what grows, and goes on.
    Refuses,
    /// Either, by which file it was.
    Either,
}

const WRITES: &str = "pwrite64,pwritev";

const FAULTS: &[Fault] = &[
    Fault { error: "EIO", calls: "fdatasync", first: &[1, 2, 3, 5, 8, 13, 21], count: 1, end: End::Fails },
    Fault { error: "EIO", calls: "sync_file_range", first: &[1, 2, 9], count: 1, end: End::Fails },
    Fault { error: "EIO", calls: WRITES, first: &[1, 2, 5, 12, 33, 60], count: 1, end: End::Fails },
    Fault { error: "EBADE", calls: WRITES, first: &[1, 7, 40], count: 0, end: End::Fails },
    Fault { error: "EBADE", calls: "fdatasync", first: &[4], count: 0, end: End::Fails },
    Fault { error: "EROFS", calls: WRITES, first: &[1, 19], count: 0, end: End::Fails },
    Fault {
        error: "ENOSPC",
        calls: WRITES,
        first: &[1, 2, 3, 4, 6, 9, 14, 22, 35, 50],
        count: 3,
        end: End::Refuses,
    },
    Fault { error: "ENOSPC", calls: "fdatasync", first: &[1, 5], count: 1, end: End::Either },
    Fault { error: "ENOSPC", calls: "fallocate", first: &[1], count: 0, end: End::Refuses },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, role, dir] = words.as_slice()
        && role == "work"
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(work(Path::new(dir)));
        return ExitCode::SUCCESS;
    }
    let possible = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("faults: strace cannot be used here, so no faults were made");
        return ExitCode::SUCCESS;
    }
    let mut told = 0;
    for fault in FAULTS {
        for first in fault.first {
            told += usize::from(meet(fault, *first));
        }
    }
    println!("faults: {told} stores failed as they must, nothing acknowledged was lost");
    assert!(told > 10, "the faults were hardly met");
    ExitCode::SUCCESS
}

/// Runs a child that meets the fault; true if its store failed of it.
fn meet(fault: &Fault, first: u32) -> bool {
    // On the file system of the build: bodies are overwritten in place there.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let what = format!("{} of {} from call {first} on", fault.error, fault.calls);
    prepare(dir.path());
    let range = match fault.count {
        0 => format!("{first}+"),
        count => format!("{first}..{}", first + count - 1),
    };
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={}", fault.calls), "-e"])
        .arg(format!("inject={}:error={}:when={range}", fault.calls, fault.error))
        .args([program.as_os_str(), "work".as_ref(), dir.path().as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("strace starts");
    let mut acknowledged = BTreeSet::new();
    let (mut failed, mut refused) = (false, false);
    for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
        match line.expect("text").as_str() {
            "failed" => failed = true,
            "refused" => refused = true,
            number => assert!(acknowledged.insert(number.parse::<u64>().expect("a number")), "{what}"),
        }
    }
    assert!(child.wait().expect("it ends").success(), "{what}: the child came to grief");
    let store = Store::open(dir.path(), 1).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.check().expect("a check").faults, [""; 0], "{what}");
    let account = store.account_by_name("a@example.test").expect("a look-up").expect("an account").id;
    let inbox = store.mailbox(account, "INBOX").expect("a look-up").expect("an inbox");
    let mut found = BTreeSet::new();
    for row in store.rows(inbox.id, &vec![1..=u32::MAX], false).expect("rows") {
        let body = store.read_body(&row.body).expect("a body");
        let number = String::from_utf8_lossy(&body[9..19]).trim().parse::<u64>().expect("a number");
        assert!(found.insert(number), "{what}: message {number} is there twice");
    }
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{what}: lost {lost:?}");
    if fault.end == End::Fails {
        // Some faults are met only in what can be done without, or not at all.
        assert!(!refused, "{what}: it was taken for a full disk");
        assert!(failed || acknowledged.len() as u64 == MESSAGES, "{what}: neither failed nor done");
    }
    if fault.end == End::Refuses {
        // What cannot be opened with a full disk has not begun to answer.
        assert!(!failed || acknowledged.is_empty(), "{what}: a full disk is not a failed one");
    }
    failed
}

/// A store with an account and some mail, so that the child begins in the middle.
fn prepare(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(dir, 1).expect("the store opens");
        store.add_domain("example.test").await.expect("a domain");
        store.add_account("a@example.test", PasswordHash(String::new()), None).await.expect("an account");
        store.close().await.expect("it closes");
    });
}

async fn work(dir: &Path) {
    // A store that cannot even be opened has acknowledged nothing.
    let Ok(store) = Store::open(dir, 1) else { return say("failed") };
    let Ok(Some(account)) = store.account_by_name("a@example.test") else { return say("failed") };
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, account) = (store.clone(), account.id);
            tokio::spawn(async move {
                for number in (task..MESSAGES).step_by(TASKS as usize) {
                    let bytes = 200 + number as usize * 300;
                    let text =
                        [format!("Subject: {number:<10}\r\n\r\n").into_bytes(), vec![b'x'; bytes]].concat();
                    let recipients = vec![Recipient::inbox(account)];
                    let body = Body::new(text.into());
                    let delivery = Delivery { body, internal_date_s: 0, recipients, outgoing: None };
                    match store.deliver(delivery).await {
                        Ok(delivered) if delivered.recipients.iter().all(Result::is_ok) => {
                            say(&number.to_string());
                        }
                        Err(StoreError::DiskFull) => say("refused"),
                        Err(StoreError::Failed(_)) => return,
                        other => panic!("another answer: {other:?}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task ends well");
    }
    if store.failed().borrow().is_some() {
        // From now on nothing is acknowledged, whether it would work again or not.
        assert!(matches!(store.ping().await, Err(StoreError::Failed(_))));
        assert!(can_be_read(&store, account.id));
        say("failed");
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}").expect("the parent reads");
}

/// What is there can still be read.
fn can_be_read(store: &Store, account: AccountId) -> bool {
    let Ok(Some(inbox)) = store.mailbox(account, "INBOX") else { return false };
    store.rows(inbox.id, &vec![1..=u32::MAX], false).is_ok()
}
