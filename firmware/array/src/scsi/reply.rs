//! Data that commands bring back.

use cluster::{Holder, KEYS_MAX, ReservationType};

/// Longest READ KEYS reply that is read, in bytes.
pub const KEYS_REPLY_BYTES: usize = 8 + 8 * KEYS_MAX;
/// Length of the READ RESERVATION reply, in bytes.
pub const RESERVATION_REPLY_BYTES: usize = 24;
/// Longest device identification page that is read, in bytes.
pub const IDENTIFICATION_REPLY_BYTES: usize = 1024;
/// The device identification page (SPC-4 7.8.6).
pub const IDENTIFICATION_PAGE: u8 = 0x83;

/// Association of a designator with the LUN itself, not with a port or the whole array.
const OF_THE_LUN: u8 = 0;

/// Reads a READ KEYS reply (SPC-4 6.15.2); `None` if it is cut short or has more keys than a pair has.
pub fn keys(reply: &[u8]) -> Option<Vec<u64>> {
    let length = length_at(reply, 4)?;
    if length > 8 * KEYS_MAX {
        return None;
    }
    let list = reply.get(8..8 + length)?;
    Some(list.as_chunks().0.iter().map(|key| u64::from_be_bytes(*key)).collect())
}

/// Reads a READ RESERVATION reply (SPC-4 6.15.3): the holder, if there is one; `None` if cut short.
pub fn reservation(reply: &[u8]) -> Option<Option<Holder>> {
    if length_at(reply, 4)? == 0 {
        return Some(None);
    }
    let key = u64::from_be_bytes(*reply.get(8..)?.first_chunk()?);
    let kind = ReservationType::from_code(reply.get(21)? & 0x0F);
    Some(Some(Holder { key, kind }))
}

/// The LUN's own name from its device identification page: the best designator of the logical unit,
/// NAA before EUI-64 before T10 vendor identification (SPC-4 7.8.6).
pub fn identification(page: &[u8]) -> Option<String> {
    if *page.get(1)? != IDENTIFICATION_PAGE {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let mut rest = page.get(4..)?;
    rest = rest.get(..length).unwrap_or(rest);
    let mut best: Option<(u8, String)> = None;
    while let [_code_set, kind, _, size, after @ ..] = rest {
        let Some((designator, next)) = after.split_at_checked(usize::from(*size)) else { break };
        rest = next;
        let association = (kind >> 4) & 0x03;
        if association != OF_THE_LUN || designator.iter().all(|byte| *byte == 0) {
            continue;
        }
        let named = match kind & 0x0F {
            3 => Some((3, format!("naa.{}", hexadecimal(designator)))),
            2 => Some((2, format!("eui.{}", hexadecimal(designator)))),
            1 => Some((1, format!("t10.{}", printable(designator)))),
            _ => None,
        };
        if let Some(named) = named
            && best.as_ref().is_none_or(|(rank, _)| *rank < named.0)
        {
            best = Some(named);
        }
    }
    best.map(|(_, name)| name)
}

fn length_at(reply: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_be_bytes(*reply.get(at..)?.first_chunk()?) as usize)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Letters, digits and a few signs; everything else as one `_` a run.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' => text.push(char::from(*byte)),
            _ if text.ends_with('_') => {}
            _ => text.push('_'),
        }
    }
    text.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_registrants_are_read() {
        let mut reply = vec![0, 0, 0, 9, 0, 0, 0, 16];
        reply.extend(0x544D_0107_0000_0003_u64.to_be_bytes());
        reply.extend(0x544D_0207_0000_0004_u64.to_be_bytes());
        reply.resize(KEYS_REPLY_BYTES, 0);
        assert_eq!(keys(&reply), Some(vec![0x544D_0107_0000_0003, 0x544D_0207_0000_0004]));
        assert_eq!(keys(&[0; 8]), Some(vec![]));
        assert_eq!(keys(&reply[..20]), None);
        assert_eq!(keys(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xF8]), None);
    }

    #[test]
    fn a_reservation_is_read_with_its_type() {
        let mut reply = vec![0, 0, 0, 9, 0, 0, 0, 16];
        reply.extend(0x1122_3344_5566_7788_u64.to_be_bytes());
        reply.extend([0, 0, 0, 0, 0, 0x05, 0, 0]);
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        assert_eq!(reservation(&reply), Some(Some(Holder { key: 0x1122_3344_5566_7788, kind })));
        assert_eq!(reservation(&[0, 0, 0, 9, 0, 0, 0, 0]), Some(None));
        assert_eq!(reservation(&reply[..12]), None);
        reply[21] = 0x01;
        let held = reservation(&reply).unwrap().unwrap();
        assert_eq!(held.kind, ReservationType::Other(1));
    }

    /// The page as `tgtd` gives it for its first LUN: a T10 designator, then an NAA one.
    #[test]
    fn the_naa_designator_is_preferred() {
        let mut page = vec![0, 0x83, 0, 0];
        page.extend([0x02, 0x01, 0, 28]);
        page.extend(b"IET     00010001\0\0\0\0\0\0\0\0\0\0\0\0");
        page.extend([0x01, 0x03, 0, 8, 0x60, 0, 0, 0, 0, 0x0E, 0, 1]);
        page[3] = (page.len() - 4) as u8;
        assert_eq!(identification(&page).unwrap(), "naa.60000000000e0001");
        page.truncate(4 + 4 + 28);
        page[3] = 32;
        assert_eq!(identification(&page).unwrap(), "t10.IET_00010001");
    }

    #[test]
    fn a_designator_of_a_port_or_of_zeros_is_not_the_luns_name() {
        let page =
            [0, 0x83, 0, 24, 1, 0x13, 0, 8, 0x50, 1, 2, 3, 4, 5, 6, 7, 1, 3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(identification(&page), None);
        assert_eq!(identification(&page[..9]), None);
        assert_eq!(identification(&[]), None);
    }
}
