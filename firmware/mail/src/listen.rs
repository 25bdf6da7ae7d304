//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use control::mail::Ports;
use socket2::{Domain, Protocol, SockFilter, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::MailError;

/// Connections that wait to be accepted, for each listener.
const BACKLOG: i32 = 1024;
/// The one instruction of a filter that lets nothing through (BPF_RET | BPF_K, 0 octets).
const DROP: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Silence after which the system asks whether a client is still there.
const KEEPALIVE: std::time::Duration = std::time::Duration::from_mins(2);

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
pub(crate) fn take_nobody_new(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).attach_filter(&[SockFilter::new(DROP, 0, 0, 0)])
}

/// Answers go out at once, and a client that vanished is noticed.
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
