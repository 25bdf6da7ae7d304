//! Commands and messages made to hurt. After each of them an ordinary client is served at once.
#![allow(missing_docs, clippy::unwrap_used)]

mod house;

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use house::*;

/// The memory of this process is measured once, while no other test uses any.
static MEMORY: RwLock<()> = RwLock::new(());

fn imap(house: &House) -> Client {
    let mut client = Client::secret(house.at(IMAPS));
    assert!(client.line().starts_with("* OK"));
    let answer = client.imap(&format!("LOGIN alice@{} {PASSWORD}", house.domain));
    assert!(answer.last().unwrap().starts_with("t OK"), "{answer:?}");
    client
}

/// A message comes in and is read, as if nothing had happened.
fn serves(house: &House, mark: &str) {
    let mut client = smtp(house);
    let to = format!("alice@{}", house.domain);
    let reply = send(&mut client, "bob@elsewhere.test", &[&to], &format!("Subject: {mark}\n\nhello\n"));
    assert!(reply.starts_with("250"), "{reply}");
    house.wait_for("alice", mark);
    assert!(imap(house).imap("SELECT INBOX").last().unwrap().starts_with("t OK"));
}

#[test]
fn before_the_login_nothing_large_is_taken() {
    let _beside = MEMORY.read().unwrap_or_else(PoisonError::into_inner);
    let house = House::new("early.test");
    // An endless literal, an endless line, parentheses without end.
    for begin in [
        "a LOGIN {999999999999+}\r\n",
        "a LOGIN {4000000000}\r\n",
        "a LOGIN \"",
        "a FETCH ((((",
        "a UID FETCH 1 (BODY[",
    ] {
        let mut client = Client::new(house.at(IMAP));
        assert!(client.line().starts_with("* OK"));
        client.send(begin.as_bytes());
        let piece = "(".repeat(64 * 1024);
        let mut sent = 0;
        while sent < 64 << 20 && client.try_send(piece.as_bytes()) {
            sent += piece.len();
        }
        assert!(sent < 64 << 20, "{begin:?} goes on and on");
    }
    for (port, begin) in [(POP3, "USER "), (SMTP, "EHLO "), (SUBMISSION, "AUTH PLAIN ")] {
        let mut client = Client::new(house.at(port));
        client.line();
        let mut line = begin.to_owned();
        line += &"x".repeat(1 << 20);
        line += "\r\n";
        client.send(line.as_bytes());
        let answer = client.line();
        assert!(answer.starts_with("-ERR") || answer.starts_with('5'), "{begin}: {answer}");
    }
    serves(&house, "after the endless");
}

#[test]
fn patterns_with_many_wildcards_cost_little() {
    let _beside = MEMORY.read().unwrap_or_else(PoisonError::into_inner);
    let house = House::new("patterns.test");
    let mut client = imap(&house);
    for number in 0..30 {
        let name = "a".repeat(60) + &format!("/{}{number}", "b".repeat(60));
        assert!(client.imap(&format!("CREATE {name}")).last().unwrap().starts_with("t OK"));
    }
    for pattern in ["*a".repeat(400), "*%".repeat(400) + "x", "*a*%b".repeat(150) + "c", "%/".repeat(500)] {
        let answer = client.imap(&format!("LIST \"\" \"{pattern}\""));
        assert!(answer.last().unwrap().starts_with("t "), "{answer:?}");
    }
    assert!(client.imap("LIST \"\" *").len() > 30);
    serves(&house, "after the wildcards");
}

/// Everything a client may ask of a message.
fn is_readable(house: &House, mark: &str) {
    let text = house.wait_for("alice", mark);
    assert!(text.contains(mark));
    let mut client = imap(house);
    let answer = client.imap("SELECT INBOX");
    assert!(answer.last().unwrap().starts_with("t OK"));
    for what in [
        "ENVELOPE",
        "BODYSTRUCTURE",
        "BODY",
        "BODY.PEEK[HEADER]",
        "BODY.PEEK[1.MIME]",
        "BODY.PEEK[1.1.1.1.1]",
    ] {
        let answer = client.imap(&format!("FETCH * {what}"));
        assert!(answer.last().unwrap().starts_with("t OK"), "{mark} {what}: {:?}", answer.last());
    }
    for key in ["SUBJECT x", "HEADER Content-Disposition x", "BODY nothing-like-it", "FROM x"] {
        let answer = client.imap(&format!("SEARCH {key}"));
        assert!(answer.last().unwrap().starts_with("t OK"), "{mark} {key}: {:?}", answer.last());
    }
}

#[test]
fn messages_made_to_hurt_are_taken_or_refused_and_read() {
    let _beside = MEMORY.read().unwrap_or_else(PoisonError::into_inner);
    let house = House::new("bombs.test");
    let mut messages = Vec::new();
    let mut header = String::from("Subject: header lines\n");
    for number in 0..100_000 {
        let _ = writeln!(header, "X-{number}: {number}");
    }
    messages.push(("header lines", header + "\nend\n"));

    let mut folded = String::from("Subject: folded\nTo: ");
    for number in 0..50_000 {
        let _ = write!(folded, "a{number}@x.test,\n ");
    }
    messages.push(("folded", folded + "last@x.test\n\nend\n"));

    let mut parameters = String::from("Subject: parameters\nMIME-Version: 1.0\nContent-Type: text/plain");
    for number in 0..20_000 {
        let _ = write!(parameters, ";\n name*{number}*=utf-8''%41%42");
    }
    messages.push(("parameters", parameters + "\n\nend\n"));

    let mut deep = String::from("Subject: deep\nMIME-Version: 1.0\n");
    for level in 0..1_000 {
        let _ = write!(deep, "Content-Type: multipart/mixed; boundary=\"b{level}\"\n\n--b{level}\n");
    }
    messages.push(("deep", deep + "Content-Type: text/plain\n\nend\n"));

    let mut nested = String::from("Subject: nested\nMIME-Version: 1.0\n");
    for _ in 0..1_000 {
        nested += "Content-Type: message/rfc822\n\n";
    }
    messages.push(("nested", nested + "Subject: innermost\n\nend\n"));

    let comments = "(".repeat(20_000);
    messages.push((
        "comments",
        format!("Subject: comments\nFrom: {comments}a@b.test\nDate: {comments}\n\nend\n"),
    ));

    let words = "=?utf-8?B?QUFB?= ".repeat(20);
    let mut encoded = String::from("Subject: encoded\n");
    for _ in 0..500 {
        let _ = write!(encoded, "X-Word: {words}\nReferences: <{}>\n", "x".repeat(500));
    }
    messages.push(("encoded", encoded + "\nend\n"));

    let to = format!("alice@{}", house.domain);
    for (mark, text) in messages {
        let mut client = smtp(&house);
        let reply = send(&mut client, "bob@elsewhere.test", &[&to], &text);
        match reply.as_bytes().first() {
            Some(b'2') => is_readable(&house, mark),
            // A bound that is told is an answer too.
            Some(b'5') => {}
            _ => panic!("{mark}: {reply}"),
        }
        serves(&house, &format!("after {mark}"));
    }
}

/// Resident memory of this process, which is client and service together, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// More than the system itself holds for a connection (`tcp_rmem`, `tcp_wmem`).
const POURED_MAX_BYTES: usize = 128 << 20;

/// Sends the command again and again and reads nothing, until nothing more is taken.
fn pour(stream: &mut TcpStream, command: &str) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(1500))).unwrap();
    let many = command.repeat(64 * 1024 / command.len());
    let mut sent = 0;
    while sent < POURED_MAX_BYTES {
        match stream.write(many.as_bytes()) {
            Ok(written) => sent += written,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return sent,
            Err(_) => return sent,
        }
    }
    sent
}

#[test]
fn who_does_not_read_the_answers_gets_no_more_of_them() {
    let _alone = MEMORY.write().unwrap_or_else(PoisonError::into_inner);
    let house = House::with("greedy.test", |config| {
        config.try_out.allow_plaintext = true;
        config.try_out.trust_loopback = true;
    });
    let to = format!("alice@{}", house.domain);
    let line = "x".repeat(70) + "\n";
    let text = format!("Subject: large\n\n{}", line.repeat(2 * 1024 * 1024 / line.len()));
    assert!(send(&mut smtp(&house), "bob@elsewhere.test", &[&to], &text).starts_with("250"));
    house.wait_for("alice", "Subject: large");
    let before = resident_kib();
    let sessions: Vec<(u16, String, &str)> = vec![
        (SMTP, "EHLO greedy.test\r\n".into(), "VRFY somebody\r\n"),
        (IMAP, format!("t LOGIN {to} {PASSWORD}\r\nt SELECT INBOX\r\n"), "t FETCH 1 BODY.PEEK[]\r\n"),
        (IMAP, format!("t LOGIN {to} {PASSWORD}\r\n"), "t CAPABILITY\r\n"),
        (POP3, format!("USER {to}\r\nPASS {PASSWORD}\r\n"), "RETR 1\r\n"),
        (POP3, String::new(), "CAPA\r\n"),
    ];
    let mut held = Vec::new();
    for _ in 0..4 {
        for (port, begin, command) in &sessions {
            let mut stream = TcpStream::connect(house.at(*port)).unwrap();
            stream.write_all(begin.as_bytes()).unwrap();
            let sent = pour(&mut stream, command);
            assert!(sent < POURED_MAX_BYTES, "{command:?} is taken without end");
            held.push(stream);
        }
    }
    let grown = resident_kib().saturating_sub(before);
    println!("20 greedy clients: {grown} KiB more");
    // A message of 2 MiB each for those that asked for it, and little more.
    assert!(grown < 96 * 1024, "{grown} KiB more");
    drop(held);
    serves(&house, "after the greedy");
}
