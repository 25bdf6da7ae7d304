//! Packets on the wire: RMCP (13.1.3), the presence ping of ASF 2.0 (13.2), sessions of IPMI 1.5 without
//! authentication (13.6), and RMCP+ (13.6, table 13-8).

use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::crypt::{BLOCK_BYTES, Keys};

/// RMCP version 1.0, reserved, no acknowledgement wanted (13.1.3).
const RMCP: [u8; 3] = [0x06, 0x00, 0xff];
const CLASS_ASF: u8 = 0x06;
const CLASS_IPMI: u8 = 0x07;
/// The Alerting Standards Forum's enterprise number, 4542 (13.2.3).
const ASF: [u8; 4] = [0x00, 0x00, 0x11, 0xbe];
const ASF_PING: u8 = 0x80;
const ASF_PONG: u8 = 0x40;
/// Authentication type of RMCP+ packets (13.6).
const FORMAT_PLUS: u8 = 0x06;
const ENCRYPTED: u8 = 0x80;
const AUTHENTICATED: u8 = 0x40;
/// `Next Header` of every signed packet (13.6).
const NEXT_HEADER: u8 = 0x07;
/// A longer packet is nothing a controller says here.
const PACKET_MAX_BYTES: usize = 1024;

/// What a payload is (13.27.3, table 13-16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// An IPMI message.
    Message,
    /// RMCP+ Open Session Request.
    OpenRequest,
    /// RMCP+ Open Session Response.
    OpenResponse,
    /// RAKP Message 1.
    Rakp1,
    /// RAKP Message 2.
    Rakp2,
    /// RAKP Message 3.
    Rakp3,
    /// RAKP Message 4.
    Rakp4,
}

impl Payload {
    const ALL: [Self; 7] = [
        Self::Message,
        Self::OpenRequest,
        Self::OpenResponse,
        Self::Rakp1,
        Self::Rakp2,
        Self::Rakp3,
        Self::Rakp4,
    ];

    fn number(self) -> u8 {
        match self {
            Self::Message => 0x00,
            Self::OpenRequest => 0x10,
            Self::OpenResponse => 0x11,
            Self::Rakp1 => 0x12,
            Self::Rakp2 => 0x13,
            Self::Rakp3 => 0x14,
            Self::Rakp4 => 0x15,
        }
    }
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// An answer to the presence ping.
    Pong {
        /// Number of the ping.
        tag: u8,
        /// Whether it says that it speaks IPMI.
        ipmi: bool,
    },
    /// A message outside any session.
    Plain(&'a [u8]),
    /// An RMCP+ packet without signature, as sessions are opened with.
    Plus {
        /// What it is.
        payload: Payload,
        /// Its bytes.
        body: &'a [u8],
    },
    /// A packet of a session; [`unseal`] tells whether it is genuine.
    Sealed {
        /// The receiver's number of the session.
        session: u32,
        /// Its place in the sequence.
        sequence: u32,
        /// What it is.
        payload: Payload,
    },
}

/// Why a packet is not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    /// Cut off, or longer than it says.
    #[error("a packet of the wrong length")]
    Length,
    /// Nothing that a controller says here.
    #[error("a packet of another kind")]
    Kind,
    /// The code behind it is wrong.
    #[error("a packet with a broken seal")]
    Seal,
}

/// The presence ping (13.2.3).
pub fn ping(tag: u8) -> Vec<u8> {
    [&RMCP[..], &[CLASS_ASF], &ASF, &[ASF_PING, tag, 0, 0]].concat()
}

/// A message outside any session (13.6, authentication type none).
pub fn encode_plain(message: &[u8]) -> Vec<u8> {
    [&RMCP[..], &[CLASS_IPMI, 0, 0, 0, 0, 0, 0, 0, 0, 0, message.len() as u8], message].concat()
}

/// An RMCP+ packet without session.
pub fn encode_plus(payload: Payload, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_le_bytes();
    let head = [CLASS_IPMI, FORMAT_PLUS, payload.number(), 0, 0, 0, 0, 0, 0, 0, 0];
    [&RMCP[..], &head, &length, body].concat()
}

/// A message inside a session: encrypted, then signed (13.28.4).
pub fn encode_sealed(
    keys: &Keys,
    session: u32,
    sequence: u32,
    vector: [u8; BLOCK_BYTES],
    message: &[u8],
) -> Option<Vec<u8>> {
    let body = keys.encrypt(vector, message)?;
    let mut signed = vec![FORMAT_PLUS, ENCRYPTED | AUTHENTICATED | Payload::Message.number()];
    signed.extend(session.to_le_bytes());
    signed.extend(sequence.to_le_bytes());
    signed.extend((body.len() as u16).to_le_bytes());
    signed.extend(&body);
    // What is signed is a multiple of four bytes, the two behind the padding among them.
    let padding = (4 - (signed.len() + 2) % 4) % 4;
    signed.extend(std::iter::repeat_n(0xff, padding));
    signed.extend([padding as u8, NEXT_HEADER]);
    let code = keys.sign(&signed);
    Some([&RMCP[..], &[CLASS_IPMI], &signed, &code].concat())
}

/// Reads the outside of a packet.
pub fn read(packet: &[u8]) -> Result<Packet<'_>, PacketError> {
    if packet.len() > PACKET_MAX_BYTES {
        return Err(PacketError::Length);
    }
    let (head, rest) = packet.split_first_chunk::<4>().ok_or(PacketError::Length)?;
    match head {
        // The sequence number of an answer may differ; nothing here is numbered by RMCP.
        [0x06, _, _, CLASS_ASF] => read_pong(rest),
        [0x06, _, _, CLASS_IPMI] => match rest.first() {
            Some(0) => read_plain(rest),
            Some(&FORMAT_PLUS) => {
                let (kind, session, sequence, body, _) = read_plus(rest)?;
                let payload = kind_of(kind)?;
                if kind & AUTHENTICATED != 0 {
                    return Ok(Packet::Sealed { session, sequence, payload });
                }
                let opens = kind & ENCRYPTED == 0 && session == 0 && payload != Payload::Message;
                if opens { Ok(Packet::Plus { payload, body }) } else { Err(PacketError::Kind) }
            }
            Some(_) => Err(PacketError::Kind),
            None => Err(PacketError::Length),
        },
        _ => Err(PacketError::Kind),
    }
}

/// The message of a packet of a session, if its seal is whole and it is encrypted.
pub fn unseal(keys: &Keys, packet: &[u8]) -> Result<Vec<u8>, PacketError> {
    let rest = packet.get(4..).ok_or(PacketError::Length)?;
    let (kind, _, _, body, trailer) = read_plus(rest)?;
    let code_bytes = keys.suite.short_bytes();
    let signed_bytes = rest.len().checked_sub(code_bytes).ok_or(PacketError::Length)?;
    let (signed, code) = rest.split_at_checked(signed_bytes).ok_or(PacketError::Length)?;
    if trailer.len() < code_bytes + 2 {
        return Err(PacketError::Length);
    }
    if !bool::from(keys.sign(signed).ct_eq(code)) {
        return Err(PacketError::Seal);
    }
    if kind & ENCRYPTED == 0 || kind_of(kind)? != Payload::Message {
        return Err(PacketError::Kind);
    }
    keys.decrypt(body).ok_or(PacketError::Seal)
}

fn read_pong(rest: &[u8]) -> Result<Packet<'_>, PacketError> {
    let (head, data) = rest.split_first_chunk::<8>().ok_or(PacketError::Length)?;
    let [asf @ .., kind, tag, _, length] = head;
    if *asf != ASF || *kind != ASF_PONG {
        return Err(PacketError::Kind);
    }
    let data = data.get(..usize::from(*length)).ok_or(PacketError::Length)?;
    // 13.2.4: bit 7 of the supported entities says IPMI.
    let entities = data.get(8).ok_or(PacketError::Length)?;
    Ok(Packet::Pong { tag: *tag, ipmi: entities & 0x80 != 0 })
}

fn read_plain(rest: &[u8]) -> Result<Packet<'_>, PacketError> {
    let (head, message) = rest.split_first_chunk::<10>().ok_or(PacketError::Length)?;
    // 13.6: some controllers add one byte behind the message, the legacy pad.
    message.get(..usize::from(head[9])).map(Packet::Plain).ok_or(PacketError::Length)
}

type Plus<'a> = (u8, u32, u32, &'a [u8], &'a [u8]);

fn read_plus(rest: &[u8]) -> Result<Plus<'_>, PacketError> {
    let (head, rest) = rest.split_first_chunk::<12>().ok_or(PacketError::Length)?;
    let [_, kind, s0, s1, s2, s3, n0, n1, n2, n3, l0, l1] = *head;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let (body, trailer) = rest.split_at_checked(length).ok_or(PacketError::Length)?;
    let (session, sequence) = (u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([n0, n1, n2, n3]));
    Ok((kind, session, sequence, body, trailer))
}

fn kind_of(kind: u8) -> Result<Payload, PacketError> {
    let number = kind & !(ENCRYPTED | AUTHENTICATED);
    Payload::ALL.into_iter().find(|payload| payload.number() == number).ok_or(PacketError::Kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Suite;
    use proptest::prelude::*;

    #[test]
    fn the_ping_and_its_answer_are_those_of_the_standard() {
        assert_eq!(ping(0), [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0]);
        let pong = [
            6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, 7, 0, 16, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0,
            0, 0, 0,
        ];
        assert_eq!(read(&pong), Ok(Packet::Pong { tag: 7, ipmi: true }));
        assert_eq!(read(&pong[..20]), Err(PacketError::Length));
    }

    #[test]
    fn a_sealed_message_comes_back_and_one_changed_bit_is_seen() {
        for suite in [Suite::Sha1, Suite::Sha256] {
            let keys = Keys::new(suite, b"secret");
            let packet = encode_sealed(&keys, 0x0102_0304, 5, [3; 16], b"message").unwrap();
            let outside = Packet::Sealed { session: 0x0102_0304, sequence: 5, payload: Payload::Message };
            assert_eq!(read(&packet), Ok(outside));
            assert_eq!(unseal(&keys, &packet), Ok(b"message".to_vec()));
            for index in 4..packet.len() {
                let mut bad = packet.clone();
                bad[index] ^= 1;
                assert!(unseal(&keys, &bad).is_err(), "byte {index}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..80), whole: bool) {
            let bytes = if whole { [&[6, 0, 0xff, 7, 6][..], &bytes].concat() } else { bytes };
            let _ = read(&bytes);
            let _ = unseal(&Keys::new(Suite::Sha1, b"x"), &bytes);
            let _ = crate::answer(&bytes);
        }
    }
}
