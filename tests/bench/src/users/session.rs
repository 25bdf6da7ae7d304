//! One session: a user or a server sends one message, or a user empties a maildrop.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::profile;
use crate::server::{ACCOUNTS, DOMAIN, PASSWORD, Server};
use crate::text::{Random, message};

/// Requests that are timed.
pub const REQUESTS: [&str; 9] = ["connect", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "login", "STAT", "RETR"];

/// No answer within this is an error.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// An answer is in time within this, and what the size adds.
const IN_TIME: Duration = Duration::from_secs(5);
/// What the size adds: a second for so many bytes.
const BYTES_PER_S: usize = 3_000;
/// Share of the accounts that users look at again and again.
const RETRY_POOL: f64 = 0.075;
/// A slow line gets its bytes in pieces.
const PIECES_PER_S: u32 = 4;

/// Which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Submission by a user.
    UserSends,
    /// Mail from another server, all for here.
    ServerSends,
    /// POP3.
    UserReads,
    /// POP3 on a maildrop that was read just before.
    UserRetries,
}

/// Where sessions go.
pub struct Target {
    smtp: u16,
    submission: u16,
    pop3: u16,
    words: Vec<String>,
}

/// What one session came to.
#[derive(Default)]
pub struct Measured {
    /// It began after the warm-up.
    pub counts: bool,
    /// A message was sent.
    pub sent: bool,
    /// Recipients that are elsewhere.
    pub for_sink: u64,
    /// Each answer.
    pub answers: Vec<Answer>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One answer.
pub struct Answer {
    /// To what.
    pub request: &'static str,
    /// How long it took.
    pub took: Duration,
    /// How long it may take.
    pub allowed: Duration,
}

impl Target {
    /// A server's ports, and what to write.
    pub fn new(server: &Server, words: Vec<String>) -> Self {
        Self { smtp: server.smtp, submission: server.submission, pop3: server.pop3, words }
    }
}

/// Runs one session.
pub async fn run(kind: Kind, target: &Target, seed: u64) -> Measured {
    let mut measured = Measured::default();
    let mut random = Random(seed);
    let ended = match kind {
        Kind::UserSends | Kind::ServerSends => send(kind, target, &mut random, &mut measured).await,
        Kind::UserReads | Kind::UserRetries => read(kind, target, &mut random, &mut measured).await,
    };
    measured.error = ended.err();
    measured
}

struct Line {
    stream: BufReader<TcpStream>,
    slow: bool,
}

impl Line {
    async fn open(port: u16, slow: bool, measured: &mut Measured) -> Result<Self, String> {
        let begin = Instant::now();
        let stream = timeout(ANSWER_WAIT, TcpStream::connect(("127.0.0.1", port))).await;
        let stream = stream.map_err(|_| "connect: no answer")?.map_err(|e| format!("connect: {e}"))?;
        let mut line = Self { stream: BufReader::new(stream), slow };
        line.answer("connect", 0, begin, measured).await?;
        Ok(line)
    }

    async fn ask(
        &mut self,
        request: &'static str,
        text: &str,
        measured: &mut Measured,
    ) -> Result<String, String> {
        let begin = Instant::now();
        self.stream
            .write_all(format!("{text}\r\n").as_bytes())
            .await
            .map_err(|e| format!("{request}: {e}"))?;
        self.answer(request, 0, begin, measured).await
    }

    /// Reads one answer, of one or more lines as SMTP writes them.
    async fn answer(
        &mut self,
        request: &'static str,
        bytes: usize,
        begin: Instant,
        measured: &mut Measured,
    ) -> Result<String, String> {
        let mut text = String::new();
        loop {
            text.clear();
            let read = timeout(ANSWER_WAIT, self.stream.read_line(&mut text)).await;
            let read =
                read.map_err(|_| format!("{request}: no answer"))?.map_err(|e| format!("{request}: {e}"))?;
            if read == 0 {
                return Err(format!("{request}: closed"));
            }
            if text.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        let allowed = IN_TIME + Duration::from_millis((bytes * 1_000 / BYTES_PER_S) as u64);
        measured.answers.push(Answer { request, took: begin.elapsed(), allowed });
        if text.starts_with(['2', '3', '+']) {
            Ok(text)
        } else {
            Err(format!("{request}: {}", text.trim_end()))
        }
    }

    /// Sends a text at the line's pace.
    async fn write_text(&mut self, text: &[u8]) -> Result<(), String> {
        if !self.slow {
            return self.stream.write_all(text).await.map_err(|e| e.to_string());
        }
        for piece in text.chunks(profile::SLOW_BYTES_PER_S / PIECES_PER_S as usize) {
            self.stream.write_all(piece).await.map_err(|e| e.to_string())?;
            tokio::time::sleep(Duration::from_secs(1) / PIECES_PER_S).await;
        }
        Ok(())
    }
}

/// Puts `sender` into the From field, the first of the text.
fn write_from(text: &mut Vec<u8>, sender: &str) {
    let end = text.iter().position(|octet| *octet == b'\r').unwrap_or(0);
    text.splice(..end, format!("From: <{sender}>").into_bytes());
}

async fn send(
    kind: Kind,
    target: &Target,
    random: &mut Random,
    measured: &mut Measured,
) -> Result<(), String> {
    let is_user = kind == Kind::UserSends;
    let slow = is_user && random.unit() < profile::SLOW;
    let port = if is_user { target.submission } else { target.smtp };
    let own = random.below(ACCOUNTS) + 1;
    let mut line = Line::open(port, slow, measured).await?;
    line.ask("EHLO", "EHLO client.bench.example", measured).await?;
    let sender = if is_user { format!("{own}u@{DOMAIN}") } else { "s@sender.example".to_owned() };
    if is_user {
        let secret = STANDARD.encode(format!("\0{own}u@{DOMAIN}\0{PASSWORD}"));
        line.ask("AUTH", &format!("AUTH PLAIN {secret}"), measured).await?;
    }
    line.ask("MAIL", &format!("MAIL FROM:<{sender}>"), measured).await?;
    let is_remote = is_user && random.unit() < profile::REMOTE;
    let recipients = profile::recipients(random);
    for number in 0..recipients {
        let recipient = if is_remote {
            format!("x{number}@[127.0.0.2]")
        } else {
            format!("{}u@{DOMAIN}", random.below(ACCOUNTS) + 1)
        };
        line.ask("RCPT", &format!("RCPT TO:<{recipient}>"), measured).await?;
    }
    let begin = Instant::now();
    line.stream.write_all(b"DATA\r\n").await.map_err(|e| e.to_string())?;
    let mut go = String::new();
    let read = timeout(ANSWER_WAIT, line.stream.read_line(&mut go)).await;
    read.map_err(|_| "DATA: no answer")?.map_err(|e| e.to_string())?;
    if !go.starts_with('3') {
        return Err(format!("DATA: {}", go.trim_end()));
    }
    let mut text = message(&target.words, profile::size_bytes(random), random.next(), None);
    if is_user {
        // Who has logged in may write in its own name only.
        write_from(&mut text, &sender);
    }
    line.write_text(&text).await?;
    line.stream.write_all(b".\r\n").await.map_err(|e| e.to_string())?;
    // A slow line's own time is not the server's.
    let begin = if slow { Instant::now() } else { begin };
    line.answer("DATA", text.len(), begin, measured).await?;
    measured.sent = true;
    if is_remote {
        measured.for_sink = recipients as u64;
    }
    let _ = line.stream.write_all(b"QUIT\r\n").await;
    Ok(())
}

async fn read(
    kind: Kind,
    target: &Target,
    random: &mut Random,
    measured: &mut Measured,
) -> Result<(), String> {
    let pool = (ACCOUNTS as f64 * RETRY_POOL) as usize;
    let own = match kind {
        Kind::UserRetries => random.below(pool),
        _ => pool + random.below(ACCOUNTS - pool),
    } + 1;
    let mut line = Line::open(target.pop3, false, measured).await?;
    line.ask("login", &format!("USER {own}u@{DOMAIN}"), measured).await?;
    match line.ask("login", &format!("PASS {PASSWORD}"), measured).await {
        Ok(_) => {}
        // Two at the same maildrop: the protocol lets one in (RFC 1939 section 4). That is no fault.
        Err(reason) if reason.contains("[IN-USE]") => return Ok(()),
        Err(reason) => return Err(reason),
    }
    let stat = line.ask("STAT", "STAT", measured).await?;
    let count: usize = stat.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    for number in 1..=count {
        let begin = Instant::now();
        line.stream.write_all(format!("RETR {number}\r\n").as_bytes()).await.map_err(|e| e.to_string())?;
        let mut bytes = 0;
        let mut text = Vec::new();
        while text != b".\r\n" {
            text.clear();
            let read = timeout(ANSWER_WAIT, line.stream.read_until(b'\n', &mut text)).await;
            match read.map_err(|_| "RETR: no answer")?.map_err(|e| e.to_string())? {
                0 => return Err("RETR: closed".to_owned()),
                read => bytes += read,
            }
            if bytes == text.len() && !text.starts_with(b"+OK") {
                return Err(format!("RETR: {}", String::from_utf8_lossy(&text)));
            }
        }
        let allowed = IN_TIME + Duration::from_millis((bytes * 1_000 / BYTES_PER_S) as u64);
        measured.answers.push(Answer { request: "RETR", took: begin.elapsed(), allowed });
        line.ask("STAT", &format!("DELE {number}"), measured).await?;
    }
    line.ask("STAT", "QUIT", measured).await?;
    Ok(())
}
