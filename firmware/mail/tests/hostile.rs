//! Clients that hold, flood, garble and guess. After each of them an ordinary client is served at once.
#![allow(missing_docs, clippy::unwrap_used)]

mod house;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use house::*;

/// An ordinary client sends, reads by POP3 and by IMAP.
fn serves(house: &House, mark: &str) {
    let mut client = smtp(house);
    let to = format!("alice@{}", house.domain);
    let reply = send(&mut client, "bob@elsewhere.test", &[&to], &format!("Subject: {mark}\n\nhello\n"));
    assert!(reply.starts_with("250"), "{reply}");
    house.wait_for("alice", mark);
    let mut client = Client::secret(house.at(IMAPS));
    assert!(client.line().starts_with("* OK"));
    let answer = client.imap(&format!("LOGIN {to} {PASSWORD}"));
    assert!(answer.last().unwrap().starts_with("t OK"), "{answer:?}");
    assert!(client.imap("SELECT INBOX").last().unwrap().starts_with("t OK"));
}

fn open(target: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(target).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

/// Sends an octet now and then until the other side has had enough.
fn trickle(mut stream: TcpStream, text: &[u8]) -> String {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begun = Instant::now();
    for byte in text.iter().cycle() {
        assert!(begun.elapsed() < Duration::from_mins(1), "a slow client is held for ever");
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => heard.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[test]
fn whoever_only_holds_a_connection_loses_it() {
    let house = House::with("loris.test", |config| {
        config.limits.greeting_timeout = Duration::from_millis(2500);
        config.limits.handshake_timeout = Duration::from_millis(2500);
        config.limits.progress_timeout = Duration::from_secs(5);
    });
    let ports = [SMTP, SUBMISSION, SUBMISSIONS, IMAP, IMAPS, POP3, POP3S];
    let silent: Vec<TcpStream> = ports.iter().cycle().take(70).map(|port| open(house.at(*port))).collect();
    let slow: Vec<_> = ports
        .map(|port| {
            let stream = open(house.at(port));
            // On the ports with TLS this is the begin of a record that never comes to its end.
            let text: &[u8] =
                if [SUBMISSIONS, IMAPS, POP3S].contains(&port) { b"\x16\x03\x01\x3f\xff" } else { b"NOOP x" };
            std::thread::spawn(move || trickle(stream, text))
        })
        .into();
    for mut stream in silent {
        let mut rest = Vec::new();
        // Closed in order or reset, but closed.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "still open");
        }
    }
    for client in slow {
        client.join().unwrap();
    }
    serves(&house, "after the slow");
}

#[test]
fn a_flood_of_connections_is_refused_in_the_words_of_each_protocol() {
    let house = House::with("flood.test", |config| {
        config.limits.connections_per_address_max = 30;
        config.limits.connection_burst = 1000;
    });
    let held: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = open(house.at(IMAP));
            let mut first = [0; 4];
            stream.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"* OK");
            stream
        })
        .collect();
    for (port, word) in
        [(SMTP, "421 4.7.0 "), (SUBMISSION, "421 4.7.0 "), (IMAP, "* BYE "), (POP3, "-ERR [SYS/TEMP] ")]
    {
        let refused = Client::new(house.at(port)).rest();
        assert!(refused.starts_with(word) && refused.ends_with("\r\n"), "{refused}");
    }
    let mut secret = open(house.at(IMAPS));
    assert!(!matches!(secret.read(&mut [0; 16]), Ok(read) if read > 0));
    // Somebody else is served meanwhile.
    let mut other = Client::from_address(Ipv4Addr::new(127, 200, 0, 1).into(), house.at(POP3));
    assert!(other.line().starts_with("+OK"));
    drop(held);
    let begun = Instant::now();
    while !Client::new(house.at(POP3)).line().starts_with("+OK") {
        assert!(begun.elapsed() < PATIENCE, "places are not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
    house.counts_at_least("connections_refused", 5);
    serves(&house, "after the flood");
}

#[test]
fn handshakes_that_are_none_are_bounded_and_end() {
    let house = House::with("garbage.test", |config| {
        config.limits.handshakes_per_address_max = 20;
        config.limits.handshake_timeout = Duration::from_secs(3);
    });
    // Half of a handshake each; those beyond the bound are closed at once.
    let half: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = open(house.at(IMAPS));
            let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            stream
        })
        .collect();
    for mut stream in half {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    house.counts_at_least("tls_refused", 20);
    for port in [SUBMISSIONS, IMAPS, POP3S] {
        for text in [
            &b"GET / HTTP/1.0\r\n\r\n"[..],
            b"\x16\x03\x03\xff\xff",
            &[0xff; 3000],
            b"\x15\x03\x01\x00\x02\x02\x28",
        ] {
            let mut stream = open(house.at(port));
            let _ = stream.write_all(text);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    let mut client = Client::new(house.at(POP3));
    client.line();
    client.ok("STLS");
    client.send(&[0x17; 5000]);
    client.rest();
    // A record of the inner protocol in the middle of TLS.
    let mut client = Client::secret(house.at(POP3S));
    assert!(client.line().starts_with("+OK"));
    client.send_beside_tls(b"QUIT\r\n");
    client.rest();
    house.counts_at_least("tls_failures", 12);
    serves(&house, "after the garbage");
}

#[test]
fn commands_hidden_behind_stls_are_not_answered() {
    let house = House::new("injection.test");
    let mut client = Client::new(house.at(POP3));
    client.line();
    client.send(b"STLS\r\nCAPA\r\nUSER mallory\r\n");
    assert!(client.line().starts_with("+OK"));
    client.start_tls();
    client.send(b"PASS x\r\nNOOP\r\n");
    // USER was dropped, CAPA is not answered.
    assert_eq!(client.line(), "-ERR Send USER first");
    assert_eq!(client.line(), "-ERR Log in first");
}

fn guess(house: &House, from: Ipv4Addr, password: &str) -> String {
    let mut client = Client::from_address(from.into(), house.at(POP3S));
    client.start_tls();
    if !client.line().starts_with("+OK") {
        return "refused".into();
    }
    client.ok(&format!("USER alice@{}", house.domain));
    client.send(format!("PASS {password}\r\n").as_bytes());
    client.line()
}

#[test]
fn guessing_slows_who_guesses_and_not_who_knows() {
    let house = House::new("guess.test");
    let home = Ipv4Addr::new(127, 90, 1, 1);
    assert!(guess(&house, home, PASSWORD).starts_with("+OK"));
    // From many places, each within what is forgiven there.
    for place in 1..=4_u8 {
        for attempt in 0..3 {
            let answer = guess(&house, Ipv4Addr::new(127, 91, place, 1), &format!("wrong {place} {attempt}"));
            assert!(answer.starts_with("-ERR [AUTH]"), "{answer}");
        }
    }
    let paused = house.counter("logins_paused");
    assert!(paused > 0, "strangers are slowed for what others did to the account");
    // Home is not slowed, not even with a password that was not used there just now.
    assert!(guess(&house, home, "mistyped").starts_with("-ERR [AUTH]"));
    assert!(guess(&house, home, PASSWORD).starts_with("+OK"));
    house.counts(&[("logins_paused", paused)]);
    // The user in a new place is, a little, and gets in.
    assert!(guess(&house, Ipv4Addr::new(127, 92, 1, 1), PASSWORD).starts_with("+OK"));
    // Many at once from one place: one after the other, and the rest is told to come back.
    let from = Ipv4Addr::new(127, 91, 1, 1);
    let answers: Vec<String> = std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..40)
            .map(|n| {
                let house = &house;
                scope.spawn(move || guess(house, from, &format!("x{n}")))
            })
            .collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
    });
    let later = answers.iter().filter(|answer| answer.starts_with("-ERR [SYS/TEMP]")).count();
    assert!(later > 10, "{answers:?}");
    house.counts_at_least("logins_turned_away", later as u64);
    assert!(guess(&house, home, PASSWORD).starts_with("+OK"));
}

#[test]
fn quit_gives_the_maildrop_back_before_it_is_answered() {
    let house = House::new("quit.test");
    let log_in = || {
        let mut client = Client::secret(house.at(POP3S));
        client.line();
        client.ok(&format!("USER alice@{}", house.domain));
        client.ok(&format!("PASS {PASSWORD}"));
        client
    };
    for round in 0..60 {
        let mut client = log_in();
        match round % 3 {
            0 => drop(client.ok("QUIT")),
            // In one piece with other commands, and the connection stays open.
            1 => {
                client.send(b"STAT\r\nNOOP\r\nQUIT\r\n");
                for _ in 0..3 {
                    assert!(client.line().starts_with("+OK"));
                }
                let mut next = log_in();
                next.ok("QUIT");
            }
            // Gone without a word.
            _ => drop(client),
        }
    }
    let _held = log_in();
    let mut second = Client::secret(house.at(POP3S));
    second.line();
    second.ok(&format!("USER alice@{}", house.domain));
    second.send(format!("PASS {PASSWORD}\r\n").as_bytes());
    assert!(second.line().starts_with("-ERR [IN-USE]"));
}
