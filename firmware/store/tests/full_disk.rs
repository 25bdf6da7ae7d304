//! A full disk, and a disk that fails.
//!
//! This program runs itself as a child: in a mount namespace of its own with a small tmpfs for the
//! full disk, and under a limit of file size (which the kernel answers with EFBIG, an error no one
//! expects of a disk) for the one that fails.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use store::{
    AccountId, Body, Delivery, FlagAction, FlagNames, Flags, MailboxId, PasswordHash, Recipient, Store,
    StoreError, StoreFlags,
};

const TMPFS_BYTES: &str = "96m";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let story = match words.get(1).map(String::as_str) {
        Some("fill-the-disk") => tell(fill_the_disk(Path::new(&words[2]))),
        Some("fail-the-disk") => tell(fail_the_disk(Path::new(&words[2]))),
        _ => return run_children(),
    };
    println!("{story}");
    ExitCode::SUCCESS
}

fn run_children() -> ExitCode {
    let program = std::env::current_exe().expect("this program");
    let dir = tempfile::tempdir().expect("a directory");
    // An ignored signal stays ignored in the child: the write then fails instead of killing it.
    let failing = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" fail-the-disk \"$1\""])
        .args([program.as_os_str(), dir.path().as_os_str()])
        .status()
        .expect("sh starts");
    assert!(failing.success(), "fail-the-disk: {failing}");

    let dir = tempfile::tempdir().expect("a directory");
    let mount =
        format!("mount -t tmpfs -o size={TMPFS_BYTES} tmpfs \"$1\" && exec \"$0\" fill-the-disk \"$1\"");
    let namespace = ["--user", "--map-root-user", "--mount"];
    let possible =
        Command::new("unshare").args(namespace).args(["sh", "-c", "mount -t tmpfs tmpfs /tmp"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("full_disk: no user namespaces here, so only the failing disk was tested");
        return ExitCode::SUCCESS;
    }
    let filling = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &mount])
        .args([program.as_os_str(), dir.path().as_os_str()])
        .status()
        .expect("unshare starts");
    assert!(filling.success(), "fill-the-disk: {filling}");
    ExitCode::SUCCESS
}

fn tell(story: impl Future<Output = String>) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(story)
}

async fn new_store(dir: &Path) -> (Store, AccountId, MailboxId) {
    let store = Store::open(dir, 1).expect("the store opens");
    store.add_domain("example.test").await.expect("a domain");
    let account =
        store.add_account("a@example.test", PasswordHash(String::new()), None).await.expect("an account");
    let inbox = store.mailbox(account, "INBOX").expect("a look-up").expect("an inbox").id;
    (store, account, inbox)
}

async fn deliver(store: &Store, account: AccountId, bytes: usize) -> Result<u32, StoreError> {
    let body = Body::new([b"Subject: x\r\n\r\n".to_vec(), vec![b'x'; bytes]].concat().into());
    let recipients = vec![Recipient::inbox(account)];
    let delivered = store.deliver(Delivery { body, internal_date_s: 0, recipients, outgoing: None }).await?;
    delivered.recipients.into_iter().next().expect("one outcome").map(|placed| placed.uid)
}

/// Delivers until the store says no; returns how many it took.
async fn deliver_until_full(store: &Store, account: AccountId, bytes: usize) -> u32 {
    for count in 0.. {
        match deliver(store, account, bytes).await {
            Ok(_) => {}
            Err(StoreError::DiskFull) => return count,
            Err(error) => panic!("another error: {error}"),
        }
    }
    unreachable!("a disk is full one day")
}

async fn fill_the_disk(dir: &Path) -> String {
    let (store, account, inbox) = new_store(dir).await;
    let mut count = 0;
    for bytes in [300_000, 20_000, 500] {
        count += deliver_until_full(&store, account, bytes).await;
    }
    assert!(count > 200, "only {count} messages");
    assert_eq!(*store.failed().borrow(), None, "a full disk is not a failed one");
    let mailbox = store.mailbox_by_id(inbox).expect("a look-up").expect("an inbox");
    assert_eq!(mailbox.messages, count);
    for row in store.rows(inbox, &vec![1..=50], false).expect("rows") {
        store.read_body(&row.body).expect("it can be read");
    }
    // Flags, moves and deleting go on; the trash fills and is emptied.
    let flags = FlagNames::system(Flags::SEEN);
    let change = StoreFlags { action: FlagAction::Add, flags, unchanged_since: None };
    let stored = store.store_flags(inbox, vec![1..=count], change).await.expect("flags change");
    assert_eq!(stored.changed.len(), count as usize);
    let trash = store.mailbox(account, "Trash").expect("a look-up").expect("a trash").id;
    let half = vec![1..=count / 2];
    assert_eq!(store.move_messages(inbox, half, trash).await.expect("a move").uids.len() as u32, count / 2);
    store.remove(trash, vec![1..=u32::MAX]).await.expect("a removal");
    // The space comes back by itself.
    let begin = Instant::now();
    while let Err(error) = deliver(&store, account, 20_000).await {
        assert!(matches!(error, StoreError::DiskFull), "another error: {error}");
        assert!(begin.elapsed() < Duration::from_mins(5), "the space did not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let waited_ms = begin.elapsed().as_millis();
    assert_eq!(store.check().expect("a check").faults, [""; 0]);
    store.close().await.expect("it closes");
    drop(store);
    let store = Store::open(dir, 1).expect("it opens again");
    let messages = store.mailbox_by_id(inbox).expect("a look-up").expect("an inbox").messages;
    assert_eq!(messages, count - count / 2 + 1);
    assert_eq!(store.check().expect("a check").faults, [""; 0]);
    thin_out(&store, account, inbox).await;
    let messages = store.mailbox_by_id(inbox).expect("a look-up").expect("an inbox").messages;
    open_a_full_disk(store, dir, account, inbox, messages).await;
    format!("full disk: {count} messages until it was full, mail again {waited_ms} ms after deleting half")
}

/// What people delete is spread over all segments: their room comes back as well.
async fn thin_out(store: &Store, account: AccountId, inbox: MailboxId) {
    // The log has its full length after a moment's rest, and deleting needs no more room from then on.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for bytes in [300_000, 20_000, 500] {
        deliver_until_full(store, account, bytes).await;
    }
    let uids: Vec<u32> =
        store.snapshot(inbox).expect("it can be read").entries.iter().map(|entry| entry.uid).collect();
    let third = uids.iter().step_by(3).map(|uid| *uid..=*uid).collect();
    store.remove(inbox, third).await.expect("a removal");
    let begin = Instant::now();
    while let Err(error) = deliver(store, account, 300_000).await {
        assert!(matches!(error, StoreError::DiskFull), "another error: {error}");
        assert!(begin.elapsed() < Duration::from_mins(1), "the space did not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.check().expect("a check").faults, [""; 0]);
}

/// Not one block is left while the store is closed: it opens all the same, and mail can be deleted.
async fn open_a_full_disk(store: Store, dir: &Path, account: AccountId, inbox: MailboxId, messages: u32) {
    for file in ["reserve", "reserve-opening"] {
        assert!(dir.join(file).exists(), "{file}: space is kept back again");
    }
    let (mut store, mut messages) = (store, messages);
    // The first time with what is kept for deleting still there, then without.
    for _ in 0..3 {
        store.close().await.expect("it closes");
        drop(store);
        fill_to_the_last_block(dir);
        store = Store::open(dir, 1).expect("it opens with a full disk");
        for bytes in [20_000, 500] {
            messages += deliver_until_full(&store, account, bytes).await;
        }
        assert_eq!(store.snapshot(inbox).expect("it can be read").entries.len(), messages as usize);
    }
    let removed = store.remove(inbox, vec![1..=u32::MAX]).await.expect("a removal");
    assert_eq!(removed.uids.len(), messages as usize);
    assert_eq!(*store.failed().borrow(), None);
    assert_eq!(store.check().expect("a check").faults, [""; 0]);
    store.close().await.expect("it closes");
}

fn fill_to_the_last_block(dir: &Path) {
    let mut junk = OpenOptions::new().create(true).append(true).open(dir.join("junk")).expect("a file");
    let mut bytes = 1024 * 1024;
    while bytes > 0 {
        // In ever smaller pieces.
        if junk.write_all(&vec![1; bytes]).is_err() {
            bytes /= 2;
        }
    }
}

async fn fail_the_disk(dir: &Path) -> String {
    let (store, account, _) = new_store(dir).await;
    let limit = Rlimit { current: Some(12 * 1024 * 1024), maximum: None };
    setrlimit(Resource::Fsize, limit).expect("a limit");
    let mut failed = store.failed();
    let mut count = 0;
    let error = loop {
        match deliver(&store, account, 100_000).await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Failed(_)), "another error: {error}");
    assert!(failed.wait_for(Option::is_some).await.is_ok());
    setrlimit(Resource::Fsize, Rlimit { current: None, maximum: None }).expect("no limit");
    // Even though it would go now, nothing is acknowledged any more.
    assert!(matches!(deliver(&store, account, 10).await, Err(StoreError::Failed(_))));
    assert!(matches!(store.ping().await, Err(StoreError::Failed(_))));
    let inbox = store.mailbox(account, "INBOX").expect("reading goes on").expect("an inbox");
    assert_eq!(inbox.messages, count);
    drop(store);
    let store = Store::open(dir, 1).expect("it opens again");
    assert_eq!(store.check().expect("a check").faults, [""; 0]);
    assert_eq!(store.mailbox_by_id(inbox.id).expect("a look-up").expect("an inbox").messages, count);
    deliver(&store, account, 100_000).await.expect("a delivery");
    format!("failing disk: {count} messages acknowledged and kept, none after the error")
}
