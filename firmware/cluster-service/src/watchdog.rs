//! The hardware watchdog: armed once, fed after each completed decision loop, never disarmed.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// `WDIOC_SETTIMEOUT`, linux/watchdog.h: `_IOWR('W', 6, int)`; seconds in, the real value out.
const WDIOC_SETTIMEOUT: libc::Ioctl = 0xC004_5706_u32 as libc::Ioctl;

/// Why the watchdog cannot be used.
#[derive(Debug, Error)]
pub enum WatchdogError {
    /// The device cannot be opened.
    #[error("the watchdog {path} cannot be opened: {source}; without it this box takes nothing over")]
    Open {
        /// The device.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The driver refused the time-out.
    #[error("the watchdog {path} refused a time-out of {timeout_ms} ms: {source}")]
    Timeout {
        /// The device.
        path: PathBuf,
        /// The time-out asked for.
        timeout_ms: u32,
        /// What the system said.
        source: io::Error,
    },
}

/// An armed watchdog. Dropping it without the magic close leaves it armed: a cluster service that
/// ends and does not come back in time resets the box.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    timeout_ms: u32,
}

impl Watchdog {
    /// Arms the watchdog and takes the time-out that the driver returns.
    pub fn arm(path: &Path, timeout_ms: u32) -> Result<Self, WatchdogError> {
        let device = OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(|source| WatchdogError::Open { path: path.to_owned(), source })?;
        let mut seconds = timeout_ms.div_ceil(1_000) as libc::c_int;
        // SAFETY: WDIOC_SETTIMEOUT reads and writes one int, `seconds` is one and outlives the call.
        let result = unsafe { libc::ioctl(device.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut seconds) };
        if result < 0 {
            let source = io::Error::last_os_error();
            return Err(WatchdogError::Timeout { path: path.to_owned(), timeout_ms, source });
        }
        Ok(Self { device, timeout_ms: seconds.max(0) as u32 * 1_000 })
    }

    /// The time-out that the driver returned, in milliseconds.
    pub fn timeout_ms(&self) -> u32 {
        self.timeout_ms
    }

    /// Says that a decision loop was completed.
    pub fn feed(&mut self) {
        // A driver that takes no byte resets the box in its time; nothing better can be done here.
        let _ = self.device.write(b"\0");
    }
}
