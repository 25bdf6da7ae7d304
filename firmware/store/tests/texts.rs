//! The full-text index: what it says of bodies is what a plain look at them says.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::time::Duration;

use fixture::{Fixture, fixture};
use message::{Needle, Piece, Structure, TextPlan, Verdict, each_piece, fold};
use rusqlite::Connection;
use store::{Append, Body, BodyId, BodyRef, FlagNames, MailboxId, Store};

/// More messages than the index wants, to look into it.
const MESSAGES: usize = 60;

fn raw(number: usize) -> String {
    let words = ["apple", "banana", "cherry", "dragonfruit", "elderberry", "fig", "grape", "honeydew"];
    let picked: Vec<&str> =
        (0..words.len()).filter(|bit| number >> bit & 1 == 1).map(|bit| words[bit]).collect();
    let asian = ["你好世界", "今日は天気", "안녕하세요 여러분", "ก็ได้ครับ"][number % 4];
    let long = "0123456789abcdefghij".repeat(number % 5);
    format!(
        "Subject: Number {number} {}\r\nFrom: Person{} <p{number}@example.test>\r\nX-Tag: tag{}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nThe {} is ripe.\r\n{asian} {long}x{number}x\r\n",
        picked.first().unwrap_or(&"none"),
        number % 7,
        number % 3,
        picked.join(" and "),
    )
}

async fn fill(t: &Fixture, mailbox: MailboxId, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let body = Body::new(raw(number).into());
        let message = Append { body, flags: FlagNames::default(), internal_date_s: 1, zone_min: 0 };
        t.store.append(mailbox, vec![message]).await.unwrap();
    }
}

/// Waits until everything stored so far is in the index.
async fn indexed(store: &Store) {
    for _ in 0..1_000 {
        let progress = store.text_progress().unwrap();
        if progress.indexed >= progress.of {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the index does not get on: {:?}", store.text_progress());
}

fn bodies(store: &Store, mailbox: MailboxId) -> Vec<BodyRef> {
    store.rows(mailbox, &vec![1..=u32::MAX], false).unwrap().iter().map(|row| row.body).collect()
}

fn is_held(raw: &[u8], needle: &Needle, header: bool) -> bool {
    let mut found = false;
    each_piece(raw, &Structure::of(raw), &mut |piece| {
        found |= match piece {
            Piece::Field { name, value } => header && needle.is_in(&fold(&format!("{name}: {value}"))),
            Piece::Body(text) => needle.is_in(&fold(text)),
        };
        true
    });
    found
}

const NEEDLES: &[&str] = &[
    "apple",
    "BANANA",
    "anan",
    "rry",
    "ra",
    "z",
    "dragonfruit and eld",
    "on fruit",
    "The fig is",
    "is ripe.",
    "你好",
    "好世",
    "世界",
    "你好世界",
    "你",
    "天気",
    "は天",
    "안녕",
    "하세요",
    "세요 여",
    "ครับ",
    "x17x",
    "x5",
    "789abc",
    "j0123456789abcdefghij01234",
    "ijx44x",
    "Number 3",
    "number",
    "person4",
    "Subject: number 9",
    "tag1",
    "@example.test",
    "",
    ".",
    "no such text",
    "nosuchtext",
    "abcdefghijx",
];

/// Every needle against every body; how many verdicts needed no look.
fn compare(store: &Store, mailbox: MailboxId) -> usize {
    let places = bodies(store, mailbox);
    let ids: Vec<BodyId> = places.iter().map(|place| place.id).collect();
    let mut decided = 0;
    for text in NEEDLES {
        let needle = Needle::new(text);
        let plans = [TextPlan::body(&needle), TextPlan::anywhere(&needle)];
        let verdicts = store.judge_texts(&plans, &ids).unwrap();
        for (verdicts, header) in verdicts.iter().zip([false, true]) {
            for (place, verdict) in places.iter().zip(verdicts) {
                let raw = store.read_body(place).unwrap();
                let held = is_held(&raw, &needle, header);
                let wrong = if held { Verdict::No } else { Verdict::Yes };
                assert_ne!(*verdict, wrong, "{text:?} in {}", String::from_utf8_lossy(&raw));
                decided += usize::from(*verdict != Verdict::Look);
            }
        }
    }
    decided
}

/// Does something to the files while nobody has them open.
async fn closed_meanwhile(t: &mut Fixture, work: impl FnOnce()) {
    let epoch = t.store.epoch();
    t.store.close().await.unwrap();
    let empty = tempfile::tempdir().unwrap();
    t.store = Store::open(empty.path(), 1).unwrap();
    work();
    t.store = Store::open(t.dir.path(), epoch).unwrap();
}

#[tokio::test]
async fn the_index_says_what_a_look_says_before_and_after_messages_go_in() {
    let mut t = fixture().await;
    let inbox = t.inbox();
    fill(&t, inbox, 0..MESSAGES).await;
    // Still waiting in memory, or partly so.
    assert!(compare(&t.store, inbox) > 0);
    indexed(&t.store).await;
    let all = compare(&t.store, inbox);
    let asked = MESSAGES * NEEDLES.len() * 2;
    assert!(all > asked / 2, "the index decided {all} of {asked}");
    t.reopen().await;
    indexed(&t.store).await;
    assert_eq!(compare(&t.store, inbox), all);
    // More in another transaction, with words that are known already.
    fill(&t, inbox, MESSAGES..2 * MESSAGES).await;
    indexed(&t.store).await;
    assert!(compare(&t.store, inbox) > all);
}

#[tokio::test]
async fn bodies_that_go_leave_the_index_and_their_notes_go_too() {
    let mut t = fixture().await;
    let inbox = t.inbox();
    fill(&t, inbox, 0..MESSAGES).await;
    indexed(&t.store).await;
    let count = |t: &Fixture| -> i64 {
        let index = Connection::open(t.dir.path().join("text.db")).unwrap();
        index.query_row("SELECT count(*) FROM postings('\"bripe\"')", [], |row| row.get(0)).unwrap()
    };
    let notes = |t: &Fixture| -> i64 {
        let mail = Connection::open(t.dir.path().join("mail.db")).unwrap();
        mail.query_row("SELECT count(*) FROM unwanted_texts", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&t), MESSAGES as i64);
    t.store.remove(inbox, vec![1..=20]).await.unwrap();
    assert!(compare(&t.store, inbox) > 0);
    for _ in 0..1_000 {
        if count(&t) == MESSAGES as i64 - 20 && notes(&t) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((count(&t), notes(&t)), (MESSAGES as i64 - 20, 0));
    // A body that is still named elsewhere stays.
    let archive = t.store.create_mailbox(t.alice, "Kept", None).await.unwrap();
    t.store.copy(inbox, vec![21..=60], archive).await.unwrap();
    t.store.remove(inbox, vec![21..=60]).await.unwrap();
    assert!(compare(&t.store, archive) > 0);
    t.reopen().await;
    assert_eq!(count(&t), MESSAGES as i64 - 20);
    assert!(compare(&t.store, archive) > 0);
}

#[tokio::test]
async fn an_index_that_is_lost_damaged_or_foreign_is_made_anew() {
    let mut t = fixture().await;
    let inbox = t.inbox();
    fill(&t, inbox, 0..MESSAGES).await;
    indexed(&t.store).await;
    let decided = compare(&t.store, inbox);
    let path = t.dir.path().join("text.db");

    t.store.reindex_texts();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // It may begin at any time now.
    for _ in 0..1_000 {
        indexed(&t.store).await;
        if compare(&t.store, inbox) == decided {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(compare(&t.store, inbox), decided);

    let old = t.dir.path().join("old");
    closed_meanwhile(&mut t, || std::fs::rename(&path, &old).unwrap()).await;
    assert!(compare(&t.store, inbox) <= decided);
    indexed(&t.store).await;
    assert_eq!(compare(&t.store, inbox), decided);

    // Of another life of this store: its numbers may mean other bodies.
    closed_meanwhile(&mut t, || _ = std::fs::copy(&old, &path).unwrap()).await;
    indexed(&t.store).await;
    assert_eq!(compare(&t.store, inbox), decided);

    closed_meanwhile(&mut t, || std::fs::write(&path, vec![7; 8192]).unwrap()).await;
    indexed(&t.store).await;
    assert_eq!(compare(&t.store, inbox), decided);
}

#[tokio::test]
async fn a_check_sees_what_the_index_lacks_and_a_rebuild_mends_it() {
    let mut t = fixture().await;
    let inbox = t.inbox();
    fill(&t, inbox, 0..MESSAGES).await;
    indexed(&t.store).await;
    assert_eq!(t.store.check().unwrap().faults, Vec::<String>::new());

    let path = t.dir.path().join("text.db");
    let forget_one = || {
        let index = Connection::open(&path).unwrap();
        let middle = "SELECT id FROM postings_docsize ORDER BY id LIMIT 1 OFFSET 30";
        let body: i64 = index.query_row(middle, [], |row| row.get(0)).unwrap();
        index.execute("DELETE FROM postings WHERE rowid = ?1", [body]).unwrap();
    };
    closed_meanwhile(&mut t, forget_one).await;
    indexed(&t.store).await;
    let faults = t.store.check().unwrap().faults;
    assert!(faults.len() == 1 && faults[0].starts_with("1 bodies ("), "{faults:?}");

    t.store.reindex_texts();
    // It begins in a while.
    for _ in 0..1_000 {
        indexed(&t.store).await;
        if t.store.check().unwrap().faults.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(t.store.check().unwrap().faults, Vec::<String>::new());
    compare(&t.store, inbox);
}
