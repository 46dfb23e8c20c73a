//! Compiled conditions: every value read once, at load.

use super::pool::PoolBuilder;
use crate::condition::value::{Instant, IpNetwork, Networks, StoredDecimal, decode_base64, parse_bool};
use crate::condition::{Family, Operator, Qualifier};
use crate::pattern::Pattern;
use crate::policy;

/// One operator applied to one key.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) key: u32,
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
    pub(crate) qualifier: Option<Qualifier>,
    pub(crate) if_exists: bool,
    pub(crate) values: Values,
}

/// Typed values and whether one of them could not be read (C-15).
#[derive(Debug)]
pub(crate) struct Typed<T> {
    pub(crate) values: Box<[T]>,
    pub(crate) malformed: bool,
}

/// The values of a condition, by family.
#[derive(Debug)]
pub(crate) enum Values {
    /// An empty list (C-47).
    Empty,
    /// `StringEquals`, `StringLike` and their negations.
    Text(Box<[Pattern]>),
    /// More literals than are worth scanning.
    Literals(Box<Literals>),
    /// The `IgnoreCase` operators: literals in lower case, and patterns with variables.
    Folded {
        literals: Box<[Box<str>]>,
        patterns: Box<[Pattern]>,
    },
    Numeric(Typed<StoredDecimal>),
    Date(Typed<Instant>),
    /// Which booleans are listed, and texts with variables.
    Bool {
        yes: bool,
        no: bool,
        patterns: Box<[Pattern]>,
    },
    Binary(Typed<Vec<u8>>),
    /// The networks as ranges, and whether one could not be read (C-15).
    Ip {
        networks: Networks,
        malformed: bool,
    },
    Arn(Typed<[Pattern; 6]>),
    /// Which of `true` (missing) and `false` (present) are listed.
    Null {
        missing: bool,
        present: bool,
    },
}

/// A set of literals.
pub(crate) type Literals = hashbrown::HashSet<Box<str>, foldhash::fast::RandomState>;

impl Condition {
    /// The patterns among its values.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let (plain, arns): (&[Pattern], &[[Pattern; 6]]) = match &self.values {
            Values::Text(patterns) | Values::Folded { patterns, .. } | Values::Bool { patterns, .. } => {
                (patterns, &[])
            }
            Values::Arn(arns) => (&[], &arns.values),
            _ => (&[], &[]),
        };
        plain.iter().chain(arns.iter().flatten())
    }
}

/// Literals from which on a set beats a scan.
const LITERALS_SET_MIN: usize = 9;

pub(crate) fn compile_condition(
    pool: &mut PoolBuilder,
    source: &policy::Condition,
    variables: bool,
) -> Condition {
    let texts: Vec<&str> = source.values.iter().map(|value| value.value.as_str()).collect();
    Condition {
        key: pool.key(&source.key.value),
        operator: source.operator,
        negated: source.operator.is_negated(),
        qualifier: source.qualifier,
        if_exists: source.if_exists,
        values: values(pool, source.operator, &texts, variables),
    }
}

fn values(pool: &mut PoolBuilder, operator: Operator, texts: &[&str], variables: bool) -> Values {
    if texts.is_empty() {
        return Values::Empty;
    }
    match operator.family() {
        Family::String => strings(pool, operator, texts, variables),
        Family::Numeric => Values::Numeric(typed(texts, StoredDecimal::parse)),
        Family::Date => Values::Date(typed(texts, Instant::parse)),
        Family::Bool => {
            let listed = |flag| texts.iter().any(|text| parse_bool(text) == Some(flag));
            let with_variables = texts.iter().filter(|text| variables && text.contains("${"));
            let patterns = with_variables.map(|text| pool.pattern(text, false, true)).collect();
            Values::Bool { yes: listed(true), no: listed(false), patterns }
        }
        Family::Binary => Values::Binary(typed(texts, decode_base64)),
        Family::Ip => {
            let networks: Vec<_> = texts.iter().filter_map(|text| IpNetwork::parse(text)).collect();
            Values::Ip { malformed: networks.len() < texts.len(), networks: Networks::new(&networks) }
        }
        Family::Arn => {
            let mut patterns = Vec::new();
            for text in texts {
                if let Some(components) = split_arn(text, variables) {
                    patterns.push(components.map(|component| pool.pattern(component, true, variables)));
                }
            }
            Values::Arn(Typed { malformed: patterns.len() < texts.len(), values: patterns.into() })
        }
        Family::Null => {
            let listed = |flag| texts.iter().any(|text| parse_bool(text) == Some(flag));
            Values::Null { missing: listed(true), present: listed(false) }
        }
    }
}

fn strings(pool: &mut PoolBuilder, operator: Operator, texts: &[&str], variables: bool) -> Values {
    let plain = |text: &str| !(variables && text.contains("${"));
    match operator {
        Operator::StringEqualsIgnoreCase | Operator::StringNotEqualsIgnoreCase => {
            let literals =
                texts.iter().filter(|text| plain(text)).map(|text| fold_characters(text).into()).collect();
            let patterns = texts
                .iter()
                .filter(|text| !plain(text))
                .map(|text| pool.pattern(text, false, true))
                .collect();
            Values::Folded { literals, patterns }
        }
        Operator::StringLike | Operator::StringNotLike => {
            Values::Text(texts.iter().map(|text| pool.pattern(text, true, variables)).collect())
        }
        _ if texts.len() >= LITERALS_SET_MIN && texts.iter().all(|text| plain(text)) => {
            Values::Literals(Box::new(texts.iter().map(|text| Box::from(*text)).collect()))
        }
        _ => Values::Text(texts.iter().map(|text| pool.pattern(text, false, variables)).collect()),
    }
}

fn typed<T>(texts: &[&str], parse: impl Fn(&str) -> Option<T>) -> Typed<T> {
    let values: Box<[T]> = texts.iter().filter_map(|text| parse(text)).collect();
    Typed { malformed: values.len() < texts.len(), values }
}

/// Lower case, code point by code point (C-19).
pub(crate) fn fold_characters(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The six components; colons inside `${...}` do not split.
fn split_arn(text: &str, variables: bool) -> Option<[&str; 6]> {
    let mut components = [""; 6];
    let mut rest = text;
    for component in components.iter_mut().take(5) {
        let at = colon(rest, variables)?;
        *component = rest.get(..at)?;
        rest = rest.get(at + 1..)?;
    }
    if let Some(last) = components.last_mut() {
        *last = rest;
    }
    Some(components)
}

fn colon(text: &str, variables: bool) -> Option<usize> {
    let mut inside = false;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '{' if variables && before == '$' => inside = true,
            '}' => inside = false,
            ':' if !inside => return Some(at),
            _ => {}
        }
        before = character;
    }
    None
}
