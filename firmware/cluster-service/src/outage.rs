//! What a client at the virtual address would notice: greetings of the mail service, one after another.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Port that is asked for its greeting.
const SMTP_PORT: u16 = 25;
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// What a connection, and a greeting on it, may take before the next question.
const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// Measures until it is dropped.
pub struct OutageMeter {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Seen {
    last: Option<Instant>,
    worst: Duration,
}

impl OutageMeter {
    /// Begins to measure at `address`.
    pub fn start(address: IpAddr) -> std::io::Result<Self> {
        Self::start_at(SocketAddr::new(address, SMTP_PORT))
    }

    fn start_at(address: SocketAddr) -> std::io::Result<Self> {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let meter = Self { seen: seen.clone(), stop: stop.clone() };
        thread::Builder::new().name("outage".to_owned()).spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let begun = Instant::now();
                if greets(address) {
                    lock(&seen).answered(Instant::now());
                }
                thread::sleep(ASK_EVERY.saturating_sub(begun.elapsed()));
            }
        })?;
        Ok(meter)
    }

    /// Whether there was a greeting after that moment.
    pub fn is_served_since(&self, moment: Instant) -> bool {
        lock(&self.seen).last.is_some_and(|at| at > moment)
    }

    /// The longest time without a greeting since the last call, in milliseconds; an outage that lasts counts
    /// to now.
    pub fn worst_ms(&self) -> u64 {
        let mut seen = lock(&self.seen);
        let lasting = seen.last.map_or(Duration::ZERO, |at| at.elapsed());
        let worst = seen.worst.max(lasting);
        seen.worst = Duration::ZERO;
        worst.as_millis() as u64
    }
}

impl Drop for OutageMeter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Seen {
    fn answered(&mut self, now: Instant) {
        if let Some(last) = self.last {
            self.worst = self.worst.max(now.saturating_duration_since(last));
        }
        self.last = Some(now);
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the greeting of RFC 5321 4.3.1 comes. The connection is ended politely.
fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, ANSWER_WAIT) else { return false };
    let _ = stream.set_read_timeout(Some(ANSWER_WAIT));
    let _ = stream.set_write_timeout(Some(ANSWER_WAIT));
    let mut code = [0; 4];
    let greeted = stream.read_exact(&mut code).is_ok() && code.starts_with(b"220");
    let _ = stream.write_all(b"QUIT\r\n");
    greeted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_outage_lasts_from_the_last_greeting_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let quiet = Arc::new(AtomicBool::new(false));
        let silent = quiet.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if !silent.load(Ordering::Acquire) {
                    let _ = stream.write_all(b"220 here\r\n");
                }
            }
        });
        let meter = OutageMeter::start_at(address).unwrap();
        let until_served = |moment: Instant| {
            let begun = Instant::now();
            while !meter.is_served_since(moment) {
                assert!(begun.elapsed() < Duration::from_mins(1), "no greeting");
                thread::sleep(Duration::from_millis(10));
            }
        };
        until_served(Instant::now());
        quiet.store(true, Ordering::Release);
        // A greeting that was under way comes all the same.
        thread::sleep(2 * ANSWER_WAIT);
        let silent = Instant::now();
        thread::sleep(2 * ANSWER_WAIT);
        assert!(!meter.is_served_since(silent));
        let end = Instant::now();
        quiet.store(false, Ordering::Release);
        until_served(end);
        assert!(meter.worst_ms() >= 2 * ANSWER_WAIT.as_millis() as u64);
    }
}
