//! What the service is told at its start, and its bounds.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use control::mail::{FirstAccount, Ports};

/// Everything the service is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where mail, certificate and key are.
    pub data_dir: PathBuf,
    /// Epoch of this ownership.
    pub epoch: u32,
    /// Addresses to listen on; empty means every address.
    pub addresses: Vec<IpAddr>,
    /// Name to greet with.
    pub host_name: String,
    /// Name servers for outgoing mail, with port.
    pub name_servers: Vec<std::net::SocketAddr>,
    /// First domain and account of a new store.
    pub first: Option<FirstAccount>,
    /// Ports to listen on.
    pub ports: Ports,
    /// Where the administration socket is; none for a try-out that needs none.
    pub socket: Option<PathBuf>,
    /// Port of other servers; 25 except in tests.
    pub relay_port: u16,
    /// What only a try-out on one machine may be given.
    pub try_out: TryOut,
    /// Bounds.
    pub limits: Limits,
}

/// What only a try-out on one machine may be given; a box never is.
#[derive(Debug, Clone, Copy, Default)]
pub struct TryOut {
    /// Passwords without TLS.
    pub allow_plaintext: bool,
    /// No pacing and no bounds for 127.0.0.1 and ::1.
    pub trust_loopback: bool,
}

/// Bounds of the service.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of all protocols together.
    pub connections_max: usize,
    /// Connections of one address.
    pub connections_per_address_max: usize,
    /// New connections of one address: so many a second …
    pub connection_rate_per_s: u32,
    /// … after a burst of so many.
    pub connection_burst: u32,
    /// Largest message.
    pub message_max_bytes: u64,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Memory for message texts under way, beyond what every session may hold, in KiB.
    pub text_memory_kib: usize,
    /// Silence before the first message or login, after which a connection ends.
    pub greeting_timeout: Duration,
    /// Silence between commands after which a connection ends (RFC 5321 4.5.3.2.7, RFC 1939 3: not under
    /// 5 and 10 minutes).
    pub command_timeout: Duration,
    /// Silence within a message (RFC 5321 4.5.3.2.5).
    pub text_timeout: Duration,
    /// Time for one whole message, however it trickles.
    pub transaction_timeout: Duration,
    /// Time for sending one piece, and for a TLS handshake.
    pub send_timeout: Duration,
    /// Time for running transactions after the order to stop.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 12_000,
            connections_per_address_max: 250,
            connection_rate_per_s: 50,
            connection_burst: 500,
            message_max_bytes: 50 * 1024 * 1024,
            recipients_max: 1_000,
            text_memory_kib: 128 * 1024,
            greeting_timeout: Duration::from_secs(60),
            command_timeout: Duration::from_secs(5 * 60),
            text_timeout: Duration::from_secs(3 * 60),
            transaction_timeout: Duration::from_secs(20 * 60),
            send_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_millis(700),
        }
    }
}
