//! The sent date: RFC 5322 3.3 and 4.3, and near misses of real mail.

/// Seconds since 1970 of a Date field's value, in UTC.
///
/// A missing or unknown zone is read as UTC; leap seconds become the next second.
pub fn sent_date(value: &[u8]) -> Option<i64> {
    local_and_zone(value).map(|(local_s, zone_s)| local_s - zone_s)
}

/// The day a Date field names, whatever its time and zone, in days since 1970-01-01 (RFC 3501 6.4.4,
/// SENTON).
pub fn sent_day(value: &[u8]) -> Option<i64> {
    local_and_zone(value).map(|(local_s, _)| local_s.div_euclid(86_400))
}

/// Seconds since 1970 on the sender's clock, and how far that clock is ahead of UTC.
fn local_and_zone(value: &[u8]) -> Option<(i64, i64)> {
    let text = without_comments(value);
    let mut tokens =
        text.split(|byte| byte.is_ascii_whitespace() || *byte == b',').filter(|part| !part.is_empty());
    let mut token = tokens.next()?;
    if token.first()?.is_ascii_alphabetic() && month(token).is_none() {
        token = tokens.next()?;
    }
    let (day, month, year) = if let Some(first) = number(token) {
        (first, month(tokens.next()?)?, number(tokens.next()?)?)
    } else if let Some(found) = month(token) {
        // asctime: "Nov 22 16:20:00 2026".
        let day = number(tokens.next()?)?;
        let clock = clock(tokens.next()?)?;
        let mut year = tokens.next()?;
        if number(year).is_none() {
            year = tokens.next()?;
        }
        return Some((days_from_civil(full_year(number(year)?), found, day)? * 86_400 + clock, 0));
    } else {
        // "22-Nov-2026".
        let mut parts = token.split(|byte| *byte == b'-');
        (number(parts.next()?)?, month(parts.next()?)?, number(parts.next()?)?)
    };
    let clock = tokens.next().and_then(clock).unwrap_or(0);
    let zone = tokens.next().and_then(zone_seconds).unwrap_or(0);
    Some((days_from_civil(full_year(year), month, day)? * 86_400 + clock, zone))
}

fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut depth = 0_u32;
    let mut out = Vec::with_capacity(value.len());
    for &byte in value {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(byte),
            _ => {}
        }
    }
    out
}

fn number(token: &[u8]) -> Option<i64> {
    if token.is_empty() || token.len() > 5 || !token.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(token).ok()?.parse().ok()
}

fn month(token: &[u8]) -> Option<i64> {
    const NAMES: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let head = token.get(..3)?;
    NAMES.iter().position(|name| head.eq_ignore_ascii_case(*name)).map(|at| at as i64 + 1)
}

fn clock(token: &[u8]) -> Option<i64> {
    let mut parts = token.split(|byte| matches!(byte, b':' | b'.'));
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let second = parts.next().and_then(number).unwrap_or(0);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
}

fn zone_seconds(token: &[u8]) -> Option<i64> {
    let (sign, digits) = match token.split_first()? {
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => {
            // RFC 5322 4.3.
            let hours = match token.to_ascii_uppercase().as_slice() {
                b"EST" | b"CDT" => -5,
                b"EDT" => -4,
                b"CST" | b"MDT" => -6,
                b"MST" | b"PDT" => -7,
                b"PST" => -8,
                _ => 0,
            };
            return Some(hours * 3_600);
        }
    };
    let value = number(digits).filter(|_| digits.len() == 4)?;
    Some(sign * (value / 100 * 3_600 + value % 100 * 60))
}

/// Two and three digit years, RFC 5322 4.3.
fn full_year(year: i64) -> i64 {
    match year {
        0..=49 => year + 2_000,
        50..=999 => year + 1_900,
        _ => year,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=31).contains(&day) || !(1..=9_999).contains(&year) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_standard_and_of_real_mail() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 +0000", Some(0)),
            ("Sun, 22 Nov 2026 16:20:00 +0100 (CET)", Some(1_795_360_800)),
            ("22 Nov 26 15:20 GMT", Some(1_795_360_800)),
            ("Sun Nov 22 15:20:00 2026", Some(1_795_360_800)),
            ("22-Nov-2026 15:20:00 +0000", Some(1_795_360_800)),
            ("Tue, 29 Feb 2000 23:59:60 -0800", Some(951_897_600)),
            ("no date at all", None),
            ("32 Nov 2026 10:00:00", None),
            ("", None),
        ] {
            assert_eq!(sent_date(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_day_is_that_of_the_senders_clock() {
        assert_eq!(sent_day(b"Thu, 01 Jan 1970 23:30:00 -0800"), Some(0));
        assert_eq!(sent_day(b"Fri, 02 Jan 1970 00:30:00 +0800"), Some(1));
        assert_eq!(sent_day(b"soon"), None);
    }
}
