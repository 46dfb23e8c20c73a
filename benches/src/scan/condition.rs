//! Conditions with their values parsed once.

use std::net::IpAddr;

use super::facts::{Fact, Facts};
use super::pattern::{Pattern, filled};
use crate::statement::{self, Order, Quantifier, Test};

/// A condition whose values are parsed.
#[derive(Debug)]
pub(super) struct Condition {
    quantifier: Option<Quantifier>,
    negated: bool,
    if_exists: bool,
    folded: String,
    check: Check,
}

#[derive(Debug)]
enum Check {
    Equals(Vec<String>),
    EqualsIgnoreCase(Vec<String>),
    Like(Vec<Pattern>),
    Arn(Vec<Pattern>),
    Numeric(Order, Vec<f64>),
    Date(Order, Vec<i64>),
    Bool(Vec<String>),
    Ip(Vec<Block>),
    Null(Vec<String>),
}

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy)]
enum Block {
    V4(u32, u32),
    V6(u128, u128),
}

impl Condition {
    pub(super) fn new(written: &statement::Condition) -> Self {
        let values = &written.values;
        let patterns = |parts| values.iter().map(|value| Pattern::new(value, parts, 0)).collect();
        let check = match written.test {
            Test::Equals => Check::Equals(values.clone()),
            Test::EqualsIgnoreCase => Check::EqualsIgnoreCase(values.clone()),
            Test::Like => Check::Like(patterns(1)),
            Test::Arn => Check::Arn(patterns(6)),
            Test::Numeric(order) => {
                Check::Numeric(order, values.iter().filter_map(|value| value.parse().ok()).collect())
            }
            Test::Date(order) => {
                Check::Date(order, values.iter().filter_map(|value| seconds(value)).collect())
            }
            Test::Bool => Check::Bool(values.clone()),
            Test::Ip => Check::Ip(values.iter().filter_map(|value| Block::parse(value)).collect()),
            Test::Null => Check::Null(values.clone()),
        };
        Self {
            quantifier: written.quantifier,
            negated: written.negated,
            if_exists: written.if_exists,
            folded: written.key.to_ascii_lowercase(),
            check,
        }
    }

    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        let fact = facts.of(&self.folded);
        if let Check::Null(wanted) = &self.check {
            let missing = fact.is_none() || matches!(fact, Some(Fact::One("")));
            return wanted.iter().any(|wanted| wanted == if missing { "true" } else { "false" });
        }
        match (fact, self.quantifier) {
            (None, Some(Quantifier::ForAllValues)) => true,
            (None, Some(Quantifier::ForAnyValue)) => self.if_exists,
            (None, None) => self.negated || self.if_exists,
            (Some(Fact::Many(_)), None) => false,
            (Some(Fact::Many(values)), Some(Quantifier::ForAllValues)) => values
                .iter()
                .filter(|value| !value.is_empty())
                .all(|value| self.one(&Fact::One(value), facts)),
            (Some(Fact::Many(values)), Some(Quantifier::ForAnyValue)) => {
                values.iter().any(|value| self.one(&Fact::One(value), facts))
            }
            (Some(fact), _) => self.one(&fact, facts),
        }
    }

    /// Whether one value of the request passes; a value that does not read as the operator wants passes nothing.
    fn one(&self, fact: &Fact<'_>, facts: &Facts<'_>) -> bool {
        let variable = |name: &str| facts.variable(name);
        let any = match (&self.check, fact) {
            (Check::Equals(wanted), Fact::One(value)) => Some(
                wanted.iter().any(|wanted| filled(wanted, &variable).is_some_and(|wanted| wanted == *value)),
            ),
            (Check::EqualsIgnoreCase(wanted), Fact::One(value)) => Some(wanted.iter().any(|wanted| {
                filled(wanted, &variable).is_some_and(|wanted| wanted.to_lowercase() == value.to_lowercase())
            })),
            (Check::Like(patterns), Fact::One(value)) => {
                Some(patterns.iter().any(|pattern| pattern.matches(&[value.as_bytes()], &variable)))
            }
            (Check::Arn(patterns), Fact::One(value)) => {
                let parts: Vec<&[u8]> = value.splitn(6, ':').map(str::as_bytes).collect();
                let whole = |pattern: &&Pattern| !matches!(pattern, Pattern::Everything);
                (parts.len() == 6)
                    .then(|| patterns.iter().filter(whole).any(|pattern| pattern.matches(&parts, &variable)))
            }
            (Check::Numeric(order, wanted), Fact::One(value)) => {
                value.parse().ok().map(|value: f64| wanted.iter().any(|wanted| order.holds(&value, wanted)))
            }
            (Check::Numeric(..), Fact::Seconds(_)) => None,
            (Check::Date(order, wanted), Fact::Seconds(value)) => {
                Some(wanted.iter().any(|wanted| order.holds(value, wanted)))
            }
            (Check::Date(order, wanted), Fact::One(value)) => {
                seconds(value).map(|value| wanted.iter().any(|wanted| order.holds(&value, wanted)))
            }
            (Check::Bool(wanted), Fact::One(value)) => {
                Some(wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(value)))
            }
            (Check::Ip(blocks), Fact::One(value)) => {
                value.parse().ok().map(|address| blocks.iter().any(|block| block.contains(address)))
            }
            _ => None,
        };
        any.is_some_and(|any| any != self.negated)
    }
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, wanted: &T) -> bool {
        match self {
            Self::Equals => value == wanted,
            Self::LessThan => value < wanted,
            Self::LessThanEquals => value <= wanted,
            Self::GreaterThan => value > wanted,
            Self::GreaterThanEquals => value >= wanted,
        }
    }
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, n)| (address, Some(n)));
        match address.parse().ok()? {
            IpAddr::V4(address) => {
                let length: u32 = length.map_or(Some(32), |length| length.parse().ok())?;
                let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
                Some(Self::V4(u32::from(address) & mask, mask))
            }
            IpAddr::V6(address) => {
                let length: u32 = length.map_or(Some(128), |length| length.parse().ok())?;
                let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
                Some(Self::V6(u128::from(address) & mask, mask))
            }
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(network, mask), IpAddr::V4(address)) => u32::from(address) & mask == network,
            (Self::V6(network, mask), IpAddr::V6(address)) => u128::from(address) & mask == network,
            _ => false,
        }
    }
}

/// Seconds since 1970 of a date-time in the one form that the worlds write: `2026-01-31T12:00:00Z`.
#[must_use]
pub fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: Option<&str>| text?.parse::<i64>().ok();
    let (mut date, mut time) = (date.split('-'), time.split(':'));
    let (year, month, day) = (number(date.next())?, number(date.next())?, number(date.next())?);
    let (hour, minute, second) = (number(time.next())?, number(time.next())?, number(time.next())?);
    // Years that begin in March end in their leap day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 1
        - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::seconds;
    use crate::question::NOW_SECONDS;

    #[test]
    fn a_date_is_its_seconds() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2026-05-06T07:08:09Z"), Some(NOW_SECONDS));
        assert_eq!(seconds("2024-02-29T00:00:00Z"), Some(1_709_164_800));
        assert_eq!(seconds("2024-02"), None);
    }
}
