//! Addresses and blocks of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parse_digits;

/// An address block (C-36, C-37); host bits are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpNetwork {
    /// Network and mask.
    V4(u32, u32),
    /// Network and mask.
    V6(u128, u128),
}

impl IpNetwork {
    /// An address or `address/length`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let length = length.map_or(Some(None), |text| parse_digits(text, 1..=3).map(Some))?;
        if let Ok(address) = address.parse::<Ipv4Addr>() {
            let length = length.unwrap_or(32);
            let mask = if length == 0 { 0 } else { u32::MAX << 32_u32.checked_sub(length)? };
            return Some(Self::V4(u32::from(address) & mask, mask));
        }
        let address = u128::from(address.parse::<Ipv6Addr>().ok()?);
        let length = length.unwrap_or(128);
        let mask = if length == 0 { 0 } else { u128::MAX << 128_u32.checked_sub(length)? };
        Some(Self::V6(address & mask, mask))
    }

    /// Whether the address is within; families never match each other (C-39).
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(network, mask), IpAddr::V4(address)) => u32::from(address) & mask == *network,
            (Self::V6(network, mask), IpAddr::V6(address)) => u128::from(address) & mask == *network,
            _ => false,
        }
    }
}

/// Many networks as sorted ranges that do not touch: one search tells whether an address is in any of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// First and last address of each range.
    v4: Box<[(u32, u32)]>,
    /// First and last address of each range.
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The union of the networks.
    #[must_use]
    pub fn new(networks: &[IpNetwork]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match *network {
                IpNetwork::V4(first, mask) => v4.push((first, first | !mask)),
                IpNetwork::V6(first, mask) => v6.push((first, first | !mask)),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether the address is within one of them; families never match each other (C-39).
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => in_ranges(&self.v4, u32::from(address)),
            IpAddr::V6(address) => in_ranges(&self.v6, u128::from(address)),
        }
    }
}

/// Sorted, and each range that begins within the one before joined to it.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn in_ranges<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

/// A request's address; IPv4 mapped into IPv6 counts as IPv4 (C-39).
#[must_use]
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    Some(match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_union_holds_what_one_of_its_networks_holds() {
        let texts = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "0.0.0.0/32",
            "255.255.255.255/32",
            "203.0.113.128/25",
            "2001:db8::/32",
        ];
        let networks: Vec<_> = texts.iter().map(|text| IpNetwork::parse(text).unwrap()).collect();
        let union = Networks::new(&networks);
        for address in [
            "0.0.0.0",
            "0.0.0.1",
            "9.255.255.255",
            "10.0.0.0",
            "10.1.2.3",
            "10.255.255.255",
            "11.0.0.0",
            "203.0.113.127",
            "203.0.113.128",
            "255.255.255.255",
            "2001:db8::1",
            "2001:db9::",
            "::",
        ] {
            let address = parse_address(address).unwrap();
            assert_eq!(union.contains(address), networks.iter().any(|it| it.contains(address)), "{address}");
        }
        assert!(!Networks::default().contains(parse_address("::").unwrap()));
    }

    #[test]
    fn networks_ignore_host_bits_and_keep_families_apart() {
        let network = IpNetwork::parse("203.0.113.77/24").unwrap();
        assert!(network.contains(parse_address("203.0.113.1").unwrap()));
        assert!(network.contains(parse_address("::ffff:203.0.113.1").unwrap()));
        assert!(!network.contains(parse_address("2001:db8::1").unwrap()));
        assert!(IpNetwork::parse("0.0.0.0/0").unwrap().contains(parse_address("8.8.8.8").unwrap()));
        for bad in ["203.0.113.0/33", "203.0.113.01", "fe80::1%eth0", "1.2.3.4:80", "1.2.3.4/+8", ""] {
            assert_eq!(IpNetwork::parse(bad), None, "{bad}");
        }
    }
}
