//! A word to the client while long work goes on (INPROGRESS, RFC 9585).

use std::future::Future;
use std::io::Write;
use std::pin::pin;

use message::write_string;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Waits for work of unknown length. A client that is gone meanwhile is noticed afterwards: the work is
    /// finished all the same.
    pub(super) async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(self.context.limits.progress_interval) => {
                    write_progress(&mut self.connection.out, &self.tag, None);
                    let _ = self.connection.flush().await;
                }
            }
        }
    }
}

/// Writes how far the command with this tag has come: so many of so many, if that is known.
pub(super) fn write_progress(out: &mut Vec<u8>, tag: &str, progress: Option<(u32, usize)>) {
    out.extend_from_slice(b"* OK [INPROGRESS (");
    write_string(out, tag.as_bytes());
    let _ = match progress {
        Some((done, goal)) => write!(out, " {done} {goal}"),
        None => write!(out, " NIL NIL"),
    };
    out.extend_from_slice(b")] still at work\r\n");
}
