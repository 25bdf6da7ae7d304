//! Sense data, fixed and descriptor format (SPC-4 4.5).

use std::fmt;

/// Sense key (SPC-4 table 54), as far as it changes what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenseKey {
    /// 0 or 1: nothing is wrong.
    NoneOrRecovered,
    /// 2: not ready.
    NotReady,
    /// 3: the medium is bad.
    MediumError,
    /// 4: the hardware is bad.
    HardwareError,
    /// 5: the target does not know this command or field.
    IllegalRequest,
    /// 6: something happened since the last command; say it once, then go on.
    UnitAttention,
    /// 7: write protected or the like.
    DataProtect,
    /// 11: the target gave the command up.
    AbortedCommand,
    /// Any other.
    Other(u8),
}

/// What sense data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    /// The key.
    pub key: SenseKey,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
}

impl Sense {
    /// Reads sense data; `None` if there is none or its format is unknown.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (key, asc, ascq) = match bytes.first()? & 0x7F {
            0x70 | 0x71 => (*bytes.get(2)?, bytes.get(12).copied(), bytes.get(13).copied()),
            0x72 | 0x73 => (*bytes.get(1)?, bytes.get(2).copied(), bytes.get(3).copied()),
            _ => return None,
        };
        let key = match key & 0x0F {
            0 | 1 => SenseKey::NoneOrRecovered,
            2 => SenseKey::NotReady,
            3 => SenseKey::MediumError,
            4 => SenseKey::HardwareError,
            5 => SenseKey::IllegalRequest,
            6 => SenseKey::UnitAttention,
            7 => SenseKey::DataProtect,
            11 => SenseKey::AbortedCommand,
            other => SenseKey::Other(other),
        };
        Some(Self { key, asc: asc.unwrap_or(0), ascq: ascq.unwrap_or(0) })
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.asc, self.ascq) {
            (0x04, _) => "the LUN is not ready",
            (0x20, _) => "the command is not supported",
            (0x24, _) | (0x26, _) => "a field of the command is not supported",
            (0x25, _) => "there is no such LUN",
            (0x27, _) => "the LUN is write protected",
            (0x29, _) => "the LUN was reset",
            (0x2A, 0x03) => "the reservation was preempted",
            (0x2A, 0x04) => "the reservation was released",
            (0x2A, 0x05) => "the registration was preempted",
            (0x3F, 0x0E) => "the LUNs of the array have changed",
            (0x55, 0x04) => "the array has no room for another registration",
            _ => "the array reports",
        };
        write!(f, "{what} (sense {:?} {:02x}/{:02x})", self.key, self.asc, self.ascq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_format_is_read() {
        // Power on, reset: SPC-4 4.5.3 layout, as targets send it after attach.
        let bytes = [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0x00, 0, 0, 0, 0];
        let sense = Sense::parse(&bytes).unwrap();
        assert_eq!(sense, Sense { key: SenseKey::UnitAttention, asc: 0x29, ascq: 0 });
        assert!(sense.to_string().contains("was reset"));
    }

    #[test]
    fn descriptor_format_is_read() {
        let bytes = [0x72, 5, 0x26, 0, 0, 0, 0, 0];
        assert_eq!(Sense::parse(&bytes), Some(Sense { key: SenseKey::IllegalRequest, asc: 0x26, ascq: 0 }));
    }

    #[test]
    fn cut_or_strange_sense_is_no_panic() {
        assert_eq!(Sense::parse(&[]), None);
        assert_eq!(Sense::parse(&[0x70, 0]), None);
        assert_eq!(Sense::parse(&[0x7F, 0, 0, 0]), None);
        let short = Sense::parse(&[0x70, 0, 6]).unwrap();
        assert_eq!((short.key, short.asc), (SenseKey::UnitAttention, 0));
    }
}
