//! Messages of one session: FETCH, STORE, COPY, MOVE, EXPUNGE, SEARCH.

mod client;

use client::{Client, Service};

const MULTIPART: &str = "From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
Date: Thu, 01 Jan 2026 23:30:00 -0800\r\nMessage-ID: <m1@example.test>\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=sep\r\n\r\npreamble\r\n--sep\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8gV8O2cmxk\r\n--sep\r\nContent-Type: message/rfc822\r\n\r\n\
Subject: inner\r\n\r\ninner body\r\n--sep--\r\n";

async fn mailbox_of(service: &Service, messages: usize) -> Client {
    let mut client = service.login().await;
    for number in 1..=messages {
        client.append("INBOX", "", &format!("Subject: m{number}\r\n\r\nbody {number}\r\n")).await;
    }
    client.ok("SELECT INBOX").await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_the_parts_of_a_message() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.append("INBOX", "", MULTIPART).await;
    client.ok("SELECT INBOX").await;
    let size = MULTIPART.len();
    let fetch = |items: &str| format!("FETCH 1 {items}");
    let whole = client.ok(&fetch("BODY.PEEK[]")).await.untagged;
    assert_eq!(whole, [format!("* 1 FETCH (BODY[] {{{size}}}\r\n{MULTIPART})")]);
    assert_eq!(
        client.ok(&fetch("(UID RFC822.SIZE)")).await.untagged,
        [format!("* 1 FETCH (UID 1 RFC822.SIZE {size})")]
    );
    assert_eq!(
        client.ok(&fetch("BODY.PEEK[1]")).await.untagged,
        ["* 1 FETCH (BODY[1] {16}\r\nSGVsbG8gV8O2cmxk)"]
    );
    assert_eq!(
        client.ok(&fetch("BODY.PEEK[2.HEADER]<0.9>")).await.untagged,
        ["* 1 FETCH (BODY[2.HEADER]<0> {9}\r\nSubject: )"]
    );
    assert_eq!(
        client.ok(&fetch("BODY.PEEK[2.TEXT]")).await.untagged,
        ["* 1 FETCH (BODY[2.TEXT] {10}\r\ninner body)"]
    );
    assert_eq!(client.ok(&fetch("BODY.PEEK[7]")).await.untagged, ["* 1 FETCH (BODY[7] NIL)"]);
    assert_eq!(
        client.ok(&fetch("BODY.PEEK[]<99999.5>")).await.untagged,
        ["* 1 FETCH (BODY[]<99999> {0}\r\n)"]
    );
    assert_eq!(
        client.ok(&fetch("BODY.PEEK[HEADER.FIELDS (subject \"x y\")]")).await.untagged,
        [
            "* 1 FETCH (BODY[HEADER.FIELDS (subject \"x y\")] {40}\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n)"
        ]
    );
    let envelope = client.ok(&fetch("ENVELOPE")).await.untagged.join("");
    assert!(envelope.contains("ENVELOPE (\"Thu, 01 Jan 2026 23:30:00 -0800\" \"=?utf-8?q?Gr=C3=BC=C3=9Fe?=\" ((\"Alice\" NIL \"alice\" \"example.test\"))"), "{envelope}");
    let structure = client.ok(&fetch("(BODYSTRUCTURE BODY)")).await.untagged.join("");
    assert!(
        structure.contains("BODYSTRUCTURE ((\"text\" \"plain\" ")
            || structure.contains("BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" "),
        "{structure}"
    );
    let full = client.ok("FETCH 1 FULL").await.untagged.join("");
    for item in ["FLAGS (\\Recent)", "INTERNALDATE \"", "RFC822.SIZE ", "ENVELOPE (", "BODY ("] {
        assert!(full.contains(item), "{item}: {full}");
    }
    let header = client.ok(&fetch("RFC822.HEADER")).await.untagged.join("");
    assert!(header.contains("RFC822.HEADER {") && !header.contains("FLAGS"), "{header}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_comes_back_in_the_zone_it_was_given_in() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let text = "Subject: zone\r\n\r\nx\r\n";
    let append = |date: &str| format!("APPEND INBOX \"{date}\" {{{}+}}\r\n{text}", text.len());
    // The same day in three places, three days in UTC.
    for date in ["25-Mar-2007 01:00:00 +0530", "25-Mar-2007 12:00:00 +0000", "25-Mar-2007 23:59:59 -0830"] {
        client.ok(&append(date)).await;
    }
    client.ok("SELECT INBOX").await;
    let dates = client.ok("FETCH 1:3 INTERNALDATE").await.untagged;
    assert_eq!(dates[0], "* 1 FETCH (INTERNALDATE \"25-Mar-2007 01:00:00 +0530\")");
    assert_eq!(dates[2], "* 3 FETCH (INTERNALDATE \"25-Mar-2007 23:59:59 -0830\")");
    assert_eq!(client.ok("SEARCH ON 25-Mar-2007").await.untagged, ["* SEARCH 1 2 3"]);
    assert_eq!(client.ok("SEARCH BEFORE 25-Mar-2007").await.untagged, ["* SEARCH"]);
    assert_eq!(client.ok("SEARCH SINCE 26-Mar-2007").await.untagged, ["* SEARCH"]);
    client.ok("CREATE other").await;
    client.ok("MOVE 1 other").await;
    client.ok("COPY 2 other").await;
    client.ok("SELECT other").await;
    let dates = client.ok("FETCH 1:2 INTERNALDATE").await.untagged;
    assert_eq!(dates[0], "* 1 FETCH (INTERNALDATE \"25-Mar-2007 01:00:00 +0530\")");
    assert_eq!(dates[1], "* 2 FETCH (INTERNALDATE \"25-Mar-2007 23:59:59 -0830\")");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_a_body_sets_seen_and_tells_so() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 3).await;
    let peek = client.ok("FETCH 1 (FLAGS BODY.PEEK[])").await.untagged.join("");
    assert!(peek.contains("FLAGS (\\Recent)"), "{peek}");
    let read = client.ok("FETCH 1 BODY[TEXT]").await.untagged;
    assert_eq!(read, ["* 1 FETCH (BODY[TEXT] {8}\r\nbody 1\r\n FLAGS (\\Seen \\Recent))"]);
    let again = client.ok("FETCH 1 BODY[TEXT]").await.untagged;
    assert_eq!(again, ["* 1 FETCH (BODY[TEXT] {8}\r\nbody 1\r\n)"]);
    let rfc822 = client.ok("UID FETCH 2 (FLAGS RFC822.TEXT)").await.untagged;
    assert_eq!(rfc822, ["* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent) RFC822.TEXT {8}\r\nbody 2\r\n)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_beyond_the_mailbox() {
    let service = Service::start().await;
    let mut client = service.select("INBOX").await;
    client.bad("FETCH 1 FLAGS").await;
    client.bad("FETCH 1:* FLAGS").await;
    assert!(client.ok("UID FETCH 1:* FLAGS").await.untagged.is_empty());
    assert_eq!(client.ok("SEARCH ALL").await.untagged, ["* SEARCH"]);
    assert_eq!(client.ok("SEARCH 1:*").await.untagged, ["* SEARCH"]);
    let mut client = mailbox_of(&service, 2).await;
    client.bad("FETCH 3 FLAGS").await;
    client.bad("STORE 3 +FLAGS (\\Seen)").await;
    client.bad("COPY 3 INBOX").await;
    assert_eq!(client.ok("UID FETCH 7:* UID").await.untagged, ["* 2 FETCH (UID 2)"]);
    assert!(client.ok("UID FETCH 7:9 UID").await.untagged.is_empty());
    assert_eq!(client.ok("FETCH *:1 UID").await.untagged, ["* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)"]);
    client.ok("UID STORE 7:9 +FLAGS (\\Seen)").await;
    assert_eq!(client.ok("UID COPY 7:9 INBOX").await.tagged, "OK there are no such messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_in_its_ways() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 2).await;
    assert_eq!(
        client.ok("STORE 1 +FLAGS (\\Flagged \\Seen)").await.of("FETCH"),
        ["* 1 FETCH (FLAGS (\\Flagged \\Seen \\Recent))"]
    );
    assert!(client.ok("STORE 1 +FLAGS.SILENT \\Answered").await.of("FETCH").is_empty());
    assert_eq!(
        client.ok("UID STORE 1 -FLAGS (\\Seen)").await.of("FETCH"),
        ["* 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged \\Recent))"]
    );
    let keyword = client.ok("STORE 2 FLAGS (Work \\Draft)").await;
    assert_eq!(keyword.of("* FLAGS").len(), 1, "the new keyword is told: {keyword:?}");
    assert_eq!(keyword.of("FETCH"), ["* 2 FETCH (FLAGS (\\Draft \\Recent Work))"]);
    assert_eq!(client.ok("STORE 2 FLAGS ()").await.of("FETCH"), ["* 2 FETCH (FLAGS (\\Recent))"]);
    assert_eq!(client.ok("STORE 2 +FLAGS (WORK)").await.of("FETCH"), ["* 2 FETCH (FLAGS (\\Recent Work))"]);
    assert_eq!(client.ok("SEARCH KEYWORD work").await.untagged, ["* SEARCH 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expunge_copy_and_move() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 6).await;
    client.ok("CREATE target").await;
    client.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)").await;
    let mut expunged = client.ok("EXPUNGE").await.untagged;
    expunged.sort();
    assert_eq!(expunged, ["* 2 EXPUNGE", "* 4 EXPUNGE"]);
    // Left are UIDs 1, 3, 5, 6.
    client.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.ok("UID EXPUNGE 2:3").await.untagged, ["* 2 EXPUNGE"]);
    let copied = client.ok("COPY 1:2 target").await;
    assert!(copied.tagged.starts_with("OK [COPYUID ") && copied.tagged.contains(" 1,5 1:2]"), "{copied:?}");
    assert!(client.no("COPY 1 nowhere").await.tagged.contains("[TRYCREATE]"));
    let moved = client.ok("UID MOVE 5:6 target").await;
    assert!(moved.untagged[0].contains("[COPYUID ") && moved.untagged[0].contains(" 5:6 3:4]"), "{moved:?}");
    assert_eq!(moved.of("EXPUNGE"), ["* 3 EXPUNGE", "* 2 EXPUNGE"]);
    assert_eq!(client.ok("UID SEARCH ALL").await.untagged, ["* SEARCH 1"]);
    let status = client.ok("STATUS target (MESSAGES UIDNEXT)").await.untagged;
    assert_eq!(status, ["* STATUS \"target\" (MESSAGES 4 UIDNEXT 5)"]);
    assert!(client.ok("CLOSE").await.untagged.is_empty());
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await.untagged, ["* STATUS \"INBOX\" (MESSAGES 0)"]);
    client.ok("SELECT target").await;
    client.ok("STORE 2 +FLAGS (\\Deleted)").await;
    client.ok("UNSELECT").await;
    assert_eq!(client.ok("STATUS target (MESSAGES)").await.untagged, ["* STATUS \"target\" (MESSAGES 4)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_by_everything() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.append("INBOX", "\\Seen", MULTIPART).await;
    client
        .ok("APPEND INBOX (\\Flagged) \"05-Mar-2020 12:00:00 +0000\" {60+}\r\nFrom: carol@example.test\r\nSubject: invoice\r\n\r\nplease pay ABC")
        .await;
    client.append("INBOX", "", "Subject: =?gb2312?B?1tDOxA==?=\r\nX-Empty:\r\n\r\nthird").await;
    client.ok("SELECT INBOX").await;
    for (query, expected) in [
        ("ALL", "1 2 3"),
        ("SEEN", "1"),
        ("UNSEEN FLAGGED", "2"),
        ("NOT FLAGGED", "1 3"),
        ("OR SEEN FLAGGED", "1 2"),
        ("2:*", "2 3"),
        ("UID 1,3", "1 3"),
        ("KEYWORD none", ""),
        ("UNKEYWORD none", "1 2 3"),
        ("BEFORE 1-Jan-2021", "2"),
        ("ON 5-Mar-2020", "2"),
        ("SINCE 5-Mar-2020", "1 2 3"),
        ("SINCE 6-Mar-2020", "1 3"),
        ("SENTON 1-Jan-2026", "1"),
        ("SENTON 2-Jan-2026", ""),
        ("SENTSINCE 1-Jan-2026", "1"),
        ("SENTBEFORE 1-Jan-2026", ""),
        ("LARGER 200", "1"),
        ("SMALLER 60", "3"),
        ("FROM carol", "2"),
        ("FROM \"ALICE <\"", "1"),
        ("TO bob", "1"),
        ("SUBJECT INVO", "2"),
        ("HEADER Message-ID m1@", "1"),
        ("HEADER X-Empty \"\"", "3"),
        ("BODY abc", "2"),
        ("BODY wÖrld", "1"),
        ("BODY invoice", ""),
        ("TEXT invoice", "2"),
        ("TEXT inner", "1"),
        ("CHARSET UTF-8 SUBJECT grüße", "1"),
        ("CHARSET UTF-8 SUBJECT {6+}\r\n中文", "3"),
        ("CHARSET GB2312 SUBJECT invoice", "2"),
        ("YOUNGER 1000", "1 3"),
        ("OLDER 1000", "2"),
        ("RECENT", "1 2 3"),
        ("NEW", "2 3"),
        ("OLD", ""),
    ] {
        let answer = client.ok(&format!("SEARCH {query}")).await;
        assert_eq!(answer.untagged[0].trim_end(), format!("* SEARCH {expected}").trim_end(), "{query}");
    }
    assert!(client.no("SEARCH CHARSET X-NONE ALL").await.tagged.starts_with("NO [BADCHARSET ("));
    let extended = client.ok("UID SEARCH RETURN (MIN MAX COUNT ALL) ALL").await;
    assert!(extended.untagged[0].ends_with(" UID MIN 1 MAX 3 ALL 1:3 COUNT 3"), "{extended:?}");
    let none = client.ok("SEARCH RETURN (MIN COUNT) DRAFT").await;
    assert!(none.untagged[0].ends_with(") COUNT 0"), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_store_and_changed_since() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 3).await;
    let mut other = service.select("INBOX").await;
    let before = client.ok("FETCH 1:3 MODSEQ").await;
    assert_eq!(before.of("HIGHESTMODSEQ").len(), 1);
    let highest: u64 = before.of("HIGHESTMODSEQ")[0]
        .split("HIGHESTMODSEQ ")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .and_then(|digits| digits.parse().ok())
        .expect("a number");
    other.ok("STORE 2 +FLAGS (\\Flagged)").await;
    let conditional =
        client.ok(&format!("STORE 1:3 (UNCHANGEDSINCE {highest}) +FLAGS.SILENT (\\Seen)")).await;
    assert!(conditional.tagged.contains("[MODIFIED 2]"), "{conditional:?}");
    assert_eq!(conditional.of("* 1 FETCH (UID 1 MODSEQ (").len(), 1, "{conditional:?}");
    assert_eq!(conditional.of("* 2 FETCH").len(), 1, "the other's change is told: {conditional:?}");
    // Nothing is older than the beginning: the client hears how the messages are.
    let never = client.ok("STORE 1,3 (UNCHANGEDSINCE 0) +FLAGS (\\Draft)").await;
    assert!(never.tagged.contains("[MODIFIED 1,3]"), "{never:?}");
    assert_eq!(never.of("FLAGS (\\Seen").len(), 2, "{never:?}");
    let changed = client.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {highest})")).await;
    assert_eq!(changed.of("FETCH (UID").len(), 3, "{changed:?}");
    assert!(changed.untagged.iter().all(|line| line.contains("MODSEQ (")));
    let nothing = client.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 99999999)").await;
    assert!(nothing.of("FETCH").is_empty());
    let search = client.ok(&format!("SEARCH MODSEQ {}", highest + 1)).await;
    assert!(search.untagged[0].starts_with("* SEARCH 1 2 3 (MODSEQ "), "{search:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_comes_whole_and_in_parts() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let lines: Vec<String> =
        (0..40_000).map(|line| format!("line {line:06} of a large message\r\n")).collect();
    let body = lines.concat();
    let message = format!("Subject: large\r\n\r\n{body}");
    client.append("INBOX", "", &message).await;
    client.append("INBOX", "", "Subject: small\r\n\r\nx").await;
    client.ok("SELECT INBOX").await;
    let whole = client.ok("FETCH 1:2 (UID BODY[] FLAGS)").await;
    let expected =
        format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n{message} FLAGS (\\Seen \\Recent))", message.len());
    assert!(whole.untagged[0] == expected, "the large message is not as it was sent");
    assert_eq!(
        whole.untagged[1],
        "* 2 FETCH (UID 2 BODY[] {19}\r\nSubject: small\r\n\r\nx FLAGS (\\Seen \\Recent))"
    );
    // Many texts at once are written one after the other.
    let small = format!("Subject: medium\r\n\r\n{}", "z".repeat(200_000));
    client.append("INBOX", "", &small).await;
    let many = client.ok(&format!("FETCH 3 ({})", vec!["BODY.PEEK[]"; 20].join(" "))).await;
    let one = format!("BODY[] {{{}}}\r\n{small}", small.len());
    assert!(many.untagged[0] == format!("* 3 FETCH ({})", vec![one.as_str(); 20].join(" ")));
    let part = client.ok("FETCH 1 BODY.PEEK[TEXT]<1000000.50>").await;
    assert_eq!(
        part.untagged,
        [format!("* 1 FETCH (BODY[TEXT]<1000000> {{50}}\r\n{})", &body[1_000_000..1_000_050])]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_commands_are_answered_in_order() {
    let service = Service::start().await;
    let mut client = mailbox_of(&service, 50).await;
    let commands: Vec<String> =
        (1..=50).map(|number| format!("p{number} FETCH {number} (FLAGS BODY.PEEK[])\r\n")).collect();
    client.send(commands.concat()).await;
    for number in 1..=50 {
        let answer = client.answer(&format!("p{number}")).await;
        assert_eq!(answer.of("FETCH").len(), 1);
        assert!(answer.untagged[0].contains(&format!("body {number}\r\n")));
    }
}
