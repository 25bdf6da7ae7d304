//! QRESYNC, UIDONLY, and what else changes how a mailbox is told.

mod client;

use client::{Answer, Client, Service};

async fn mailbox_of(service: &Service, count: usize) -> Client {
    let mut client = service.login().await;
    for number in 1..=count {
        client.append("INBOX", "", &format!("Subject: {number}\r\n\r\nbody {number}\r\n")).await;
    }
    client
}

/// The number after a word in the untagged answers.
fn number_after(answer: &Answer, word: &str) -> u64 {
    let line = answer.of(word)[0];
    let rest = line.split(word).nth(1).expect("the word is there").trim_start();
    rest.split(|letter: char| !letter.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_hears_what_it_missed() {
    let service = Service::start().await;
    let mut other = mailbox_of(&service, 10).await;
    let mut client = service.login().await;
    client.bad("SELECT INBOX (QRESYNC (1 1))").await;
    assert_eq!(client.ok("ENABLE QRESYNC").await.untagged, ["* ENABLED QRESYNC"]);
    let first = client.ok("SELECT INBOX").await;
    let (valid, modseq) = (number_after(&first, "UIDVALIDITY"), number_after(&first, "HIGHESTMODSEQ"));
    client.ok("UNSELECT").await;

    other.ok("SELECT INBOX").await;
    other.ok("STORE 2,3,4,9,10 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.ok("UID STORE 5 +FLAGS (\\Seen)").await;
    other.append("INBOX", "\\Flagged", "Subject: new\r\n\r\n").await;

    let again = client.ok(&format!("SELECT INBOX (QRESYNC ({valid} {modseq}))")).await;
    assert_eq!(again.of("VANISHED"), ["* VANISHED (EARLIER) 2:4,9:10"]);
    let changed = again.of("FETCH");
    assert_eq!(changed.len(), 2, "{again:?}");
    assert!(changed[0].starts_with("* 2 FETCH (UID 5 MODSEQ (") && changed[0].ends_with(" FLAGS (\\Seen))"));
    assert!(changed[1].starts_with("* 6 FETCH (UID 11 MODSEQ (") && changed[1].contains("\\Flagged"));
    // Only of what the client knows.
    let some = client.ok(&format!("SELECT INBOX (QRESYNC ({valid} {modseq} 3:7))")).await;
    assert_eq!(some.untagged[0], "* OK [CLOSED] the mailbox before this one is closed");
    assert_eq!(some.of("VANISHED"), ["* VANISHED (EARLIER) 3:4"]);
    assert_eq!(some.of("FETCH").len(), 1);
    let matched = client.ok(&format!("SELECT INBOX (QRESYNC ({valid} {modseq} 1:10 (1,2 1,2)))")).await;
    assert_eq!(matched.of("VANISHED"), ["* VANISHED (EARLIER) 2:4,9:10"]);
    // Another UIDVALIDITY, and an up-to-date client: nothing to tell.
    let stranger = client.ok(&format!("SELECT INBOX (QRESYNC ({} {modseq}))", valid + 1)).await;
    assert!(stranger.of("VANISHED").is_empty() && stranger.of("FETCH").is_empty());
    let now = number_after(&stranger, "HIGHESTMODSEQ");
    let nothing = client.ok(&format!("SELECT INBOX (QRESYNC ({valid} {now}))")).await;
    assert!(nothing.of("VANISHED").is_empty() && nothing.of("FETCH").is_empty());
    // The same by FETCH.
    let fetched = client.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await;
    assert_eq!(fetched.untagged[0], "* VANISHED (EARLIER) 2:4,9:10");
    assert_eq!(fetched.of("FETCH").len(), 2);
    let fetched = client.ok(&format!("UID FETCH 2:3 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await;
    assert_eq!(fetched.untagged, ["* VANISHED (EARLIER) 2:3"]);
    client.bad(&format!("FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await;
    client.bad("UID FETCH 1:* (FLAGS) (VANISHED)").await;
    for bad in ["(0 1)", "(1 0)", "(1 1 *)", "(1 1 1:3 (1:2 1))", "1 1", "(1 1 1:3 ())"] {
        client.bad(&format!("SELECT INBOX (QRESYNC {bad})")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resyncing_client_hears_of_uids() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 6).await;
    client.ok("ENABLE QRESYNC").await;
    client.ok("SELECT INBOX").await;
    let mut other = service.select("INBOX").await;
    let plain = client.ok("UID FETCH 1 FLAGS").await;
    assert!(
        plain.untagged[0].starts_with("* 1 FETCH (UID 1 FLAGS (") && plain.untagged[0].contains("MODSEQ (")
    );
    other.ok("STORE 2:3,6 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.ok("NOOP").await.of("FETCH (UID").len(), 3);
    other.ok("EXPUNGE").await;
    assert_eq!(client.ok("NOOP").await.untagged, ["* VANISHED 2:3,6"]);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let expunged = client.ok("EXPUNGE").await;
    assert_eq!(expunged.untagged, ["* VANISHED 1"]);
    assert!(expunged.tagged.starts_with("OK [HIGHESTMODSEQ "), "{expunged:?}");
    let moved = client.ok("UID MOVE 4 Archive").await;
    assert!(moved.untagged[0].contains("[COPYUID ") && moved.untagged[1] == "* VANISHED 4", "{moved:?}");
    assert!(moved.tagged.starts_with("OK [HIGHESTMODSEQ "), "{moved:?}");
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let closed = client.ok("CLOSE").await;
    assert!(closed.untagged.is_empty() && closed.tagged.starts_with("OK [HIGHESTMODSEQ "), "{closed:?}");
    assert_eq!(other.ok("NOOP").await.of("EXPUNGE").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_uids_only() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 4).await;
    assert_eq!(client.ok("ENABLE UIDONLY").await.untagged, ["* ENABLED UIDONLY"]);
    let selected = client.ok("SELECT INBOX").await;
    assert!(selected.of("UNSEEN").is_empty() && selected.of("EXISTS") == ["* 4 EXISTS"]);
    for command in [
        "FETCH 1 FLAGS",
        "STORE 1 FLAGS ()",
        "COPY 1 Trash",
        "MOVE 1 Trash",
        "SEARCH ALL",
        "UID SEARCH 1:2",
        "REPLACE 1 INBOX {1+}\r\nx",
    ] {
        assert!(client.bad(command).await.tagged.starts_with("BAD [UIDREQUIRED]"), "{command}");
    }
    assert_eq!(client.ok("UID FETCH 2 (FLAGS)").await.untagged, ["* 2 UIDFETCH (FLAGS (\\Recent))"]);
    let stored = client.ok("UID STORE 3 +FLAGS (\\Deleted)").await;
    assert_eq!(stored.untagged, ["* 3 UIDFETCH (FLAGS (\\Deleted \\Recent))"]);
    assert_eq!(client.ok("EXPUNGE").await.untagged, ["* VANISHED 3"]);
    let body = client.ok("UID FETCH 4 (BODY[HEADER])").await.untagged.remove(0);
    assert!(body.starts_with("* 4 UIDFETCH (BODY[HEADER] {") && body.ends_with(" FLAGS (\\Seen \\Recent))"));
    client.ok("UID MOVE 1 Trash").await;
    assert_eq!(client.ok("UID SEARCH ALL").await.untagged, ["* SEARCH 2 4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_revision_knows_no_recent_messages() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 2).await;
    client.ok("CREATE &ZeVnLIqe-").await;
    client.ok("ENABLE IMAP4rev2").await;
    let selected = client.ok("SELECT inbox").await;
    assert!(selected.of("RECENT").is_empty() && selected.of("[UNSEEN").is_empty(), "{selected:?}");
    assert_eq!(selected.of("* LIST"), ["* LIST () \"/\" \"INBOX\""]);
    assert_eq!(client.ok("FETCH 1 FLAGS").await.untagged, ["* 1 FETCH (FLAGS ())"]);
    let found = client.ok("SEARCH UNSEEN").await.untagged;
    assert!(found[0].starts_with("* ESEARCH (TAG ") && found[0].ends_with(") ALL 1:2"), "{found:?}");
    let list = client.ok("LIST \"\" \"日*\"").await.untagged;
    assert!(list[0].ends_with(" \"/\" \"日本語\""), "{list:?}");
    client.ok("CREATE \"a&b\"").await;
    assert!(client.ok("LIST \"\" a*").await.untagged[0].ends_with("\"a&b\""));
    let mut old = service.login().await;
    assert!(old.ok("LIST \"\" a*").await.untagged[0].ends_with("\"a&-b\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identifiers_dates_and_previews() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 2).await;
    let selected = client.ok("SELECT INBOX").await;
    assert_eq!(selected.of("[MAILBOXID (M").len(), 1, "{selected:?}");
    client.ok("COPY 1 Archive").await;
    let one = client.ok("FETCH 1 (EMAILID THREADID)").await.untagged.remove(0);
    assert!(one.starts_with("* 1 FETCH (EMAILID (E") && one.contains(") THREADID (T"), "{one}");
    let two = client.ok("FETCH 2 (EMAILID THREADID)").await.untagged.remove(0);
    assert_ne!(one[10..], two[10..]);
    let saved = client.ok("FETCH 1 SAVEDATE").await.untagged.remove(0);
    assert!(saved.starts_with("* 1 FETCH (SAVEDATE \"") && saved.ends_with(" +0000\")"), "{saved}");
    assert_eq!(client.ok("FETCH 2 (PREVIEW (LAZY))").await.untagged, ["* 2 FETCH (PREVIEW \"body 2\")"]);
    let email = one.split(['(', ')']).nth(2).expect("an identifier").to_owned();
    assert_eq!(client.ok(&format!("SEARCH EMAILID {email}")).await.untagged, ["* SEARCH 1"]);
    assert_eq!(client.ok("SEARCH SAVEDATESUPPORTED SAVEDSINCE 1-Jan-2020").await.untagged, ["* SEARCH 1 2"]);
    client.ok("SELECT Archive").await;
    assert_eq!(client.ok("FETCH 1 (EMAILID THREADID)").await.untagged, [one]);
    // A mailbox keeps its identifier under another name.
    let made = client.ok("CREATE new").await.tagged;
    let id = made.split(['(', ')']).nth(1).expect("an identifier").to_owned();
    client.ok("RENAME new other").await;
    let status = client.ok("STATUS other (MAILBOXID)").await.untagged;
    assert_eq!(status, [format!("* STATUS \"other\" (MAILBOXID ({id}))")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_a_fetch() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 9).await;
    client.ok("SELECT INBOX").await;
    let uids = |answer: &Answer| -> Vec<String> {
        answer
            .of("FETCH")
            .iter()
            .map(|line| line.split("UID ").nth(1).expect("a UID")[..1].to_owned())
            .collect()
    };
    for (page, expected) in [
        ("1:3", "1 2 3"),
        ("8:20", "8 9"),
        ("20:30", ""),
        ("-1:-2", "8 9"),
        ("-8:-12", "1 2"),
        ("3:2", "2 3"),
    ] {
        let answer = client.ok(&format!("UID FETCH 1:* (UID) (PARTIAL {page})")).await;
        assert_eq!(uids(&answer).join(" "), expected, "{page}");
    }
    assert_eq!(uids(&client.ok("UID FETCH 2:4,6:8 (UID) (PARTIAL 3:4)").await), ["4", "6"]);
    for bad in ["0:1", "1:-1", "-1:1", "1", ""] {
        client.bad(&format!("UID FETCH 1:* (UID) (PARTIAL {bad})")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_with_their_encoding_undone() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Transfer-Encoding: base64\r\n\r\naGVsbG8g\r\nd29ybGQ=\r\n--b\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\n c\r\n--b\r\n\
        Content-Transfer-Encoding: x-none\r\n\r\nhidden\r\n--b--\r\n";
    client.append("INBOX", "", message).await;
    client.ok("SELECT INBOX").await;
    for (item, expected) in [
        ("BINARY.PEEK[1]", "BINARY[1] {11}\r\nhello world"),
        ("BINARY.PEEK[1]<6.100>", "BINARY[1]<6> {5}\r\nworld"),
        ("BINARY.PEEK[1]<50.5>", "BINARY[1]<50> {0}\r\n"),
        ("BINARY.SIZE[1]", "BINARY.SIZE[1] 11"),
        ("BINARY.PEEK[2]", "BINARY[2] {5}\r\na=b c"),
        ("BINARY.SIZE[]", &format!("BINARY.SIZE[] {}", message.len())),
        ("BINARY.PEEK[9]", "BINARY[9] NIL"),
    ] {
        let answer = client.ok(&format!("FETCH 1 {item}")).await;
        assert_eq!(answer.untagged, [format!("* 1 FETCH ({expected})")], "{item}");
    }
    let whole = client.ok("FETCH 1 BINARY.PEEK[]").await.untagged.remove(0);
    assert!(whole.ends_with(&format!("{{{}}}\r\n{message})", message.len())));
    for item in ["BINARY.PEEK[3]", "BINARY.SIZE[3]"] {
        let refused = client.no(&format!("FETCH 1 {item}")).await;
        assert!(
            refused.tagged.starts_with("NO [UNKNOWN-CTE]") && refused.of("FETCH").is_empty(),
            "{refused:?}"
        );
    }
    let seen = client.ok("FETCH 1 BINARY[1]").await.untagged.remove(0);
    assert!(seen.ends_with(" FLAGS (\\Seen \\Recent))"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_work_is_told_of() {
    let service = Service::start().await;
    let mut context = service.context.clone();
    context.limits.progress_interval = std::time::Duration::from_micros(200);
    let mut client = service.connect_with(context).await;
    client.ok("LOGIN alice@example.test secret").await;
    let one = " {7+}\r\nA: b\r\n\r";
    client.ok(&format!("APPEND INBOX{}", one.repeat(4000))).await;
    client.ok("SELECT INBOX").await;
    client.send("long COPY 1:* Archive\r\n").await;
    let copied = client.answer("long").await;
    assert!(copied.tagged.starts_with("OK [COPYUID "), "{copied:?}");
    let told = copied.of("* OK [INPROGRESS (\"long\" NIL NIL)] ");
    assert!(!told.is_empty() && told.len() == copied.untagged.len(), "{copied:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_keeps_its_identifier_wherever_its_messages_are() {
    let service = Service::start().await;
    let mut client = service.login().await;
    for header in [
        "Message-ID: <1@x>\r\nSubject: plan",
        "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nSubject: Re: plan",
        "Message-ID: <3@x>\r\nReferences: <1@x>\r\n <2@x>\r\nSubject: Re: plan",
        "Message-ID: <4@x>\r\nSubject: plan",
        "Subject: no name",
        "Subject: no name",
    ] {
        client.append("INBOX", "", &format!("{header}\r\n\r\nbody\r\n")).await;
    }
    client.ok("CREATE Elsewhere").await;
    client.ok("SELECT INBOX").await;
    let told = client.ok("FETCH 1:* (THREADID)").await;
    let told = told.of("FETCH");
    let ids: Vec<&str> = told.iter().map(|line| line.split(['(', ')']).nth(2).unwrap()).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
    let different: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(different.len(), 4, "{ids:?}");
    assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())), "{ids:?}");
    for (key, expected) in [
        (format!("THREADID {}", ids[0]), "* SEARCH 1 2 3"),
        (format!("OR THREADID \"{}\" THREADID {}", ids[3], ids[5]), "* SEARCH 4 6"),
        (format!("NOT THREADID {}", ids[0]), "* SEARCH 4 5 6"),
        (format!("THREADID {}", ids[0].to_lowercase()), "* SEARCH"),
    ] {
        assert_eq!(client.ok(&format!("SEARCH {key}")).await.of("SEARCH"), [expected], "{key}");
    }
    client.ok("COPY 3,5 Elsewhere").await;
    client.ok("SELECT Elsewhere").await;
    let copies = client.ok("FETCH 1:2 THREADID").await;
    let copies = copies.of("FETCH");
    assert!(copies[0].contains(ids[2]) && copies[1].contains(ids[4]), "{copies:?}");
}
