//! What the service is told at its start, and its bounds.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use control::mail::{FirstAccount, Hidden, Ports};

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
    /// Opens the mailbox of the box's own probes; none where nobody probes.
    pub probe_token: Option<Hidden>,
    /// Port of other servers; 25 except in tests.
    pub relay_port: u16,
    /// Port of web servers with policies (RFC 8461); 443 except in tests.
    pub policy_port: u16,
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
    /// Mail may go to addresses that are not of the public network, such as this machine's.
    pub private_targets: bool,
}

/// How long other servers are waited for.
#[derive(Debug, Clone, Copy)]
pub struct RelayTimes {
    /// For a connection.
    pub connect: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For each reply (RFC 5321 4.5.3.2: two to five minutes).
    pub reply: Duration,
    /// For each piece of the message (RFC 5321 4.5.3.2.5).
    pub send: Duration,
    /// For the reply to the end of the message (RFC 5321 4.5.3.2.6).
    pub end: Duration,
}

impl Default for RelayTimes {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            handshake: Duration::from_mins(1),
            reply: Duration::from_mins(5),
            send: Duration::from_mins(3),
            end: Duration::from_mins(10),
        }
    }
}

/// Bounds of the service.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of all protocols together.
    pub connections_max: usize,
    /// Connections of one address.
    pub connections_per_address_max: usize,
    /// Connections of the network around an address, a /24 or in IPv6 a /48.
    pub connections_per_network_max: usize,
    /// TLS handshakes under way.
    pub handshakes_max: usize,
    /// TLS handshakes under way of one address.
    pub handshakes_per_address_max: usize,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// New connections of one address: so many a second …
    pub connection_rate_per_s: u32,
    /// … after a burst of so many.
    pub connection_burst: u32,
    /// Largest message.
    pub message_max_bytes: u64,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Memory for message texts under way, beyond what every session may hold, in KiB; as much again for
    /// messages appended over IMAP.
    pub text_memory_kib: usize,
    /// Silence before the first message or login, after which a connection ends.
    pub greeting_timeout: Duration,
    /// Silence between commands after which a connection ends (RFC 5321 4.5.3.2.7, RFC 1939 3: not under
    /// 5 and 10 minutes).
    pub command_timeout: Duration,
    /// Silence within a message (RFC 5321 4.5.3.2.5).
    pub text_timeout: Duration,
    /// Time from the begin of a session to the first accepted message or login, and from each message to
    /// the next, however octets trickle in between.
    pub progress_timeout: Duration,
    /// Time for sending one piece.
    pub send_timeout: Duration,
    /// Time for running transactions after the order to stop; whoever connects meanwhile waits as long.
    pub stop_timeout: Duration,
    /// How long other servers are waited for.
    pub relay: RelayTimes,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: connections_max(descriptors_max()),
            connections_per_address_max: 250,
            connections_per_network_max: 2_000,
            handshakes_max: 1_000,
            handshakes_per_address_max: 100,
            handshake_timeout: Duration::from_secs(15),
            connection_rate_per_s: 50,
            connection_burst: 500,
            message_max_bytes: 50 * 1024 * 1024,
            recipients_max: 1_000,
            text_memory_kib: text_memory_kib(memory_kib()),
            greeting_timeout: Duration::from_mins(1),
            command_timeout: Duration::from_mins(5),
            text_timeout: Duration::from_mins(3),
            progress_timeout: Duration::from_mins(20),
            send_timeout: Duration::from_mins(1),
            stop_timeout: Duration::from_secs(1),
            relay: RelayTimes::default(),
        }
    }
}

/// As many connections as are of use, and no more than there are descriptors for, with some left for files,
/// outgoing sessions and questions to name servers.
fn connections_max(descriptors_max: u64) -> usize {
    const OF_USE: u64 = 12_000;
    const LEFT: u64 = 512;
    descriptors_max.saturating_sub(LEFT).max(descriptors_max / 2).min(OF_USE) as usize
}

/// Descriptors this process may come to have.
fn descriptors_max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// A quarter of the memory for texts; enough for one message of the largest size with its growth, and no
/// more than is of use. Slow senders need much of it: a megabyte over a modem is under way for minutes.
fn text_memory_kib(memory_kib: usize) -> usize {
    (memory_kib / 4).clamp(64 * 1024, TEXT_MEMORY_MAX_KIB)
}

/// Texts under way at most, however much memory there is.
const TEXT_MEMORY_MAX_KIB: usize = 1024 * 1024;

/// Memory this process may use: that of its control group, else that of the machine.
fn memory_kib() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let group = read("/proc/self/cgroup");
    let group = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let limit = read(&format!("/sys/fs/cgroup{group}/memory.max")).trim().parse::<usize>().ok();
    let machine = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
    match (limit.map(|bytes| bytes / 1024), machine) {
        (Some(limit), Some(machine)) => machine.min(limit),
        (Some(known), None) | (None, Some(known)) => known,
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(connections_max(u64::MAX), 12_000);
        assert_eq!(connections_max(12_512), 12_000);
        assert_eq!(connections_max(4_096), 3_584);
        assert_eq!(connections_max(600), 300);
    }

    #[test]
    fn a_small_box_still_takes_the_largest_message() {
        for memory_kib in [0, 300 * 1024, 64 << 20] {
            let room = text_memory_kib(memory_kib) as u64 * 1024;
            assert!(room > Limits::default().message_max_bytes && room <= 1 << 30);
        }
        assert!(memory_kib() > 0);
    }
}
