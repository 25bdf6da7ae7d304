//! Opening: who may, and what is found after a power cut; and giving space back.

mod fixture;

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fixture::{Fixture, fixture, message};
use store::{Body, BodyRef, Delivery, Recipient, Store, StoreError};

fn body_of(t: &Fixture, uid: u32) -> BodyRef {
    t.store.rows(t.inbox(), &vec![uid..=uid], false).expect("rows")[0].body
}

fn segment_path(t: &Fixture, segment: u32) -> PathBuf {
    t.dir.path().join(format!("segments/{segment:08}.seg"))
}

#[tokio::test]
async fn a_store_is_open_once_and_an_old_epoch_is_refused() {
    let mut t = fixture().await;
    assert!(matches!(Store::open(t.dir.path(), 2), Err(StoreError::InUse)));
    t.store.close().await.unwrap();
    assert!(matches!(t.store.ping().await, Err(StoreError::Closed)));
    let other = tempfile::tempdir().unwrap();
    t.store = Store::open(other.path(), 1).unwrap();
    drop(Store::open(t.dir.path(), 7).unwrap());
    let old = Store::open(t.dir.path(), 6);
    assert!(matches!(old, Err(StoreError::OldEpoch { seen: 7, mine: 6 })));
    let again = Store::open(t.dir.path(), 7).unwrap();
    again.ping().await.unwrap();
    assert_eq!(again.epoch(), 7);
}

#[tokio::test]
async fn a_later_format_is_refused() {
    let t = fixture().await;
    t.store.close().await.unwrap();
    let path = t.dir.path().join("mail.db");
    let database = rusqlite::Connection::open(path).unwrap();
    database.execute("UPDATE meta SET value = 99 WHERE name = 'format'", []).unwrap();
    drop(database);
    let (dir, store) = (t.dir, t.store);
    drop(store);
    assert!(matches!(Store::open(dir.path(), 1), Err(StoreError::NewerFormat { found: 99, .. })));
}

#[tokio::test]
async fn a_torn_tail_does_not_matter() {
    let mut t = fixture().await;
    t.deliver("one", &[t.alice]).await;
    let place = body_of(&t, 1);
    // Half a record behind the committed end, as a power cut between body and commit leaves it.
    let file = std::fs::OpenOptions::new().write(true).open(segment_path(&t, place.segment)).unwrap();
    file.write_all_at(b"TMb1 half a record", place.offset + 32 + u64::from(place.length)).unwrap();
    t.reopen().await;
    t.check();
    t.deliver("two", &[t.alice]).await;
    assert_eq!(t.store.read_body(&body_of(&t, 1)).unwrap(), message("one", 500));
    assert_eq!(t.store.read_body(&body_of(&t, 2)).unwrap(), message("two", 500));
    t.check();
}

#[tokio::test]
async fn a_damaged_body_is_told_not_served() {
    let t = fixture().await;
    for subject in ["one", "two"] {
        t.deliver(subject, &[t.alice]).await;
    }
    let place = body_of(&t, 1);
    let file = std::fs::OpenOptions::new().write(true).open(segment_path(&t, place.segment)).unwrap();
    file.write_all_at(b"?", place.offset + 40).unwrap();
    assert!(matches!(t.store.read_body(&place), Err(StoreError::Damaged { .. })));
    assert!(t.store.read_body(&body_of(&t, 2)).is_ok());
    let report = t.store.check().unwrap();
    assert_eq!((report.faults.len(), report.bodies), (1, 2), "{:?}", report.faults);
}

#[tokio::test]
async fn space_comes_back_and_readers_do_not_notice() {
    const MIB: usize = 1024 * 1024;
    const MESSAGES: u32 = 90;
    let mut t = fixture().await;
    for number in 0..MESSAGES {
        let body = Body::new(message(&format!("{number}"), 2 * MIB));
        let recipients = vec![Recipient::inbox(t.alice)];
        t.store.deliver(Delivery { body, internal_date_s: 0, recipients, outgoing: None }).await.unwrap();
    }
    let inbox = t.inbox();
    let last = body_of(&t, MESSAGES).segment;
    assert!(last >= 3, "several segments are needed here");
    // Every tenth message stays: the sealed segments are mostly dead.
    let kept: Vec<u32> = (1..=MESSAGES).filter(|uid| uid % 10 == 0).collect();
    let before: Vec<BodyRef> = kept.iter().map(|uid| body_of(&t, *uid)).collect();
    let doomed = (1..=MESSAGES).filter(|uid| uid % 10 != 0).map(|uid| uid..=uid).collect();
    t.store.remove(inbox, doomed).await.unwrap();
    let begin = Instant::now();
    while segment_path(&t, 1).exists() || segment_path(&t, 2).exists() {
        assert!(begin.elapsed() < Duration::from_mins(5), "the segments are still there");
        for (uid, place) in kept.iter().zip(&before) {
            let expected = message(&format!("{}", uid - 1), 2 * MIB);
            assert_eq!(t.store.read_body(place).unwrap(), expected);
            assert_eq!(&t.store.read_range(place, 0..9).unwrap()[..], b"Subject: ");
        }
    }
    t.reopen().await;
    for (uid, place) in kept.iter().zip(&before) {
        assert_eq!(t.store.read_body(place).unwrap(), message(&format!("{}", uid - 1), 2 * MIB));
    }
    t.check();
    // A deleted mailbox gives its space back too.
    t.store.rename_mailbox(t.alice, "INBOX", "old").await.unwrap();
    t.store.delete_mailbox(t.alice, "old").await.unwrap();
    while t.store.check().unwrap().bodies > 0 {
        assert!(begin.elapsed() < Duration::from_mins(5), "the bodies are still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(t.store.read_body(&before[0]), Err(StoreError::Gone)));
    t.check();
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_durable() {
    let mut t = fixture().await;
    let mut tasks = Vec::new();
    for number in 0..100 {
        let (store, alice) = (t.store.clone(), t.alice);
        tasks.push(tokio::spawn(async move {
            store.deliver(fixture::delivery(&format!("{number}"), &[alice])).await.is_ok()
        }));
    }
    tokio::task::yield_now().await;
    t.store.close().await.unwrap();
    let mut stored = 0;
    for task in tasks {
        stored += u32::from(task.await.unwrap());
    }
    t.reopen_after_close();
    assert_eq!(t.mailbox(t.alice, "INBOX").messages, stored);
    t.check();
}

#[tokio::test]
async fn the_log_is_bounded_under_load() {
    const KIB: usize = 1024;
    const SESSIONS: u32 = 32;
    let t = fixture().await;
    let mut tasks = Vec::new();
    for _ in 0..SESSIONS {
        let (store, alice) = (t.store.clone(), t.alice);
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                // 250 MiB go through the log in all.
                let body = Body::with_summary(message("x", 100), vec![0; 400 * KIB].into());
                let recipients = vec![Recipient::inbox(alice)];
                store
                    .deliver(Delivery { body, internal_date_s: 0, recipients, outgoing: None })
                    .await
                    .unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let log_bytes = t.dir.path().join("mail.db-wal").metadata().unwrap().len();
    // Its bound, and one batch beyond.
    assert!(log_bytes < 64 * 1024 * 1024, "{log_bytes}");
    t.check();
}
