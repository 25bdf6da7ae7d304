//! The work that is timed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Connection;
use crate::server::{ACCOUNTS, DOMAIN, PASSWORD, Server};

/// How much of it.
pub struct Load {
    /// Messages.
    pub messages: usize,
    /// Bytes of one.
    pub size_bytes: usize,
    /// Sessions at once.
    pub sessions: usize,
}

/// One measured figure.
#[derive(Serialize)]
pub struct Figure {
    /// Which work.
    pub work: String,
    /// Operations done.
    pub operations: usize,
    /// Operations a second.
    pub rate_per_s: f64,
    /// Server's CPU seconds for 1,000 operations.
    pub cpu_s_per_1000: f64,
}

type Work = fn(&Server, &Load) -> Result<usize, String>;

/// Every work, in the order it is run: later ones read what earlier ones stored.
pub const ALL: [(&str, Work); 6] = [
    ("SMTP in, until readable", smtp_in),
    ("APPEND, one connection", append),
    ("LOGIN + LOGOUT", login),
    ("FETCH BODY.PEEK[]", fetch_bodies),
    ("FETCH ENVELOPE", fetch_envelopes),
    ("POP3 RETR", retrieve),
];

/// Runs one work and takes its time and the server's CPU.
pub fn time(name: &str, server: &Server, load: &Load, work: Work) -> Result<Figure, String> {
    let (cpu, start) = (server.cpu_s(), Instant::now());
    let operations = work(server, load)?;
    let (cpu_s, wall_s) = (server.cpu_s() - cpu, start.elapsed().as_secs_f64());
    Ok(Figure {
        work: name.to_owned(),
        operations,
        rate_per_s: operations as f64 / wall_s,
        cpu_s_per_1000: cpu_s / operations as f64 * 1000.0,
    })
}

fn user(index: usize) -> String {
    format!("{}u@{DOMAIN}", index % ACCOUNTS + 1)
}

/// A text message of about `size` bytes; each seed gives another one.
fn message(size_bytes: usize, seed: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Sender <s@sender.example>\r\nTo: <list@{DOMAIN}>\r\nSubject: bench {seed}\r\n\
         Date: Mon, 02 Jan 2023 10:00:00 +0000\r\nMessage-ID: <{seed}.{size_bytes}@sender.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    );
    let mut state = seed as u64 | 1;
    while text.len() < size_bytes {
        for _ in 0..10 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("w{:x} ", state >> 44));
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// Runs `job` for every number below `count` on so many threads; the first error ends it.
fn spread(
    count: usize,
    sessions: usize,
    job: impl Fn(usize) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            job(index)?;
        };
        let threads: Vec<_> = (0..sessions).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a client failed".to_owned())?)
    })
}

fn login_as(server: &Server, index: usize) -> Result<Connection, String> {
    let mut imap = Connection::open(server.imap)?;
    imap.imap(&format!("LOGIN {} {PASSWORD}", user(index)))?;
    Ok(imap)
}

fn inbox_messages(imap: &mut Connection) -> Result<usize, String> {
    let answer = imap.imap("STATUS INBOX (MESSAGES)")?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let digits = text.split("MESSAGES ").nth(1).and_then(|rest| rest.split(')').next());
    digits.and_then(|d| d.trim().parse().ok()).ok_or(format!("STATUS: {text}"))
}

fn smtp_in(server: &Server, load: &Load) -> Result<usize, String> {
    spread(load.messages, load.sessions, |index| {
        Connection::deliver(server.smtp, &user(index), &message(load.size_bytes, index))
    })?;
    let expected = |index: usize| load.messages / ACCOUNTS + usize::from(index < load.messages % ACCOUNTS);
    for index in 0..ACCOUNTS {
        let mut imap = login_as(server, index)?;
        let end = Instant::now() + Duration::from_secs(300);
        while inbox_messages(&mut imap)? < expected(index) {
            if Instant::now() > end {
                return Err(format!("mail for {} did not arrive", user(index)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(load.messages)
}

fn append(server: &Server, load: &Load) -> Result<usize, String> {
    let mut imap = login_as(server, 0)?;
    imap.imap("CREATE Bench")?;
    for index in 0..load.messages {
        imap.append("Bench", &message(load.size_bytes, index))?;
    }
    Ok(load.messages)
}

fn login(server: &Server, load: &Load) -> Result<usize, String> {
    let count = 1_000;
    spread(count, load.sessions, |index| login_as(server, index)?.imap("LOGOUT").map(drop))?;
    Ok(count)
}

fn fetch(server: &Server, load: &Load, what: &str) -> Result<usize, String> {
    let mut imap = login_as(server, 0)?;
    imap.imap("SELECT Bench")?;
    imap.imap(&format!("FETCH 1:* {what}"))?;
    Ok(load.messages)
}

fn fetch_bodies(server: &Server, load: &Load) -> Result<usize, String> {
    fetch(server, load, "BODY.PEEK[]")
}

fn fetch_envelopes(server: &Server, load: &Load) -> Result<usize, String> {
    fetch(server, load, "ENVELOPE")
}

fn retrieve(server: &Server, _load: &Load) -> Result<usize, String> {
    let mut pop3 = Connection::open(server.pop3)?;
    pop3.pop3(&format!("USER {}", user(0)))?;
    pop3.pop3(&format!("PASS {PASSWORD}"))?;
    let count = inbox_messages(&mut login_as(server, 0)?)?;
    for number in 1..=count {
        pop3.pop3_lines(&format!("RETR {number}"))?;
    }
    pop3.pop3("QUIT")?;
    Ok(count)
}
