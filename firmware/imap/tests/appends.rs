//! APPEND in all its forms, and REPLACE.

mod client;

use client::{Client, Service};

const FIRST: &str = "From: a@example.test\r\nSubject: one\r\n\r\nbody one\r\n";

async fn validity(client: &mut Client, mailbox: &str) -> String {
    let status = client.ok(&format!("STATUS {mailbox} (UIDVALIDITY)")).await.untagged.remove(0);
    status.rsplit(' ').next().expect("a number").trim_end_matches(')').to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_messages_come_in_together_or_not_at_all() {
    let service = Service::start_with_quota(Some(3000)).await;
    let mut client = service.select("INBOX").await;
    let one = format!("(\\Seen) {{{}+}}\r\n{FIRST}", FIRST.len());
    let answer =
        client.ok(&format!("APPEND INBOX {one} {one} \"05-Mar-2020 12:00:00 +0000\" {{3+}}\r\nx\r\n")).await;
    assert!(answer.tagged.contains(" 1:3] "), "{answer:?}");
    assert_eq!(answer.of("EXISTS"), ["* 3 EXISTS"]);
    let third = client.ok("FETCH 3 (FLAGS INTERNALDATE BODY.PEEK[])").await;
    let expected =
        "* 3 FETCH (FLAGS (\\Recent) INTERNALDATE \" 5-Mar-2020 12:00:00 +0000\" BODY[] {3}\r\nx\r\n)";
    assert_eq!(third.untagged, [expected]);
    // The second of these is too much: neither is stored.
    let large = format!("{{2900+}}\r\n{}", "y".repeat(2900));
    assert!(client.no(&format!("APPEND INBOX {one} {large}")).await.tagged.starts_with("NO [OVERQUOTA]"));
    assert!(client.ok("NOOP").await.untagged.is_empty());
    assert!(client.no(&format!("APPEND nowhere {one}")).await.tagged.starts_with("NO [TRYCREATE]"));
    assert!(client.no(&format!("APPEND INBOX {one} {{0+}}\r\n")).await.tagged.starts_with("NO ["));
    assert_eq!(client.ok("SEARCH ALL").await.untagged, ["* SEARCH 1 2 3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_in_one_command() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let one = format!(" {{{}+}}\r\n{FIRST}", FIRST.len());
    let answer = client.ok(&format!("APPEND INBOX{}", one.repeat(500))).await;
    assert!(answer.tagged.contains(" 1:500] "), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_put_together() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.append("INBOX", "", FIRST).await;
    client.ok("CREATE \"two words\"").await;
    client
        .append(
            "\"two words\"",
            "",
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\npart one\r\n--x--\r\n",
        )
        .await;
    let valid = validity(&mut client, "INBOX").await;
    client.ok("SELECT INBOX").await;
    for (pieces, expected) in [
        ("TEXT {3+}\r\na\r\n TEXT ~{1+}\r\nb", "a\r\nb"),
        (
            "URL \"/INBOX/;UID=1/;SECTION=HEADER\" TEXT {3+}\r\nnew",
            "From: a@example.test\r\nSubject: one\r\n\r\nnew",
        ),
        ("URL ;UID=1/;SECTION=TEXT", "body one\r\n"),
        ("URL \"/two%20words/;UID=1/;SECTION=1\"", "part one"),
        ("URL /INBOX/;UID=1/;PARTIAL=6.4 TEXT {1+}\r\n!", "a@ex!"),
        ("URL /INBOX/;UID=1/;PARTIAL=9999.4 TEXT {1+}\r\n!", "!"),
        (&format!("URL {{{}+}}\r\n/INBOX;UIDVALIDITY={valid}/;UID=1", 26 + valid.len()), FIRST),
    ] {
        let stored = client.ok(&format!("APPEND Drafts (\\Draft) CATENATE ({pieces})")).await;
        let uid = stored.tagged.split(' ').nth(3).expect("a UID").trim_end_matches(']').to_owned();
        let mut reader = service.select("Drafts").await;
        let fetched = reader.ok(&format!("UID FETCH {uid} (BODY.PEEK[])")).await.untagged.remove(0);
        let literal = format!("BODY[] {{{}}}\r\n{expected})", expected.len());
        assert!(fetched.ends_with(&literal), "{pieces}: {fetched}");
    }
    for (url, mailbox) in [
        ("/INBOX/;UID=9", "Drafts"),
        ("/INBOX;UIDVALIDITY=1/;UID=1", "Drafts"),
        ("/INBOX/;UID=1/;SECTION=7", "Drafts"),
        ("/none/;UID=1", "Drafts"),
        ("imap://elsewhere/INBOX/;UID=1", "Drafts"),
    ] {
        let refused = client.no(&format!("APPEND {mailbox} CATENATE (TEXT {{1+}}\r\na URL {url})")).await;
        assert!(refused.tagged.starts_with(&format!("NO [BADURL \"{url}\"]")), "{refused:?}");
    }
    let refused = client.no("APPEND nowhere CATENATE (URL /INBOX/;UID=9)").await;
    assert!(refused.tagged.starts_with("NO [TRYCREATE]"), "{refused:?}");
    // What is put together is bounded as any message.
    let big = format!("Subject: big\r\n\r\n{}", "z".repeat(3_000_000));
    client.append("INBOX", "", &big).await;
    let refused = client.no("APPEND Drafts CATENATE (URL ;UID=2 URL ;UID=2)").await;
    assert!(refused.tagged.starts_with("NO [TOOBIG]"), "{refused:?}");
    client.ok("APPEND Drafts CATENATE (URL ;UID=2)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nul_bytes_and_raw_utf8_come_back_as_they_went() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.ok("APPEND INBOX ~{29+}\r\nContent-Type: a/b\r\n\r\nx\0y\r\n\0\0\0").await;
    client.ok("APPEND INBOX UTF8 (~{18+}\r\nSubject: ü\r\n\r\n.\r\n)").await;
    client.ok("SELECT INBOX").await;
    let binary = client.ok("FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])").await.untagged.remove(0);
    assert_eq!(binary, "* 1 FETCH (BINARY[1] ~{8}\r\nx\0y\r\n\0\0\0 BINARY.SIZE[1] 8)");
    // A literal must not hold NUL (RFC 9051 section 4.3.1): 0x80 stands for it, which is no UTF-8.
    let text = client.ok("FETCH 1 BODY.PEEK[1]").await.untagged.remove(0);
    assert_eq!(text, "* 1 FETCH (BODY[1] {8}\r\nx\u{fffd}y\r\n\u{fffd}\u{fffd}\u{fffd})");
    let utf8 = client.ok("FETCH 2 BODY[HEADER]").await.untagged.remove(0);
    assert!(utf8.starts_with("* 2 FETCH (BODY[HEADER] {15}\r\nSubject: ü\r\n\r\n"), "{utf8}");

    let long = format!("Subject: x\r\n\r\n{}", "y\0".repeat(300_000));
    client.ok(&format!("APPEND INBOX ~{{{}+}}\r\n{long}", long.len())).await;
    let text = client.ok("FETCH 3 BODY.PEEK[]").await.untagged.remove(0);
    assert_eq!((text.contains('\0'), text.matches('\u{fffd}').count()), (false, 300_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_replaced_in_one_step() {
    let service = Service::start_with_quota(Some(1000)).await;
    let mut client = service.login().await;
    for number in 1..=3 {
        client.append("INBOX", "", &format!("Subject: {number}\r\n\r\n{}", "x".repeat(280))).await;
    }
    client.ok("SELECT INBOX").await;
    let mut other = service.select("INBOX").await;
    // There is room for it only because the old one goes.
    let new = format!("Subject: new\r\n\r\n{}", "y".repeat(350));
    let replaced = client.ok(&format!("REPLACE 2 INBOX (\\Draft) {{{}+}}\r\n{new}", new.len())).await;
    assert!(replaced.untagged[0].starts_with("* OK [APPENDUID ") && replaced.untagged[0].contains(" 4]"));
    assert_eq!(replaced.of("EXPUNGE"), ["* 2 EXPUNGE"]);
    assert_eq!(replaced.untagged.last().map(String::as_str), Some("* 3 RECENT"), "{replaced:?}");
    assert_eq!(other.ok("NOOP").await.of("EXPUNGE"), ["* 2 EXPUNGE"]);
    assert_eq!(client.ok("UID SEARCH ALL").await.untagged, ["* SEARCH 1 3 4"]);
    let too_much = client.no(&format!("UID REPLACE 1 INBOX {{700+}}\r\n{}", "z".repeat(700))).await;
    assert!(too_much.tagged.starts_with("NO [OVERQUOTA]"), "{too_much:?}");
    assert_eq!(client.ok("UID SEARCH ALL").await.untagged, ["* SEARCH 1 3 4"]);
    let gone = client.no("UID REPLACE 2 INBOX {1+}\r\nx").await;
    assert!(gone.tagged.starts_with("NO [EXPUNGEISSUED]"), "{gone:?}");
    assert!(client.no("UID REPLACE 1 nowhere {1+}\r\nx").await.tagged.starts_with("NO [TRYCREATE]"));
    client.bad("REPLACE 4 INBOX {1+}\r\nx").await;
    // Into another mailbox, by `*`, with mod-sequences.
    client.ok("ENABLE QRESYNC").await;
    let moved = client.ok("REPLACE * Drafts {1+}\r\nx").await;
    assert!(moved.tagged.starts_with("OK [HIGHESTMODSEQ "), "{moved:?}");
    assert_eq!(moved.of("VANISHED"), ["* VANISHED 4"]);
    client.ok("EXAMINE INBOX").await;
    assert!(client.no("REPLACE 1 INBOX {1+}\r\nx").await.tagged.starts_with("NO [NOPERM]"));
}
