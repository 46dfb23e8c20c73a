//! Typed values of conditions: how text is read as a number, an instant, an address, a boolean or bytes.
//!
//! Every reader is exact and total: text it cannot read is `None`, never a guess.

mod address;

use std::cmp::Ordering;
use std::fmt;

use base64::Engine as _;

pub use address::{IpNetwork, Networks, parse_address};

/// An exact decimal number (C-24): the digits that count, borrowed from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
}

impl<'t> Decimal<'t> {
    /// `[+-]?digits[.digits]`, nothing around it.
    #[must_use]
    pub fn parse(text: &'t str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, whole, fraction })
    }
}

/// A number of a policy, read at load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecimal {
    negative: bool,
    whole: Box<str>,
    fraction: Box<str>,
}

impl StoredDecimal {
    /// As [`Decimal::parse`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Decimal { negative, whole, fraction } = Decimal::parse(text)?;
        Some(Self { negative, whole: whole.into(), fraction: fraction.into() })
    }

    /// The number.
    #[must_use]
    pub fn as_decimal(&self) -> Decimal<'_> {
        Decimal { negative: self.negative, whole: &self.whole, fraction: &self.fraction }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(other.whole));
            whole.then_with(|| self.fraction.cmp(other.fraction))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }
}

/// A point in time, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Instant {
    seconds: i64,
    nanos: u32,
}

/// The parts of a date-time text, in range but perhaps an impossible day.
struct DateParts {
    year: i64,
    month: u32,
    day: u32,
    second_of_day: i64,
    nanos: u32,
    offset_seconds: i64,
}

impl Instant {
    /// Seconds since 1970-01-01T00:00:00Z and nanoseconds within the second.
    #[must_use]
    pub fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: nanos % 1_000_000_000 }
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds within the second.
    #[must_use]
    pub fn nanos(&self) -> u32 {
        self.nanos
    }

    /// An ISO date-time (C-29) or whole seconds since the epoch (C-28); an impossible day is `None` (C-30).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(parts) = DateParts::parse_usual(text) {
            return Self::of(&parts);
        }
        if !is_date_time(text) {
            return parse_integer(text).map(|seconds| Self { seconds, nanos: 0 });
        }
        Self::of(&DateParts::parse(text)?)
    }

    fn of(parts: &DateParts) -> Option<Self> {
        if parts.day > days_in_month(parts.year, parts.month) {
            return None;
        }
        let days = days_from_civil(parts.year, parts.month, parts.day);
        let seconds =
            days.checked_mul(86_400)?.checked_add(parts.second_of_day)?.checked_sub(parts.offset_seconds)?;
        Some(Self { seconds, nanos: parts.nanos })
    }

    /// Whether AWS would store the text as a date value: ranges only, not the length of the month (C-30), and no zone
    /// without a colon (C-29).
    #[must_use]
    pub fn check_saved(text: &str) -> bool {
        if is_date_time(text) {
            DateParts::parse(text).is_some() && !has_bare_zone(text)
        } else {
            parse_integer(text).is_some_and(|n| n >= 0)
        }
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Whether a date-time ends in `±hhmm`.
fn has_bare_zone(text: &str) -> bool {
    let zone = text
        .find(['t', 'T'])
        .and_then(|at| text.get(at..)?.rfind(['+', '-']).and_then(|zone| text.get(at + zone..)));
    zone.is_some_and(|zone| zone.len() == 5 && !zone.contains(':'))
}

/// C-28: `-` after position 0, or a `t`, makes it a date-time.
fn is_date_time(text: &str) -> bool {
    text.bytes().skip(1).any(|byte| byte == b'-') || text.bytes().any(|byte| matches!(byte, b't' | b'T'))
}

fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn parse_digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let fits = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

impl DateParts {
    /// The form that nearly all texts have, `2026-01-31T12:00:00Z`, without looking for its parts; `None` for any other.
    fn parse_usual(text: &str) -> Option<Self> {
        let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
        let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, b'Z'] =
            *bytes
        else {
            return None;
        };
        let digit = |byte: u8| byte.checked_sub(b'0').filter(|digit| *digit <= 9).map(u32::from);
        let two = |tens, ones| Some(digit(tens)? * 10 + digit(ones)?);
        let (year, month, day) = (two(y0, y1)? * 100 + two(y2, y3)?, two(m0, m1)?, two(d0, d1)?);
        let (hour, minute, second) = (two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let second_of_day = i64::from(hour * 3600 + minute * 60 + second);
        Some(Self { year: i64::from(year), month, day, second_of_day, nanos: 0, offset_seconds: 0 })
    }

    fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.find(['t', 'T']) {
            Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
            None => (text, None),
        };
        let (sign, date) = match date.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, date),
        };
        let mut fields = date.split('-');
        let year = sign * i64::from(parse_digits(fields.next()?, 4..=9)?);
        let month = fields.next().map_or(Some(1), |field| parse_digits(field, 2..=2))?;
        let day = fields.next().map_or(Some(1), |field| parse_digits(field, 2..=2))?;
        let in_range = (-292_275_054..=292_278_993).contains(&year) && (1..=12).contains(&month);
        if fields.next().is_some() || !in_range || !(1..=31).contains(&day) {
            return None;
        }
        let mut parts = Self { year, month, day, second_of_day: 0, nanos: 0, offset_seconds: 0 };
        if let Some(time) = time {
            parts.read_time(time)?;
        }
        Some(parts)
    }

    fn read_time(&mut self, time: &str) -> Option<()> {
        let zone_at = time.find(['z', 'Z', '+', '-']).unwrap_or(time.len());
        let (clock, zone) = (time.get(..zone_at)?, time.get(zone_at..)?);
        let mut fields = clock.split(':');
        let hour = parse_digits(fields.next()?, 2..=2)?;
        let minute = parse_digits(fields.next()?, 2..=2)?;
        let mut second = 0;
        if let Some(field) = fields.next() {
            let (whole, fraction) =
                field.split_once('.').map_or((field, None), |(whole, rest)| (whole, Some(rest)));
            second = parse_digits(whole, 2..=2)?;
            if let Some(fraction) = fraction {
                let scale =
                    10_u32.pow(9 - u32::try_from(fraction.len()).ok().filter(|n| (1..=9).contains(n))?);
                self.nanos = parse_digits(fraction, 1..=9)? * scale;
            }
        }
        if fields.next().is_some() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        self.second_of_day = i64::from(hour * 3600 + minute * 60 + second);
        self.offset_seconds = parse_zone(zone)?;
        Some(())
    }
}

/// `Z`, `±hh:mm`, `±hh`, `±hhmm`, or nothing for UTC; in seconds east of UTC.
fn parse_zone(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+')?),
    };
    let (hours, minutes) = match (rest.split_once(':'), rest.len()) {
        (Some((hours, minutes)), _) => (hours, minutes),
        (None, 4) => (rest.get(..2)?, rest.get(2..)?),
        (None, _) => (rest, "00"),
    };
    let (hours, minutes) = (parse_digits(hours, 2..=2)?, parse_digits(minutes, 2..=2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * i64::from(hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date, counting years from March.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `true` or `false` ignoring case (C-33).
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Standard alphabet with padding (C-35).
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_compare_exactly() {
        let decimal = |text| Decimal::parse(text).unwrap();
        assert_eq!(decimal("10"), decimal("010.00"));
        assert_eq!(decimal("-0"), decimal("0"));
        assert!(decimal("9") < decimal("10"));
        assert!(decimal("-10") < decimal("-9.5"));
        assert!(decimal("0.30000000000000001") > decimal("0.3"));
        assert!(decimal("1.05") < decimal("1.5"));
        for bad in ["", "+", "1e3", "0x1F", "10abc", ".5", "5.", " 1", "1 "] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn instants_are_compared_not_texts() {
        let instant = |text| Instant::parse(text).unwrap();
        assert_eq!(instant("2024-01-01T01:00:00+01:00"), instant("2024-01-01"));
        assert_eq!(instant("2024").seconds(), 2024);
        assert_eq!(instant("-5").seconds(), -5);
        assert_eq!(instant("1970-01-01t00:00z").seconds(), 0);
        assert_eq!(instant("2024-02-29T12:34:56.5Z").to_string(), "2024-02-29T12:34:56Z");
        assert_eq!(Instant::parse("2024-02-30T00:00:00Z"), None);
        assert_eq!(instant("2024-02-29T23:59:59Z"), instant("2024-02-29T23:59:59z"));
        assert_eq!(instant("0001-01-01T00:00:00Z"), instant("0001-01-01T00:00Z"));
        for bad in
            ["2024-00-10T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T0:000:00Z"]
        {
            assert_eq!(Instant::parse(bad), None, "{bad}");
        }
        assert!(Instant::check_saved("2024-02-30T00:00:00Z"));
        assert!(!Instant::check_saved("2024-13-01"));
        assert!(
            Instant::check_saved("2024-01-01T00:00:00-01:00") && Instant::check_saved("2024-01-01T00:00Z")
        );
        assert!(Instant::check_saved("2024-01-01T00:00:00-01") && Instant::check_saved("2024-01-01"));
        assert!(!Instant::check_saved("2024-01-01T00:00:00+0100"));
        assert_eq!(instant("2024-01-01T00:00:00+0100"), instant("2024-01-01T00:00:00+01:00"));
        assert_eq!(Instant::parse("2024-01-01T24:00:00Z"), None);
    }
}
