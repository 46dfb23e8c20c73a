//! Texts: lists, ARNs, globs, variables.

use serde_json::Value;

use super::context::{Context, Held};

/// One place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Exactly this character.
    Char(char),
    /// `?`
    One,
    /// `*`
    Any,
}

/// A scalar, or the scalars of a list, as texts (G-40); nulls in a list are dropped (G-6).
pub(crate) fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Bool(flag) => vec![flag.to_string()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

/// The six components of an ARN (M-12).
pub(crate) fn arn_parts(text: &str) -> Option<[&str; 6]> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    <[&str; 6]>::try_from(parts).ok().filter(|parts| parts[0] == "arn")
}

/// M-14: the segments before the resource part ignore case; so nothing but their lower case is looked at.
pub(crate) fn folded_prefix(text: &str) -> String {
    match text.match_indices(':').nth(4) {
        Some((at, _)) => text[..at].to_ascii_lowercase() + &text[at..],
        None => text.to_owned(),
    }
}

/// I-5.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The pattern of a text without variables.
pub(crate) fn glob(text: &str) -> Vec<Piece> {
    text.chars().map(wild).collect()
}

fn wild(character: char) -> Piece {
    match character {
        '*' => Piece::Any,
        '?' => Piece::One,
        other => Piece::Char(other),
    }
}

/// M-1: `Any` takes any run, `One` one character. Two pointers: on a mismatch the last `Any` takes one more.
pub(crate) fn matches(pattern: &[Piece], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(place) {
            Some(Piece::Any) => {
                retry = Some((place + 1, at));
                place += 1;
            }
            Some(Piece::One) => {
                at += 1;
                place += 1;
            }
            Some(Piece::Char(character)) if *character == text[at] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                (place, at) = (after, from + 1);
            }
        }
    }
    pattern[place..].iter().all(|piece| *piece == Piece::Any)
}

/// Whole-text glob ignoring ASCII case.
pub(crate) fn matches_ignoring_case(pattern: &str, text: &str) -> bool {
    matches(&glob(&pattern.to_ascii_lowercase()), &text.to_ascii_lowercase())
}

/// Resolves the variables of `text` (section 4); `None` when one has neither a value nor a default.
/// Without `wildcards`, `*` and `?` of the text are ordinary characters. Values are data (V-8).
pub(crate) fn resolve(text: &str, wildcards: bool, variables: Option<&Context>) -> Option<Vec<Piece>> {
    let plain = |c: char| if wildcards { wild(c) } else { Piece::Char(c) };
    let Some(context) = variables else {
        return Some(text.chars().map(plain).collect());
    };
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start + 2..].find('}') else { break };
        pieces.extend(rest[..start].chars().map(plain));
        let body = &rest[start + 2..start + 2 + length];
        rest = &rest[start + 2 + length + 1..];
        if ["*", "?", "$"].contains(&body) {
            pieces.extend(body.chars().map(Piece::Char));
            continue;
        }
        let (key, default) = match body.split_once(", '") {
            Some((key, default)) => (key, default.strip_suffix('\'')),
            None => (body, None),
        };
        let value = match context.get(&key.to_ascii_lowercase()) {
            Some(Held::Multi(_)) => return None, // V-5
            Some(Held::Single(value)) if !value.is_empty() => value.as_str(),
            _ => default?, // V-6, V-13
        };
        pieces.extend(value.chars().map(Piece::Char));
    }
    pieces.extend(rest.chars().map(plain));
    Some(pieces)
}

/// Splits at the first five colons that stand outside `${...}`.
pub(crate) fn split_components(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut inside = false;
    for (at, character) in pattern.char_indices() {
        match character {
            '$' if pattern[at..].starts_with("${") && pattern[at..].contains('}') => inside = true,
            '}' => inside = false,
            ':' if !inside && parts.len() < 5 => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
}
