//! A terminal or serial port that may vanish and come back, read and written without ever waiting.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{ControlModes, OptionalActions, SpecialCodeIndex};

/// A port that could not be opened or was lost is opened again after this time.
const REOPEN_MS: u64 = 1_000;
/// Most bytes that wait to be written; more means nobody reads, and the port is closed.
const WAITING_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A terminal or serial port.
#[derive(Debug)]
pub struct Port {
    path: PathBuf,
    baud: u32,
    fd: Option<OwnedFd>,
    waiting: Vec<u8>,
    sent: usize,
    open_after_ms: u64,
    complained: bool,
}

impl Port {
    /// The port at `path`, not yet open.
    pub fn new(path: &Path, baud: u32) -> Self {
        Self {
            path: path.to_owned(),
            baud,
            fd: None,
            waiting: Vec::new(),
            sent: 0,
            open_after_ms: 0,
            complained: false,
        }
    }

    /// The open port, for polling.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Opens the port where it is closed and it is time; whether it was just opened.
    pub fn open(&mut self, now_ms: u64) -> bool {
        if self.fd.is_some() || now_ms < self.open_after_ms {
            return false;
        }
        match open_raw(&self.path, self.baud) {
            Ok(fd) => {
                self.fd = Some(fd);
                self.complained = false;
                true
            }
            Err(error) => {
                self.lost(now_ms, &error);
                false
            }
        }
    }

    /// What came in, up to the size of `buffer`.
    pub fn read<'a>(&mut self, buffer: &'a mut [u8], now_ms: u64) -> &'a [u8] {
        let Some(fd) = &self.fd else { return &[] };
        match rustix::io::read(fd, &mut *buffer) {
            Ok(0) => {
                self.lost(now_ms, &io::ErrorKind::UnexpectedEof.into());
                &[]
            }
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => &[],
            Err(errno) => {
                self.lost(now_ms, &errno.into());
                &[]
            }
        }
    }

    /// Takes bytes to be written; on a closed port they are dropped.
    pub fn write(&mut self, bytes: &[u8], now_ms: u64) {
        if self.fd.is_none() {
            return;
        }
        if self.waiting.len() + bytes.len() > WAITING_MAX_BYTES {
            self.lost(now_ms, &io::ErrorKind::StorageFull.into());
            return;
        }
        self.waiting.extend_from_slice(bytes);
    }

    /// Drops what waits to be written.
    pub fn drop_waiting(&mut self) {
        self.waiting.clear();
        self.sent = 0;
    }

    /// Whether everything given was written.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes as much as goes without waiting.
    pub fn flush(&mut self, now_ms: u64) {
        while let (Some(fd), Some(rest)) = (&self.fd, self.waiting.get(self.sent..))
            && !rest.is_empty()
        {
            match rustix::io::write(fd, rest) {
                Ok(length) => self.sent += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(errno) => {
                    self.lost(now_ms, &errno.into());
                    return;
                }
            }
        }
        self.drop_waiting();
    }

    fn lost(&mut self, now_ms: u64, error: &io::Error) {
        self.fd = None;
        self.drop_waiting();
        self.open_after_ms = now_ms + REOPEN_MS;
        if !self.complained {
            self.complained = true;
            tracing::warn!("the port {} cannot be used: {error}; it is tried again", self.path.display());
        }
    }
}

fn open_raw(path: &Path, baud: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let mut terminal = rustix::termios::tcgetattr(&fd)?;
    terminal.make_raw();
    // No modem lines and no hardware flow control: a three-wire cable must do.
    terminal.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD | ControlModes::CS8;
    terminal.control_modes -= ControlModes::CRTSCTS | ControlModes::HUPCL;
    terminal.special_codes[SpecialCodeIndex::VMIN] = 1;
    terminal.special_codes[SpecialCodeIndex::VTIME] = 0;
    terminal.set_speed(baud)?;
    rustix::termios::tcsetattr(&fd, OptionalActions::Now, &terminal)?;
    Ok(fd)
}
