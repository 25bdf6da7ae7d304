//! iSCSI as it is on the wire (RFC 7143 section 11), as far as a path and a stranger need it.

use std::io::{self, ErrorKind, Read, Write};

/// Basic header segment.
const HEAD_BYTES: usize = 48;
/// More data in one PDU than anybody here negotiates.
const DATA_MAX: usize = 4 << 20;

/// SCSI Command (RFC 7143 section 11.3).
pub const COMMAND: u8 = 0x01;
/// Login Request (section 11.12).
pub const LOGIN: u8 = 0x03;
/// SCSI Response (section 11.4).
pub const RESPONSE: u8 = 0x21;
/// Login Response (section 11.13).
pub const LOGIN_RESPONSE: u8 = 0x23;
/// SCSI Data-In (section 11.7), which may carry the status.
pub const DATA_IN: u8 = 0x25;

/// SCSI status CHECK CONDITION (SAM-5).
pub const CHECK_CONDITION: u8 = 0x02;
/// SCSI status RESERVATION CONFLICT.
pub const RESERVATION_CONFLICT: u8 = 0x18;

/// One protocol data unit without digests.
#[derive(Debug, Clone)]
pub struct Pdu {
    /// Basic header segment.
    pub head: [u8; HEAD_BYTES],
    /// Additional headers and data, padded.
    pub rest: Vec<u8>,
}

impl Pdu {
    /// A PDU of an initiator with an empty header.
    pub fn new(opcode: u8, data: &[u8]) -> Self {
        let mut head = [0; HEAD_BYTES];
        head[0] = opcode;
        head[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
        let mut rest = data.to_vec();
        rest.resize(padded(data.len()), 0);
        Self { head, rest }
    }

    /// The next one; none at the end of the connection.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; HEAD_BYTES];
        match from.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let data = number(&head[5..8]) as usize;
        if data > DATA_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "this is not iSCSI"));
        }
        let mut rest = vec![0; usize::from(head[4]) * 4 + padded(data)];
        from.read_exact(&mut rest)?;
        Ok(Some(Self { head, rest }))
    }

    /// Sends it.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.rest.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.rest);
        to.write_all(&bytes)
    }

    /// What it is, without the bit for immediate delivery.
    pub fn opcode(&self) -> u8 {
        self.head[0] & 0x3F
    }

    /// Initiator task tag.
    pub fn task(&self) -> u32 {
        number(&self.head[16..20]) as u32
    }

    /// Command descriptor block of a SCSI Command.
    pub fn cdb(&self) -> &[u8] {
        &self.head[32..48]
    }

    /// Data without padding.
    pub fn data(&self) -> &[u8] {
        let from = usize::from(self.head[4]) * 4;
        self.rest.get(from..from + number(&self.head[5..8]) as usize).unwrap_or_default()
    }

    /// The SCSI status, where this PDU ends a command.
    pub fn status(&self) -> Option<u8> {
        match self.opcode() {
            RESPONSE => Some(self.head[3]),
            // The S bit: the status is in the last Data-In.
            DATA_IN if self.head[1] & 1 != 0 => Some(self.head[3]),
            _ => None,
        }
    }

    /// Puts other sense data in the place of those that came, of the same length (SPC-4 section 4.5.3).
    pub fn replace_sense(&mut self, sense: Sense) {
        let from = usize::from(self.head[4]) * 4;
        for (at, value) in [(4, sense.key), (14, sense.code), (15, sense.qualifier)] {
            if let Some(byte) = self.rest.get_mut(from + at) {
                *byte = value;
            }
        }
    }
}

/// Sense key and additional sense code (SPC-4 section 4.5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    /// Sense key.
    pub key: u8,
    /// Additional sense code.
    pub code: u8,
    /// Its qualifier.
    pub qualifier: u8,
}

/// MEDIUM ERROR, UNRECOVERED READ ERROR.
pub const UNREADABLE: Sense = Sense { key: 3, code: 0x11, qualifier: 0 };
/// DATA PROTECT, WRITE PROTECTED.
pub const WRITE_PROTECTED: Sense = Sense { key: 7, code: 0x27, qualifier: 0 };

/// A number, big endian.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut wire = Vec::new();
        Pdu::new(LOGIN, b"InitiatorName=x\0").write(&mut wire).unwrap();
        Pdu::new(COMMAND, b"12345").write(&mut wire).unwrap();
        assert_eq!(wire.len(), 48 + 16 + 48 + 8);
        let mut from = wire.as_slice();
        assert_eq!(Pdu::read(&mut from).unwrap().unwrap().data(), b"InitiatorName=x\0");
        let second = Pdu::read(&mut from).unwrap().unwrap();
        assert_eq!((second.opcode(), second.data()), (COMMAND, &b"12345"[..]));
        assert!(Pdu::read(&mut from).unwrap().is_none());
    }

    #[test]
    fn a_length_that_nobody_negotiates_is_refused() {
        let mut head = [0; 48];
        head[5..8].fill(0xFF);
        assert!(Pdu::read(&mut head.as_slice()).is_err_and(|error| error.kind() == ErrorKind::InvalidData));
    }
}
