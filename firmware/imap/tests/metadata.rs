//! Annotations, special uses, and searches over several mailboxes.

mod client;

use client::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn annotations_are_set_read_and_follow_the_mailbox() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.ok("CREATE a").await;
    client.ok("SETMETADATA a (/Private/Comment {5+}\r\nhello /shared/vendor/x/y \"deep\")").await;
    client.ok("SETMETADATA a (/private/zero ~{3+}\r\na\0b)").await;
    assert_eq!(
        client.ok("GETMETADATA a (/private/comment /shared/none)").await.untagged,
        ["* METADATA \"a\" (/private/comment \"hello\" /shared/none NIL)"]
    );
    assert_eq!(
        client.ok("GETMETADATA (DEPTH infinity) a /shared/vendor").await.untagged,
        ["* METADATA \"a\" (/shared/vendor/x/y \"deep\")"]
    );
    assert_eq!(
        client.ok("GETMETADATA (DEPTH 1) a /shared/vendor/x").await.untagged,
        ["* METADATA \"a\" (/shared/vendor/x/y \"deep\")"]
    );
    assert_eq!(
        client.ok("GETMETADATA a /private/zero").await.untagged,
        ["* METADATA \"a\" (/private/zero ~{3}\r\na\0b)"]
    );
    let short = client.ok("GETMETADATA (MAXSIZE 4) a (/private/comment /shared/vendor/x/y)").await;
    assert_eq!(short.untagged, ["* METADATA \"a\" (/shared/vendor/x/y \"deep\")"]);
    assert!(short.tagged.starts_with("OK [METADATA LONGENTRIES 5]"), "{short:?}");
    client.ok("RENAME a b").await;
    assert_eq!(
        client.ok("LIST \"\" b RETURN (METADATA (/private/comment /private/none))").await.untagged,
        [
            "* LIST (\\HasNoChildren) \"/\" \"b\"",
            "* METADATA \"b\" (/private/comment \"hello\" /private/none NIL)"
        ]
    );
    client.ok("SETMETADATA b (/private/comment NIL)").await;
    assert_eq!(
        client.ok("GETMETADATA b /private/comment").await.untagged,
        ["* METADATA \"b\" (/private/comment NIL)"]
    );
    client.ok("SETMETADATA \"\" (/private/comment \"mine\")").await;
    assert_eq!(
        client.ok("GETMETADATA \"\" /private/comment").await.untagged,
        ["* METADATA \"\" (/private/comment \"mine\")"]
    );
    assert!(client.no("SETMETADATA \"\" (/shared/comment \"x\")").await.tagged.contains("NOPERM"));
    assert!(client.no("GETMETADATA nowhere /private/comment").await.tagged.contains("NONEXISTENT"));
    client.bad("SETMETADATA b (/other/comment \"x\")").await;
    client.bad("GETMETADATA b ()").await;
    let many: Vec<String> = (0..120).map(|n| format!("/private/n{n} \"x\"")).collect();
    assert!(
        client.no(&format!("SETMETADATA b ({})", many.join(" "))).await.tagged.contains("[METADATA TOOMANY]")
    );
    client.ok("DELETE b").await;
    client.ok("CREATE b").await;
    assert_eq!(
        client.ok("GETMETADATA b /private/zero").await.untagged,
        ["* METADATA \"b\" (/private/zero NIL)"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn special_uses_are_given_and_taken() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let made = client.ok("CREATE Entw (USE (\\Drafts))").await;
    assert!(made.tagged.starts_with("OK [MAILBOXID (M"), "{made:?}");
    assert_eq!(
        client.ok("LIST \"\" Entw").await.untagged,
        ["* LIST (\\HasNoChildren \\Drafts) \"/\" \"Entw\""]
    );
    assert!(client.no("CREATE all (USE (\\All))").await.tagged.contains("[USEATTR]"));
    assert!(client.no("CREATE two (USE (\\Sent \\Trash))").await.tagged.contains("[USEATTR]"));
    assert_eq!(client.ok("LIST \"\" (all two)").await.untagged, [""; 0]);
    assert_eq!(
        client.ok("GETMETADATA Entw /private/specialuse").await.untagged,
        ["* METADATA \"Entw\" (/private/specialuse \"\\\\Drafts\")"]
    );
    client.ok("SETMETADATA Entw (/private/specialuse \"\\\\Archive\")").await;
    assert_eq!(
        client.ok("LIST (SPECIAL-USE) \"\" Entw RETURN (SPECIAL-USE)").await.untagged,
        ["* LIST (\\HasNoChildren \\Archive) \"/\" \"Entw\""]
    );
    client.ok("SETMETADATA Entw (/private/specialuse NIL)").await;
    assert_eq!(client.ok("LIST (SPECIAL-USE) \"\" Entw").await.untagged, [""; 0]);
    client.no("SETMETADATA INBOX (/private/specialuse \"\\\\Sent\")").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_search_over_several_mailboxes() {
    let service = Service::start().await;
    service.add_account("bob@example.test").await;
    let mut client = service.login().await;
    for name in ["a", "a/b", "a/b/c", "d"] {
        client.ok(&format!("CREATE {name}")).await;
        client.append(name, "", &format!("Subject: in {name}\r\n\r\nneedle")).await;
        client.append(name, "\\Seen", "Subject: hay\r\n\r\nhay").await;
    }
    let mut validity = std::collections::HashMap::new();
    for name in ["a", "a/b", "a/b/c", "d"] {
        let status = client.ok(&format!("STATUS {name} (UIDVALIDITY)")).await.untagged.remove(0);
        let number = status.rsplit(' ').next().unwrap().trim_end_matches(')').to_owned();
        validity.insert(name, number);
    }
    let line = |tag: &str, name: &str, rest: &str| {
        format!("* ESEARCH (TAG \"{tag}\" MAILBOX \"{name}\" UIDVALIDITY {}) UID {rest}", validity[name])
    };
    let found = client.ok("ESEARCH IN (mailboxes (a d nowhere)) BODY needle").await.untagged;
    let tag = client.last_tag();
    assert_eq!(found, [line(&tag, "a", "ALL 1"), line(&tag, "d", "ALL 1")]);
    let found = client.ok("ESEARCH IN (subtree a) RETURN (COUNT MIN) ALL").await.untagged;
    let tag = client.last_tag();
    assert_eq!(found, ["a", "a/b", "a/b/c"].map(|name| line(&tag, name, "MIN 1 COUNT 2")));
    let found = client.ok("ESEARCH IN (subtree-one a subtree-one a) UNSEEN").await.untagged;
    assert_eq!(found.len(), 2);
    assert_eq!(client.ok("ESEARCH IN (personal) SUBJECT nothing").await.untagged, [""; 0]);
    client.bad("ESEARCH BODY needle").await;
    client.bad("ESEARCH IN (personal) 1:3").await;
    client.bad("ESEARCH IN (personal) RETURN (SAVE) ALL").await;
    client.ok("SELECT d").await;
    client.bad("ESEARCH IN (selected mailboxes a) 1 BODY needle").await;
    let found = client.ok("ESEARCH IN (selected mailboxes d) UNSEEN").await.untagged;
    assert_eq!(found, [line(&client.last_tag(), "d", "ALL 1")]);
    assert_eq!(client.ok("ESEARCH IN (selected) 2").await.untagged.len(), 1);
    assert_eq!(client.ok("ESEARCH UNSEEN").await.untagged.len(), 1);
}
