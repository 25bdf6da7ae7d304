//! Access control lists, annotations, feeds.

mod fixture;

use fixture::{append, fixture};
use store::{AclChange, Flags, MailboxEvent, PasswordHash, Rights, StoreError};

fn rights(letters: &str) -> Rights {
    Rights::parse(letters).expect("rights")
}

#[tokio::test]
async fn a_list_gives_and_takes() {
    let t = fixture().await;
    let work = t.store.create_mailbox(t.alice, "work", None).await.unwrap();
    let seen_by_bob = || t.store.shared_mailboxes(t.bob).unwrap();
    assert!(seen_by_bob().is_empty());
    t.store.set_acl(work, "anyone", false, AclChange::Replace, rights("lrs")).await.unwrap();
    t.store.set_acl(work, "Bob@example.test", false, AclChange::Add, rights("i")).await.unwrap();
    t.store.set_acl(work, "bob@example.test", true, AclChange::Add, rights("s")).await.unwrap();
    let shared = seen_by_bob();
    assert_eq!(shared.len(), 1);
    assert_eq!((shared[0].owner.as_str(), shared[0].mailbox.name.as_str()), ("alice@example.test", "work"));
    assert_eq!(shared[0].rights, rights("lri"));
    let found = t.store.shared_mailbox(t.bob, "alice@example.test", "work").unwrap().unwrap();
    assert_eq!((found.rights, found.mailbox.id), (rights("lri"), work));

    // Below it the same counts, and for the owner nothing has changed.
    let below = t.store.create_mailbox(t.alice, "work/2026/q4", None).await.unwrap();
    let mailbox = t.store.mailbox_by_id(below).unwrap().unwrap();
    assert_eq!(t.store.rights(t.bob, &mailbox).unwrap(), rights("lri"));
    assert_eq!(t.store.rights(t.alice, &mailbox).unwrap(), Rights::ALL);
    assert_eq!(seen_by_bob().len(), 3);

    // The owner can narrow its own rights, but not lock itself out.
    t.store.set_acl(below, "alice@example.test", false, AclChange::Replace, rights("lr")).await.unwrap();
    assert_eq!(t.store.rights(t.alice, &mailbox).unwrap(), rights("lrkxa"));
    t.store.set_acl(below, "alice@example.test", false, AclChange::Replace, Rights::ALL).await.unwrap();
    assert_eq!(t.store.acl(below).unwrap().len(), 3);

    t.store.set_acl(work, "bob@example.test", false, AclChange::Remove, rights("i")).await.unwrap();
    t.store.set_acl(work, "anyone", false, AclChange::Replace, Rights::default()).await.unwrap();
    assert_eq!(seen_by_bob().len(), 2, "a negative entry alone shows nothing");
    let nobody = t.store.set_acl(work, "carol@example.test", false, AclChange::Replace, rights("l")).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchAccount)));
}

#[tokio::test]
async fn domains_do_not_see_each_other() {
    let t = fixture().await;
    t.store.add_domain("other.test").await.unwrap();
    let eve = t.store.add_account("eve@other.test", PasswordHash(String::new()), None).await.unwrap();
    let inbox = t.mailbox(t.alice, "INBOX");
    t.store.set_acl(inbox.id, "anyone", false, AclChange::Replace, Rights::ALL).await.unwrap();
    assert!(t.store.shared_mailboxes(eve).unwrap().is_empty());
    assert!(t.store.shared_mailbox(eve, "alice@example.test", "INBOX").unwrap().is_none());
    assert_eq!(t.store.rights(eve, &inbox).unwrap(), Rights::default());
    let outside = t.store.set_acl(inbox.id, "eve@other.test", false, AclChange::Replace, Rights::ALL).await;
    assert!(matches!(outside, Err(StoreError::NoSuchAccount)));
    assert_eq!(t.store.shared_mailboxes(t.bob).unwrap().len(), 1);
    assert!(t.store.may_post(&inbox, None).unwrap());

    // Who comes later under the same address does not get what the one before had.
    t.store.set_acl(inbox.id, "anyone", false, AclChange::Replace, Rights::default()).await.unwrap();
    t.store.set_acl(inbox.id, "bob@example.test", false, AclChange::Replace, Rights::ALL).await.unwrap();
    t.store.remove_account("bob@example.test").await.unwrap();
    let bob = t.store.add_account("bob@example.test", PasswordHash(String::new()), None).await.unwrap();
    assert!(t.store.shared_mailboxes(bob).unwrap().is_empty());
    assert!(!t.store.may_post(&inbox, Some(bob)).unwrap());
}

#[tokio::test]
async fn annotations_follow_the_mailbox() {
    let t = fixture().await;
    let work = t.store.create_mailbox(t.alice, "work", None).await.unwrap();
    let set = |name: &str, value: &[u8]| vec![(name.to_owned(), Some(value.to_vec()))];
    t.store.set_metadata(Some(work), t.alice, set("/Private/Comment", b"mine")).await.unwrap();
    t.store.set_metadata(Some(work), t.bob, set("/private/comment", b"bob's")).await.unwrap();
    t.store.set_metadata(Some(work), t.alice, set("/shared/comment", b"ours\0")).await.unwrap();
    t.store.rename_mailbox(t.alice, "work", "play").await.unwrap();
    let seen = |account| {
        let entries = t.store.metadata(Some(work), account).unwrap();
        entries.into_iter().map(|entry| String::from_utf8(entry.value).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seen(t.alice), ["mine", "ours\0"]);
    assert_eq!(seen(t.bob), ["bob's", "ours\0"]);
    t.store.set_metadata(Some(work), t.alice, vec![("/shared/comment".to_owned(), None)]).await.unwrap();
    assert_eq!(seen(t.bob), ["bob's"]);
    let bad = t.store.set_metadata(None, t.alice, set("comment", b"")).await;
    assert!(matches!(bad, Err(StoreError::BadMetadataName(_))));
    // All or none.
    let mut many: Vec<_> = (0..200).map(|n| (format!("/private/x{n}"), Some(vec![b'x']))).collect();
    many.insert(0, ("/private/first".to_owned(), Some(vec![1])));
    assert!(matches!(t.store.set_metadata(None, t.alice, many).await, Err(StoreError::TooManyMetadata)));
    assert!(t.store.metadata(None, t.alice).unwrap().is_empty());
    t.store.delete_mailbox(t.alice, "play").await.unwrap();
    assert!(t.store.metadata(Some(work), t.alice).unwrap().is_empty());
    t.check();
}

#[tokio::test]
async fn a_feed_tells_after_the_commit() {
    let t = fixture().await;
    let mut feed = t.store.feed();
    feed.follow([t.alice]);
    t.deliver("x", &[t.alice, t.bob]).await;
    assert_eq!(feed.take().messages, [t.inbox()].into());
    let b = t.store.create_mailbox(t.alice, "a/b", None).await.unwrap();
    let failed = t.store.create_mailbox(t.alice, "a/b", None).await;
    assert!(failed.is_err());
    t.store.create_mailbox(t.bob, "c", None).await.unwrap();
    t.store.rename_mailbox(t.alice, "a/b", "d").await.unwrap();
    t.store.subscribe(t.alice, "d", true).await.unwrap();
    t.store.subscribe(t.alice, "d", true).await.unwrap();
    t.store.append(b, vec![append("y", Flags::default(), &[])]).await.unwrap();
    t.store.delete_mailbox(t.alice, "d").await.unwrap();
    feed.arrived().await;
    let heard = feed.take();
    assert_eq!(heard.messages, [b].into());
    let told: Vec<MailboxEvent> = heard.events.into_iter().map(|(_, event)| event).collect();
    let text = |text: &str| text.to_owned();
    assert!(matches!(&told[0], MailboxEvent::Created { name, .. } if name == "a"));
    assert_eq!(
        told[1..],
        [
            MailboxEvent::Created { mailbox: b, name: text("a/b") },
            MailboxEvent::Renamed { mailbox: b, from: text("a/b"), to: text("d") },
            MailboxEvent::Subscription { name: text("d") },
            MailboxEvent::Deleted { mailbox: b, name: text("d") },
        ]
    );
}
