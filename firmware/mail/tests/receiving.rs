//! Mail comes in: from other servers, from our users, and from those who mean no good.
#![allow(missing_docs, clippy::unwrap_used)]

mod house;

use std::time::{Duration, Instant};

use control::mail::{Reply, Request};
use house::*;

#[test]
fn a_message_from_elsewhere_is_read_by_pop3_and_imap() {
    let house = House::new("one.test");
    let mut client = smtp(&house);
    let done = send(&mut client, "bob@far.test", &["Alice@ONE.test"], "Subject: hello\n\n.dot\nbye\n");
    assert!(done.starts_with("250 2.0.0"), "{done}");
    let inbox = house.inbox("alice");
    assert_eq!(inbox.len(), 1);
    assert!(
        inbox[0].starts_with("Return-Path: <bob@far.test>\r\nReceived: from client.test ([127.0.0.1])\r\n")
    );
    assert!(inbox[0].ends_with("\r\nSubject: hello\r\n\r\n\r\n") || inbox[0].contains("Subject: hello"));
    let mut imap = Client::secret(house.at(IMAPS));
    assert!(imap.line().starts_with("* OK"));
    imap.send(format!("a LOGIN alice@one.test {PASSWORD}\r\nb SELECT INBOX\r\n").as_bytes());
    let mut seen = String::new();
    while !seen.contains("\nb OK") {
        seen += "\n";
        seen += &imap.line();
    }
    assert!(seen.contains("* 1 EXISTS"), "{seen}");
}

#[test]
fn only_those_who_exist_get_mail_and_nobody_relays() {
    let house = House::new("two.test");
    house.add("carol");
    let mut client = smtp(&house);
    client.expect("250", "MAIL FROM:<x@far.test>");
    client.expect("550 5.1.1", "RCPT TO:<nobody@two.test>");
    client.expect("550 5.7.1", "RCPT TO:<x@elsewhere.test>");
    client.expect("250", "RCPT TO:<Postmaster>");
    client.expect("250", &format!("RCPT TO:<alice@[{}]>", house.address));
    client.expect("250", "RCPT TO:<carol@two.test>");
    client.expect("354", "DATA");
    client.send(b"Subject: to all\r\n\r\nx\r\n");
    assert!(client.say(".").starts_with("250"));
    // Postmaster is Alice here: one copy.
    assert_eq!((house.inbox("alice").len(), house.inbox("carol").len()), (1, 1));
    house.counts(&[("recipients_refused", 2)]);
}

#[test]
fn a_full_mailbox_refuses_at_rcpt_and_blocks_nobody_else() {
    let house = House::new("three.test");
    house.add("carol");
    let limit = Request::AccountQuota { address: "carol@three.test".into(), quota_bytes: Some(2_000) };
    assert_eq!(house.ask(&limit), Reply::Done);
    let mut client = smtp(&house);
    client.expect("250", "MAIL FROM:<x@far.test> SIZE=5000");
    client.expect("552 5.2.2", "RCPT TO:<carol@three.test>");
    client.expect("250", "RCPT TO:<alice@three.test>");
    client.expect("250", "RSET");
    let text = format!("Subject: fills\n\n{}\n", "x".repeat(1_500));
    assert!(send(&mut client, "x@far.test", &["carol@three.test"], &text).starts_with("250"));
    client.expect("250", "MAIL FROM:<x@far.test> SIZE=1000");
    client.expect("452 4.2.2", "RCPT TO:<carol@three.test>");
    client.expect("250", "RSET");
    let done = send(&mut client, "x@far.test", &["alice@three.test"], "Subject: fits\n\nx\n");
    assert!(done.starts_with("250"));
    assert_eq!(house.inbox("alice").len(), 1);
}

#[test]
fn submission_is_for_our_users_under_their_own_names() {
    let house = House::new("four.test");
    house.add("carol");
    let alias = Request::AliasAdd { address: "sales@four.test".into(), target: "alice@four.test".into() };
    assert_eq!(house.ask(&alias), Reply::Done);
    let mut clear = Client::new(house.at(SUBMISSION));
    clear.reply();
    clear.expect("250", "EHLO c");
    clear.expect("530 5.7.0", "MAIL FROM:<alice@four.test>");
    clear.expect("538 5.7.11", "AUTH PLAIN AGEAYg==");
    let mut client = submission(&house, "alice");
    client.expect("553 5.7.1", "MAIL FROM:<carol@four.test>");
    let done = send(&mut client, "sales@four.test", &["carol@four.test"], "Subject: offer\n\nx\n");
    assert!(done.starts_with("250"), "{done}");
    let forged = "From: Carol <carol@four.test>\nSubject: y\n\nx\n";
    let done = send(&mut client, "alice@four.test", &["carol@four.test"], forged);
    assert!(done.starts_with("553 5.7.1"), "{done}");
    let inbox = house.inbox("carol");
    assert_eq!(inbox.len(), 1);
    for field in ["\r\nDate: ", "\r\nMessage-ID: <", "with ESMTPSA"] {
        assert!(inbox[0].contains(field), "{field}");
    }
}

#[test]
fn a_message_of_100_mb_is_refused_cleanly() {
    let house = House::new("five.test");
    let mut client = smtp(&house);
    client.expect("552 5.3.4", "MAIL FROM:<x@far.test> SIZE=104857600");
    client.expect("250", "MAIL FROM:<x@far.test>");
    client.expect("250", "RCPT TO:<alice@five.test>");
    client.expect("354", "DATA");
    let line = [&b"x".repeat(1022)[..], b"\r\n"].concat();
    let piece = line.repeat(1024);
    for _ in 0..100 {
        client.send(&piece);
    }
    assert!(client.say(".").starts_with("552 5.3.4"));
    client.expect("250", "NOOP");
    assert!(house.inbox("alice").is_empty());
    house.counts(&[("messages_received", 0)]);
}

#[test]
fn a_large_message_within_the_limit_arrives_whole() {
    let house = House::new("large.test");
    let text = format!("Subject: large\n\n{}", format!("{}\n", "y".repeat(70)).repeat(300_000));
    let mut client = smtp(&house);
    assert!(send(&mut client, "x@far.test", &["alice@large.test"], &text).starts_with("250"));
    let inbox = house.inbox("alice");
    assert!(inbox[0].ends_with(&text.replace('\n', "\r\n")));
}

#[test]
fn a_client_that_sends_nothing_is_told_and_closed() {
    let house = House::with("six.test", |config| config.limits.greeting_timeout = Duration::from_millis(200));
    let mut smtp = Client::new(house.at(SMTP));
    let mut pop3 = Client::new(house.at(POP3));
    assert!(smtp.rest().contains("421 4.4.2 Silent for too long"));
    assert!(pop3.rest().contains("-ERR Silent for too long"));
    house.counts(&[("timeouts", 2)]);
}

#[test]
fn a_message_that_trickles_ends() {
    let house = House::with("slow.test", |config| {
        config.limits.progress_timeout = Duration::from_secs(5);
    });
    let mut client = smtp(&house);
    client.expect("250", "MAIL FROM:<x@far.test>");
    client.expect("250", "RCPT TO:<alice@slow.test>");
    client.expect("354", "DATA");
    let begun = Instant::now();
    let mut silent = Client::new(house.at(SMTP));
    let mut sending = (true, true);
    while begun.elapsed() < PATIENCE && sending != (false, false) {
        sending = (client.try_send(b"x"), silent.try_send(b"x"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(sending, (false, false), "who trickles is not closed");
    assert!(house.inbox("alice").is_empty());
}

#[test]
fn garbage_gets_the_protocols_own_answer_and_an_end() {
    let house = House::new("seven.test");
    let junk: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (port, end) in
        [(SMTP, "421 4.7.0"), (SUBMISSION, "421 4.7.0"), (POP3, "-ERR Too many errors"), (IMAP, "* BYE")]
    {
        let mut client = Client::new(house.at(port));
        let mut sent = client.try_send(&b"\x16\x03\x01 junk\r\n\0\0\r\nGET / HTTP/1.1\r\n".repeat(30));
        sent &= client.try_send(&junk);
        let heard = client.rest();
        assert!(heard.contains(end) || !sent, "port {port}: {heard}");
    }
    for port in [SUBMISSIONS, IMAPS, POP3S] {
        let mut client = Client::new(house.at(port));
        client.try_send(&junk);
        client.rest();
    }
    house.counts_at_least("bad_commands", 40);
    house.counts(&[("tls_failures", 3)]);
    let mut client = smtp(&house);
    client.expect("250", "NOOP");
}

#[test]
fn too_many_connections_are_refused_in_words() {
    let house = House::with("eight.test", |config| config.limits.connections_per_address_max = 3);
    let held: Vec<_> = (0..3).map(|_| smtp(&house)).collect();
    assert!(Client::new(house.at(SMTP)).line().starts_with("421 4.7.0 Too many connections"));
    assert!(Client::new(house.at(IMAP)).line().starts_with("* BYE"));
    assert!(Client::new(house.at(POP3)).line().starts_with("-ERR"));
    house.counts(&[("connections_refused", 3)]);
    drop(held);
    let begun = Instant::now();
    while !Client::new(house.at(SMTP)).line().starts_with("220") {
        assert!(begun.elapsed() < PATIENCE, "places are not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn memory_for_texts_is_bounded() {
    let house = House::with("nine.test", |config| config.limits.text_memory_kib = 1024);
    let half = format!("{}\r\n", "z".repeat(70)).repeat(10_000);
    let mut first = smtp(&house);
    first.expect("250", "MAIL FROM:<x@far.test>");
    first.expect("250", "RCPT TO:<alice@nine.test>");
    first.expect("354", "DATA");
    first.send(half.as_bytes());
    house.has_read(SMTP);
    let mut second = smtp(&house);
    let done = send(&mut second, "x@far.test", &["alice@nine.test"], &half.replace("\r\n", "\n"));
    assert!(done.starts_with("452 4.4.5"), "{done}");
    assert!(first.say("\r\n.").starts_with("250"));
    let done = send(&mut second, "x@far.test", &["alice@nine.test"], &half.replace("\r\n", "\n"));
    assert!(done.starts_with("250"), "{done}");
}

#[test]
fn guessing_is_slow_and_the_user_still_gets_in() {
    let house = House::new("ten.test");
    let guess = || {
        let mut client = Client::secret(house.at(POP3S));
        client.line();
        client.ok("USER alice@ten.test");
        let begun = Instant::now();
        client.send(b"PASS wrong-password\r\n");
        assert!(client.line().starts_with("-ERR [AUTH]"));
        begun.elapsed()
    };
    let first = guess();
    for _ in 0..4 {
        guess();
    }
    let last = guess();
    assert!(last >= Duration::from_millis(500), "{first:?} then {last:?}");
    assert!(house.inbox("alice").is_empty());
    house.counts(&[("login_failures", 6), ("logins", 1)]);
}

#[test]
fn deleting_over_pop3_is_done_at_quit_and_once() {
    let house = House::new("eleven.test");
    let mut client = smtp(&house);
    for number in 0..3 {
        send(&mut client, "x@far.test", &["alice@eleven.test"], &format!("Subject: {number}\n\nx\n"));
    }
    let mut first = Client::secret(house.at(POP3S));
    first.line();
    first.ok("USER alice@eleven.test");
    first.ok(&format!("PASS {PASSWORD}"));
    let mut second = Client::secret(house.at(POP3S));
    second.line();
    second.ok("USER alice@eleven.test");
    second.send(format!("PASS {PASSWORD}\r\n").as_bytes());
    assert!(second.line().starts_with("-ERR [IN-USE]"));
    first.ok("DELE 2");
    first.ok("QUIT");
    let left = house.inbox("alice");
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|text| !text.contains("Subject: 1")));
}

#[test]
fn the_same_certificate_is_shown_after_a_restart() {
    let house = House::new("twelve.test");
    let certificate = house.data.path().join("tls/cert.pem");
    let before = std::fs::read(&certificate).unwrap();
    let (address, data) = (house.address, house.stop());
    let begun = Instant::now();
    let house = House::open("twelve.test", address, data, |_| {});
    let took = begun.elapsed();
    println!("start on an existing store: {took:?}");
    assert_eq!(before, std::fs::read(&certificate).unwrap());
    smtp(&house);
}

#[test]
fn a_stop_lets_a_running_message_finish_and_is_quick() {
    // As long as it takes: here it is no measure.
    let mut house = House::with("thirteen.test", |config| config.limits.stop_timeout = PATIENCE);
    let mut idle = smtp(&house);
    let mut client = smtp(&house);
    client.expect("250", "MAIL FROM:<x@far.test>");
    client.expect("250", "RCPT TO:<alice@thirteen.test>");
    client.expect("354", "DATA");
    client.send(b"Subject: last\r\n");
    let begun = Instant::now();
    let stopping = house.begin_stop();
    assert!(idle.rest().contains("421 4.3.2"));
    // Neither served nor refused: its system asks again, of whoever has the address then.
    let knock = || std::net::TcpStream::connect_timeout(&house.at(SMTP), Duration::from_millis(100));
    let closed = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        knock().err()
    });
    let fault = closed.expect("only those who came before are let in");
    assert_eq!(fault.kind(), std::io::ErrorKind::TimedOut);
    assert!(client.say("\r\nx\r\n.").starts_with("250"));
    assert!(client.rest().contains("421 4.3.2"));
    house.finish(stopping);
    println!("a stop that let a message finish: {:?}", begun.elapsed());
    assert!(std::net::TcpStream::connect(house.at(SMTP)).is_err());
    let address = house.address;
    let house = House::open("thirteen.test", address, house.stop(), |_| {});
    assert_eq!(house.inbox("alice").len(), 1);
}

#[test]
fn a_stop_waits_neither_for_a_login_nor_for_a_handshake() {
    let mut house = House::with("halt.test", |config| {
        config.limits.stop_timeout = 4 * PATIENCE;
        config.limits.handshake_timeout = 4 * PATIENCE;
    });
    let silent = Client::new(house.at(SUBMISSIONS));
    let guess =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "\0alice@halt.test\0not it");
    // After the first three each guess of a host waits for those before it: some seconds in all.
    let mut guessing: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = Client::secret(house.at(SUBMISSIONS));
            assert!(client.reply().starts_with("220"));
            client.expect("250", "EHLO far.test");
            client.send(format!("AUTH PLAIN {guess}\r\n").as_bytes());
            client
        })
        .collect();
    house.counts_at_least("login_failures", 3);
    let begun = Instant::now();
    let stopping = house.begin_stop();
    let heard: Vec<String> = guessing.iter_mut().map(Client::rest).collect();
    house.finish(stopping);
    assert!(begun.elapsed() < 3 * PATIENCE, "the handshake was waited for");
    assert!(heard.iter().any(|rest| rest.starts_with("454 4.7.0")), "{heard:?}");
    assert!(heard.iter().all(|rest| rest.contains("421 4.3.2")), "{heard:?}");
    drop(silent);
}

/// As bits: which limits an account has.
fn limit(house: &House, address: &str, name: store::LimitName, at_most: u64) {
    let change = store::AccountChange {
        limits: vec![(name, store::Limit::AtMost(at_most))],
        ..store::AccountChange::default()
    };
    house.run(house.store().set_account(address, change)).unwrap();
}

/// A message with one attachment of so many octets.
fn with_attachment(octets: usize) -> String {
    use base64::Engine as _;
    let content = base64::engine::general_purpose::STANDARD.encode(vec![7; octets]);
    format!(
        "From: x@far.test\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\n\
         Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\
         Content-Transfer-Encoding: base64\n\n{content}\n--b--\n"
    )
}

#[test]
fn an_attachment_over_one_users_limit_keeps_nobody_else_from_the_message() {
    let house = House::new("attached.test");
    house.add("carol");
    limit(&house, "carol@attached.test", store::LimitName::AttachmentBytes, 1_000);
    let mut client = smtp(&house);
    let text = with_attachment(1_500);
    assert!(send(&mut client, "x@far.test", &["carol@attached.test"], &text).starts_with("552 5.3.4"));
    let both = ["carol@attached.test", "alice@attached.test"];
    assert!(send(&mut client, "alice@attached.test", &both, &text).starts_with("250"));
    assert!(
        send(&mut client, "x@far.test", &["carol@attached.test"], &with_attachment(900)).starts_with("250")
    );
    assert_eq!(house.inbox("carol").len(), 1);
    let notice = house.wait_for("alice", "Final-Recipient: rfc822; carol@attached.test");
    assert!(notice.contains("Status: 5.3.4"), "{notice}");
    limit(&house, "carol@attached.test", store::LimitName::MessageBytes, 500);
    client.expect("250", "MAIL FROM:<x@far.test> SIZE=600");
    client.expect("552 5.2.3", "RCPT TO:<carol@attached.test>");
    client.expect("250", "RCPT TO:<alice@attached.test>");
}

#[test]
fn who_is_switched_off_and_who_may_not_write_is_told_at_rcpt() {
    let house = House::new("decided.test");
    house.add("carol");
    let off = store::AccountChange { enabled: Some(false), ..store::AccountChange::default() };
    house.run(house.store().set_account("carol@decided.test", off)).unwrap();
    let group = store::GroupChange {
        who: Some(store::WhoMaySend::Members),
        add_members: vec!["alice@decided.test".into()],
        ..store::GroupChange::default()
    };
    house.run(house.store().add_group("team@decided.test", group)).unwrap();
    let mut client = smtp(&house);
    client.expect("250", "MAIL FROM:<x@far.test>");
    client.expect("550 5.2.1", "RCPT TO:<carol@decided.test>");
    client.expect("550 5.7.2", "RCPT TO:<team@decided.test>");
    client.expect("250", "RCPT TO:<postmaster@decided.test>");
    client.expect("250", "RCPT TO:<Alice+news@decided.test>");
    let mut member = submission(&house, "alice");
    assert!(
        send(&mut member, "alice@decided.test", &["team@decided.test"], "Subject: team\n\nx\n")
            .starts_with("250")
    );
    house.wait_for("alice", "Subject: team");
}

#[test]
fn who_sends_too_much_waits() {
    let house = House::new("rate.test");
    limit(&house, "alice@rate.test", store::LimitName::MessagesHour, 2);
    let mut client = submission(&house, "alice");
    for _ in 0..2 {
        let done = send(&mut client, "alice@rate.test", &["alice@rate.test"], "Subject: x\n\nx\n");
        assert!(done.starts_with("250"), "{done}");
    }
    client.expect("450 4.7.1", "MAIL FROM:<alice@rate.test>");
}

#[test]
fn a_message_that_is_to_wait_waits_and_delivery_is_reported() {
    let house = House::new("held.test");
    house.add("carol");
    let mut client = submission(&house, "alice");
    client.expect("250", "MAIL FROM:<alice@held.test> HOLDFOR=3600");
    client.expect("250", "RCPT TO:<carol@held.test>");
    client.expect("354", "DATA");
    client.send(b"Subject: much later\r\n\r\nx\r\n");
    assert!(client.say(".").starts_with("250"));
    client.expect("250", "MAIL FROM:<alice@held.test> HOLDFOR=2 ENVID=ab+2Bc");
    client.expect("250", "RCPT TO:<carol@held.test> NOTIFY=SUCCESS ORCPT=rfc822;carol+2Bx@held.test");
    client.expect("354", "DATA");
    client.send(b"Subject: later\r\n\r\nx\r\n");
    assert!(client.say(".").starts_with("250"));
    house.wait_for("carol", "Subject: later");
    assert_eq!(house.inbox("carol").len(), 1, "the one that came first waits longer");
    let notice = house.wait_for("alice", "Action: delivered");
    for line in ["Original-Envelope-Id: ab+c", "Original-Recipient: rfc822; carol+x@held.test"] {
        assert!(notice.contains(line), "{line}: {notice}");
    }
    client.expect("250", "MAIL FROM:<alice@held.test>");
    client.expect("250", "RCPT TO:<carol@held.test> NOTIFY=SUCCESS");
    client.expect("354", "DATA");
    client.send(b"Subject: now\r\n\r\nx\r\n");
    assert!(client.say(".").starts_with("250"));
    house.wait_for("alice", "Subject: now");
}

#[test]
fn international_addresses_reach_their_users_in_both_spellings() {
    let house = House::new("xn--bcher-kva.test");
    let mut client = smtp(&house);
    client.expect("553 5.6.7", "MAIL FROM:<ü@far.test>");
    client.expect("250", "MAIL FROM:<ü@far.test> SMTPUTF8 BODY=8BITMIME");
    client.expect("250", "RCPT TO:<alice@Bücher.test>");
    client.expect("354", "DATA");
    client.send("Subject: gr\u{fc}\u{df}e\r\n\r\nx\r\n".as_bytes());
    assert!(client.say(".").starts_with("250"));
    let got = house.inbox("alice").pop().unwrap();
    assert!(got.contains("with UTF8SMTP id") && got.contains("Subject: gr\u{fc}\u{df}e"), "{got}");
}
