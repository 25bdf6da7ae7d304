//! How long clients had to wait: greetings asked for all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::operator::greeting;

const ASK_EVERY: Duration = Duration::from_millis(100);
/// Longer than any story.
const GREETING_MAX: Duration = Duration::from_mins(4);

/// Asks for greetings until it is stopped.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Pulse {
    /// Begins to ask.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                greeting(GREETING_MAX);
                longest = longest.max(last.elapsed());
                last = Instant::now();
                thread::sleep(ASK_EVERY);
            }
            longest
        });
        Self { stop, thread }
    }

    /// The longest time between two greetings.
    pub fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
