//! What is kept in memory says the same as the database, whoever asks and whenever.

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fixture::{Fixture, append, delivery, fixture};
use store::{
    Entry, FlagAction, FlagNames, Flags, Mailbox, MailboxId, Snapshot, SpecialUse, Store, StoreError,
    StoreFlags,
};

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

/// The numbers of a snapshot belong to its messages, at any moment.
fn is_whole(snapshot: &Snapshot) {
    let Snapshot { mailbox, entries } = snapshot;
    assert!(entries.is_sorted_by(|one, two| one.uid < two.uid), "the UIDs rise");
    assert_eq!(mailbox.messages as usize, entries.len());
    let with = |flag| entries.iter().filter(|entry| entry.flags.contains(flag)).count();
    assert_eq!(mailbox.unseen as usize, entries.len() - with(Flags::SEEN));
    assert_eq!(mailbox.deleted as usize, with(Flags::DELETED));
    assert_eq!(mailbox.bytes, entries.iter().map(|entry| u64::from(entry.size_bytes)).sum::<u64>());
    assert!(
        entries.iter().all(|entry| entry.uid < mailbox.uid_next && entry.modseq <= mailbox.highest_modseq)
    );
}

fn entries_of_the_database(store: &Store, mailbox: MailboxId) -> Vec<Entry> {
    let rows = store.rows(mailbox, &vec![1..=u32::MAX], false).expect("rows");
    rows.into_iter().map(|row| row.entry).collect()
}

async fn work(store: Store, mailboxes: [MailboxId; 3], alice: store::AccountId, seed: u64) {
    let mut dice = Dice(seed);
    for round in 0..150 {
        let one = mailboxes[dice.roll(3) as usize];
        let other = mailboxes[dice.roll(3) as usize];
        let first = dice.roll(60) as u32 + 1;
        let uids = vec![first..=first + dice.roll(20) as u32];
        let flag = [Flags::SEEN, Flags::DELETED, Flags::FLAGGED][dice.roll(3) as usize];
        let action = [FlagAction::Add, FlagAction::Remove, FlagAction::Replace][dice.roll(3) as usize];
        let done = match dice.roll(8) {
            0 => store.deliver(delivery("x", &[alice])).await.map(drop),
            1 | 2 => {
                let keyword = format!("word{}", dice.roll(5));
                store
                    .append(one, vec![append("x", flag, &[&keyword]), append("y", flag, &[])])
                    .await
                    .map(drop)
            }
            3 => {
                let change = StoreFlags { action, flags: FlagNames::system(flag), unchanged_since: None };
                store.store_flags(one, uids, change).await.map(drop)
            }
            4 if one != other => store.copy(one, uids, other).await.map(drop),
            5 if one != other => store.move_messages(one, uids, other).await.map(drop),
            6 => store.expunge(one, None).await.map(drop),
            _ => store.record_recent(one, u32::MAX).await,
        };
        done.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
}

fn lists(t: &Fixture) -> Vec<Mailbox> {
    [t.alice, t.bob].iter().flat_map(|account| t.store.mailboxes(*account).expect("a list")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_and_database_agree_under_load() {
    let mut t = fixture().await;
    let mailboxes =
        ["INBOX", "Archive", "Trash"].map(|name| t.store.mailbox(t.alice, name).unwrap().unwrap().id);
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let (store, over, alice) = (t.store.clone(), over.clone(), t.alice);
        readers.push(std::thread::spawn(move || {
            let mut looks = 0;
            let mut seen = [0; 3];
            while !over.load(Ordering::Relaxed) {
                for (mailbox, seen) in mailboxes.iter().zip(&mut seen) {
                    let snapshot = store.snapshot(*mailbox).unwrap();
                    is_whole(&snapshot);
                    assert!(snapshot.mailbox.highest_modseq >= *seen, "time goes back");
                    *seen = snapshot.mailbox.highest_modseq;
                    looks += 1;
                }
                let list = store.mailboxes(alice).unwrap();
                assert_eq!(list[0].name, "INBOX");
            }
            looks
        }));
    }
    let workers: Vec<_> = (0..6)
        .map(|number| tokio::spawn(work(t.store.clone(), mailboxes, t.alice, 0x5EED + number * 77)))
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 10);
    }
    let mut kept = Vec::new();
    for mailbox in mailboxes {
        let snapshot = t.store.snapshot(mailbox).unwrap();
        is_whole(&snapshot);
        assert_eq!(snapshot.entries.to_vec(), entries_of_the_database(&t.store, mailbox));
        kept.push(snapshot);
    }
    let before = lists(&t);
    // Another process would read this.
    t.reopen().await;
    assert_eq!(lists(&t), before);
    for (mailbox, kept) in mailboxes.iter().zip(kept) {
        let read = t.store.snapshot(*mailbox).unwrap();
        assert_eq!((read.mailbox, read.entries), (kept.mailbox, kept.entries));
    }
    t.check();
}

#[tokio::test]
async fn names_and_uses_in_memory_follow() {
    let t = fixture().await;
    let list = |name| t.store.mailbox(t.alice, name).unwrap();
    let work = t.store.create_mailbox(t.alice, "work/a", None).await.unwrap();
    assert_eq!(t.store.snapshot(work).unwrap().mailbox.name, "work/a");
    t.store.rename_mailbox(t.alice, "work", "play").await.unwrap();
    assert_eq!(t.store.snapshot(work).unwrap().mailbox.name, "play/a");
    assert_eq!(t.store.mailbox_by_id(work).unwrap().unwrap().name, "play/a");
    assert!(list("work/a").is_none() && list("play/a").is_some());
    t.store.set_special_use(list("Archive").unwrap().id, None).await.unwrap();
    t.store.set_special_use(work, Some(SpecialUse::Archive)).await.unwrap();
    assert_eq!(t.store.snapshot(work).unwrap().mailbox.special_use, Some(SpecialUse::Archive));
    assert_eq!(list("play/a").unwrap().special_use, Some(SpecialUse::Archive));
    t.store.delete_mailbox(t.alice, "play/a").await.unwrap();
    assert!(list("play/a").is_none() && t.store.mailbox_by_id(work).unwrap().is_none());
    assert!(matches!(t.store.snapshot(work), Err(StoreError::NoSuchMailbox)));
    let inbox = t.inbox();
    t.store.snapshot(inbox).unwrap();
    t.store.remove_account("alice@example.test").await.unwrap();
    assert!(t.store.mailboxes(t.alice).unwrap().is_empty());
    assert!(matches!(t.store.snapshot(inbox), Err(StoreError::NoSuchMailbox)));
    assert!(t.store.mailbox_by_id(inbox).unwrap().is_none());
}
