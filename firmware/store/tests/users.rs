//! Users: limits of three levels, room, routes of mail, groups, app passwords, warnings.
#![allow(clippy::unwrap_used)]

mod fixture;

use fixture::{append, body, delivery, fixture};
use store::{
    Access, AccountChange, Addressee, Body, DomainChange, Flags, GroupChange, Limit, LimitName, NotTaken,
    PasswordHash, Protocol, Protocols, Route, Store, StoreError, Subject, Warning, WhoMaySend,
};

fn limits(limits: &[(LimitName, Limit)]) -> AccountChange {
    AccountChange { limits: limits.to_vec(), ..AccountChange::default() }
}

fn account(store: &Store, address: &str) -> Addressee {
    match store.recipient(address).unwrap() {
        Route::Account(found) => *found,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_limit_comes_from_the_user_then_the_domain_then_the_system() {
    let mut t = fixture().await;
    let space = |t: &fixture::Fixture| account(&t.store, "ALICE@example.test").quota.limit_bytes;
    assert_eq!(space(&t), None);
    t.store.set_system_limits(vec![(LimitName::SpaceBytes, Limit::AtMost(3_000))]).await.unwrap();
    assert_eq!(space(&t), Some(3_000));
    let defaults =
        vec![(LimitName::SpaceBytes, Limit::AtMost(2_000)), (LimitName::MessagesHour, Limit::AtMost(7))];
    let change = DomainChange { defaults, ..DomainChange::default() };
    t.store.set_domain("example.test", change).await.unwrap();
    assert_eq!(space(&t), Some(2_000));
    assert_eq!(t.store.account(t.alice).unwrap().unwrap().quota.limit_bytes, Some(2_000));
    assert_eq!(t.store.sending_rate(t.alice).unwrap().messages_hour, Some(7));
    t.store.set_quota("alice@example.test", Some(1_000)).await.unwrap();
    assert_eq!(space(&t), Some(1_000));
    // 500 bytes a message: two fit, whichever level says so.
    t.deliver("1", &[t.alice]).await;
    let full = t.store.deliver(delivery("2", &[t.alice, t.bob])).await.unwrap();
    assert!(matches!(full.recipients[0], Err(StoreError::OverQuota)), "{full:?}");
    assert!(full.recipients[1].is_ok());
    t.store
        .set_account("alice@example.test", limits(&[(LimitName::SpaceBytes, Limit::Unset)]))
        .await
        .unwrap();
    assert!(t.deliver("3", &[t.alice]).await.recipients[0].is_ok());
    t.store.set_quota("alice@example.test", None).await.unwrap();
    assert_eq!(space(&t), None);
    t.reopen().await;
    assert_eq!(space(&t), None);
    assert_eq!(account(&t.store, "bob@example.test").quota.limit_bytes, Some(2_000));
    t.check();
}

#[tokio::test]
async fn a_full_domain_refuses_mail_but_lets_its_users_tidy_up_and_write() {
    let t = fixture().await;
    for number in 0..3 {
        t.deliver(&number.to_string(), &[t.alice, t.bob]).await;
    }
    let used = account(&t.store, "alice@example.test").domain_quota.used_bytes;
    let size = used / 6;
    let change = DomainChange { space_bytes: Some(Limit::AtMost(used)), ..DomainChange::default() };
    t.store.set_domain("example.test", change).await.unwrap();
    let refused = t.store.deliver(delivery("no", &[t.alice])).await.unwrap();
    assert!(matches!(refused.recipients[0], Err(StoreError::DomainOverQuota)));
    assert_eq!(
        account(&t.store, "alice@example.test").takes(0),
        Err(NotTaken::DomainFull { never_fits: false })
    );
    let sent = t.mailbox(t.alice, "Sent").id;
    assert!(matches!(
        t.store.append(sent, vec![append("s", Flags::SEEN, &[])]).await,
        Err(StoreError::DomainOverQuota)
    ));
    let drafts = t.mailbox(t.alice, "Drafts").id;
    for _ in 0..32 {
        t.store.append(drafts, vec![append("d", Flags::SEEN, &[])]).await.unwrap();
    }
    assert!(t.store.append(drafts, vec![append("d", Flags::SEEN, &[])]).await.is_err());
    let trash = t.mailbox(t.alice, "Trash").id;
    let archive = t.mailbox(t.alice, "Archive").id;
    assert!(t.store.copy(t.inbox(), vec![1..=1], archive).await.is_err());
    assert_eq!(t.store.copy(t.inbox(), vec![1..=1], trash).await.unwrap().uids.len(), 1);
    assert_eq!(t.store.move_messages(t.inbox(), vec![2..=2], archive).await.unwrap().uids.len(), 1);
    t.store.remove(t.inbox(), vec![1..=9]).await.unwrap();
    t.store.remove(drafts, vec![1..=99]).await.unwrap();
    t.store.remove(trash, vec![1..=9]).await.unwrap();
    assert_eq!(account(&t.store, "bob@example.test").domain_quota.used_bytes, used - 2 * size);
    assert!(t.deliver("again", &[t.alice]).await.recipients[0].is_ok());
    t.check();
}

#[tokio::test]
async fn only_the_own_trash_takes_copies_of_a_full_mailbox() {
    let t = fixture().await;
    t.deliver("1", &[t.alice]).await;
    t.deliver("2", &[t.alice]).await;
    for user in ["alice", "bob"] {
        let one = limits(&[(LimitName::Messages, Limit::AtMost(1))]);
        t.store.set_account(&format!("{user}@example.test"), one).await.unwrap();
    }
    let trash = t.mailbox(t.alice, "Trash").id;
    assert_eq!(t.store.copy(t.inbox(), vec![1..=2], trash).await.unwrap().uids.len(), 2);
    let elsewhere = t.mailbox(t.bob, "Trash").id;
    assert!(matches!(t.store.copy(t.inbox(), vec![1..=2], elsewhere).await, Err(StoreError::OverQuota)));
    let full = NotTaken::MailboxFull { never_fits: false };
    assert_eq!(account(&t.store, "alice@example.test").takes(10), Err(full));
    t.check();
}

#[tokio::test]
async fn a_domain_has_no_more_users_than_it_may() {
    let t = fixture().await;
    let users = |limit| DomainChange { users: Some(limit), ..DomainChange::default() };
    t.store.set_domain("example.test", users(Limit::AtMost(3))).await.unwrap();
    let password = PasswordHash("x".into());
    t.store.add_account("carol@example.test", password.clone(), None).await.unwrap();
    let refused = t.store.add_account("dave@example.test", password.clone(), None).await;
    assert!(matches!(refused, Err(StoreError::TooManyUsers { limit: 3, .. })), "{refused:?}");
    t.store.remove_account("carol@example.test").await.unwrap();
    t.store.add_account("dave@example.test", password, None).await.unwrap();
    assert_eq!(t.store.domains().unwrap()[0].accounts, 3);
    t.check();
}

#[tokio::test]
async fn a_plus_leads_to_the_folder_it_names() {
    let t = fixture().await;
    t.store.create_mailbox(t.alice, "Lists/Rust", None).await.unwrap();
    let folder = |address: &str| account(&t.store, address).folder;
    assert_eq!(folder("alice@example.test"), None);
    assert_eq!(folder("alice+junk@example.test").as_deref(), Some("Junk"));
    assert_eq!(folder("Alice+lists/RUST@Example.Test").as_deref(), Some("Lists/Rust"));
    assert_eq!(folder("alice+nothing+of+the+kind@example.test"), None);
    assert_eq!(account(&t.store, "alice+x@example.test").address, "alice@example.test");
    assert_eq!(t.store.recipient("+x@example.test").unwrap(), Route::UnknownUser);
    t.store.add_alias("info@example.test", "bob@example.test").await.unwrap();
    assert!(matches!(t.store.recipient("info+x@example.test").unwrap(), Route::Alias { .. }));
    // An account of exactly that name comes first.
    t.store.add_account("alice+junk@example.test", PasswordHash(String::new()), None).await.unwrap();
    assert_eq!(account(&t.store, "alice+junk@example.test").address, "alice+junk@example.test");
    let off = DomainChange { plus_addressing: Some(false), ..DomainChange::default() };
    t.store.set_domain("example.test", off).await.unwrap();
    assert_eq!(t.store.recipient("alice+x@example.test").unwrap(), Route::UnknownUser);
}

#[tokio::test]
async fn routes_say_what_an_address_is() {
    let t = fixture().await;
    assert_eq!(t.store.recipient("x@example.test").unwrap(), Route::UnknownUser);
    assert_eq!(t.store.recipient("x@elsewhere.test").unwrap(), Route::UnknownDomain);
    assert_eq!(t.store.recipient("x@[192.0.2.1]").unwrap(), Route::UnknownDomain);
    let catch_all =
        DomainChange { catch_all: Some(Some("bob@example.test".into())), ..DomainChange::default() };
    t.store.set_domain("example.test", catch_all).await.unwrap();
    let targets = vec!["bob@example.test".to_owned()];
    let route = Route::Alias { address: "@example.test".into(), targets };
    assert_eq!(t.store.recipient("x@example.test").unwrap(), route);
    let forwarding = AccountChange {
        forward_to: Some(vec!["b@Elsewhere.test".into(), "a@elsewhere.test".into()]),
        forward_keep: Some(false),
        ..AccountChange::default()
    };
    t.store.set_account("alice@example.test", forwarding).await.unwrap();
    t.store.set_quota("alice@example.test", Some(1)).await.unwrap();
    let alice = account(&t.store, "alice@example.test");
    assert_eq!(alice.forward_to, ["a@elsewhere.test", "b@elsewhere.test"]);
    assert!(!alice.keep_copy);
    assert_eq!(alice.takes(5_000), Ok(()), "what is only forwarded needs no room");
    let off = AccountChange { enabled: Some(false), ..AccountChange::default() };
    t.store.set_account("bob@example.test", off).await.unwrap();
    assert_eq!(account(&t.store, "bob@example.test").takes(0), Err(NotTaken::AccountDisabled));
    let off = DomainChange { enabled: Some(false), ..DomainChange::default() };
    t.store.set_domain("example.test", off).await.unwrap();
    assert_eq!(t.store.recipient("alice@example.test").unwrap(), Route::DomainDisabled);
    assert_eq!(t.store.may_use(t.alice, Protocol::Imap).unwrap(), Access::DomainDisabled);
}

#[tokio::test]
async fn what_a_user_takes_is_known_before_the_message() {
    let t = fixture().await;
    let own =
        [(LimitName::MessageBytes, Limit::AtMost(900)), (LimitName::AttachmentBytes, Limit::AtMost(100))];
    t.store.set_account("alice@example.test", limits(&own)).await.unwrap();
    t.store.set_quota("alice@example.test", Some(800)).await.unwrap();
    let alice = account(&t.store, "alice@example.test");
    assert_eq!(alice.takes(901), Err(NotTaken::MessageTooLarge { limit_bytes: 900 }));
    assert_eq!(alice.takes(900), Err(NotTaken::MailboxFull { never_fits: true }));
    assert_eq!(alice.takes(800), Ok(()));
    assert_eq!(alice.takes_attachment(101), Err(NotTaken::AttachmentTooLarge { limit_bytes: 100 }));
    assert_eq!(alice.takes_attachment(100), Ok(()));
}

#[tokio::test]
async fn protocols_are_switched_off_for_a_user_or_for_a_domain() {
    let t = fixture().await;
    let access = |protocol| t.store.may_use(t.alice, protocol).unwrap();
    assert!(Protocol::ALL.into_iter().all(|protocol| access(protocol) == Access::Allowed));
    let only = Protocols::NONE.with(Protocol::Imap).with(Protocol::Pop3);
    let change = AccountChange { protocols: Some(only), ..AccountChange::default() };
    t.store.set_account("alice@example.test", change).await.unwrap();
    assert_eq!(
        (access(Protocol::Imap), access(Protocol::Submission)),
        (Access::Allowed, Access::ProtocolOff)
    );
    let change =
        DomainChange { protocols: Some(Protocols::NONE.with(Protocol::Pop3)), ..DomainChange::default() };
    t.store.set_domain("example.test", change).await.unwrap();
    assert_eq!((access(Protocol::Imap), access(Protocol::Pop3)), (Access::ProtocolOff, Access::Allowed));
}

#[tokio::test]
async fn groups_say_who_may_send_to_them() {
    let mut t = fixture().await;
    let inner = GroupChange {
        add_members: vec!["bob@example.test".into(), "all@example.test".into()],
        ..GroupChange::default()
    };
    t.store.add_group("inner@example.test", inner).await.unwrap();
    let outer = GroupChange {
        name: Some("Everybody".into()),
        who: Some(WhoMaySend::Members),
        add_members: vec!["inner@example.test".into(), "Guest@Elsewhere.test".into()],
        add_senders: vec!["@partner.test".into()],
        ..GroupChange::default()
    };
    t.store.add_group("all@example.test", outer).await.unwrap();
    assert!(matches!(t.store.add_alias("all@example.test", "x@y.test").await, Err(StoreError::Exists(_))));
    let Route::Group(all) = t.store.recipient("All@example.test").unwrap() else { panic!("a group") };
    assert_eq!(all.members, ["guest@elsewhere.test", "inner@example.test"]);
    let may = |sender: &str, account: Option<&str>| t.store.may_send_to(&all, sender, account).unwrap();
    assert!(may("guest@elsewhere.test", None));
    assert!(may("anybody@partner.test", None));
    assert!(!may("stranger@elsewhere.test", None));
    assert!(!may("", None));
    assert!(!may("bob@example.test", None), "anybody can write this address");
    assert!(may("bob@example.test", Some("bob@example.test")));
    assert!(may("other@elsewhere.test", Some("bob@example.test")));
    assert!(!may("alice@example.test", Some("alice@example.test")));
    for (who, alice) in [(WhoMaySend::Domain, true), (WhoMaySend::Named, false), (WhoMaySend::Anyone, true)] {
        t.store
            .set_group("all@example.test", GroupChange { who: Some(who), ..GroupChange::default() })
            .await
            .unwrap();
        let all = t.store.group("all@example.test").unwrap().unwrap();
        let may = |sender, account| t.store.may_send_to(&all, sender, account).unwrap();
        assert_eq!(may("alice@example.test", Some("alice@example.test")), alice, "{who:?}");
        assert_eq!(may("alice@example.test", None), who == WhoMaySend::Anyone, "{who:?}");
    }
    let wrong = GroupChange {
        name: Some("no".into()),
        remove_members: vec!["x@y.test".into()],
        ..GroupChange::default()
    };
    assert!(matches!(t.store.set_group("all@example.test", wrong).await, Err(StoreError::NoSuchGroup)));
    t.reopen().await;
    assert_eq!(t.store.group("all@example.test").unwrap().unwrap().name, "Everybody");
    t.store.remove_group("all@example.test").await.unwrap();
    assert_eq!(t.store.recipient("all@example.test").unwrap(), Route::UnknownUser);
}

#[tokio::test]
async fn app_passwords_are_named_and_revoked() {
    let t = fixture().await;
    let hash = || PasswordHash("$argon2id$app".into());
    t.store.add_app_password("alice@example.test", "phone", hash()).await.unwrap();
    t.store.add_app_password("alice@example.test", "laptop", hash()).await.unwrap();
    let again = t.store.add_app_password("alice@example.test", " phone ", hash()).await;
    assert!(matches!(again, Err(StoreError::Exists(_))));
    assert!(t.store.add_app_password("alice@example.test", " ", hash()).await.is_err());
    let listed = t.store.app_passwords(t.alice).unwrap();
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["laptop", "phone"]);
    assert_eq!(listed[1].last_used_s, None);
    t.store.note_app_password_use(&listed[1]).await.unwrap();
    let used = t.store.app_passwords(t.alice).unwrap()[1].clone();
    assert!(used.last_used_s.is_some_and(|last| last >= used.created_s));
    t.store.remove_app_password("alice@example.test", "laptop").await.unwrap();
    let gone = t.store.remove_app_password("alice@example.test", "laptop").await;
    assert!(matches!(gone, Err(StoreError::NoSuchAppPassword)));
    assert!(t.store.app_passwords(t.bob).unwrap().is_empty());
    t.store.remove_account("alice@example.test").await.unwrap();
    assert!(t.store.app_passwords(t.alice).unwrap().is_empty());
}

#[tokio::test]
async fn a_warning_is_due_once_per_crossing_and_outlives_a_restart() {
    let mut t = fixture().await;
    t.store
        .set_account("alice@example.test", limits(&[(LimitName::Messages, Limit::AtMost(20))]))
        .await
        .unwrap();
    let due = |t: &fixture::Fixture| t.store.warnings_due().unwrap();
    let warning = |percent| Warning { subject: Subject::Account(t.alice), percent };
    let (eighty, ninety_five) = (warning(80), warning(95));
    let mut changes = t.store.watch_warnings();
    changes.mark_unchanged();
    for number in 0..15 {
        t.deliver(&number.to_string(), &[t.alice]).await;
    }
    assert_eq!(due(&t), []);
    t.deliver("16", &[t.alice]).await;
    assert_eq!(due(&t), [eighty]);
    assert!(changes.has_changed().unwrap());
    t.reopen().await;
    assert_eq!(due(&t), [eighty]);
    assert!(t.store.deliver_warning(eighty, vec![t.alice], body("80")).await.unwrap());
    assert!(!t.store.deliver_warning(eighty, vec![t.alice], body("80")).await.unwrap());
    assert_eq!(due(&t), []);
    // A move adds and takes away: no crossing. The one that counts is that of the twentieth.
    let archive = t.mailbox(t.alice, "Archive").id;
    t.store.move_messages(t.inbox(), vec![1..=10], archive).await.unwrap();
    assert_eq!(due(&t), []);
    for number in 18..=20 {
        t.deliver(&number.to_string(), &[t.alice]).await;
    }
    assert_eq!(due(&t), [ninety_five]);
    // Full, and still told.
    assert!(t.store.deliver_warning(ninety_five, vec![t.alice], body("95")).await.unwrap());
    assert_eq!(account(&t.store, "alice@example.test").quota.used_messages, 21);
    t.store.remove(t.inbox(), vec![1..=99]).await.unwrap();
    t.store.append(archive, (0..7).map(|_| append("more", Flags::SEEN, &[])).collect()).await.unwrap();
    assert_eq!(due(&t), [eighty], "armed again");
    t.store.remove(archive, vec![1..=99]).await.unwrap();
    assert_eq!(due(&t), [], "nobody is to be warned of what is past");
    t.check();
}

#[tokio::test]
async fn a_domain_that_fills_up_is_to_be_told_of() {
    let t = fixture().await;
    let change = DomainChange { space_bytes: Some(Limit::AtMost(10_000)), ..DomainChange::default() };
    t.store.set_domain("example.test", change).await.unwrap();
    let large = Body::new(fixture::message("large", 4_400));
    let mut delivery = delivery("x", &[t.alice, t.bob]);
    delivery.body = large;
    t.store.deliver(delivery).await.unwrap();
    let due = t.store.warnings_due().unwrap();
    let [Warning { subject: Subject::Domain(domain), percent: 80 }] = due[..] else { panic!("{due:?}") };
    let (record, quota) = t.store.domain_use(domain).unwrap().unwrap();
    assert_eq!((record.name.as_str(), quota.limit_bytes), ("example.test", Some(10_000)));
    assert!(t.store.deliver_warning(due[0], vec![t.alice, t.bob], body("80")).await.unwrap());
    t.check();
}
