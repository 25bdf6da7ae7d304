//! How long clients had to wait, measured where they are: messages sent to the mail port all the time,
//! whatever the consoles of the boxes say or do not say.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lab::clients::smtp::{Door, Fate, Sender};
use lab::clients::stream::{Patience, Tls};
use lab::parts::DOMAIN;

use crate::operator::port;

/// A sender comes so often, and does not care what became of the one before.
const SEND_EVERY: Duration = Duration::from_millis(300);
/// A sender that has waited so long goes away, as the judge's do.
const PATIENCE: Patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(2) };
/// Senders that wait at the same time; more do not come.
const WAITING_MAX: usize = 16;

/// Senders that come until it is stopped.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    began: Instant,
    accepted: Arc<Mutex<Vec<Instant>>>,
    thread: JoinHandle<()>,
}

impl Pulse {
    /// The first sender comes now.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let (stopped, found) = (Arc::clone(&stop), Arc::clone(&accepted));
        let tls = Tls::new().unwrap();
        let waiting = Arc::new(AtomicUsize::new(0));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if waiting.load(Ordering::Relaxed) < WAITING_MAX {
                    let (waiting, found, tls) = (Arc::clone(&waiting), Arc::clone(&found), tls.clone());
                    waiting.fetch_add(1, Ordering::Relaxed);
                    thread::spawn(move || {
                        if is_accepted(&tls) {
                            found.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                        }
                        waiting.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                thread::sleep(SEND_EVERY);
            }
        });
        Self { stop, began: Instant::now(), accepted, thread }
    }

    /// The longest time between two messages that were accepted.
    pub fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let mut moments = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        moments.extend([self.began, Instant::now()]);
        moments.sort_unstable();
        moments.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }
}

fn is_accepted(tls: &Tls) -> bool {
    let Ok(mut sender) = Sender::connect(port(25), Door::Server, tls, ("", ""), PATIENCE) else {
        return false;
    };
    let to = format!("bob@{DOMAIN}");
    let message = format!("From: alice@{DOMAIN}\r\nTo: {to}\r\nSubject: pulse\r\n\r\nhello\r\n");
    matches!(sender.send(&format!("alice@{DOMAIN}"), &to, &message), Ok(Fate::Accepted))
}
