//! Packets of the Crystalfontz displays.
//!
//! ```text
//! type  length  data 0..22  CRC low  CRC high        CRC-16/IBM-SDLC over type, length and data
//!
//! type, bits 7..6:  00 command to the display     01 its answer      10 report of its own
//!                   11 command refused            bits 5..0: which command
//! ```

use crc::{CRC_16_IBM_SDLC, Crc};

/// Most data bytes in one packet.
pub const DATA_MAX_BYTES: usize = 22;
/// Longest packet: type, length, data, checksum.
pub const PACKET_MAX_BYTES: usize = DATA_MAX_BYTES + 4;

/// Asks whether the display is there.
pub const PING: u8 = 0;
/// Asks for hardware and firmware version.
pub const VERSION: u8 = 1;
/// Clears the glass.
pub const CLEAR: u8 = 6;
/// Sets the whole first line; the next number the second (633).
pub const LINE_1: u8 = 7;
/// Sets the backlight in percent.
pub const BACKLIGHT: u8 = 14;
/// Writes text at column and row (631, 635).
pub const TEXT: u8 = 31;
/// Sets an output; the lamps of the 635 are outputs 5 to 12.
pub const OUTPUT: u8 = 34;
/// Report: a key was pressed or released.
pub const KEY_REPORT: u8 = 0x80;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its type.
    pub kind: u8,
    /// Its data, at most [`DATA_MAX_BYTES`].
    pub data: Vec<u8>,
}

impl Packet {
    /// A packet; data beyond [`DATA_MAX_BYTES`] is left out.
    pub fn new(kind: u8, data: &[u8]) -> Self {
        Self { kind, data: data.iter().copied().take(DATA_MAX_BYTES).collect() }
    }

    /// The packet as it goes over the line.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PACKET_MAX_BYTES);
        bytes.push(self.kind);
        bytes.push(self.data.len() as u8);
        bytes.extend_from_slice(&self.data);
        let sum = CRC.checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Whether this answers `command`, and whether it was obeyed.
    pub fn answers(&self, command: u8) -> Option<bool> {
        match self.kind ^ command {
            0x40 => Some(true),
            0xC0 => Some(false),
            _ => None,
        }
    }
}

/// Finds packets in what the line brings; what is none is skipped byte by byte.
#[derive(Debug, Default)]
pub struct Decoder {
    input: Vec<u8>,
}

impl Decoder {
    /// Takes one byte; gives a packet where it completes one.
    pub fn take(&mut self, byte: u8) -> Option<Packet> {
        self.input.push(byte);
        loop {
            let (kind, length) = match self.input.as_slice() {
                [kind, length, ..] => (*kind, usize::from(*length)),
                _ => return None,
            };
            // Nothing that comes from a display is a command, and none is longer than its bound.
            let possible = kind >= 0x40 && length <= DATA_MAX_BYTES;
            if possible && self.input.len() < length + 4 {
                return None;
            }
            if possible && let Some(packet) = self.whole(kind, length) {
                self.input.drain(..length + 4);
                return Some(packet);
            }
            self.input.remove(0);
        }
    }

    fn whole(&self, kind: u8, length: usize) -> Option<Packet> {
        let covered = self.input.get(..length + 2)?;
        let sum = self.input.get(length + 2..length + 4)?;
        let matches = sum == CRC.checksum(covered).to_le_bytes();
        matches.then(|| Packet { kind, data: covered.get(2..).unwrap_or_default().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Vec<Packet> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.take(*byte)).collect()
    }

    #[test]
    fn packets_look_as_in_the_data_sheet() {
        assert_eq!(Packet::new(PING, &[]).encode(), [0x00, 0x00, 0x47, 0x0F]);
        let answer = decode(&[0x40, 0x00, 0x21, 0x49]);
        assert_eq!(answer, [Packet::new(0x40, &[])]);
        assert_eq!(answer[0].answers(PING), Some(true));
        assert_eq!(decode(&[0x80, 0x01, 0x01, 0x71, 0xC2]), [Packet::new(KEY_REPORT, &[1])]);
    }

    #[test]
    fn a_refusal_and_a_stranger_are_told_apart() {
        assert_eq!(Packet::new(0xC0 | TEXT, &[]).answers(TEXT), Some(false));
        assert_eq!(Packet::new(0x40 | TEXT, &[]).answers(PING), None);
    }

    #[test]
    fn a_packet_is_found_behind_the_torn_half_of_another() {
        let key = Packet::new(KEY_REPORT, &[5]).encode();
        let torn = [&key[..3], &key[..]].concat();
        assert_eq!(decode(&torn), [Packet::new(KEY_REPORT, &[5])]);
    }

    proptest! {
        #[test]
        fn garbage_never_grows_the_buffer_and_never_hides_what_comes_after_it(
            garbage in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut decoder = Decoder::default();
            for byte in &garbage {
                let _noise = decoder.take(*byte);
                prop_assert!(decoder.input.len() < PACKET_MAX_BYTES);
            }
            // Enough good packets to fill what the garbage may have promised.
            let good = Packet::new(KEY_REPORT, &[2]).encode();
            let heard = (0..8).flat_map(|_| good.clone()).filter_map(|byte| decoder.take(byte)).count();
            prop_assert!(heard >= 1);
        }

        #[test]
        fn what_is_encoded_is_decoded(kind in 0x40_u8.., data in prop::collection::vec(any::<u8>(), 0..=22)) {
            let packet = Packet::new(kind, &data);
            prop_assert_eq!(decode(&packet.encode()), [packet]);
        }
    }
}
