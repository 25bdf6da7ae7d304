//! The hard end: the box stops between two instructions and starts again.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use control::INIT_SOCKET;
use control::init::{Reply, Request};
use tracing::error;

/// How long init may take; the watchdog does the same if it does not.
const INIT_WAIT: Duration = Duration::from_millis(500);

/// Resets this box at once. Nothing is stopped and nothing is flushed: what this box still holds in
/// memory must not reach an array that belongs to the other one now.
pub fn now(reason: &str) {
    error!("reset: {reason}");
    // The ring in memory is about to go; whoever watches the console sees why.
    if let Ok(mut console) = fs::OpenOptions::new().write(true).open("/dev/console") {
        let _ = console.write_all(format!("\r\ncluster: this box is reset: {reason}\r\n").as_bytes());
    }
    if fs::write("/proc/sysrq-trigger", "b").is_err() {
        let request = Request::Reset { reason: reason.to_owned() };
        let _ = control::wire::call::<_, Reply>(Path::new(INIT_SOCKET), &request, INIT_WAIT);
    }
}
