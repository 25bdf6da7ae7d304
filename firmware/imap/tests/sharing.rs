//! Shared mailboxes: access control lists, and what they mean for every command.

mod client;

use client::{Client, Service};

const SHARED: &str = "\"Other Users/alice@example.test/work\"";

/// Alice with a mailbox `work` of two messages, and Bob.
async fn two_users() -> (Service, Client, Client) {
    let service = Service::start().await;
    service.add_account("bob@example.test").await;
    let mut alice = service.login().await;
    alice.ok("CREATE work").await;
    alice.append("work", "\\Seen", "Subject: one\r\n\r\nx").await;
    alice.append("work", "", "Subject: two\r\n\r\ny").await;
    let bob = service.login_as("bob@example.test").await;
    (service, alice, bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_set_and_shown() {
    let (_service, mut alice, mut bob) = two_users().await;
    let all = "lrswipkxteacd";
    assert_eq!(alice.ok("MYRIGHTS work").await.untagged, [format!("* MYRIGHTS \"work\" {all}")]);
    alice.ok("SETACL work bob lr").await;
    alice.ok("SETACL work bob@example.test +sd").await;
    alice.ok("SETACL work -bob e").await;
    alice.ok("SETACL work anyone p").await;
    assert_eq!(
        alice.ok("GETACL work").await.untagged,
        [format!(
            "* ACL \"work\" \"alice@example.test\" \"{all}\" \"anyone\" \"p\" \"bob@example.test\" \"lrsted\" \
             \"-bob@example.test\" \"ed\""
        )]
    );
    assert_eq!(bob.ok(&format!("MYRIGHTS {SHARED}")).await.untagged, [format!("* MYRIGHTS {SHARED} lrsptd")]);
    assert_eq!(
        alice.ok("LISTRIGHTS work bob").await.untagged,
        ["* LISTRIGHTS \"work\" \"bob\" \"\" l r s w i p k x t e a c d"]
    );
    assert!(alice.no("SETACL work carol lr").await.tagged.contains("NONEXISTENT"));
    alice.bad("SETACL work bob lrZ").await;
    assert!(bob.no(&format!("GETACL {SHARED}")).await.tagged.contains("NOPERM"));
    assert!(bob.no(&format!("SETACL {SHARED} bob +a")).await.tagged.contains("NOPERM"));
    alice.ok("DELETEACL work bob").await;
    alice.ok("DELETEACL work -bob").await;
    alice.ok("DELETEACL work anyone").await;
    assert!(bob.no(&format!("MYRIGHTS {SHARED}")).await.tagged.contains("NONEXISTENT"));

    // The owner is not locked out, and gets everything back.
    alice.ok("SETACL work alice r").await;
    assert_eq!(alice.ok("MYRIGHTS work").await.untagged, ["* MYRIGHTS \"work\" lrkxac"]);
    assert!(alice.no("APPEND work {3+}\r\nabc").await.tagged.contains("NOPERM"));
    alice.ok("DELETEACL work alice").await;
    assert_eq!(alice.ok("MYRIGHTS work").await.untagged, [format!("* MYRIGHTS \"work\" {all}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_mailboxes_have_their_place() {
    let (_service, mut alice, mut bob) = two_users().await;
    assert_eq!(bob.ok("LIST \"\" Other*").await.untagged, [""; 0]);
    assert_eq!(
        bob.ok("NAMESPACE").await.untagged,
        ["* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL"]
    );
    alice.ok("SETACL work anyone lr").await;
    alice.ok("CREATE work/below").await;
    alice.ok("SETACL work/below anyone \"\"").await;
    assert_eq!(
        bob.ok("LIST \"\" \"Other Users/%\"").await.untagged,
        ["* LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" \"Other Users/alice@example.test\""]
    );
    assert_eq!(
        bob.ok("LIST \"\" \"Other Users/*/*\" RETURN (STATUS (MESSAGES) MYRIGHTS)").await.untagged,
        [
            format!("* LIST (\\HasNoChildren) \"/\" {SHARED}"),
            format!("* STATUS {SHARED} (MESSAGES 2)"),
            format!("* MYRIGHTS {SHARED} lr"),
        ]
    );
    bob.ok(&format!("SUBSCRIBE {SHARED}")).await;
    assert_eq!(
        bob.ok("LIST (SUBSCRIBED) \"\" \"Other*\"").await.untagged,
        [format!("* LIST (\\HasNoChildren \\Subscribed) \"/\" {SHARED}")]
    );
    assert_eq!(bob.ok("LSUB \"\" \"Other*\"").await.untagged, [format!("* LSUB () \"/\" {SHARED}")]);
    // Nobody makes mailboxes in that place but through an owner's right.
    bob.no("CREATE \"Other Users\"").await;
    bob.no("CREATE \"Other Users/alice@example.test/mine\"").await;
    assert!(bob.no(&format!("CREATE \"{}/x\"", SHARED.trim_matches('"'))).await.tagged.contains("NOPERM"));
    assert!(bob.no("SELECT \"Other Users/alice@example.test/Trash\"").await.tagged.contains("NONEXISTENT"));
    alice.ok("SETACL work bob +kx").await;
    bob.ok(&format!("CREATE \"{}/x\"", SHARED.trim_matches('"'))).await;
    assert_eq!(alice.ok("LIST \"\" work/x").await.untagged.len(), 1);
    bob.ok(&format!("RENAME \"{0}/x\" \"{0}/y\"", SHARED.trim_matches('"'))).await;
    bob.no(&format!("RENAME \"{}/y\" mine", SHARED.trim_matches('"'))).await;
    bob.ok(&format!("DELETE \"{}/y\"", SHARED.trim_matches('"'))).await;
    assert_eq!(alice.ok("LIST \"\" work/y").await.untagged.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_asks_for_its_right() {
    let (_service, mut alice, mut bob) = two_users().await;
    alice.ok("SETACL work bob l").await;
    for command in ["SELECT", "EXAMINE"] {
        assert!(bob.no(&format!("{command} {SHARED}")).await.tagged.contains("NOPERM"));
    }
    assert!(bob.no(&format!("STATUS {SHARED} (MESSAGES)")).await.tagged.contains("NOPERM"));
    alice.ok("SETACL work bob lr").await;
    let selected = bob.ok(&format!("SELECT {SHARED}")).await;
    assert!(selected.tagged.starts_with("OK [READ-ONLY]"), "{selected:?}");
    bob.ok("FETCH 1:2 BODY[]").await;
    assert_eq!(alice.ok("STATUS work (UNSEEN)").await.untagged, ["* STATUS \"work\" (UNSEEN 1)"]);

    // Seen only: other flags stay as they are, whatever is asked.
    alice.ok("SETACL work bob lrs").await;
    let selected = bob.ok(&format!("SELECT {SHARED}")).await;
    assert!(selected.of("PERMANENTFLAGS")[0].contains("PERMANENTFLAGS (\\Seen)"), "{selected:?}");
    assert!(bob.no("STORE 1 +FLAGS (\\Deleted)").await.tagged.contains("NOPERM"));
    bob.ok("STORE 2 +FLAGS (\\Seen \\Flagged)").await;
    alice.ok("SELECT work").await;
    alice.ok("STORE 1:2 +FLAGS (\\Flagged mark)").await;
    bob.ok("NOOP").await;
    bob.ok("STORE 2 FLAGS ()").await;
    let flags = alice.ok("FETCH 2 FLAGS").await.untagged;
    assert!(flags.iter().any(|line| line == "* 2 FETCH (FLAGS (\\Flagged mark))"), "{flags:?}");
    assert!(bob.no("EXPUNGE").await.tagged.contains("NOPERM"));
    assert!(bob.no("MOVE 1 INBOX").await.tagged.contains("NOPERM"));
    assert!(bob.no(&format!("APPEND {SHARED} {{3+}}\r\nabc")).await.tagged.contains("NOPERM"));
    assert!(bob.no(&format!("APPEND {SHARED} {{300000}}")).await.tagged.contains("NOPERM"));
    bob.ok("COPY 1 INBOX").await;
    assert!(bob.no(&format!("COPY 1 {SHARED}")).await.tagged.contains("NOPERM"));

    // With the right to put in, only the flags that may be set come along.
    alice.ok("SETACL work bob lrsi").await;
    bob.ok(&format!("APPEND {SHARED} (\\Seen \\Flagged) {{3+}}\r\nabc")).await;
    bob.ok("SELECT INBOX").await;
    bob.ok("STORE 1 +FLAGS (\\Answered \\Seen)").await;
    bob.ok(&format!("COPY 1 {SHARED}")).await;
    let flags = alice.ok("FETCH 3:4 FLAGS").await.untagged;
    let last: Vec<String> = flags.iter().rev().take(2).map(|line| line.replace(" \\Recent", "")).collect();
    assert_eq!(last, ["* 4 FETCH (FLAGS (\\Seen))", "* 3 FETCH (FLAGS (\\Seen))"]);

    // Deleting and expunging, and CLOSE without the right to expunge.
    alice.ok("SETACL work bob lrt").await;
    bob.ok(&format!("SELECT {SHARED}")).await;
    bob.ok("STORE 1 +FLAGS (\\Deleted)").await;
    bob.ok("CLOSE").await;
    let status = alice.ok("STATUS work (MESSAGES DELETED)").await;
    assert_eq!(status.of("STATUS"), ["* STATUS \"work\" (MESSAGES 4 DELETED 1)"]);
    alice.ok("SETACL work bob lrte").await;
    bob.ok(&format!("SELECT {SHARED}")).await;
    assert_eq!(bob.ok("EXPUNGE").await.untagged, ["* 1 EXPUNGE"]);
    // What is taken away counts at once.
    alice.ok("DELETEACL work bob").await;
    assert!(bob.no("FETCH 1 BODY.PEEK[]").await.tagged.contains("NOPERM"));
    assert!(bob.no("EXPUNGE").await.tagged.contains("NOPERM"));
    assert!(bob.no("SEARCH ALL").await.tagged.contains("NOPERM"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn space_counts_against_the_owner() {
    let service = Service::start_with_quota(Some(100 * 1024)).await;
    service.add_account("bob@example.test").await;
    let mut alice = service.login().await;
    let mut bob = service.login_as("bob@example.test").await;
    alice.ok("CREATE work").await;
    alice.ok("SETACL work bob lri").await;
    let message = format!("Subject: x\r\n\r\n{}", "y".repeat(60_000));
    bob.append(SHARED, "", &message).await;
    let refused = bob.no(&format!("APPEND {SHARED} {{{}+}}\r\n{message}", message.len())).await;
    assert!(refused.tagged.contains("[OVERQUOTA]"), "{refused:?}");
    assert_eq!(
        bob.ok(&format!("GETQUOTAROOT {SHARED}")).await.untagged,
        [
            format!("* QUOTAROOT {SHARED} \"alice@example.test\""),
            "* QUOTA \"alice@example.test\" (STORAGE 59 100)".to_owned()
        ]
    );
    // Nothing of his own is limited.
    assert!(bob.no("GETQUOTA \"\"").await.tagged.starts_with("NO [NONEXISTENT]"));
    assert_eq!(bob.ok("GETQUOTAROOT INBOX").await.untagged, ["* QUOTAROOT \"INBOX\""]);
    bob.no("GETQUOTA \"alice@example.test\"").await;
    alice.no("SETQUOTA \"\" (STORAGE 1000)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_the_directory_stands_in_a_list_for_its_members() {
    let (service, mut alice, mut bob) = two_users().await;
    service.add_account("carol@example.test").await;
    let mut carol = service.login_as("carol@example.test").await;
    let store = &service.context.store;
    store.add_group("sales@example.test", store::GroupChange::default()).await.unwrap();
    store.add_group("all@example.test", store::GroupChange::default()).await.unwrap();
    let members = |names: &[&str]| store::GroupChange {
        add_members: names.iter().map(|name| format!("{name}@example.test")).collect(),
        ..store::GroupChange::default()
    };
    // Groups in groups count, and a circle of them ends.
    store.set_group("sales@example.test", members(&["bob", "all"])).await.unwrap();
    store.set_group("all@example.test", members(&["sales"])).await.unwrap();
    alice.ok("SETACL work all lr").await;
    assert_eq!(bob.ok(&format!("MYRIGHTS {SHARED}")).await.untagged, [format!("* MYRIGHTS {SHARED} lr")]);
    assert!(bob.ok("LIST \"Other Users/\" *").await.untagged.join("").contains("work"));
    bob.ok(&format!("SELECT {SHARED}")).await;
    assert!(carol.no(&format!("SELECT {SHARED}")).await.tagged.contains("NONEXISTENT"));
    // An entry of its own is added to it, and a negative one taken away.
    alice.ok("SETACL work bob s").await;
    alice.ok("SETACL work -bob r").await;
    assert_eq!(bob.ok(&format!("MYRIGHTS {SHARED}")).await.untagged, [format!("* MYRIGHTS {SHARED} ls")]);
    alice.ok("DELETEACL work -bob").await;
    alice.ok("DELETEACL work bob").await;
    let leave = store::GroupChange {
        remove_members: vec!["bob@example.test".to_owned()],
        ..store::GroupChange::default()
    };
    store.set_group("sales@example.test", leave).await.unwrap();
    assert!(bob.no(&format!("STATUS {SHARED} (MESSAGES)")).await.tagged.contains("NONEXISTENT"));
    // The owner is a member too, and keeps every right.
    store.set_group("sales@example.test", members(&["alice"])).await.unwrap();
    assert_eq!(alice.ok("MYRIGHTS work").await.untagged, ["* MYRIGHTS \"work\" lrswipkxteacd"]);
    store.remove_group("all@example.test").await.unwrap();
    assert!(!alice.ok("GETACL work").await.untagged.join("").contains("all@"));
}
