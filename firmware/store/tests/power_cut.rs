//! Power cuts, byte by byte: what the disk may hold of a batch that was never acknowledged.
//!
//! A store is copied before and after one batch. Every mixture of the two in which the log, or the bodies,
//! reached the disk only in part must open, hold what was acknowledged before, and be whole.

mod fixture;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fixture::{append, fixture_in, message};
use store::{
    AccountId, Append, Body, Delivery, Flags, Mailbox, MailboxId, Outgoing, OutgoingRecipient, QueueEntry,
    QueueFilter, Recipient, Store,
};
use tempfile::TempDir;

/// What is known of a moment.
struct Moment {
    dir: TempDir,
    inbox: Mailbox,
    messages: usize,
    queued: usize,
    /// The segment that grows, where its last batch began, and its end.
    segment: PathBuf,
    settled: u64,
    end: u64,
}

/// On the file system of the build, where bodies are overwritten in place; `/tmp` may have none.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

fn mailbox(store: &Store, id: MailboxId) -> Mailbox {
    store.mailbox_by_id(id).expect("a look-up").expect("a mailbox")
}

/// Segment number, where the last batch began, end.
fn tail(dir: &Path) -> (u32, u64, u64) {
    let database = rusqlite::Connection::open(dir.join("mail.db")).expect("the database");
    let sql = "SELECT id, settled_bytes, bytes FROM segments ORDER BY id DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))
    };
    database.query_row(sql, [], read).expect("a segment")
}

fn queued(store: &Store) -> Vec<QueueEntry> {
    store.queue(&QueueFilter::default(), 0, 100).expect("the queue").0
}

fn copy(from: &Path, into: &Path) {
    std::fs::create_dir_all(into.join("segments")).expect("a directory");
    for name in ["mail.db", "mail.db-wal"] {
        std::fs::copy(from.join(name), into.join(name)).expect("a copy");
    }
    for entry in std::fs::read_dir(from.join("segments")).expect("a listing") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), into.join("segments").join(entry.file_name())).expect("a copy");
    }
}

fn moment(store: &Store, from: &Path, account: AccountId) -> Moment {
    let dir = directory();
    copy(from, dir.path());
    let inbox = store.mailbox(account, "INBOX").expect("a look-up").expect("an inbox");
    let messages = store.check().expect("a check").messages as usize;
    let queued = queued(store).len();
    let (number, settled, end) = tail(from);
    let segment = PathBuf::from(format!("segments/{number:08}.seg"));
    Moment { dir, inbox, messages, queued, segment, settled, end }
}

/// Delivers until bodies share the sync of the log.
async fn warm_up(store: &Store, dir: &Path, account: AccountId) {
    for _ in 0..500 {
        store.deliver(fixture::delivery("before", &[account])).await.expect("a delivery");
        let (_, settled, end) = tail(dir);
        if settled < end {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("bodies are never overwritten in place in {}; build on ext4", dir.display());
}

/// Opens a mixture, looks at it from all sides, and goes on with it.
async fn opens_whole(dir: &Path, after: &Moment, account: AccountId, what: &str) -> (Mailbox, usize, usize) {
    let store = Store::open(dir, 1).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = store.check().expect("a check");
    assert_eq!(report.faults, [""; 0], "{what}");
    let inbox = mailbox(&store, after.inbox.id);
    assert_eq!(inbox.messages as usize, store.snapshot(inbox.id).expect("a snapshot").entries.len());
    for entry in queued(&store) {
        let item = store.queue_claim_one(entry.id).expect("the queue").expect("a recipient");
        store.read_body(&item.body).expect("a queued body");
    }
    let queued = queued(&store).len();
    let delivered = store.deliver(fixture::delivery("after", &[account])).await.expect("a delivery");
    let uid = delivered.recipients[0].as_ref().expect("a place").uid;
    assert!(uid >= inbox.uid_next, "{what}: UID {uid} is used again");
    store.close().await.expect("it closes");
    drop(store);
    let store = Store::open(dir, 1).expect("it opens once more");
    assert_eq!(store.check().expect("a check").faults, [""; 0], "{what}, the second time");
    assert_eq!(mailbox(&store, inbox.id).messages, inbox.messages + 1);
    (inbox, report.messages as usize, queued)
}

/// Two moments around one batch, with nothing between them that an idle writer did: it looks after the
/// store once a second, which on a starved machine is soon.
async fn around_a_batch(delivers: bool) -> (Moment, Moment, AccountId) {
    for _ in 0..20 {
        let (before, after, account) = moments_around_a_batch(delivers).await;
        if (after.settled, after.segment.as_path()) == (before.end, before.segment.as_path()) {
            return (before, after, account);
        }
    }
    panic!("a batch does not begin where the one before it ended");
}

/// Five messages appended at once, or one to two accounts and the queue.
async fn moments_around_a_batch(delivers: bool) -> (Moment, Moment, AccountId) {
    let t = fixture_in(directory()).await;
    warm_up(&t.store, t.dir.path(), t.alice).await;
    let before = moment(&t.store, t.dir.path(), t.alice);
    if delivers {
        let recipients = vec![Recipient::inbox(t.alice), Recipient::inbox(t.bob)];
        let far = OutgoingRecipient { address: "x@far.test".to_owned(), notify: 6, original: None };
        let outgoing = Some(Outgoing {
            sender: "alice@example.test".to_owned(),
            recipients: vec![far],
            ..Outgoing::default()
        });
        let body = Body::new(message("to many", 3_000));
        t.store
            .deliver(Delivery { body, internal_date_s: 0, recipients, outgoing })
            .await
            .expect("a delivery");
    } else {
        let bodies = [700, 4_000, 9_000, 60, 2_000].map(|bytes| Body::new(message("one of five", bytes)));
        let five = bodies.map(|body| Append { body, ..append("", Flags::SEEN, &["word"]) });
        t.store.append(before.inbox.id, five.to_vec()).await.expect("an APPEND");
    }
    let after = moment(&t.store, t.dir.path(), t.alice);
    (before, after, t.alice)
}

fn cut_bodies(dir: &Path, after: &Moment, keeps: impl Fn(u64) -> bool) {
    let file = OpenOptions::new().write(true).open(dir.join(&after.segment)).expect("the segment");
    for at in after.settled..after.end {
        if !keeps(at) {
            file.write_all_at(&[0], at).expect("a write");
        }
    }
}

#[tokio::test]
async fn rows_whose_bodies_did_not_reach_the_disk_go() {
    for delivers in [false, true] {
        let (before, after, account) = around_a_batch(delivers).await;
        let length = after.end - after.settled;
        let mut cuts: Vec<u64> = [0, 1, 31, 32, 33, 700, 740, 5_000, length - 1].to_vec();
        cuts.retain(|cut| *cut < length);
        for cut in cuts {
            let dir = directory();
            copy(after.dir.path(), dir.path());
            cut_bodies(dir.path(), &after, |at| at < after.settled + cut);
            let what = format!("bodies cut after {cut} of {length} bytes");
            let (inbox, messages, queued) = opens_whole(dir.path(), &after, account, &what).await;
            assert!(messages >= before.messages && messages < after.messages, "{what}: {messages} messages");
            assert!(cut > 740 || messages <= before.messages + 1, "{what}: {messages} messages");
            assert_eq!(inbox.uid_next, after.inbox.uid_next, "the UIDs stay used");
            assert!(inbox.highest_modseq > after.inbox.highest_modseq, "sessions hear of it");
            assert_eq!(queued, before.queued, "nothing is sent that was never accepted");
        }
        // Sectors in any order: one of them is missing.
        for missing in 0..length.div_ceil(512) {
            let dir = directory();
            copy(after.dir.path(), dir.path());
            cut_bodies(dir.path(), &after, |at| at / 512 != after.settled / 512 + missing);
            let what = format!("sector {missing} of the bodies missing");
            let (_, messages, _) = opens_whole(dir.path(), &after, account, &what).await;
            assert!(messages >= before.messages && messages < after.messages, "{what}: {messages} messages");
        }
        let dir = directory();
        copy(after.dir.path(), dir.path());
        let (_, messages, queued) = opens_whole(dir.path(), &after, account, "all of it").await;
        assert_eq!((messages, queued), (after.messages, after.queued), "what is whole stays");
    }
}

#[tokio::test]
async fn a_torn_log_ends_at_the_batch_before() {
    let (before, after, account) = around_a_batch(false).await;
    let log = |moment: &Moment| std::fs::read(moment.dir.path().join("mail.db-wal")).expect("the log");
    let (old, new) = (log(&before), log(&after));
    let differs = |at: usize| old.get(at) != new.get(at);
    let first = (0..new.len()).find(|at| differs(*at)).expect("the log has grown");
    let last = (0..new.len()).rev().find(|at| differs(*at)).expect("the log has grown");
    let pieces = 24;
    for piece in 0..=pieces {
        let cut = first + (last - first) * piece / pieces;
        for bodies_too in [false, true] {
            let dir = directory();
            copy(after.dir.path(), dir.path());
            let file = File::options().write(true).open(dir.path().join("mail.db-wal")).expect("the log");
            // Either the file ends there, or what it held before is still there.
            if piece % 2 == 0 {
                file.set_len(cut as u64).expect("a cut");
            } else {
                file.write_all_at(old.get(cut..).unwrap_or_default(), cut as u64).expect("a write");
                file.set_len(old.len() as u64).expect("a cut");
            }
            if bodies_too {
                cut_bodies(dir.path(), &after, |_| false);
            }
            let what = format!("log cut at {cut} of {first}..{last}");
            let (inbox, messages, _) = opens_whole(dir.path(), &after, account, &what).await;
            assert_eq!((messages, inbox), (before.messages, before.inbox.clone()), "{what}");
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_long_ago_is_not_judged_by_the_tail() {
    let t = fixture_in(directory()).await;
    warm_up(&t.store, t.dir.path(), t.alice).await;
    // An idle writer remembers that the sync has returned.
    for _ in 0..600 {
        let (_, settled, end) = tail(t.dir.path());
        if settled == end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let moment = moment(&t.store, t.dir.path(), t.alice);
    assert_eq!(moment.settled, moment.end);
    let segment = OpenOptions::new().write(true).open(moment.dir.path().join(&moment.segment)).expect("it");
    segment.write_all_at(b"?", moment.end - 10).expect("a write");
    let store = Store::open(moment.dir.path(), 1).expect("it opens");
    let report = store.check().expect("a check");
    assert_eq!((report.messages as usize, report.faults.len()), (moment.messages, 1), "told, not removed");
}
