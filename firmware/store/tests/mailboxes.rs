//! Mailboxes and the directory.

mod fixture;

use fixture::{append, fixture};
use store::{AccountId, Flags, PasswordHash, Resolution, SpecialUse, Store, StoreError, Target};

fn names(store: &Store, account: AccountId) -> Vec<String> {
    store.mailboxes(account).expect("mailboxes").into_iter().map(|mailbox| mailbox.name).collect()
}

#[tokio::test]
async fn an_account_begins_with_the_usual_mailboxes() {
    let t = fixture().await;
    assert_eq!(names(&t.store, t.alice), ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]);
    assert_eq!(t.mailbox(t.alice, "Sent").special_use, Some(SpecialUse::Sent));
    assert_eq!(t.store.subscriptions(t.alice).unwrap().len(), 6);
    let validities: std::collections::HashSet<u32> =
        t.store.mailboxes(t.alice).unwrap().iter().map(|mailbox| mailbox.uid_validity).collect();
    assert_eq!(validities.len(), 6);
}

#[tokio::test]
async fn create_makes_the_levels_above() {
    let t = fixture().await;
    t.store.create_mailbox(t.alice, "work/2026/q4/", None).await.unwrap();
    assert_eq!(&names(&t.store, t.alice)[6..], ["work", "work/2026", "work/2026/q4"]);
    let again = t.store.create_mailbox(t.alice, "work", None).await;
    assert!(matches!(again, Err(StoreError::Exists(_))));
    let bad = t.store.create_mailbox(t.alice, "a//b", None).await;
    assert!(matches!(bad, Err(StoreError::BadMailboxName(_))));
    for bad in ["a*b", "50%", "Other Users/x", "other users"] {
        let bad = t.store.create_mailbox(t.alice, bad, None).await;
        assert!(matches!(bad, Err(StoreError::BadMailboxName(_))));
    }
    t.store.create_mailbox(t.alice, "Gesendet", Some(SpecialUse::Sent)).await.unwrap();
    assert_eq!(t.mailbox(t.alice, "Gesendet").special_use, Some(SpecialUse::Sent));
    let nobody = t.store.create_mailbox(AccountId(77), "x", None).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchAccount)));
}

#[tokio::test]
async fn a_deleted_mailbox_with_children_stays_without_messages() {
    let t = fixture().await;
    let id = t.store.create_mailbox(t.alice, "a/b", None).await.unwrap();
    let above = t.mailbox(t.alice, "a");
    t.store.append(above.id, vec![append("x", Flags::default(), &[])]).await.unwrap();
    t.store.delete_mailbox(t.alice, "a").await.unwrap();
    let left = t.mailbox(t.alice, "a");
    assert!(!left.selectable && left.messages == 0 && left.uid_validity != above.uid_validity);
    let refused = t.store.append(left.id, vec![append("x", Flags::default(), &[])]).await;
    assert!(matches!(refused, Err(StoreError::NotSelectable)));
    assert!(matches!(t.store.delete_mailbox(t.alice, "a").await, Err(StoreError::MailboxProtected(_))));
    // It can be made anew.
    t.store.create_mailbox(t.alice, "a", None).await.unwrap();
    assert!(t.mailbox(t.alice, "a").selectable);
    assert_eq!(t.mailbox(t.alice, "a/b").id, id);
    assert!(matches!(t.store.delete_mailbox(t.alice, "inbox").await, Err(StoreError::MailboxProtected(_))));
    assert!(matches!(t.store.delete_mailbox(t.alice, "none").await, Err(StoreError::NoSuchMailbox)));
    assert_eq!(t.store.quota(t.alice).unwrap().unwrap().used_messages, 0);
    t.check();
}

#[tokio::test]
async fn rename_takes_the_children_along() {
    let t = fixture().await;
    t.store.create_mailbox(t.alice, "a/b/c", None).await.unwrap();
    t.store.create_mailbox(t.alice, "ab", None).await.unwrap();
    let before = t.mailbox(t.alice, "a/b/c");
    t.store.rename_mailbox(t.alice, "a", "new/place").await.unwrap();
    assert_eq!(&names(&t.store, t.alice)[6..], ["ab", "new", "new/place", "new/place/b", "new/place/b/c"]);
    let after = t.mailbox(t.alice, "new/place/b/c");
    assert_eq!((after.id, after.uid_validity), (before.id, before.uid_validity));
    let inside = t.store.rename_mailbox(t.alice, "new", "new/place/x").await;
    assert!(matches!(inside, Err(StoreError::BadMailboxName(_))));
    assert!(matches!(t.store.rename_mailbox(t.alice, "new", "ab").await, Err(StoreError::Exists(_))));
}

#[tokio::test]
async fn renaming_the_inbox_gives_its_messages_away() {
    let t = fixture().await;
    t.deliver("a", &[t.alice]).await;
    t.store.rename_mailbox(t.alice, "INBOX", "old/mail").await.unwrap();
    assert_eq!((t.mailbox(t.alice, "INBOX").messages, t.mailbox(t.alice, "old/mail").messages), (0, 1));
    t.deliver("b", &[t.alice]).await;
    assert_eq!(t.uids(t.inbox()), [2]);
    t.check();
}

#[tokio::test]
async fn a_subscription_outlives_its_mailbox() {
    let t = fixture().await;
    t.store.create_mailbox(t.alice, "x", None).await.unwrap();
    t.store.subscribe(t.alice, "x", true).await.unwrap();
    t.store.delete_mailbox(t.alice, "x").await.unwrap();
    let found = t.store.subscriptions(t.alice).unwrap();
    assert!(found.iter().any(|known| known.name == "x" && !known.exists));
    t.store.subscribe(t.alice, "x", false).await.unwrap();
    assert_eq!(t.store.subscriptions(t.alice).unwrap().len(), 6);
}

#[tokio::test]
async fn addresses_resolve_to_accounts_aliases_and_the_catch_all() {
    let t = fixture().await;
    let store = &t.store;
    assert_eq!(store.resolve("ALICE@example.TEST").unwrap(), Resolution::Account(t.alice));
    assert_eq!(store.resolve("nobody@example.test").unwrap(), Resolution::UnknownUser);
    assert_eq!(store.resolve("alice@elsewhere.test").unwrap(), Resolution::UnknownDomain);
    assert_eq!(store.resolve("garbage").unwrap(), Resolution::UnknownUser);
    store.add_alias("all@example.test", "alice@example.test").await.unwrap();
    store.add_alias("all@example.test", "more@example.test").await.unwrap();
    store.add_alias("all@example.test", "x@far.test").await.unwrap();
    // A loop, and one target twice.
    store.add_alias("more@example.test", "all@example.test").await.unwrap();
    store.add_alias("more@example.test", "alice@example.test").await.unwrap();
    store.add_alias("more@example.test", "bob@example.test").await.unwrap();
    let Resolution::Alias(mut targets) = store.resolve("all@example.test").unwrap() else {
        panic!("an alias")
    };
    targets.sort_by_key(|target| format!("{target:?}"));
    assert_eq!(
        targets,
        [Target::Account(t.alice), Target::Account(t.bob), Target::Remote("x@far.test".to_owned())]
    );
    store.add_alias("@example.test", "bob@example.test").await.unwrap();
    assert_eq!(
        store.resolve("nobody@example.test").unwrap(),
        Resolution::Alias(vec![Target::Account(t.bob)])
    );
    assert_eq!(store.aliases(Some("example.test")).unwrap().len(), 3);
    assert!(matches!(
        store.add_alias("alice@example.test", "bob@example.test").await,
        Err(StoreError::Exists(_))
    ));
    assert!(matches!(
        store.add_account("all@example.test", PasswordHash(String::new()), None).await,
        Err(StoreError::Exists(_))
    ));
    store.remove_alias("more@example.test", Some("bob@example.test")).await.unwrap();
    store.remove_alias("all@example.test", None).await.unwrap();
    assert!(matches!(store.remove_alias("all@example.test", None).await, Err(StoreError::NoSuchAlias)));
}

#[tokio::test]
async fn domains_and_accounts_come_and_go() {
    let mut t = fixture().await;
    assert!(matches!(t.store.add_domain("example.test").await, Err(StoreError::Exists(_))));
    assert!(matches!(t.store.remove_domain("example.test").await, Err(StoreError::DomainInUse(_))));
    let unknown = t.store.add_account("x@unknown.test", PasswordHash(String::new()), None).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchDomain(_))));
    t.store.set_password("alice@example.test", PasswordHash("$new".to_owned())).await.unwrap();
    let account = t.store.account_by_name("Alice@EXAMPLE.test").unwrap().unwrap();
    assert_eq!((account.password.0.as_str(), account.id), ("$new", t.alice));
    assert!(!format!("{account:?}").contains("$new"));
    for number in 0..3 {
        t.deliver(&format!("{number}"), &[t.alice, t.bob]).await;
    }
    t.store.remove_account("alice@example.test").await.unwrap();
    assert_eq!(t.store.resolve("alice@example.test").unwrap(), Resolution::UnknownUser);
    assert!(matches!(t.deliver("late", &[t.alice]).await.recipients[0], Err(StoreError::NoSuchAccount)));
    let anew = t.store.add_account("alice@example.test", PasswordHash(String::new()), None).await.unwrap();
    assert_ne!(anew, t.alice);
    assert_eq!(t.mailbox(anew, "INBOX").messages, 0);
    t.reopen().await;
    t.check();
    let domains = t.store.domains().unwrap();
    assert_eq!((domains[0].name.as_str(), domains[0].accounts), ("example.test", 2));
    t.store.set_setting("smarthost", Some("relay.test")).await.unwrap();
    assert_eq!(t.store.setting("smarthost").unwrap().as_deref(), Some("relay.test"));
    t.store.set_setting("smarthost", None).await.unwrap();
    assert_eq!(t.store.setting("smarthost").unwrap(), None);
}

#[tokio::test]
async fn strange_users_elsewhere_are_not_ours_to_judge() {
    let t = fixture().await;
    assert_eq!(t.store.resolve("\"a b\"@far.test").unwrap(), Resolution::UnknownDomain);
    assert_eq!(t.store.resolve("x@[192.0.2.1]").unwrap(), Resolution::UnknownDomain);
    assert_eq!(t.store.resolve("\"a b\"@example.test").unwrap(), Resolution::UnknownUser);
}
