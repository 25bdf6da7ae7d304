//! Mailboxes: names, lists, status, append.

mod client;

use client::Service;

fn sorted(lines: &[String]) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_list_rename_delete() {
    let service = Service::start().await;
    let mut client = service.login().await;
    assert_eq!(client.ok("LIST \"\" \"\"").await.untagged, ["* LIST (\\Noselect) \"/\" \"\""]);
    client.ok("CREATE work/2026/november").await;
    client.ok("CREATE \"R&-D\"").await;
    client.ok("CREATE \"Entw&APw-rfe\"").await;
    assert!(client.no("CREATE work/2026").await.tagged.contains("ALREADYEXISTS"));
    assert!(client.no("CREATE inbox").await.tagged.starts_with("NO"));
    assert_eq!(
        sorted(&client.ok("LIST \"\" work*").await.untagged),
        [
            "* LIST (\\HasChildren) \"/\" \"work\"",
            "* LIST (\\HasChildren) \"/\" \"work/2026\"",
            "* LIST (\\HasNoChildren) \"/\" \"work/2026/november\"",
        ]
    );
    assert_eq!(client.ok("LIST work/ %").await.untagged, ["* LIST (\\HasChildren) \"/\" \"work/2026\""]);
    assert_eq!(client.ok("LIST \"\" inbox").await.untagged, ["* LIST (\\HasNoChildren) \"/\" \"INBOX\""]);
    assert_eq!(client.ok("LIST \"\" R&-D").await.untagged, ["* LIST (\\HasNoChildren) \"/\" \"R&-D\""]);
    assert_eq!(
        client.ok("LIST \"\" Entw*").await.untagged,
        ["* LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe\""]
    );
    // A wildcard in the place of an encoded character: the rest is matched as it stands.
    assert_eq!(client.ok("LIST \"\" R&*").await.untagged, ["* LIST (\\HasNoChildren) \"/\" \"R&-D\""]);
    client.ok("RENAME work/2026 work/2027").await;
    assert_eq!(
        client.ok("LIST \"\" work/%/%").await.untagged,
        ["* LIST (\\HasNoChildren) \"/\" \"work/2027/november\""]
    );
    assert!(client.no("RENAME nowhere somewhere").await.tagged.contains("NONEXISTENT"));
    client.ok("DELETE work/2027/november").await;
    assert!(client.no("DELETE work/2027/november").await.tagged.contains("NONEXISTENT"));
    client.no("DELETE INBOX").await;
    assert!(client.no("SELECT work/2027/november").await.tagged.contains("NONEXISTENT"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn special_uses_and_extended_list() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let special = client.ok("LIST (SPECIAL-USE) \"\" *").await.untagged;
    for attribute in ["\\Sent", "\\Drafts", "\\Trash", "\\Junk"] {
        assert!(special.iter().any(|line| line.contains(attribute)), "{attribute}: {special:?}");
    }
    client.ok("CREATE a/b").await;
    for name in ["a", "a/b", "INBOX"] {
        client.ok(&format!("UNSUBSCRIBE {name}")).await;
    }
    client.ok("SUBSCRIBE a/b").await;
    assert_eq!(
        client.ok("LIST (SUBSCRIBED) \"\" a*").await.untagged,
        ["* LIST (\\HasNoChildren \\Subscribed) \"/\" \"a/b\""]
    );
    assert_eq!(
        client.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" a").await.untagged,
        ["* LIST (\\HasChildren) \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))"]
    );
    assert_eq!(
        client.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a a/b)").await.untagged,
        ["* LIST (\\HasNoChildren \\Subscribed) \"/\" \"a/b\""]
    );
    assert_eq!(client.ok("LSUB \"\" a%").await.untagged, ["* LSUB (\\Noselect) \"/\" \"a\""]);
    assert_eq!(client.ok("LSUB \"\" a*").await.untagged, ["* LSUB () \"/\" \"a/b\""]);
    let status = client.ok("LIST \"\" a RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT))").await.untagged;
    assert_eq!(status, ["* LIST (\\HasChildren) \"/\" \"a\"", "* STATUS \"a\" (MESSAGES 0 UIDNEXT 1)"]);
    client.ok("DELETE a/b").await;
    assert_eq!(
        client.ok("LIST (SUBSCRIBED) \"\" a*").await.untagged,
        ["* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"a/b\""]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn append_in_its_ways() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let one = client.append("INBOX", "\\Seen $Label", "Subject: one\r\n\r\nbody\r\n").await;
    let validity = one.tagged.split(' ').nth(2).expect("a UIDVALIDITY").to_owned();
    assert!(one.tagged.starts_with(&format!("OK [APPENDUID {validity} 1]")), "{one:?}");

    client.send("a APPEND inbox \"17-Jul-1996 02:44:25 -0700\" {14}\r\n").await;
    assert!(client.response().await.starts_with("+ "));
    client.send("Subject: two\r\n\r\n").await;
    assert!(client.answer("a").await.tagged.contains("APPENDUID"));

    client.ok("SELECT INBOX").await;
    let fetched = client.ok("FETCH 1:2 (FLAGS INTERNALDATE)").await;
    assert!(fetched.untagged[0].starts_with("* 1 FETCH (FLAGS (\\Seen "), "{fetched:?}");
    assert!(fetched.untagged[0].contains("$Label"));
    assert!(fetched.untagged[1].contains("INTERNALDATE \"17-Jul-1996 02:44:25 -0700\""), "{fetched:?}");

    // To the selected mailbox: the client hears of it before the end of the command.
    let three = client.append("INBOX", "", "Subject: three\r\n\r\n").await;
    assert_eq!(three.of("EXISTS"), ["* 3 EXISTS"]);

    assert!(client.no("APPEND nowhere {3}").await.tagged.contains("[TRYCREATE]"));
    assert!(client.no("APPEND nowhere {3+}\r\nabc").await.tagged.contains("[TRYCREATE]"));
    assert!(client.no("APPEND INBOX {0+}\r\n").await.tagged.starts_with("NO"));
    assert!(client.no("APPEND INBOX {4194305}").await.tagged.contains("[TOOBIG]"));
    let large = "x".repeat(4_194_305);
    assert!(client.no(&format!("APPEND INBOX {{4194305+}}\r\n{large}")).await.tagged.contains("[TOOBIG]"));
    let small = "y".repeat(200_000);
    client.bad(&format!("APPEND INBOX {{200000+}}\r\n{small}{{200000+}}\r\n{small}")).await;
    client.bad("APPEND INBOX (\\Wrong) {3+}\r\nabc").await;
    client.ok("NOOP").await;
    // Nothing after a refused literal is taken for a command.
    let answer = client.command("APPEND nowhere {300000+}\r\n").await;
    assert!(answer.tagged.contains("[TRYCREATE]"));
    client.send("z LOGOUT\r\n".repeat(30_000)).await;
    client.send("\r\n").await;
    client.ok("NOOP").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_is_told_and_kept() {
    let service = Service::start_with_quota(Some(100 * 1024)).await;
    let mut client = service.login().await;
    assert_eq!(
        client.ok("GETQUOTAROOT INBOX").await.untagged,
        ["* QUOTAROOT \"INBOX\" \"\"", "* QUOTA \"\" (STORAGE 0 100)"]
    );
    assert!(client.no("APPEND INBOX {300000}").await.tagged.contains("[OVERQUOTA]"));
    let message = format!("Subject: x\r\n\r\n{}", "y".repeat(90_000));
    client.append("INBOX", "", &message).await;
    let refused = client.no(&format!("APPEND INBOX {{{}+}}\r\n{message}", message.len())).await;
    assert!(refused.tagged.contains("[OVERQUOTA]"), "{refused:?}");
    assert_eq!(client.ok("GETQUOTA \"\"").await.untagged, ["* QUOTA \"\" (STORAGE 88 100)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_select_and_examine() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.append("INBOX", "\\Seen", "Subject: one\r\n\r\n").await;
    client.append("INBOX", "", "Subject: two\r\n\r\nx").await;
    assert_eq!(
        client.ok("STATUS inbox (MESSAGES RECENT UIDNEXT UNSEEN SIZE)").await.untagged,
        ["* STATUS \"INBOX\" (MESSAGES 2 RECENT 2 UIDNEXT 3 UNSEEN 1 SIZE 33)"]
    );
    let examined = client.ok("EXAMINE INBOX").await;
    assert!(examined.tagged.starts_with("OK [READ-ONLY]"));
    assert_eq!(examined.of("EXISTS"), ["* 2 EXISTS"]);
    assert_eq!(examined.of(" RECENT"), ["* 2 RECENT"]);
    assert!(examined.of("PERMANENTFLAGS")[0].contains("PERMANENTFLAGS ()"));
    assert_eq!(examined.of("UNSEEN").len(), 1);
    client.no("STORE 1 +FLAGS (\\Deleted)").await;
    client.no("EXPUNGE").await;
    client.ok("FETCH 1:2 BODY[]").await;

    let selected = client.ok("SELECT INBOX").await;
    assert!(selected.tagged.starts_with("OK [READ-WRITE]"));
    assert_eq!(selected.of("CLOSED").len(), 1);
    assert_eq!(selected.of(" RECENT"), ["* 2 RECENT"]);
    assert!(selected.of("[UNSEEN 2]").len() == 1, "EXAMINE changes no flags: {selected:?}");
    assert!(selected.of("PERMANENTFLAGS")[0].contains("\\*"));

    // Recent is told to one session only.
    let mut other = service.login().await;
    assert_eq!(other.ok("SELECT INBOX").await.of(" RECENT"), ["* 0 RECENT"]);
    assert!(client.no("STATUS nowhere (MESSAGES)").await.tagged.contains("NONEXISTENT"));
    client.no("SELECT nowhere").await;
    client.bad("FETCH 1 FLAGS").await;
}
