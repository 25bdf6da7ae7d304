//! The console, as long as the panel has not taken it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Writes one line to the console; a console that takes nothing loses the line and nothing else.
pub fn say(line: &str) {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let console = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open("/dev/console");
    if let Ok(mut console) = console {
        let _ = console.write_all(format!("{line}\r\n").as_bytes());
    }
}
