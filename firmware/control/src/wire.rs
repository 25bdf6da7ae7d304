//! One JSON object a line over a unix socket: one request, one reply.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Longest line either side sends or accepts, in bytes.
pub const LINE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Why a call over a control socket failed.
#[derive(Debug, Error)]
pub enum WireError {
    /// Nobody listens there.
    #[error("the service behind {socket} is not running: {source}")]
    NotRunning {
        /// The socket asked.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke or took longer than allowed.
    #[error("the service did not answer: {0}")]
    NoAnswer(#[from] std::io::Error),
    /// The line is not the message it should be.
    #[error("the message is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The line is longer than allowed, or ended early.
    #[error("the message is incomplete or longer than {LINE_MAX_BYTES} bytes")]
    Truncated,
}

/// Sends `request` to `socket` and waits at most `timeout` for each step of the answer.
pub fn call<Q: Serialize, R: DeserializeOwned>(
    socket: &Path,
    request: &Q,
    timeout: Duration,
) -> Result<R, WireError> {
    let mut stream = connect(socket, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write_line(&mut stream, request)?;
    read_line(&mut BufReader::new(stream))
}

/// Connects in bounded time. A service that hangs stops accepting; once its backlog is full a plain
/// connect would wait for ever, but it honours the send time-out where that is set before (unix(7)).
pub fn connect(socket: &Path, timeout: Duration) -> Result<UnixStream, WireError> {
    let not_running =
        |errno: Errno| WireError::NotRunning { socket: socket.to_owned(), source: errno.into() };
    let address = SocketAddrUnix::new(socket).map_err(not_running)?;
    let fd = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(not_running)?;
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, Some(timeout)).map_err(not_running)?;
    match net::connect(&fd, &address) {
        Ok(()) => Ok(UnixStream::from(fd)),
        Err(Errno::AGAIN) => Err(WireError::NoAnswer(Errno::AGAIN.into())),
        Err(errno) => Err(not_running(errno)),
    }
}

/// Writes one message and its line feed.
pub fn write_line<T: Serialize>(stream: &mut impl Write, message: &T) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    stream.flush()?;
    Ok(())
}

/// Reads one message up to its line feed.
pub fn read_line<T: DeserializeOwned>(stream: &mut impl BufRead) -> Result<T, WireError> {
    let mut line = Vec::new();
    let read = stream.by_ref().take(LINE_MAX_BYTES as u64).read_until(b'\n', &mut line)?;
    if read == 0 || line.last() != Some(&b'\n') {
        return Err(WireError::Truncated);
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_line_cut_short_is_refused() {
        let mut input = Cursor::new(b"{\"a\":1}".to_vec());
        let read: Result<serde_json::Value, _> = read_line(&mut input);
        assert!(matches!(read, Err(WireError::Truncated)));
    }

    #[test]
    fn an_endless_line_is_refused_at_the_bound() {
        let mut input = BufReader::new(std::io::repeat(b'x'));
        let read: Result<serde_json::Value, _> = read_line(&mut input);
        assert!(matches!(read, Err(WireError::Truncated)));
    }

    #[test]
    fn a_hung_service_with_a_full_backlog_costs_no_more_than_the_time_limit() {
        let path = std::env::temp_dir().join(format!("control-hung-{}.sock", std::process::id()));
        let fd = net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        net::bind(&fd, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        net::listen(&fd, 0).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        let begun = std::time::Instant::now();
        let read: Result<u8, _> = call(&path, &1_u8, Duration::from_millis(100));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read, Err(WireError::NoAnswer(_))), "{read:?}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn nobody_listening_names_the_socket() {
        let path = Path::new("/nonexistent/x.sock");
        let read: Result<u8, _> = call(path, &1_u8, Duration::from_millis(10));
        assert!(read.unwrap_err().to_string().contains("/nonexistent/x.sock"));
    }
}
