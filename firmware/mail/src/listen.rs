//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use control::mail::Ports;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::MailError;

/// Connections that wait to be accepted, for each listener.
const BACKLOG: i32 = 1024;
/// How often the queue of a listener is filled, while others may be quicker.
const FILL_TRIES_MAX: u32 = 3;
/// How long a connection to this machine itself may take.
const FILL_WAIT: Duration = Duration::from_millis(50);
/// Silence after which the system asks whether a client is still there.
const KEEPALIVE: Duration = Duration::from_mins(2);

/// What is spoken behind a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocols {
    Smtp,
    Submission,
    Submissions,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    Lmtp,
}

impl Protocols {
    /// Whether TLS begins with the first octet (RFC 8314).
    pub(crate) fn tls_at_once(self) -> bool {
        matches!(self, Self::Submissions | Self::Imaps | Self::Pop3s)
    }

    /// What a client is told that cannot be served.
    pub(crate) fn refusal(self, reason: &str) -> String {
        match self {
            Self::Smtp | Self::Submission | Self::Submissions | Self::Lmtp => {
                format!("421 4.7.0 {reason}\r\n")
            }
            Self::Imap | Self::Imaps => format!("* BYE {reason}\r\n"),
            Self::Pop3 | Self::Pop3s => format!("-ERR [SYS/TEMP] {reason}\r\n"),
        }
    }
}

/// Opens every listener of an assignment. Addresses need not be on this box yet: they come with the
/// announcement, after the service runs.
pub(crate) fn open_all(
    addresses: &[IpAddr],
    ports: &Ports,
) -> Result<Vec<(TcpListener, Protocols)>, MailError> {
    let every = addresses.is_empty();
    let addresses = if every {
        &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
    } else {
        addresses
    };
    let wanted = [
        (ports.smtp, Protocols::Smtp),
        (ports.submission, Protocols::Submission),
        (ports.submissions, Protocols::Submissions),
        (ports.imap, Protocols::Imap),
        (ports.imaps, Protocols::Imaps),
        (ports.pop3, Protocols::Pop3),
        (ports.pop3s, Protocols::Pop3s),
        (ports.lmtp, Protocols::Lmtp),
    ];
    let mut listeners = Vec::new();
    for address in addresses {
        for (port, protocols) in wanted.into_iter().filter(|(port, _)| *port != 0) {
            let address = SocketAddr::new(*address, port);
            match open(address) {
                Ok(listener) => listeners.push((listener, protocols)),
                // A kernel without IPv6 serves every address it has.
                Err(error) if every && address.is_ipv6() && no_ipv6(&error) => {}
                Err(source) => return Err(MailError::Listen { address, source }),
            }
        }
    }
    Ok(listeners)
}

fn no_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// From now on nothing that comes to this listener is answered: the system drops it, and the client's own
/// system asks again after a second, of whoever serves the address then. Connections that are there stay.
///
/// A queue of connections with room for one is full with one; the one that comes back here takes the place
/// and must be kept.
pub(crate) async fn take_nobody_new(
    listener: &TcpListener,
    mut begin: impl FnMut((TcpStream, SocketAddr)),
) -> io::Result<TcpStream> {
    rustix::net::listen(listener, 0)?;
    let own = listener.local_addr()?;
    for _ in 0..FILL_TRIES_MAX {
        // Who is connected already is told good-bye.
        while let Ok(Ok(accepted)) = timeout(Duration::ZERO, listener.accept()).await {
            begin(accepted);
        }
        let socket = if own.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // From the address itself: if it is not here, nobody else that has it is meant.
        socket.bind(SocketAddr::new(own.ip(), 0))?;
        if let Ok(filler) = timeout(FILL_WAIT, socket.connect(own)).await {
            return filler;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Answers go out at once, and a client that vanished is noticed.
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
