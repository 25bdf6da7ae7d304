//! The administrator's log host: the lab's own address on the public network hears syslog (RFC 5426)
//! and takes webhooks, and fetches the metrics of a box as a monitoring server would.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Doing, Result};
use crate::parts::{BoxName, HOST_ADDRESS};

/// Where syslog is heard.
pub const SYSLOG_PORT: u16 = 514;
/// Where webhooks are taken.
pub const WEBHOOK_PORT: u16 = 8080;
/// Where the lab expects the metrics of a box; `metrics set --port 9464` on its command line.
pub const METRICS_PORT: u16 = 9464;
/// The newest notices that are kept.
const HEARD_MAX: usize = 1_000;
/// The longest notice.
const NOTICE_MAX: usize = 64 * 1024;
/// The longest page of metrics.
const METRICS_MAX: u64 = 4 << 20;
/// Longest wait for the other side.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something a box told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// `syslog` or `webhook`.
    pub way: &'static str,
    /// Who told it.
    pub from: SocketAddr,
    /// The datagram, or the body that was posted.
    pub text: String,
}

/// What was heard since the lab began, oldest first.
#[derive(Debug, Default)]
pub struct Ear {
    heard: Mutex<VecDeque<Heard>>,
}

impl Ear {
    /// Begins to listen at the lab's own address.
    pub fn open() -> Result<Arc<Self>> {
        Self::open_at(HOST_ADDRESS, SYSLOG_PORT, WEBHOOK_PORT).map(|(ear, _)| ear)
    }

    fn open_at(address: Ipv4Addr, syslog: u16, webhook: u16) -> Result<(Arc<Self>, [SocketAddr; 2])> {
        let failed = || "the lab cannot listen at its own address".to_owned();
        let datagrams = UdpSocket::bind((address, syslog)).doing(failed)?;
        let hooks = TcpListener::bind((address, webhook)).doing(failed)?;
        let places = [datagrams.local_addr().doing(failed)?, hooks.local_addr().doing(failed)?];
        let ear = Arc::new(Self::default());
        let by_syslog = Arc::clone(&ear);
        thread::spawn(move || by_syslog.hear_datagrams(&datagrams));
        let by_webhook = Arc::clone(&ear);
        thread::spawn(move || {
            for stream in hooks.incoming().flatten() {
                let ear = Arc::clone(&by_webhook);
                thread::spawn(move || drop(ear.take_hook(stream)));
            }
        });
        Ok((ear, places))
    }

    /// Everything that was heard.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, way: &'static str, from: SocketAddr, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= HEARD_MAX {
            heard.pop_front();
        }
        heard.push_back(Heard { way, from, text });
    }

    fn hear_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; NOTICE_MAX];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            self.add("syslog", from, &buffer[..length]);
        }
    }

    /// One POST (RFC 9112); answers 204 to a whole one.
    fn take_hook(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let from = stream.peer_addr()?;
        let mut answer = stream.try_clone()?;
        let mut reader = BufReader::new(stream.take(2 * NOTICE_MAX as u64));
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().map_err(io::Error::other)?.min(NOTICE_MAX);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        self.add("webhook", from, &body);
        answer.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    }
}

/// The page of metrics of a box, as a monitoring server gets it; the calling thread must be in the
/// lab's network.
pub fn metrics(name: BoxName) -> Result<String> {
    fetch(SocketAddr::from((name.address(), METRICS_PORT)))
        .doing(|| format!("box {name} shows no metrics at port {METRICS_PORT}"))
}

fn fetch(place: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&place, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET /metrics HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.take(METRICS_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.starts_with("HTTP/1.1 200 ") {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(head.lines().next().unwrap_or("no answer").to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_boxes_tell_is_heard_whole() {
        let (ear, [syslog, webhook]) = Ear::open_at(Ipv4Addr::LOCALHOST, 0, 0).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"<11>1 - box-a twinmail", syslog).unwrap();
        let mut stream = TcpStream::connect(webhook).unwrap();
        let body = r#"{"kind":"raised"}"#;
        let head = format!("POST /alarm HTTP/1.1\r\nHost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        let began = Instant::now();
        while ear.heard().len() < 2 {
            assert!(began.elapsed() < Duration::from_mins(1), "{:?}", ear.heard());
            thread::sleep(Duration::from_millis(10));
        }
        let text = |way| ear.heard().into_iter().find(|heard| heard.way == way).map(|heard| heard.text);
        assert_eq!(text("syslog").as_deref(), Some("<11>1 - box-a twinmail"));
        assert_eq!(text("webhook").as_deref(), Some(body));
    }
}
