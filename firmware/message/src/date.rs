//! The sent date: RFC 5322 3.3 and 4.3, and near misses of real mail.

/// Seconds since 1970 of a Date field's value, in UTC.
pub fn sent_date(value: &[u8]) -> Option<i64> {
    todo!()
}
