//! `date` and `date-time` (RFC 3501 section 9).

use super::Fault;
use super::cursor::Cursor;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: i64 = 86_400;

/// A day of the calendar, without a time or a zone: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CalendarDate(pub i64);

impl CalendarDate {
    /// The day on which an instant falls, where the clock is `offset_s` ahead of UTC.
    pub fn of_instant(unix_s: i64, offset_s: i64) -> Self {
        Self(unix_s.saturating_add(offset_s).div_euclid(DAY_S))
    }
}

/// An instant and the zone it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZonedTime {
    /// Seconds since 1970-01-01 UTC.
    pub unix_s: i64,
    /// Seconds the writer's clock was ahead of UTC.
    pub offset_s: i32,
}

impl ZonedTime {
    /// Writes `date-time` without its quotes, as in `17-Jul-1996 02:44:25 -0700`.
    pub fn write(self, out: &mut Vec<u8>) {
        use std::io::Write;
        let local = self.unix_s.saturating_add(i64::from(self.offset_s));
        let (year, month, day) = civil_from_days(local.div_euclid(DAY_S));
        let second = local.rem_euclid(DAY_S);
        let name = MONTHS.get((month - 1) as usize).copied().unwrap_or("Jan");
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        let zone_min = self.offset_s.unsigned_abs() / 60;
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            "{day:2}-{name}-{year:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60,
            zone_min / 60,
            zone_min % 60
        );
    }
}

impl Cursor<'_> {
    /// `date`: with or without quotes, as in `1-Feb-1994`.
    pub fn date(&mut self) -> Result<CalendarDate, Fault> {
        let quoted = self.take(b'"');
        let day = self.number()?;
        let date = self.month_and_year(day)?;
        if quoted {
            self.expect(b'"', "a date is not closed by a quote")?;
        }
        Ok(date)
    }

    /// `date-time`, as in `"17-Jul-1996 02:44:25 -0700"`; day with a space or a zero in front.
    pub fn date_time(&mut self) -> Result<ZonedTime, Fault> {
        const BAD: Fault =
            Fault::Syntax("the date and time are not of the form \"dd-Mon-yyyy hh:mm:ss +zzzz\"");
        self.expect(b'"', "a date and time must be quoted")?;
        self.take(b' ');
        let day = self.number()?;
        let date = self.month_and_year(day)?;
        self.expect(b' ', "a space is missing before the time")?;
        let hour = self.two_digits()?;
        self.expect(b':', "a : is missing in the time")?;
        let minute = self.two_digits()?;
        self.expect(b':', "a : is missing in the time")?;
        let second = self.two_digits()?;
        self.expect(b' ', "a space is missing before the zone")?;
        let ahead = match self.peek() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(BAD),
        };
        self.take(if ahead == 1 { b'+' } else { b'-' });
        let zone_h = self.two_digits()?;
        let zone_min = self.two_digits()?;
        self.expect(b'"', "a date and time are not closed by a quote")?;
        // 60 is a leap second (RFC 5322 section 3.3).
        if hour > 23 || minute > 59 || second > 60 || zone_min > 59 {
            return Err(BAD);
        }
        let offset_s = ahead * (zone_h * 3600 + zone_min * 60);
        let unix_s = date.0 * DAY_S + hour * 3600 + minute * 60 + second - offset_s;
        Ok(ZonedTime { unix_s, offset_s: offset_s as i32 })
    }

    fn two_digits(&mut self) -> Result<i64, Fault> {
        const BAD: Fault = Fault::Syntax("two digits are missing in a time");
        let digit = |cursor: &mut Self| match cursor.peek() {
            Some(byte) if byte.is_ascii_digit() => {
                cursor.take(byte);
                Ok(i64::from(byte - b'0'))
            }
            _ => Err(BAD),
        };
        Ok(digit(self)? * 10 + digit(self)?)
    }

    fn month_and_year(&mut self, day: u64) -> Result<CalendarDate, Fault> {
        const BAD: Fault = Fault::Syntax("a date is not of the form d-Mon-yyyy");
        self.expect(b'-', "a - is missing in a date")?;
        let name = self.take_while(|byte| byte.is_ascii_alphabetic());
        let month = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month.as_bytes())).ok_or(BAD)?;
        self.expect(b'-', "a - is missing in a date")?;
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.len() != 4 {
            return Err(BAD);
        }
        let year = super::cursor::decimal(digits).ok_or(BAD)? as i64;
        let month = month as i64 + 1;
        let days = days_from_civil(year, month, day.min(32) as i64);
        // A day that the month does not have comes back as another date.
        if civil_from_days(days) != (year, month, day as i64) {
            return Err(BAD);
        }
        Ok(CalendarDate(days))
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (H. Hinnant's algorithm: years
/// begin in March, so that the leap day comes last).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date, as year, month and day, that is `days` after 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
