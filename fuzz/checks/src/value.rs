//! Typed values of conditions: total, exact, and the same forwards and backwards.

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine as _;
use portcullis_engine::Instant;
use portcullis_engine::condition::value::{
    Decimal, IpNetwork, Networks, StoredDecimal, decode_base64, parse_address, parse_bool,
};

pub(crate) const WORDS: &[&str] = &[
    "0",
    "1",
    "9",
    "-",
    "+",
    ".",
    "T",
    "t",
    "Z",
    "z",
    ":",
    "2024-02-29",
    "0000-01-01",
    "9999-12-31T23:59:59Z",
    "2026-01-31T12:00:00Z",
    "+14:00",
    "-23:59",
    ".123456789",
    "10.0.0.0/8",
    "::1",
    "::ffff:10.0.0.1",
    "2001:db8::/32",
    "/0",
    "/32",
    "/128",
    "9223372036854775807",
    "-9223372036854775808",
    "true",
    "FALSE",
    "YQ==",
    "\n",
    "292278993",
    "-292275054",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
    seeds.extend(
        [
            "1.50\n1.5",
            "-0\n0",
            "0.30000000000000001\n0.3",
            "2026-01-31T12:00:00.5+02:00\n2026-01-31T10:00:00Z",
            "10.0.0.0/8\n10.255.255.255",
            "2001:db8::/33\n2001:db8:8000::1",
            "0.0.0.0/0\n::1",
            "-0001-01-01\n-62167219200",
        ]
        .map(Into::into),
    );
    seeds
}

/// Two texts, one a line.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (one, other) = text.split_once('\n').unwrap_or((text, ""));
    numbers(one, other);
    for text in [one, other] {
        instants(text);
        let boolean = parse_bool(text);
        assert_eq!(boolean, text.to_ascii_lowercase().parse().ok(), "{text}");
        if let Some(decoded) = decode_base64(text) {
            assert_eq!(base64::engine::general_purpose::STANDARD.encode(decoded), text);
        }
    }
    networks(one, other);
}

fn numbers(one: &str, other: &str) {
    let (Some(a), stored) = (Decimal::parse(one), StoredDecimal::parse(one)) else {
        assert!(StoredDecimal::parse(one).is_none());
        return;
    };
    assert_eq!(stored.as_ref().map(StoredDecimal::as_decimal), Some(a));
    assert!(one.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')), "{one}");
    assert_eq!(Decimal::parse(&format!("{}0{}", sign(one), unsigned(one))), Some(a), "a leading zero");
    let longer = if one.contains('.') { format!("{one}0") } else { format!("{one}.0") };
    assert_eq!(Decimal::parse(&longer), Some(a), "a trailing zero");
    let Some(b) = Decimal::parse(other) else { return };
    let order = a.cmp(&b);
    assert_eq!(order, b.cmp(&a).reverse());
    assert_eq!(order == Ordering::Equal, a == b);
    // Rounding keeps the order, though not strictly.
    let (x, y): (f64, f64) = (one.parse().expect("a number"), other.parse().expect("a number"));
    let rounded = x.partial_cmp(&y).expect("no NaN");
    assert!(rounded == order || rounded == Ordering::Equal, "{one} {other}: {order:?}");
}

fn sign(text: &str) -> &str {
    if text.starts_with(['-', '+']) { &text[..1] } else { "" }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// The first second of the year 0.
const YEAR_ZERO: i64 = -62_167_219_200;
/// A second in one of the last years that are read.
const YEAR_LAST: i64 = 9_000_000_000_000_000;

fn instants(text: &str) {
    let Some(instant) = Instant::parse(text) else { return };
    let date_time = text.bytes().skip(1).any(|byte| byte == b'-') || text.contains(['t', 'T']);
    if date_time || instant.seconds() >= 0 {
        assert!(Instant::check_saved(text), "{text} is read but may not be saved");
    }
    // The usual form has a reader of its own; with a small z it goes the long way.
    if let Some(short) = text.strip_suffix('Z') {
        assert_eq!(Instant::parse(&format!("{short}z")), Some(instant), "{text}");
    }
    assert!(instant.nanos() < 1_000_000_000);
    let written = instant.to_string();
    if (YEAR_ZERO..=YEAR_LAST).contains(&instant.seconds()) {
        let again = Instant::parse(&written).unwrap_or_else(|| panic!("{text} is written {written}"));
        assert_eq!((again.seconds(), again.nanos()), (instant.seconds(), 0), "{text} is written {written}");
    }
    let number = instant.seconds().to_string();
    assert_eq!(Instant::parse(&number), Some(Instant::new(instant.seconds(), 0)), "{number}");
}

fn networks(block: &str, address: &str) {
    let Some(network) = IpNetwork::parse(block) else { return };
    let (base, length) = block.split_once('/').map_or((block, None), |(base, length)| (base, Some(length)));
    let base: IpAddr = base.parse().expect("what is read has an address");
    assert!(network.contains(base), "{block} does not contain its own address");
    let length: u32 = match (length, base) {
        (Some(length), _) => length.parse().expect("digits"),
        (None, IpAddr::V4(_)) => 32,
        (None, IpAddr::V6(_)) => 128,
    };
    let Some(address) = parse_address(address) else { return };
    let expected = match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            (u32::from(base) ^ u32::from(address)).checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            (u128::from(base) ^ u128::from(address)).checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
    };
    assert_eq!(network.contains(address), expected, "{block} {address}");
    let others =
        ["10.0.0.0/9", "192.0.2.0/24", "2001:db8::/40"].map(|text| IpNetwork::parse(text).expect("a block"));
    let many = [others[0], network, others[1], others[2], network];
    let in_one = many.iter().any(|network| network.contains(address));
    assert_eq!(Networks::new(&many).contains(address), in_one, "{block} {address}");
}
