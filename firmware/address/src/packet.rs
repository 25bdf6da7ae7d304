//! ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861, RFC 4862) as Ethernet frames. No I/O.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No EtherType: a socket for it only sends.
pub const ETHERTYPE_NONE: u16 = 0;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86DD;
/// Longest frame that is looked at, in bytes.
pub const FRAME_MAX_BYTES: usize = 1514;

const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const ICMPV6: u8 = 58;
/// Neighbour discovery with any other hop limit came from outside the link (RFC 4861 7.1).
const HOP_LIMIT: u8 = 255;
const OPTION_TARGET_LINK_ADDRESS: u8 = 2;
/// The override flag of an advertisement (RFC 4861 4.4).
const OVERRIDE: u32 = 0x2000_0000;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    const BROADCAST: Self = Self([0xFF; 6]);

    /// Parses `52:54:00:12:34:56`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.trim().split(':');
        for byte in &mut bytes {
            *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What another station said about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// It uses it.
    Uses {
        /// The address.
        address: IpAddr,
        /// The station.
        mac: Mac,
    },
    /// It asks whether anybody uses it, to use it itself.
    Probes {
        /// The address.
        address: IpAddr,
        /// The station.
        mac: Mac,
    },
}

/// Asks whether anybody uses `address`: an ARP probe (RFC 5227 2.1.1), or a neighbour solicitation of
/// duplicate address detection (RFC 4862 5.4.2).
pub fn probe(address: IpAddr, own: Mac) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(ARP_REQUEST, own, Ipv4Addr::UNSPECIFIED, Mac([0; 6]), address),
        IpAddr::V6(address) => solicitation(address, own),
    }
}

/// Tells all neighbours that `own` has `address` now: a gratuitous ARP request and reply (RFC 5227 3;
/// some stacks heed only one of the two), or an unsolicited advertisement (RFC 4861 7.2.6).
pub fn announcement(address: IpAddr, own: Mac) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => vec![
            arp(ARP_REQUEST, own, address, Mac([0; 6]), address),
            arp(ARP_REPLY, own, address, Mac::BROADCAST, address),
        ],
        IpAddr::V6(address) => vec![advertisement(address, own)],
    }
}

/// Reads a frame that came in; `None` if it says nothing about an address.
pub fn read(frame: &[u8]) -> Option<Neighbour> {
    let station = Mac(*frame.get(6..)?.first_chunk()?);
    let payload = frame.get(14..)?;
    match u16::from_be_bytes(*frame.get(12..)?.first_chunk()?) {
        ETHERTYPE_ARP => read_arp(payload),
        ETHERTYPE_IPV6 => read_discovery(payload, station),
        _ => None,
    }
}

fn read_arp(arp: &[u8]) -> Option<Neighbour> {
    // Ethernet, IPv4, address lengths 6 and 4.
    let operation = match arp.get(..8)? {
        [0, 1, 8, 0, 6, 4, high, low] => u16::from_be_bytes([*high, *low]),
        _ => return None,
    };
    let mac = Mac(*arp.get(8..)?.first_chunk()?);
    let sender = Ipv4Addr::from(*arp.get(14..)?.first_chunk::<4>()?);
    let target = Ipv4Addr::from(*arp.get(24..)?.first_chunk::<4>()?);
    if !sender.is_unspecified() {
        return Some(Neighbour::Uses { address: sender.into(), mac });
    }
    let probes = operation == ARP_REQUEST && !target.is_unspecified();
    probes.then_some(Neighbour::Probes { address: target.into(), mac })
}

fn read_discovery(ip: &[u8], station: Mac) -> Option<Neighbour> {
    let (header, message) = ip.split_at_checked(40)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let message = message.get(..length)?;
    if header[0] >> 4 != 6 || header[6] != ICMPV6 || header[7] != HOP_LIMIT {
        return None;
    }
    let source = Ipv6Addr::from(*header.get(8..)?.first_chunk::<16>()?);
    let destination = Ipv6Addr::from(*header.get(24..)?.first_chunk::<16>()?);
    // A correct message sums to zero with its own checksum in place.
    if checksum(source, destination, message) != 0 {
        return None;
    }
    let address = IpAddr::V6(Ipv6Addr::from(*message.get(8..)?.first_chunk::<16>()?));
    match (message.first()?, source.is_unspecified()) {
        (&NEIGHBOUR_ADVERTISEMENT, _) => Some(Neighbour::Uses { address, mac: station }),
        (&NEIGHBOUR_SOLICITATION, true) => Some(Neighbour::Probes { address, mac: station }),
        _ => None,
    }
}

fn arp(operation: u16, own: Mac, sender: Ipv4Addr, target_mac: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(Mac::BROADCAST, own, ETHERTYPE_ARP);
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(own.0);
    frame.extend(sender.octets());
    frame.extend(target_mac.0);
    frame.extend(target.octets());
    frame
}

fn solicitation(target: Ipv6Addr, own: Mac) -> Vec<u8> {
    let mut message = vec![NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    discovery(Ipv6Addr::UNSPECIFIED, solicited_node(target), own, message)
}

fn advertisement(address: Ipv6Addr, own: Mac) -> Vec<u8> {
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0];
    message.extend(OVERRIDE.to_be_bytes());
    message.extend(address.octets());
    message.extend([OPTION_TARGET_LINK_ADDRESS, 1]);
    message.extend(own.0);
    discovery(address, ALL_NODES, own, message)
}

/// Solicited-node multicast address (RFC 4291 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 1, 0xFF00 | u16::from(a), u16::from_be_bytes([b, c]))
}

fn discovery(source: Ipv6Addr, group: Ipv6Addr, own: Mac, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(source, group, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let [.., a, b, c, d] = group.octets();
    let mut frame = ethernet(Mac([0x33, 0x33, a, b, c, d]), own, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(source.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

fn ethernet(destination: Mac, source: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = destination.0.to_vec();
    frame.extend(source.0);
    frame.extend(ethertype.to_be_bytes());
    frame
}

/// Internet checksum over pseudo-header and message (RFC 4443 2.3, RFC 8200 8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let pseudo = [0, 0, (message.len() >> 8) as u8, message.len() as u8, 0, 0, 0, ICMPV6];
    let (source, destination) = (source.octets(), destination.octets());
    let parts = [&source[..], &destination[..], &pseudo[..], message];
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(w.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

    #[test]
    fn an_arp_probe_has_the_bytes_of_the_rfc() {
        let frame = probe("192.0.2.10".parse().unwrap(), OWN);
        let expected = [
            255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54,
            0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10,
        ];
        assert_eq!(frame, expected);
    }

    #[test]
    fn what_is_sent_is_understood() {
        for text in ["192.0.2.10", "2001:db8::10", "fd77::1:2:3"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(read(&probe(address, OWN)), Some(Neighbour::Probes { address, mac: OWN }));
            for frame in announcement(address, OWN) {
                assert_eq!(read(&frame), Some(Neighbour::Uses { address, mac: OWN }));
            }
        }
    }

    #[test]
    fn a_solicitation_goes_to_the_solicited_node_group() {
        let frame = probe("fd77::12:3456".parse().unwrap(), OWN);
        assert_eq!(frame[..6], [0x33, 0x33, 0xFF, 0x12, 0x34, 0x56]);
        // ff02::1:ff12:3456 + length 24 + 58 + type 135 + fd77::12:3456, each word added by hand:
        // 0xff02 + 1 + 0xff12 + 0x3456 + 0x18 + 0x3a + 0x8700 + 0xfd77 + 0x12 + 0x3456 = 0x3eb9c.
        assert_eq!(frame[56..58], (!(0xEB9C_u16 + 3)).to_be_bytes());
    }

    #[test]
    fn damaged_or_routed_messages_say_nothing() {
        let frame = announcement("fd77::10".parse().unwrap(), OWN).remove(0);
        let mut routed = frame.clone();
        routed[21] = 254;
        assert_eq!(read(&routed), None);
        let mut damaged = frame.clone();
        damaged[60] ^= 1;
        assert_eq!(read(&damaged), None);
        for cut in 0..frame.len() {
            assert_eq!(read(&frame[..cut]), None);
        }
        assert_eq!(read(&[0; 60]), None);
    }
}
