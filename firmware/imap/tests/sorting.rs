//! SORT, THREAD, and what SEARCH can return.

mod client;

use client::{Client, Service};

/// Messages as `from`, `subject`, `date`, and more header lines.
async fn fill(client: &mut Client, messages: &[(&str, &str, &str, &str)]) {
    for (at, (from, subject, date, more)) in messages.iter().enumerate() {
        let message = format!(
            "From: {from}\r\nTo: Team <t{at}@example.test>\r\nSubject: {subject}\r\nDate: {date}\r\n{more}\r\n{}\r\n",
            "x".repeat((at * 7) % 5 * 10)
        );
        client.append("INBOX", "", &message).await;
    }
    client.ok("SELECT INBOX").await;
}

fn day(day: u32) -> String {
    format!("{day} Nov 2026 10:00:00 +0000")
}

async fn mixed() -> (Service, Client) {
    let service = Service::start().await;
    let mut client = service.login().await;
    let days: Vec<String> = (1..=9).map(day).collect();
    fill(
        &mut client,
        &[
            ("zoe@example.test", "Banana", &days[4], ""),
            (
                "\"Adam Z\" <x@example.test>",
                "Re: apple",
                &days[3],
                "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n",
            ),
            ("mark@example.test", "=?utf-8?Q?=C3=84pfel?=", &days[2], "Cc: carl@example.test\r\n"),
            ("Bert <y@example.test>", "apple", &days[1], "Message-ID: <1@x>\r\n"),
            ("anna@example.test", "Fwd: [list] BANANA", "not a date", "Cc: bea@example.test\r\n"),
        ],
    )
    .await;
    (service, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_sorted_by_every_key() {
    let (_service, mut client) = mixed().await;
    for (criteria, expected) in [
        ("SUBJECT", "2 4 3 1 5"),
        ("REVERSE SUBJECT", "1 5 3 2 4"),
        ("SUBJECT REVERSE DATE", "2 4 3 5 1"),
        ("DATE", "4 3 2 1 5"),
        ("FROM", "5 3 2 4 1"),
        ("DISPLAYFROM", "2 5 4 3 1"),
        ("TO", "1 2 3 4 5"),
        ("REVERSE DISPLAYTO", "1 2 3 4 5"),
        ("CC", "1 2 4 5 3"),
        ("REVERSE ARRIVAL", "1 2 3 4 5"),
    ] {
        let answer = client.ok(&format!("SORT ({criteria}) UTF-8 ALL")).await;
        assert_eq!(answer.untagged, [format!("* SORT {expected}")], "{criteria}");
    }
    let by_size = client.ok("UID SORT (SIZE) US-ASCII NOT 3").await;
    let sizes = client.ok("FETCH 1:5 RFC822.SIZE").await;
    let size = |number: &str| {
        let line = sizes.untagged.iter().find(|line| line.starts_with(&format!("* {number} "))).unwrap();
        line.rsplit(' ').next().unwrap().trim_end_matches(')').parse::<u32>().unwrap()
    };
    let order: Vec<u32> = by_size.untagged[0].split(' ').skip(2).map(size).collect();
    assert!(order.len() == 4 && order.is_sorted(), "{order:?}");
    assert_eq!(client.ok("SORT (SUBJECT) UTF-8 FROM nobody").await.untagged, ["* SORT"]);
    assert!(client.no("SORT (SUBJECT) KLINGON ALL").await.tagged.contains("[BADCHARSET"));
    client.bad("SORT () UTF-8 ALL").await;
    client.bad("SORT (SUBJECT) UTF-8").await;
    client.bad("SORT (COLOUR) UTF-8 ALL").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sort_can_return_what_search_can() {
    let (_service, mut client) = mixed().await;
    for (returns, expected) in [
        ("", " ALL 2,4,3,1,5"),
        ("ALL COUNT", " ALL 2,4,3,1,5 COUNT 5"),
        ("PARTIAL 2:3", " PARTIAL (2:3 4,3)"),
        ("PARTIAL -1:-2", " PARTIAL (-1:-2 1,5)"),
        ("PARTIAL 9:8", " PARTIAL (9:8 NIL)"),
    ] {
        let answer = client.ok(&format!("SORT RETURN ({returns}) (SUBJECT) UTF-8 ALL")).await;
        assert_eq!(answer.untagged, [format!("* ESEARCH (TAG \"{}\"){expected}", client.last_tag())]);
    }
    let saved = client.ok("SORT RETURN (SAVE) (SUBJECT) UTF-8 SUBJECT apple").await;
    assert_eq!(saved.untagged, [""; 0]);
    assert_eq!(client.ok("FETCH $ UID").await.untagged, ["* 2 FETCH (UID 2)", "* 4 FETCH (UID 4)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations() {
    let (_service, mut client) = mixed().await;
    assert_eq!(client.ok("THREAD REFERENCES UTF-8 ALL").await.untagged, ["* THREAD (4 2)(3)(1 5)"]);
    assert_eq!(client.ok("THREAD ORDEREDSUBJECT UTF-8 ALL").await.untagged, ["* THREAD (4 2)(3)(1 5)"]);
    assert_eq!(client.ok("UID THREAD REFERENCES UTF-8 UID 1:2").await.untagged, ["* THREAD (2)(1)"]);
    assert_eq!(client.ok("THREAD REFERENCES UTF-8 FROM nobody").await.untagged, ["* THREAD"]);
    client.bad("THREAD JWZ UTF-8 ALL").await;
    client.ok("STORE 4 +FLAGS (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    assert_eq!(client.ok("THREAD REFERENCES UTF-8 ALL").await.untagged, ["* THREAD (3)(2)(1 4)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_result_follows_the_mailbox() {
    let (service, mut client) = mixed().await;
    // Nothing saved yet is an empty result.
    assert_eq!(client.ok("FETCH $ UID").await.untagged, [""; 0]);
    assert_eq!(
        client.ok("SEARCH RETURN (SAVE) FROM example.test NOT SUBJECT Banana").await.untagged,
        [""; 0]
    );
    assert_eq!(client.ok("SEARCH $").await.untagged, ["* SEARCH 2 3 4"]);
    assert_eq!(client.ok("SEARCH NOT $ UID $").await.untagged, ["* SEARCH"]);
    assert_eq!(client.ok("UID SEARCH OR $ 5").await.untagged, ["* SEARCH 2 3 4 5"]);
    let counted = client.ok("SEARCH RETURN (MIN SAVE COUNT) $ SUBJECT apple").await;
    assert!(counted.untagged[0].ends_with(" MIN 2 COUNT 2"), "{counted:?}");
    assert_eq!(client.ok("SEARCH $").await.untagged, ["* SEARCH 2 4"]);

    // Another session takes one away; numbers move.
    let mut other = service.select("INBOX").await;
    other.ok("STORE 1:2 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    client.ok("NOOP").await;
    assert_eq!(client.ok("FETCH $ UID").await.untagged, ["* 2 FETCH (UID 4)"]);
    assert_eq!(client.ok("UID STORE $ +FLAGS (\\Flagged)").await.of("FETCH").len(), 1);
    assert!(client.ok("COPY $ Archive").await.tagged.contains("[COPYUID"));

    // A narrow result keeps only what it names; a refused command changes nothing.
    client.ok("SEARCH RETURN (MIN MAX SAVE) ALL").await;
    client.bad("SEARCH RETURN (SAVE) NONSENSE").await;
    assert_eq!(client.ok("SEARCH $").await.untagged, ["* SEARCH 1 3"]);
    client.ok("SEARCH RETURN (PARTIAL 2:2 SAVE) ALL").await;
    assert_eq!(client.ok("SEARCH $").await.untagged, ["* SEARCH 2"]);
    client.ok("SELECT INBOX").await;
    assert_eq!(client.ok("SEARCH $").await.untagged, ["* SEARCH"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_a_search() {
    let (_service, mut client) = mixed().await;
    for (returns, expected) in [
        ("PARTIAL 1:2", " UID PARTIAL (1:2 1:2)"),
        ("PARTIAL 4:2", " UID PARTIAL (4:2 2:4)"),
        ("PARTIAL 4:9", " UID PARTIAL (4:9 4:5)"),
        ("PARTIAL -2:-1 COUNT", " UID PARTIAL (-2:-1 4:5) COUNT 5"),
        ("PARTIAL 6:7 MAX", " UID MAX 5 PARTIAL (6:7 NIL)"),
    ] {
        let answer = client.ok(&format!("UID SEARCH RETURN ({returns}) ALL")).await;
        assert_eq!(answer.untagged, [format!("* ESEARCH (TAG \"{}\"){expected}", client.last_tag())]);
    }
    for bad in ["PARTIAL 1", "PARTIAL 1:*", "PARTIAL 0:1", "PARTIAL -1:2", "PARTIAL 1:2 ALL"] {
        client.bad(&format!("SEARCH RETURN ({bad}) ALL")).await;
    }
}
