//! The client's stream with its buffers: bounded reading, batched writing, an end to every wait.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::deflate::{Deflate, NotDeflate};
use crate::parse::{CommandReader, ReaderLimits};

/// Answers are written when this much has gathered, or when no further command waits.
pub(super) const OUT_FLUSH_BYTES: usize = 64 * 1024;
/// First read of a connection that was silent; full reads double it.
const READ_MIN_BYTES: usize = 1024;
const READ_MAX_BYTES: usize = 128 * 1024;
/// Most bytes that one step makes of compressed ones.
const READ_COMPRESSED_BYTES: usize = 16 * 1024;
/// Longest line of a SASL answer or DONE (RFC 4616 section 2 allows 255 octets each for its parts).
const ANSWER_MAX_BYTES: usize = 4096;

/// Why a session stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client is gone, or does not take what is sent.
    Gone,
    /// Say BYE with this text, then close.
    Bye(&'static str),
    /// BYE was said: LOGOUT.
    Logout,
    /// The client may begin TLS.
    StartTls,
}

/// See the module's page.
pub(super) struct Connection<S> {
    stream: S,
    pub reader: CommandReader,
    /// What is not yet written.
    pub out: Vec<u8>,
    shutdown: watch::Receiver<bool>,
    transfer_timeout: Duration,
    read_bytes: usize,
    deflate: Option<Box<Deflate>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(
        stream: S,
        limits: ReaderLimits,
        transfer_timeout: Duration,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        Self {
            stream,
            reader: CommandReader::new(limits),
            out: Vec::new(),
            shutdown,
            transfer_timeout,
            read_bytes: READ_MIN_BYTES,
            deflate: None,
        }
    }

    /// Whether the stream is compressed.
    pub fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// From here on both directions are compressed. What was said before has been flushed.
    pub fn compress(&mut self) {
        self.deflate = Some(Box::new(Deflate::new(self.reader.take_all())));
    }

    /// From here on nothing is compressed. What was said before has been flushed.
    pub fn stop_compressing(&mut self) {
        self.deflate = None;
    }

    /// The bare stream, for TLS. Bytes that were read and not used are dropped.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Puts one line into what is to be written.
    pub fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Whether the service is stopping; long commands ask between their pieces.
    pub fn check_shutdown(&self) -> Result<(), Stop> {
        if *self.shutdown.borrow() {
            Err(Stop::Bye("the service is stopping; come back in a moment"))
        } else {
            Ok(())
        }
    }

    /// Writes everything. The client must take something within the transfer timeout.
    pub async fn flush(&mut self) -> Result<(), Stop> {
        let pressed;
        let mut rest = match &mut self.deflate {
            Some(deflate) if !self.out.is_empty() => {
                let mut wire = Vec::new();
                deflate.press(&self.out, &mut wire).map_err(|NotDeflate| Stop::Gone)?;
                pressed = wire;
                pressed.as_slice()
            }
            _ => self.out.as_slice(),
        };
        while !rest.is_empty() {
            match timeout(self.transfer_timeout, self.stream.write(rest)).await {
                Ok(Ok(written)) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                _ => return Err(Stop::Gone),
            }
        }
        self.out.clear();
        if self.out.capacity() > OUT_FLUSH_BYTES {
            self.out = Vec::new();
        }
        match timeout(self.transfer_timeout, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Stop::Gone),
        }
    }

    /// Writes when enough has gathered.
    pub async fn flush_when_large(&mut self) -> Result<(), Stop> {
        if self.out.len() >= OUT_FLUSH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Reads some bytes. A client that says nothing until `deadline` is sent away.
    pub async fn fill(&mut self, deadline: Instant) -> Result<(), Stop> {
        let missing = self.reader.literal_missing();
        if self.reader.is_empty() {
            self.reader.shrink();
            self.out.shrink_to(READ_MIN_BYTES);
        }
        if self.deflate.is_some() {
            return self.fill_compressed(deadline).await;
        }
        let buffer = self.reader.buffer_mut();
        buffer.reserve(self.read_bytes.max(missing.min(READ_MAX_BYTES)));
        let room = buffer.capacity() - buffer.len();
        let read = tokio::select! {
            biased;
            () = stopped(&mut self.shutdown) => {
                return Err(Stop::Bye("the service is stopping; come back in a moment"));
            }
            read = timeout_at(deadline, self.stream.read_buf(buffer)) => read,
        };
        match read {
            Ok(Ok(0)) | Ok(Err(_)) => Err(Stop::Gone),
            Ok(Ok(count)) => {
                self.read_bytes = if count >= room.min(self.read_bytes) {
                    (self.read_bytes * 2).min(READ_MAX_BYTES)
                } else {
                    READ_MIN_BYTES
                };
                Ok(())
            }
            Err(_) => Err(Stop::Bye("nothing was heard for too long")),
        }
    }

    /// The same where the stream is compressed.
    async fn fill_compressed(&mut self, deadline: Instant) -> Result<(), Stop> {
        let Some(deflate) = &mut self.deflate else { return Ok(()) };
        loop {
            if deflate.has_more() {
                let buffer = self.reader.buffer_mut();
                let before = buffer.len();
                deflate.undo(buffer, READ_COMPRESSED_BYTES).map_err(|NotDeflate| Stop::Gone)?;
                if buffer.len() > before {
                    return Ok(());
                }
            }
            if self.reader.is_empty() {
                deflate.rest();
                self.reader.shrink();
            }
            deflate.incoming.reserve(READ_MIN_BYTES);
            let read = tokio::select! {
                biased;
                () = stopped(&mut self.shutdown) => {
                    return Err(Stop::Bye("the service is stopping; come back in a moment"));
                }
                read = timeout_at(deadline, self.stream.read_buf(&mut deflate.incoming)) => read,
            };
            match read {
                Ok(Ok(0)) | Ok(Err(_)) => return Err(Stop::Gone),
                Ok(Ok(_)) => {}
                Err(_) => return Err(Stop::Bye("nothing was heard for too long")),
            }
        }
    }

    /// How long the client may take for the rest of a command it has begun.
    pub fn transfer_deadline(&self) -> Instant {
        Instant::now() + self.transfer_timeout
    }

    /// The line of an answer that is already here, if it is.
    pub fn take_answer(&mut self) -> Result<Option<Bytes>, Stop> {
        self.reader.take_line(ANSWER_MAX_BYTES).map_err(|_| Stop::Bye("the answer is too long"))
    }

    /// Waits for the line of an answer.
    pub async fn answer(&mut self, deadline: Instant) -> Result<Bytes, Stop> {
        loop {
            if let Some(line) = self.take_answer()? {
                return Ok(line);
            }
            self.fill(deadline).await?;
        }
    }

    /// Says a last word and closes; the client gets a moment to take it.
    pub async fn say_bye(&mut self, text: &str) {
        self.line(&format!("* BYE {text}"));
        let _ = self.flush().await;
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }

    /// Closes after everything was said.
    pub async fn close(&mut self) {
        let _ = self.flush().await;
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}

/// Waits until the service stops; a service that is gone has stopped.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
