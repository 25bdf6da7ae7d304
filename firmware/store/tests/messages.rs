//! Messages come in, change, move and go.

mod fixture;

use fixture::{append, body, delivery, fixture, message};
use message::SummaryView;
use store::{
    Body, Delivery, FlagAction, FlagNames, Flags, Outgoing, OutgoingRecipient, PasswordHash, Recipient,
    StoreError, StoreFlags,
};

fn change(action: FlagAction, system: Flags, keywords: &[&str]) -> StoreFlags {
    let keywords = keywords.iter().map(|&keyword| keyword.to_owned()).collect();
    StoreFlags { action, flags: FlagNames { system, keywords }, unchanged_since: None }
}

#[tokio::test]
async fn a_message_to_many_is_stored_once_and_read_back_byte_for_byte() {
    let mut t = fixture().await;
    let delivered = t.deliver("hello", &[t.alice, t.bob]).await;
    assert!(delivered.recipients.iter().all(Result::is_ok));
    t.reopen().await;
    let mut bodies = Vec::new();
    for account in [t.alice, t.bob] {
        let inbox = t.mailbox(account, "inbox");
        assert_eq!((inbox.messages, inbox.unseen, inbox.uid_next), (1, 1, 2));
        let rows = t.store.rows(inbox.id, &vec![1..=u32::MAX], true).unwrap();
        assert_eq!(t.store.read_body(&rows[0].body).unwrap(), message("hello", 500));
        assert_eq!(&t.store.read_range(&rows[0].body, 9..14).unwrap()[..], b"hello");
        let view = SummaryView::parse(&rows[0].summary).unwrap();
        assert!(view.envelope().starts_with(b"(NIL \"hello\" (("));
        assert_eq!(rows[0].internal_date_s, 1_000);
        bodies.push(rows[0].body);
    }
    assert_eq!(bodies[0], bodies[1]);
    t.check();
    assert_eq!(t.store.check().unwrap().bodies, 1);
    // The body goes with its last name.
    let bob_inbox = t.mailbox(t.bob, "INBOX").id;
    t.store.remove(t.inbox(), vec![1..=1]).await.unwrap();
    assert!(t.store.read_body(&bodies[0]).is_ok());
    t.store.remove(bob_inbox, vec![1..=1]).await.unwrap();
    assert_eq!(t.store.check().unwrap().bodies, 0);
    t.check();
}

#[tokio::test]
async fn a_full_recipient_does_not_block_the_others() {
    let t = fixture().await;
    t.store.set_quota("bob@example.test", Some(100)).await.unwrap();
    let delivered = t.deliver("big", &[t.bob, t.alice]).await;
    assert!(matches!(delivered.recipients[0], Err(StoreError::OverQuota)));
    assert!(delivered.recipients[1].is_ok());
    assert!(!t.store.quota(t.bob).unwrap().unwrap().has_room(500, 1));
    let inbox = t.mailbox(t.bob, "INBOX").id;
    let refused = t.store.append(inbox, vec![append("x", Flags::default(), &[])]).await;
    assert!(matches!(refused, Err(StoreError::OverQuota)));
    // Nobody may have it: nothing is stored.
    t.deliver("big", &[t.bob]).await;
    assert_eq!(t.store.check().unwrap().bodies, 1);
    t.check();
}

#[tokio::test]
async fn who_is_over_quota_can_throw_away() {
    let t = fixture().await;
    t.deliver("one", &[t.alice]).await;
    t.deliver("two", &[t.alice]).await;
    t.store.set_quota("alice@example.test", Some(1)).await.unwrap();
    let (inbox, trash) = (t.inbox(), t.mailbox(t.alice, "Trash").id);
    let archive = t.mailbox(t.alice, "Archive").id;
    assert!(matches!(t.store.copy(inbox, vec![1..=1], archive).await, Err(StoreError::OverQuota)));
    t.store.copy(inbox, vec![1..=1], trash).await.unwrap();
    t.store.move_messages(inbox, vec![2..=2], trash).await.unwrap();
    t.store.store_flags(inbox, vec![1..=1], change(FlagAction::Add, Flags::DELETED, &[])).await.unwrap();
    t.store.expunge(inbox, None).await.unwrap();
    t.store.remove(trash, vec![1..=9]).await.unwrap();
    let quota = t.store.quota(t.alice).unwrap().unwrap();
    assert_eq!((quota.used_bytes, quota.used_messages), (0, 0));
    t.check();
}

#[tokio::test]
async fn flags_change_with_rising_mod_sequences() {
    let t = fixture().await;
    let inbox = t.inbox();
    for subject in ["a", "b", "c"] {
        t.deliver(subject, &[t.alice]).await;
    }
    let first = t
        .store
        .store_flags(inbox, vec![1..=2], change(FlagAction::Add, Flags::SEEN, &["$Work"]))
        .await
        .unwrap();
    assert_eq!((first.changed.len(), first.keywords.as_slice()), (2, &["$Work".to_owned()][..]));
    assert_eq!(first.changed[0].flags, Flags::SEEN.union(Flags::keyword(0)));
    let again = t
        .store
        .store_flags(inbox, vec![1..=1], change(FlagAction::Add, Flags::SEEN, &["$WORK"]))
        .await
        .unwrap();
    assert_eq!((again.changed.len(), again.unchanged.len()), (0, 1));
    assert_eq!(again.highest_modseq, first.highest_modseq);
    // UNCHANGEDSINCE leaves alone what changed meanwhile.
    let guarded = StoreFlags {
        unchanged_since: Some(first.highest_modseq - 1),
        ..change(FlagAction::Replace, Flags::FLAGGED, &[])
    };
    let guarded = t.store.store_flags(inbox, vec![1..=3], guarded).await.unwrap();
    assert_eq!((guarded.refused, guarded.changed[0].uid), (vec![1, 2], 3));
    assert!(guarded.highest_modseq > first.highest_modseq);
    let mailbox = t.mailbox(t.alice, "INBOX");
    assert_eq!((mailbox.unseen, mailbox.highest_modseq), (1, guarded.highest_modseq));
    t.store
        .store_flags(inbox, vec![1..=9], change(FlagAction::Remove, Flags::SEEN, &["$none"]))
        .await
        .unwrap();
    assert_eq!(t.mailbox(t.alice, "INBOX").keywords, ["$Work"]);
    t.check();
}

#[tokio::test]
async fn keywords_are_bounded_and_a_refused_request_leaves_nothing_behind() {
    let t = fixture().await;
    let inbox = t.inbox();
    let names: Vec<String> = (0..Flags::KEYWORDS_MAX).map(|number| format!("k{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    t.store.append(inbox, vec![append("x", Flags::default(), &names)]).await.unwrap();
    let before = t.mailbox(t.alice, "INBOX");
    let messages = vec![append("y", Flags::default(), &[]), append("z", Flags::SEEN, &["one-too-many"])];
    let refused = t.store.append(inbox, messages).await;
    assert!(matches!(refused, Err(StoreError::TooManyKeywords { .. })));
    assert_eq!(t.mailbox(t.alice, "INBOX"), before);
    let placed = t.store.append(inbox, vec![append("w", Flags::SEEN, &["K46"])]).await.unwrap();
    assert_eq!(placed.uids, [2]);
    let entry = t.store.snapshot(inbox).unwrap().entries[1];
    assert_eq!(entry.flags.keywords().collect::<Vec<_>>(), [46]);
    t.check();
}

#[tokio::test]
async fn copies_and_moves_keep_flags_dates_and_bodies() {
    let t = fixture().await;
    let (inbox, archive) = (t.inbox(), t.mailbox(t.alice, "Archive").id);
    t.store.append(archive, vec![append("there", Flags::default(), &["other"])]).await.unwrap();
    t.store
        .append(inbox, vec![append("a", Flags::SEEN, &["mine"]), append("b", Flags::DRAFT, &[])])
        .await
        .unwrap();
    let copied = t.store.copy(inbox, vec![1..=1, 7..=9], archive).await.unwrap();
    assert_eq!(copied.uids, [(1, 2)]);
    assert_eq!(copied.uid_validity, t.mailbox(t.alice, "Archive").uid_validity);
    let moved = t.store.move_messages(inbox, vec![1..=2], archive).await.unwrap();
    assert_eq!(moved.uids, [(1, 3), (2, 4)]);
    assert_eq!(t.uids(inbox), [0; 0]);
    let rows = t.store.rows(archive, &vec![2..=4], false).unwrap();
    assert_eq!(rows[0].body, rows[1].body);
    assert!(rows.iter().all(|row| row.internal_date_s == 2_000));
    let keywords = t.mailbox(t.alice, "Archive").keywords;
    assert_eq!(keywords, ["other", "mine"]);
    assert_eq!(rows[1].entry.flags, Flags::SEEN.union(Flags::keyword(1)));
    assert_eq!(t.mailbox(t.alice, "INBOX").highest_modseq, moved.source_modseq);
    assert!(t.store.copy(inbox, vec![5..=5], archive).await.unwrap().uids.is_empty());
    let gone = t.store.copy(inbox, vec![1..=1], store::MailboxId(99)).await;
    assert!(matches!(gone, Err(StoreError::NoSuchMailbox)));
    t.check();
}

#[tokio::test]
async fn a_session_learns_what_others_did() {
    let t = fixture().await;
    let inbox = t.inbox();
    for subject in ["a", "b", "c"] {
        t.deliver(subject, &[t.alice]).await;
    }
    let seen = t.store.snapshot(inbox).unwrap();
    let mut watch = t.store.watch(inbox);
    t.store.store_flags(inbox, vec![2..=2], change(FlagAction::Add, Flags::SEEN, &[])).await.unwrap();
    t.store.remove(inbox, vec![1..=1]).await.unwrap();
    t.deliver("d", &[t.alice]).await;
    t.store.store_flags(inbox, vec![4..=4], change(FlagAction::Add, Flags::FLAGGED, &[])).await.unwrap();
    watch.changed().await.unwrap();
    let changes = t.store.changes_since(inbox, seen.mailbox.highest_modseq).unwrap();
    let uids = |entries: &[store::Entry]| entries.iter().map(|entry| entry.uid).collect::<Vec<_>>();
    assert_eq!((uids(&changes.arrived), uids(&changes.changed)), (vec![4], vec![2]));
    assert_eq!((changes.expunged.as_slice(), changes.complete), (&[1][..], true));
    assert_eq!(changes.mailbox.highest_modseq, *watch.borrow_and_update());
    let nothing = t.store.changes_since(inbox, changes.mailbox.highest_modseq).unwrap();
    assert!(nothing.arrived.is_empty() && nothing.changed.is_empty() && nothing.expunged.is_empty());
    t.store.delete_mailbox(t.alice, "Archive").await.unwrap();
    assert!(!watch.has_changed().unwrap());
}

#[tokio::test]
async fn expunge_takes_only_what_is_marked() {
    let t = fixture().await;
    let inbox = t.inbox();
    for subject in ["a", "b", "c", "d"] {
        t.deliver(subject, &[t.alice]).await;
    }
    t.store.store_flags(inbox, vec![1..=3], change(FlagAction::Add, Flags::DELETED, &[])).await.unwrap();
    assert_eq!(t.mailbox(t.alice, "INBOX").deleted, 3);
    assert_eq!(t.store.expunge(inbox, Some(vec![2..=2, 4..=4])).await.unwrap().uids, [2]);
    assert_eq!(t.store.expunge(inbox, None).await.unwrap().uids, [1, 3]);
    assert_eq!(t.store.expunge(inbox, None).await.unwrap().uids, [0; 0]);
    assert_eq!(t.uids(inbox), [4]);
    t.check();
}

#[tokio::test]
async fn the_log_of_expunged_messages_is_bounded() {
    let t = fixture().await;
    let inbox = t.inbox();
    let before = t.mailbox(t.alice, "INBOX").highest_modseq;
    let copies = || async { t.store.copy(inbox, vec![1..=u32::MAX], inbox).await.unwrap() };
    t.deliver("x", &[t.alice]).await;
    while t.mailbox(t.alice, "INBOX").messages < 60_000 {
        copies().await;
    }
    let all = t.mailbox(t.alice, "INBOX").messages;
    t.store.remove(inbox, vec![1..=30_000]).await.unwrap();
    assert!(t.store.changes_since(inbox, before).unwrap().complete);
    t.store.remove(inbox, vec![30_001..=55_000]).await.unwrap();
    let changes = t.store.changes_since(inbox, before).unwrap();
    assert!(!changes.complete && changes.expunged.len() == 25_000, "{}", changes.expunged.len());
    assert_eq!(t.mailbox(t.alice, "INBOX").messages, all - 55_000);
    t.check();
}

#[tokio::test]
async fn recent_messages_belong_to_one_session() {
    let t = fixture().await;
    t.deliver("a", &[t.alice]).await;
    let inbox = || t.mailbox(t.alice, "INBOX");
    assert_eq!(t.store.claim_recent(&inbox()), 1);
    assert_eq!(t.store.claim_recent(&inbox()), 2);
    t.deliver("b", &[t.alice]).await;
    assert_eq!(t.store.first_recent(&inbox()), 2);
    assert_eq!(t.store.claim_recent(&inbox()), 2);
    // Claims are recorded at the end; never beyond what there is, and never back.
    t.store.record_recent(inbox().id, 99).await.unwrap();
    t.store.record_recent(inbox().id, 1).await.unwrap();
    assert_eq!(inbox().first_recent, 3);
}

#[tokio::test]
async fn one_wrong_request_does_not_hurt_its_batch() {
    let t = fixture().await;
    let mut tasks = Vec::new();
    for number in 0..200_u32 {
        let (store, alice, inbox) = (t.store.clone(), t.alice, t.inbox());
        tasks.push(tokio::spawn(async move {
            match number % 4 {
                0 => store
                    .append(store::MailboxId(1 << 40), vec![append("x", Flags::default(), &[])])
                    .await
                    .is_err(),
                1 => store.create_mailbox(alice, "INBOX", None).await.is_err(),
                2 => {
                    store.append(inbox, vec![append("y", Flags::default(), &["bad keyword"])]).await.is_err()
                }
                _ => store.deliver(delivery("z", &[alice])).await.unwrap().recipients[0].is_ok(),
            }
        }));
    }
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(t.mailbox(t.alice, "INBOX").messages, 50);
    t.check();
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_it_costs_anything() {
    let t = fixture().await;
    let huge = Body::with_summary(vec![b'x'; 121 * 1024 * 1024].into(), Box::default());
    let delivery = Delivery {
        body: huge,
        internal_date_s: 0,
        recipients: vec![Recipient::inbox(t.alice)],
        outgoing: None,
    };
    assert!(matches!(t.store.deliver(delivery).await, Err(StoreError::TooLarge { .. })));
    // The largest that may come has a segment of its own.
    let large = Body::new(message("large", 100 * 1024 * 1024));
    let bytes = large.bytes().clone();
    let delivery = Delivery {
        body: large,
        internal_date_s: 0,
        recipients: vec![Recipient::inbox(t.alice)],
        outgoing: None,
    };
    t.store.deliver(delivery).await.unwrap();
    t.deliver("small", &[t.alice]).await;
    let rows = t.store.rows(t.inbox(), &vec![1..=2], false).unwrap();
    assert_eq!(t.store.read_body(&rows[0].body).unwrap(), bytes);
    assert_ne!(rows[0].body.segment, rows[1].body.segment);
    t.check();
}

#[tokio::test]
async fn local_and_remote_recipients_are_stored_together() {
    let t = fixture().await;
    let outgoing = Outgoing {
        sender: "alice@example.test".to_owned(),
        recipients: vec![OutgoingRecipient { address: "x@far.test".to_owned(), notify: 6, original: None }],
        first_try_ms: 0,
        expires_ms: 1,
        eight_bit: true,
        ..Outgoing::default()
    };
    let delivery = Delivery { outgoing: Some(outgoing), body: body("both"), ..delivery("both", &[t.bob]) };
    let delivered = t.store.deliver(delivery).await.unwrap();
    assert!(delivered.recipients[0].is_ok() && delivered.queued.is_some());
    let report = t.store.check().unwrap();
    assert_eq!((report.bodies, report.messages, report.faults.len()), (1, 1, 0));
    t.store.add_domain("other.test").await.unwrap();
    t.store.add_account("c@other.test", PasswordHash(String::new()), None).await.unwrap();
}
