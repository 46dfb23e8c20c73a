//! Values of the typed operators: decimals, instants, addresses, bytes.

use std::cmp::Ordering;
use std::net::IpAddr;

/// C-24: exact decimals, as a list that compares as the number does: how many digits stand before the point, the
/// digits counted from one, the digits after the point, and an end; all of them negated in a negative number.
pub(crate) fn number(text: &str) -> Option<Vec<i64>> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let mut list = vec![sign * whole.len() as i64];
    list.extend(whole.bytes().chain(fraction.bytes()).map(|digit| sign * i64::from(digit - b'0' + 1)));
    list.push(0);
    Some(list)
}

/// C-27..C-30: seconds since 1970 and nanoseconds.
pub(crate) fn date(text: &str) -> Option<(i64, u32)> {
    let dashed = text.char_indices().any(|(at, character)| character == '-' && at > 0);
    if !dashed && !text.contains(['t', 'T']) {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        return numeric.then(|| text.parse().ok()).flatten().map(|seconds| (seconds, 0));
    }
    let (day, time) = match text.split_once(['t', 'T']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let fields: Vec<&str> = day.split('-').collect();
    let (year, month, day) = match *fields.as_slice() {
        [year, month] if time.is_none() => (fixed(year, 4)?, fixed(month, 2)?, 1),
        [year, month, day] => (fixed(year, 4)?, fixed(month, 2)?, fixed(day, 2)?),
        _ => return None,
    };
    let days = days_from_civil(year, month, day)?;
    let (seconds, nanos) = time.map_or(Some((0, 0)), time_of_day)?;
    Some((days * 86_400 + seconds, nanos))
}

fn fixed(text: &str, width: usize) -> Option<i64> {
    let digits = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let length = match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    let before_year = |y: i64| 365 * y + (y + 3) / 4 - (y + 99) / 100 + (y + 399) / 400;
    let before_month =
        [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][usize::try_from(month - 1).ok()?];
    let leap_day = i64::from(month > 2 && leap(year));
    Some(before_year(year) - before_year(1970) + before_month + leap_day + day - 1)
}

/// `hh:mm[:ss[.fraction]]` and a zone; seconds may be negative or beyond a day after the shift to UTC.
fn time_of_day(text: &str) -> Option<(i64, u32)> {
    let (clock, shift) = match text.find(['Z', 'z', '+', '-']) {
        None => (text, 0),
        Some(at) => (&text[..at], zone(&text[at..])?),
    };
    let fields: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second, fraction) = match *fields.as_slice() {
        [hour, minute] => (hour, minute, "00", None),
        [hour, minute, second] => match second.split_once('.') {
            Some((second, fraction)) => (hour, minute, second, Some(fraction)),
            None => (hour, minute, second, None),
        },
        _ => return None,
    };
    let (hour, minute, second) = (fixed(hour, 2)?, fixed(minute, 2)?, fixed(second, 2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match fraction {
        None => 0,
        Some(digits) if digits.is_empty() || digits.len() > 9 => return None,
        Some(digits) => {
            fixed(digits, digits.len())?;
            format!("{digits:0<9}").parse().ok()?
        }
    };
    Some((hour * 3600 + minute * 60 + second - shift, nanos))
}

fn zone(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text[1..].replacen(':', "", 1);
    let (hours, minutes) = match digits.len() {
        2 => (fixed(&digits, 2)?, 0),
        4 => (fixed(&digits[..2], 2)?, fixed(&digits[2..], 2)?),
        _ => return None,
    };
    Some(sign * (hours * 3600 + minutes * 60))
}

/// The text of an instant, whole seconds, as the clock keys hold it.
pub(crate) fn date_text(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970 + days.div_euclid(366);
    while days_from_civil(year + 1, 1, 1).is_some_and(|first| first <= days) {
        year += 1;
    }
    let first_of = |month: i64| days_from_civil(year, month, 1).unwrap_or(i64::MAX);
    let month = (1..=12).rev().find(|month| first_of(*month) <= days).unwrap_or(1);
    let day = days - first_of(month) + 1;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// C-36..C-41: an address of the request; IPv4-mapped addresses are IPv4.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    Some(match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    })
}

/// An address or CIDR of a policy.
pub(crate) fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => full,
        Some(digits) if digits.is_empty() || digits.len() > 3 => return None,
        Some(digits) => u32::try_from(fixed(digits, digits.len())?).ok()?,
    };
    (length <= full).then_some((address, length))
}

pub(crate) fn contains(network: (IpAddr, u32), address: IpAddr) -> bool {
    let (base, length) = network;
    let (base, address, width) = match (base, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
        _ => return false,
    };
    (base ^ address).checked_shr(width - length).unwrap_or(0) == 0
}

/// C-35: standard alphabet with padding.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in body.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == byte)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    (bits & ((1 << count) - 1) == 0).then_some(out)
}

/// Whether `request OP policy` holds for the comparison named by the end of an operator's name.
pub(crate) fn holds(comparison: &str, ordering: Ordering) -> bool {
    match comparison {
        "lessthan" => ordering.is_lt(),
        "lessthanequals" => ordering.is_le(),
        "greaterthan" => ordering.is_gt(),
        "greaterthanequals" => ordering.is_ge(),
        _ => ordering.is_eq(),
    }
}
