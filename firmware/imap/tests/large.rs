//! Many mailboxes, many messages: that answers are whole, with the time they took printed for who looks.

mod client;

use std::time::Instant;

use client::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_mailboxes_and_messages() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let creates: String = (0..1000).map(|n| format!("c{n} CREATE m{}/{n}\r\n", n % 10)).collect();
    client.send(creates).await;
    for n in 0..1000 {
        assert!(client.answer(&format!("c{n}")).await.tagged.starts_with("OK"));
    }
    let begin = Instant::now();
    let listed = client.ok("LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN) SUBSCRIBED)").await;
    println!("LIST with STATUS of 1,016 mailboxes: {:?}", begin.elapsed());
    assert_eq!((listed.of("* LIST").len(), listed.of("* STATUS").len()), (1016, 1016));

    let message = |n: u32| {
        let text =
            format!("Message-ID: <{n}@x>\r\nReferences: <{}@x>\r\nSubject: s{}\r\n\r\n", n / 2, n % 97);
        format!(" () {{{}+}}\r\n{text}", text.len())
    };
    for piece in 0..20 {
        let messages: String = (0..100).map(|n| message(piece * 100 + n + 1)).collect();
        client.ok(&format!("APPEND INBOX{messages}")).await;
    }
    client.ok("SELECT INBOX").await;
    for command in
        ["SORT (SUBJECT REVERSE DATE)", "SORT (SIZE)", "THREAD REFERENCES", "THREAD ORDEREDSUBJECT"]
    {
        let begin = Instant::now();
        let answer = client.ok(&format!("{command} UTF-8 ALL")).await;
        println!("{command} of 2,000 messages: {:?}", begin.elapsed());
        let numbers = answer.untagged[0].split(|letter: char| !letter.is_ascii_digit());
        assert_eq!(numbers.filter(|number| !number.is_empty()).count(), 2000, "{command}");
    }
}
