//! The names everything else uses: boxes, ports, addresses.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use crate::kind::Kind;

/// Virtual address of the pair.
pub const VIRTUAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
/// The lab host's address on the public network.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Mail domain of the lab.
pub const DOMAIN: &str = "example.test";
/// Accounts the lab makes.
pub const ACCOUNTS: [&str; 2] = ["alice", "bob"];
/// Their password.
pub const ACCOUNT_PASSWORD: &str = "twinmail-demo";
/// The administrator's password.
pub const ADMIN_PASSWORD: &str = "twinmail-admin";
/// A forwarded port is this plus the distance in [`FORWARDS`].
pub const PORTS_BASE: u16 = 2000;
/// What is forwarded from the loopback interface to the virtual address.
pub const FORWARDS: [Forward; 7] = [
    Forward { service: "SMTP", inside: 25, above_base: 525 },
    Forward { service: "submission", inside: 587, above_base: 587 },
    Forward { service: "submission, TLS", inside: 465, above_base: 465 },
    Forward { service: "IMAP", inside: 143, above_base: 143 },
    Forward { service: "IMAP, TLS", inside: 993, above_base: 993 },
    Forward { service: "POP3", inside: 110, above_base: 110 },
    Forward { service: "POP3, TLS", inside: 995, above_base: 995 },
];

/// Virtual address of the second service group.
pub const SECOND_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 20);
/// Mail domain of the second service group.
pub const SECOND_DOMAIN: &str = "second.test";
/// Its account.
pub const SECOND_ACCOUNT: &str = "carol";
/// What is forwarded to its virtual address, with two groups.
pub const SECOND_FORWARDS: [Forward; 2] = [
    Forward { service: "SMTP", inside: 25, above_base: 1525 },
    Forward { service: "IMAP, TLS", inside: 993, above_base: 1993 },
];

/// One forwarded port.
#[derive(Debug, Clone, Copy)]
pub struct Forward {
    /// What speaks there.
    pub service: &'static str,
    /// Port at the virtual address.
    pub inside: u16,
    above_base: u16,
}

impl Forward {
    /// The loopback port outside.
    pub fn outside(self, base: u16) -> u16 {
        base.saturating_add(self.above_base)
    }
}

/// Where a service of the pair is reached from inside the lab's network.
pub fn virtual_port(port: u16) -> SocketAddr {
    SocketAddr::from((VIRTUAL_ADDRESS, port))
}

/// One of the two boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BoxName {
    /// The first.
    A,
    /// The second.
    B,
}

impl BoxName {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 or 1.
    pub fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// Its own address on the public network.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 11 + self.index() as u8)
    }

    /// Where its array cable ends.
    pub fn portal(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 0, 11 + self.index() as u8)
    }
}

impl fmt::Display for BoxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// Which box an operator means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Box a.
    A,
    /// Box b.
    B,
    /// The one that serves now.
    Active,
    /// The one that does not.
    Standby,
}

impl From<BoxName> for Which {
    fn from(name: BoxName) -> Self {
        match name {
            BoxName::A => Self::A,
            BoxName::B => Self::B,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarded_ports_are_the_documented_ones() {
        let ports: Vec<u16> = FORWARDS.iter().map(|forward| forward.outside(PORTS_BASE)).collect();
        assert_eq!(ports, [2525, 2587, 2465, 2143, 2993, 2110, 2995]);
    }
}
