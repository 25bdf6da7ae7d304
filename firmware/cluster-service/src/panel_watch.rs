//! A thread that keeps an eye on the panel: one that stands still is ended, and init starts it again.
//!
//! A panel that works looks at the box's state every second, so its process comes forward. A panel that
//! does not for [`STILL_MAX`] shows an old picture and takes no key, while the administrator needs it most.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tracing::warn;

use crate::mail_service::services;
use crate::mail_watch::pulse;
use crate::sentry::Pulse;

/// Init's name for it.
const SERVICE: &str = "panel";
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest standstill.
const STILL_MAX: Duration = Duration::from_secs(10);

/// The panel's process, what it had done when it last came forward, and when that was.
#[derive(Debug, Clone, Copy)]
struct Seen {
    pid: u32,
    pulse: Pulse,
    at: Instant,
}

/// Starts the thread.
pub fn start() -> io::Result<()> {
    thread::Builder::new().name("panel-watch".to_owned()).spawn(|| {
        let mut seen = None;
        loop {
            thread::sleep(LOOK_EVERY);
            seen = look(seen, Instant::now());
        }
    })?;
    Ok(())
}

fn look(seen: Option<Seen>, now: Instant) -> Option<Seen> {
    let pid = services().into_iter().find(|service| service.name == SERVICE)?.pid?;
    let seen = judge(seen, pid, pulse(pid)?, now);
    if now.duration_since(seen.at) < STILL_MAX {
        return Some(seen);
    }
    warn!("the panel has stood still for {} s: it is ended and starts anew", STILL_MAX.as_secs());
    if let Some(pid) = Pid::from_raw(pid as i32)
        && let Err(error) = kill_process(pid, Signal::KILL)
    {
        warn!("the panel cannot be ended: {error}");
    }
    None
}

/// What is known of the panel after a look at it.
fn judge(seen: Option<Seen>, pid: u32, pulse: Pulse, now: Instant) -> Seen {
    match seen.filter(|seen| seen.pid == pid && !pulse.is_life_since(seen.pulse)) {
        Some(still) => still,
        None => Seen { pid, pulse, at: now },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_does_nothing_at_all_stands_still() {
        let start = Instant::now();
        let later = |s| start + Duration::from_secs(s);
        let pulse = |ran| Pulse { ran, ..Pulse::default() };
        let first = judge(None, 7, pulse(1), start);
        assert_eq!(judge(Some(first), 7, pulse(1), later(9)).at, start);
        assert_eq!(judge(Some(first), 7, pulse(2), later(9)).at, later(9));
        assert_eq!(judge(Some(first), 8, pulse(1), later(9)).at, later(9));
        let waits = Pulse { in_disk: true, ..pulse(1) };
        assert_eq!(judge(Some(first), 7, waits, later(9)).at, later(9));
    }
}
