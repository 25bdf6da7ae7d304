//! The service is killed without a warning while mail comes in; what was confirmed is there, once.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clients::{ACCOUNT, PORT_BASE, Server, run};

/// Kills in this test.
const KILLS: usize = 5;

/// Sends numbered messages until told to end; notes those that were confirmed.
fn send_on(target: (std::net::IpAddr, u16), sender: usize, end: &AtomicBool, confirmed: &Mutex<Vec<String>>) {
    let mut number = 0;
    while !end.load(Ordering::Relaxed) {
        let _ = session(target, &mut number, sender, end, confirmed);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn session(
    target: (std::net::IpAddr, u16),
    number: &mut usize,
    sender: usize,
    end: &AtomicBool,
    confirmed: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut say = |text: &str, replies: usize| -> std::io::Result<String> {
        stream.write_all(text.as_bytes())?;
        let mut line = String::new();
        for _ in 0..replies {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(line)
    };
    say("", 1)?;
    say("HELO c\r\n", 1)?;
    while !end.load(Ordering::Relaxed) {
        *number += 1;
        let subject = format!("n{sender}x{number}x");
        let head = format!("MAIL FROM:<x@far.test>\r\nRCPT TO:<{ACCOUNT}>\r\nDATA\r\n");
        say(&head, 3)?;
        if say(&format!("Subject: {subject}\r\n\r\nx\r\n.\r\n"), 1)?.starts_with("250") {
            confirmed.lock().unwrap().push(subject);
        }
    }
    Ok(())
}

#[test]
fn what_was_confirmed_is_there_once_after_every_kill() {
    let mut server = Server::start();
    let target = (server.address, PORT_BASE + 25);
    let (end, confirmed) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (end, confirmed) = (Arc::clone(&end), Arc::clone(&confirmed));
            std::thread::spawn(move || send_on(target, sender, &end, &confirmed))
        })
        .collect();
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(400));
        server.kill_and_restart();
    }
    std::thread::sleep(Duration::from_millis(300));
    end.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }
    let script = server.write(
        "subjects.py",
        r#"
import imaplib, ssl
m = imaplib.IMAP4_SSL("ADDRESS", 2993, ssl_context=ssl.create_default_context(cafile="CERT"))
m.login("ACCOUNT", "PASSWORD")
m.select("INBOX")
for part in m.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]:
    if isinstance(part, tuple):
        print(part[1].decode().split()[1])
"#,
    );
    let there = run("python3", "python3", &[&script], "");
    let mut there: Vec<&str> = there.lines().collect();
    there.sort_unstable();
    let count = there.len();
    there.dedup();
    assert_eq!(there.len(), count, "a message is there twice");
    let confirmed = confirmed.lock().unwrap();
    assert!(confirmed.len() > 20, "only {} messages were confirmed", confirmed.len());
    let lost: Vec<_> =
        confirmed.iter().filter(|subject| there.binary_search(&subject.as_str()).is_err()).collect();
    assert!(lost.is_empty(), "{} of {} confirmed messages are lost: {lost:?}", lost.len(), confirmed.len());
    let socket = server.folder.path().join("data/mail.sock");
    let check =
        control::wire::call(&socket, &control::mail::Request::StoreCheck, Duration::from_mins(1)).unwrap();
    let control::mail::Reply::Check(report) = check else { panic!("{check:?}") };
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}
