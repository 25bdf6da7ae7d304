//! The few rtnetlink messages a box needs (RFC 3549; kernel, `rtnetlink(7)`).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};
use thiserror::Error;

/// Longest that the kernel may take for an answer.
pub const ANSWER_WAIT: Duration = Duration::from_secs(2);

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const IFF_UP: u32 = 1;
const HEADER_BYTES: usize = 16;

/// Why the kernel did not change the network.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// There is no answer.
    #[error("the kernel's network interface does not answer: {0}")]
    NoAnswer(io::Error),
    /// It refuses.
    #[error("the kernel refuses to {what}: {source}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its reason.
        source: io::Error,
    },
}

/// What is asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Add an address; IPv6 without the kernel's own duplicate detection, which takes a second.
    AddAddress(u32, IpAddr, u8),
    /// Remove an address; not there is fine.
    RemoveAddress(u32, IpAddr, u8),
    /// Set a default route; there already is fine.
    DefaultRoute(u32, IpAddr),
    /// Bring a link up; up already is fine.
    LinkUp(u32),
}

/// Has the kernel carry out one change, and waits for its answer.
pub fn apply(change: Change) -> Result<(), NetlinkError> {
    let answer = exchange(&encode(change)).map_err(|error| NetlinkError::NoAnswer(error.into()))?;
    let source = match error_of(&answer) {
        Some(0) => return Ok(()),
        Some(code) => io::Error::from_raw_os_error(code),
        None => return Err(NetlinkError::NoAnswer(io::ErrorKind::InvalidData.into())),
    };
    match (change, source.raw_os_error()) {
        (Change::RemoveAddress(..), Some(libc::EADDRNOTAVAIL)) => Ok(()),
        (Change::AddAddress(..) | Change::DefaultRoute(..), Some(libc::EEXIST)) => Ok(()),
        _ => Err(NetlinkError::Refused { what: change.what(), source }),
    }
}

impl Change {
    fn what(self) -> &'static str {
        match self {
            Self::AddAddress(..) => "add an address",
            Self::RemoveAddress(..) => "remove an address",
            Self::DefaultRoute(..) => "set a default route",
            Self::LinkUp(_) => "bring a network card up",
        }
    }
}

fn exchange(message: &[u8]) -> rustix::io::Result<Vec<u8>> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    // Protocol 0 is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_WAIT))?;
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, message, SendFlags::empty(), &kernel)?;
    let mut answer = vec![0; 4096];
    let (length, _) = rustix::net::recv(&socket, &mut *answer, RecvFlags::empty())?;
    answer.truncate(length);
    Ok(answer)
}

/// The errno of an acknowledgement, 0 for success; `None` if it is none.
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    let code = i32::from_ne_bytes(*answer.get(HEADER_BYTES..)?.first_chunk()?);
    (kind == NLMSG_ERROR).then(|| code.wrapping_neg())
}

fn encode(change: Change) -> Vec<u8> {
    match change {
        Change::AddAddress(index, address, prefix) => {
            let flags = NLM_F_CREATE | NLM_F_REPLACE;
            let mut body = address_body(index, address, prefix);
            if address.is_ipv6() {
                attribute(&mut body, IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes());
            }
            message(RTM_NEWADDR, flags, &body)
        }
        Change::RemoveAddress(index, address, prefix) => {
            message(RTM_DELADDR, 0, &address_body(index, address, prefix))
        }
        Change::DefaultRoute(index, gateway) => {
            let mut body = vec![family(gateway), 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST];
            body.extend(0_u32.to_ne_bytes());
            attribute(&mut body, RTA_GATEWAY, &octets(gateway));
            attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
            message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body)
        }
        Change::LinkUp(index) => {
            let mut body = vec![0; 4];
            for field in [index, IFF_UP, IFF_UP] {
                body.extend(field.to_ne_bytes());
            }
            message(RTM_NEWLINK, 0, &body)
        }
    }
}

/// `struct ifaddrmsg` and the address.
fn address_body(index: u32, address: IpAddr, prefix: u8) -> Vec<u8> {
    let mut body = vec![family(address), prefix, 0, 0];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &octets(address));
    attribute(&mut body, IFA_ADDRESS, &octets(address));
    body
}

/// `struct nlmsghdr` and the body.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut message = ((HEADER_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// `struct rtattr`, padded to four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend(((4 + value.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_refuses_an_interface_that_is_not_there() {
        let refused = apply(Change::LinkUp(u32::MAX / 2)).unwrap_err();
        assert!(matches!(refused, NetlinkError::Refused { .. }), "{refused}");
    }

    #[test]
    fn attributes_are_padded_and_lengths_are_right() {
        let bytes = encode(Change::AddAddress(3, "192.0.2.10".parse().unwrap(), 24));
        assert_eq!(bytes.len(), 16 + 8 + 8 + 8);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
        assert_eq!(bytes[16..18], [2, 24]);
    }

    #[test]
    fn a_cut_answer_is_none() {
        assert_eq!(error_of(&[0; 10]), None);
        assert_eq!(error_of(&[0; 40]), None);
    }
}
