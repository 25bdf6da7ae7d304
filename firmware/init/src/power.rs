//! Off, restart and reset. None of these comes back.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

/// How the box ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Power off.
    Off,
    /// Restart.
    Restart,
}

/// Ends the box. What should be on disk has been synced by the caller.
pub fn end(end: End) -> ! {
    let command = match end {
        End::Off => RebootCommand::PowerOff,
        End::Restart => RebootCommand::Restart,
    };
    let _ = reboot(command);
    reset()
}

/// Resets the box at once: nothing is stopped, nothing is flushed.
pub fn reset() -> ! {
    loop {
        // sysrq goes straight to the machine; reboot(2) would first tell every driver, and one of
        // them may be what hangs.
        let _ = fs::write("/proc/sysrq-trigger", "b");
        let _ = reboot(RebootCommand::Restart);
        sleep(Duration::from_millis(100));
    }
}
