//! One end of a serial line: a socket that QEMU connects to when a box gets power.
//!
//! Like a real line it never makes anybody wait: what a box does not take for minutes is lost.

use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::net::{SendFlags, send};

use crate::error::{Doing, Result};

/// One end of a serial line.
#[derive(Debug, Default)]
pub struct Chardev {
    stream: Mutex<Option<UnixStream>>,
}

impl Chardev {
    /// Waits on `path` for QEMU, now and after each loss of power; `received` gets every byte the
    /// box sends.
    pub fn listen(path: &Path, mut received: impl FnMut(&Self, &[u8]) + Send + 'static) -> Result<Arc<Self>> {
        let listener = UnixListener::bind(path).doing(|| format!("{} cannot be made", path.display()))?;
        let chardev = Arc::new(Self::default());
        let own = Arc::clone(&chardev);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                own.carry(stream, &mut received);
            }
        });
        Ok(chardev)
    }

    fn carry(&self, mut stream: UnixStream, received: &mut impl FnMut(&Self, &[u8])) {
        let Ok(writer) = stream.try_clone() else { return };
        *self.writer() = Some(writer);
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            received(self, &buffer[..read]);
        }
        *self.writer() = None;
    }

    /// Sends to the box; gives how many bytes it had room for.
    pub fn send(&self, bytes: &[u8]) -> usize {
        match &*self.writer() {
            Some(stream) => send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).unwrap_or(0),
            None => 0,
        }
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
