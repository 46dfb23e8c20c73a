//! Statements and policy sets (sections 2 and 7.2).

use std::borrow::Cow;

use serde_json::Value;

use super::Ask;
use super::condition;
use super::principal::{self, Classes};
use super::text::{self, Piece, arn_parts, resolve, strings};

/// The policy types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Identity,
    Resource,
    Boundary,
    Session,
    Scp,
    Rcp,
    Endpoint,
    Trust,
}

impl Layer {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Resource => "resource",
            Self::Boundary => "boundary",
            Self::Session => "session",
            Self::Scp => "scp",
            Self::Rcp => "rcp",
            Self::Endpoint => "endpoint",
            Self::Trust => "trust",
        }
    }

    fn names_principals(self) -> bool {
        matches!(self, Self::Resource | Self::Rcp | Self::Endpoint | Self::Trust)
    }
}

/// What a set of documents of one type says (E-4), an Allow by the class of the principal entry that matched.
pub(crate) fn evaluate(documents: &[Cow<'_, Value>], layer: Layer, ask: &Ask<'_>) -> Classes {
    let mut verdict = Classes::default();
    for document in documents {
        let variables = document["Version"] == "2012-10-17"; // V-3
        let statements = match &document["Statement"] {
            Value::Array(statements) => statements.as_slice(),
            single => std::slice::from_ref(single),
        };
        for statement in statements {
            let denies = statement["Effect"] == "Deny";
            let applies = action_matches(statement, denies, ask)
                && resource_matches(statement, denies, layer, variables, ask)
                && condition::holds(&statement["Condition"], denies, variables, &ask.context);
            if !applies {
                continue;
            }
            let classes = if layer.names_principals() {
                principal::classes(statement, denies, ask)
            } else {
                Classes { direct: true, ..Classes::default() }
            };
            if !denies {
                verdict.add(classes);
            } else if classes.any() {
                verdict.deny = true; // P-9
            }
        }
    }
    verdict
}

/// M-4..M-9.
fn action_matches(statement: &Value, denies: bool, ask: &Ask<'_>) -> bool {
    let (entries, inverted) = match statement.get("NotAction") {
        Some(entries) => (entries, true),
        None => (&statement["Action"], false),
    };
    // an entry with a wildcard in its vendor works only where matching more grants less
    let vendor_wildcards = denies != inverted;
    let listed = strings(entries).iter().any(|entry| {
        if entry == "*" || entry == "*:*" {
            return true;
        }
        let Some((vendor, name)) = entry.split_once(':') else { return false };
        let vendor_matches = if vendor.contains(['*', '?']) {
            vendor_wildcards && text::matches_ignoring_case(vendor, &ask.vendor)
        } else {
            vendor.eq_ignore_ascii_case(&ask.vendor)
        };
        vendor_matches && text::matches_ignoring_case(name, &ask.name)
    });
    listed != inverted
}

/// M-12..M-26, V-12.
fn resource_matches(statement: &Value, denies: bool, layer: Layer, variables: bool, ask: &Ask<'_>) -> bool {
    let (entries, inverted) = match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(entries), _) => (entries, false),
        (None, Some(entries)) => (entries, true),
        (None, None) => return true, // G-51
    };
    let either_reading = denies != inverted; // M-19
    let mut listed = false;
    for entry in strings(entries) {
        match entry_matches(&entry, either_reading, layer, variables, ask) {
            Some(matches) => listed |= matches,
            None if inverted && !denies => return false, // V-12
            None => {}
        }
    }
    listed != inverted
}

/// One Resource entry; `None` when a variable of it has no value.
fn entry_matches(
    entry: &str,
    either_reading: bool,
    layer: Layer,
    variables: bool,
    ask: &Ask<'_>,
) -> Option<bool> {
    if entry.chars().all(|character| character == '*') {
        return Some(true);
    }
    let Some(entry) = padded(entry, layer) else { return Some(false) };
    let Some(pattern) = arn_parts(&entry) else { return Some(false) };
    let resource_part = resolve(pattern[5], true, variables.then_some(&ask.context))?;
    let Some(resource) = arn_parts(ask.resource) else { return Some(false) }; // M-25
    let by_segment = (1..5).all(|at| text::matches_ignoring_case(pattern[at], resource[at]))
        && text::matches(&resource_part, resource[5]);
    if by_segment || !either_reading || !pattern[..5].iter().any(|segment| segment.ends_with('*')) {
        return Some(by_segment);
    }
    let mut whole: Vec<Piece> = Vec::new();
    for segment in &pattern[..5] {
        whole.extend(text::glob(&segment.to_ascii_lowercase()));
        whole.push(Piece::Char(':'));
    }
    whole.extend(resource_part);
    let lower_prefix = resource[..5].join(":").to_ascii_lowercase();
    Some(text::matches(&whole, &format!("{lower_prefix}:{}", resource[5])))
}

/// M-22: the entry with six segments, or nothing when a short one has no meaning in this layer.
fn padded(entry: &str, layer: Layer) -> Option<String> {
    let segments = entry.splitn(6, ':').count();
    if segments == 6 {
        return Some(entry.to_owned());
    }
    let pads = match layer {
        Layer::Identity | Layer::Boundary | Layer::Session => true,
        Layer::Resource | Layer::Endpoint | Layer::Trust => entry.contains('*'),
        Layer::Scp => entry.ends_with('*'),
        Layer::Rcp => false,
    };
    pads.then(|| format!("{entry}{}", ":*".repeat(6 - segments)))
}
