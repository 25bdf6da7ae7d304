//! Signals as bytes in a socket.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::net::UnixStream;

/// From now on `signal` writes `byte` to `stream`; when the stream is full, the loop has been woken
/// already.
pub fn send_on(signal: i32, byte: u8, stream: UnixStream) -> io::Result<()> {
    let write = move || {
        let _ = rustix::io::write(&stream, &[byte]);
    };
    // SAFETY: the handler does one write(2) on a descriptor that it owns, which is async-signal-safe; it
    // does not allocate, lock or panic.
    unsafe { signal_hook::low_level::register(signal, write) }.map(drop)
}
