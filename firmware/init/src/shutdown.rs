//! The orderly end, step by step, each with a deadline.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::power::{self, End};
use crate::services::STOP_ORDER;
use crate::supervised::{Manner, Supervised};
use crate::{console, mounts};

/// From the request to the reset, whatever hangs: every service's stop limit and a second for each
/// kill, together.
pub const LIMIT: Duration = Duration::from_secs(25);
/// From the order to sync to the reset: an array that does not answer must not hold the box.
const SYNC_LIMIT: Duration = Duration::from_secs(3);
/// The service that feeds the watchdog.
const FEEDER: &str = "cluster";
/// What a watchdog driver takes as: stop (kernel documentation, "The Linux Watchdog driver API").
const MAGIC_CLOSE: &str = "V";

/// An orderly end under way.
#[derive(Debug)]
pub struct Shutdown {
    end: End,
    since: Instant,
    watchdog: Option<PathBuf>,
}

impl Shutdown {
    /// Begins it, for a box whose watchdog is the device `watchdog`.
    pub fn begin(end: End, now: Instant, watchdog: Option<PathBuf>) -> Self {
        Self { end, since: now, watchdog }
    }

    /// When the box is reset at the latest.
    pub fn limit(&self) -> Instant {
        self.since + LIMIT
    }

    /// Stops the next service; when all have stopped, ends the box and does not come back.
    pub fn advance(&mut self, services: &mut [Supervised], now: Instant) {
        if now >= self.limit() {
            console::say("init: the orderly end took too long; the box is reset");
            power::reset();
        }
        for name in STOP_ORDER {
            let Some(service) = services.iter_mut().find(|service| service.service.name == name) else {
                continue;
            };
            service.stop(now, Manner::Asked);
            if !service.is_stopped() {
                return;
            }
            // Nobody feeds the watchdog from here on; it must not turn power-off into a reset. This
            // module's own limit takes its place.
            if name == FEEDER
                && let Some(watchdog) = self.watchdog.take()
            {
                let _ = fs::write(watchdog, MAGIC_CLOSE);
            }
        }
        self.finish()
    }

    fn finish(&self) -> ! {
        mounts::detach_data();
        let sync = std::thread::Builder::new().spawn(rustix::fs::sync);
        let end = Instant::now() + SYNC_LIMIT;
        while sync.as_ref().is_ok_and(|thread| !thread.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        console::say(match self.end {
            End::Off => "init: everything has stopped; power off",
            End::Restart => "init: everything has stopped; restart",
        });
        power::end(self.end)
    }
}
