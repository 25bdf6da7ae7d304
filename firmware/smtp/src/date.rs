//! Dates as mail writes them (RFC 5322 3.3) and as extensions do (RFC 3339), from and to seconds since
//! 1970.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: u64 = 86_400;

/// `Sun, 22 Nov 2026 16:20:00 +0000`.
pub fn format(unix_s: u64) -> String {
    let days = unix_s / DAY_S;
    let second = unix_s % DAY_S;
    let (year, month, day) = civil(days);
    let weekday = DAYS.get((days % 7) as usize).copied().unwrap_or("Thu");
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or("Jan");
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year} {hours:02}:{minutes:02}:{seconds:02} +0000")
}

/// `2026-11-22T16:20:00Z` (RFC 3339 5.6).
pub fn format_internet(unix_s: u64) -> String {
    let (year, month, day) = civil(unix_s / DAY_S);
    let second = unix_s % DAY_S;
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

/// Reads a date-time of RFC 3339 5.6, 1970 or later, with any offset; fractions of a second are dropped.
pub fn parse_internet(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = bytes.get(range)?;
        let decimal = digits.iter().all(u8::is_ascii_digit);
        decimal.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    };
    let mark = |at: usize, marks: &[u8]| bytes.get(at).is_some_and(|mark| marks.contains(mark));
    let marks = mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt") && mark(13, b":") && mark(16, b":");
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hours, minutes, seconds) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let in_range = hours < 24 && minutes < 60 && seconds <= 60;
    let days = days_since_1970(year, month, day)?;
    if !marks || !in_range {
        return None;
    }
    let mut at = 19;
    if mark(at, b".") {
        let digits = bytes.get(at + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        at += 1 + digits;
        if digits == 0 {
            return None;
        }
    }
    let ahead_s = match (bytes.get(at)?, bytes.len() - at) {
        (b'Z' | b'z', 1) => 0,
        (sign @ (b'+' | b'-'), 6) if mark(at + 3, b":") => {
            let (hours, minutes) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 3600 + minutes * 60) as i64;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    (days * DAY_S + hours * 3600 + minutes * 60 + seconds).checked_add_signed(-ahead_s)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar that exists.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let shifted_year = year - u64::from(month <= 2);
    let era = shifted_year / 400;
    let year_of_era = shifted_year % 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month from 1, day from 1 of a day since 1970-01-01 in the Gregorian calendar.
///
/// Counts from 0000-03-01 so that the leap day is the last of its year and an era has 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{format, format_internet, parse_internet};

    #[test]
    fn days_around_leap_years() {
        for (unix_s, want) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 +0000"),
            (1_735_603_200, "Tue, 31 Dec 2024 00:00:00 +0000"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 +0000"),
        ] {
            assert_eq!(format(unix_s), want);
        }
    }

    #[test]
    fn internet_dates_are_read_and_written() {
        for unix_s in [0, 951_782_400, 1_709_164_799, 1_735_603_200, 4_107_542_400, 1_795_364_401] {
            assert_eq!(parse_internet(&format_internet(unix_s)), Some(unix_s));
        }
        assert_eq!(parse_internet("2026-11-22T16:20:00.5+02:00"), parse_internet("2026-11-22T14:20:00Z"));
        for bad in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T16:20:00",
            "2026-11-22 16:20:00Z",
            "2026-11-22T16:20:00.Z",
            "2026-11-22T16:20:00+2:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "",
        ] {
            assert_eq!(parse_internet(bad), None, "{bad}");
        }
    }
}
