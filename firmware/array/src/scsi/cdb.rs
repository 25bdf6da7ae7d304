//! Command descriptor blocks.

use cluster::ReservationType;

/// Length of the PERSISTENT RESERVE OUT parameter list, in bytes (SPC-4 6.16.3).
pub const RESERVE_OUT_BYTES: usize = 24;

/// Service action of PERSISTENT RESERVE IN (SPC-4 table 208).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveIn {
    /// Every registered key.
    ReadKeys = 0,
    /// The reservation.
    ReadReservation = 1,
    /// What the target can do.
    ReportCapabilities = 2,
}

/// Service action of PERSISTENT RESERVE OUT (SPC-4 table 217).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveOut {
    /// Register, change or withdraw a key whose old value is known.
    Register = 0,
    /// Make the reservation.
    Reserve = 1,
    /// Give the reservation up.
    Release = 2,
    /// Take it from its holder.
    Preempt = 4,
    /// As `Preempt`, and end the former holder's commands.
    PreemptAndAbort = 5,
    /// Register, change or withdraw a key whatever its old value is.
    RegisterAndIgnoreExistingKey = 6,
}

/// TEST UNIT READY (SPC-4 6.47).
pub fn test_unit_ready() -> [u8; 6] {
    [0; 6]
}

/// INQUIRY of a vital product data page (SPC-4 6.6).
pub fn inquiry_page(page: u8, allocation_bytes: u16) -> [u8; 6] {
    let [high, low] = allocation_bytes.to_be_bytes();
    [0x12, 1, page, high, low, 0]
}

/// READ (10) (SBC-3 5.11).
pub fn read(block: u32, blocks: u16) -> [u8; 10] {
    let ([a, b, c, d], [high, low]) = (block.to_be_bytes(), blocks.to_be_bytes());
    [0x28, 0, a, b, c, d, 0, high, low, 0]
}

/// PERSISTENT RESERVE IN (SPC-4 6.15).
pub fn reserve_in(action: ReserveIn, allocation_bytes: u16) -> [u8; 10] {
    let [high, low] = allocation_bytes.to_be_bytes();
    [0x5E, action as u8, 0, 0, 0, 0, 0, high, low, 0]
}

/// PERSISTENT RESERVE OUT (SPC-4 6.16), scope logical unit.
pub fn reserve_out(action: ReserveOut, kind: ReservationType) -> [u8; 10] {
    [0x5F, action as u8, kind.code() & 0x0F, 0, 0, 0, 0, 0, RESERVE_OUT_BYTES as u8, 0]
}

/// Its parameter list: the own key, the key of the service action, and whether the registration shall
/// outlive a power loss of the array (APTPL).
pub fn reserve_out_parameters(own: u64, action_key: u64, persist: bool) -> [u8; RESERVE_OUT_BYTES] {
    let mut list = [0; RESERVE_OUT_BYTES];
    list[..8].copy_from_slice(&own.to_be_bytes());
    list[8..16].copy_from_slice(&action_key.to_be_bytes());
    list[20] = u8::from(persist);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: ReservationType = ReservationType::WriteExclusiveRegistrantsOnly;

    #[test]
    fn commands_have_the_bytes_of_the_standard() {
        assert_eq!(inquiry_page(0x83, 0x0204), [0x12, 0x01, 0x83, 0x02, 0x04, 0]);
        assert_eq!(read(0x0102_0304, 0x0506), [0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0]);
        assert_eq!(reserve_in(ReserveIn::ReadReservation, 520), [0x5E, 1, 0, 0, 0, 0, 0, 2, 8, 0]);
        assert_eq!(reserve_out(ReserveOut::Preempt, TYPE), [0x5F, 4, 5, 0, 0, 0, 0, 0, 24, 0]);
        let list = reserve_out_parameters(0x0102_0304_0506_0708, 0x1112_1314_1516_1718, true);
        assert_eq!(list[..16], [1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
        assert_eq!(list[16..], [0, 0, 0, 0, 1, 0, 0, 0]);
    }
}
