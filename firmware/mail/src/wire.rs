//! One connection: TCP, with or without TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sasl::ChannelBinding;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{client, server};

use crate::end_point;
use crate::tls::Acceptor;

/// Most octets drained from a connection that is being closed; who goes on then is cut off.
const DRAIN_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A connection to a client or to another server.
#[derive(Debug)]
pub(crate) enum Wire {
    /// In clear.
    Clear(TcpStream),
    /// TLS, and we are the server: with what our certificate can be bound to.
    Server(Box<server::TlsStream<TcpStream>>, Option<Arc<[u8]>>),
    /// TLS, and we are the client.
    Client(Box<client::TlsStream<TcpStream>>),
}

impl Wire {
    /// Does the server's side of a handshake.
    pub(crate) async fn accept_tls(self, acceptor: Acceptor, limit: Duration) -> io::Result<Self> {
        let Self::Clear(stream) = self else {
            return Err(io::Error::other("TLS is already on"));
        };
        let stream =
            timeout(limit, acceptor.tls.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Self::Server(Box::new(stream), acceptor.end_point))
    }

    /// Protocol and cipher, for trace fields and logs; none in clear.
    pub(crate) fn tls_description(&self) -> Option<String> {
        let (version, suite) = match self {
            Self::Clear(_) => return None,
            Self::Server(stream, _) => {
                let (_, session) = stream.get_ref();
                (session.protocol_version(), session.negotiated_cipher_suite())
            }
            Self::Client(stream) => {
                let (_, session) = stream.get_ref();
                (session.protocol_version(), session.negotiated_cipher_suite())
            }
        };
        let version = match version {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS1.2",
            _ => "TLS",
        };
        let suite = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        Some(format!("version={version} cipher={suite}"))
    }

    /// What a login can be bound to; nothing in clear.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        let label = ChannelBinding::EXPORTER_LABEL;
        let export = |connection: &rustls::CommonState, exported: Result<[u8; 32], rustls::Error>| {
            let new = connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
            exported.ok().filter(|_| new)
        };
        match self {
            Self::Clear(_) => ChannelBinding::default(),
            Self::Server(stream, end_point) => {
                let (_, session) = stream.get_ref();
                ChannelBinding {
                    tls_exporter: export(session, session.export_keying_material([0; 32], label, None)),
                    tls_server_end_point: end_point.as_ref().map(|hash| hash.to_vec()),
                }
            }
            Self::Client(stream) => {
                let (_, session) = stream.get_ref();
                let certificate = session.peer_certificates().and_then(<[_]>::first);
                ChannelBinding {
                    tls_exporter: export(session, session.export_keying_material([0; 32], label, None)),
                    tls_server_end_point: certificate.and_then(|der| end_point::of_certificate(der)),
                }
            }
        }
    }

    /// Whether octets of the client are there that nobody has read yet. Only in clear.
    pub(crate) fn has_spoken(&self) -> bool {
        let Self::Clear(stream) = self else { return false };
        let mut octet = [std::mem::MaybeUninit::uninit()];
        socket2::SockRef::from(stream).peek(&mut octet).is_ok_and(|read| read > 0)
    }

    /// Reads what is there, or waits for it; nothing is the end of the connection.
    pub(crate) async fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        timeout(limit, self.read(buffer)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Sends all of it.
    pub(crate) async fn send(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let send = async {
            self.write_all(bytes).await?;
            self.flush().await
        };
        timeout(limit, send).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Says good-bye, in TLS as well, and gives the other side a while to read it: a socket closed over
    /// unread octets takes back what was sent.
    pub(crate) async fn close(mut self, limit: Duration) {
        let linger = async {
            let _ = self.shutdown().await;
            let mut dropped = [0; 2048];
            let mut left = DRAIN_MAX_BYTES;
            while let Ok(read @ 1..) = self.read(&mut dropped).await {
                left = left.saturating_sub(read);
                if left == 0 {
                    return;
                }
            }
        };
        let _ = timeout(limit, linger).await;
    }
}

macro_rules! each {
    ($wire:expr, $stream:ident => $call:expr) => {
        match $wire.get_mut() {
            Wire::Clear($stream) => $call,
            Wire::Server($stream, _) => $call,
            Wire::Client($stream) => $call,
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
