//! The ARN of a resource with places for what the path of a request says.
//!
//! Invariant (ONE-SHAPE): whatever the values are, the text has as many parts between its separators as the template
//! has. So a client that chooses a value chooses among resources of one kind, never another kind.

use super::mapper::Unmapped;

/// Colons before the part of an ARN that is the service's own.
const HEAD_COLONS: usize = 5;

/// Why a rule cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The action is not `vendor:Name`, or has a wildcard.
    #[error("the action {0:?} must have the form `vendor:Name`, without wildcards")]
    Action(String),
    /// The resource is no ARN, or has a wildcard.
    #[error(
        "the resource {0:?} must be `*` or an ARN of six components without wildcards, with placeholders such as `{{id}}`"
    )]
    Resource(String),
    /// The resource has a placeholder that the route does not have.
    #[error("the placeholder `{name}` of the resource is not in the route {route:?}")]
    Placeholder {
        /// Name of the placeholder.
        name: String,
        /// Template of the route.
        route: String,
    },
    /// The same method of the same route is listed twice.
    #[error("{method} {route:?} is listed twice")]
    Twice {
        /// The method.
        method: String,
        /// Template of the route.
        route: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place { name: String, takes: Takes },
}

/// What a place takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Letters, digits, `-`, `_` and `.`: it stands before the fifth colon.
    Word,
    /// Anything without separators.
    Segment,
    /// Segments with `/` between them: `{*name}`.
    Path,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let malformed = || RuleError::Resource(text.to_owned());
        if text == "*" {
            return Ok(Self(vec![Part::Text(text.to_owned())]));
        }
        if !text.starts_with("arn:") {
            return Err(malformed());
        }
        let (mut parts, mut rest, mut colons) = (Vec::new(), text, 0);
        while !rest.is_empty() {
            let (literal, after) =
                rest.split_once('{').map_or((rest, None), |(text, after)| (text, Some(after)));
            if literal.contains(['}', '*', '?']) {
                return Err(malformed());
            }
            colons += literal.matches(':').count();
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
            }
            let Some(after) = after else { break };
            let (place, after) = after.split_once('}').ok_or_else(malformed)?;
            parts.push(place_of(place, colons).ok_or_else(malformed)?);
            rest = after;
        }
        if colons < HEAD_COLONS || text.ends_with(':') {
            return Err(malformed());
        }
        Ok(Self(parts))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Place { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with decoded values. A name that has several values has none.
    pub(super) fn fill<'a, I>(&self, values: impl Fn() -> I) -> Result<String, Unmapped>
    where
        I: Iterator<Item = (&'a str, &'a str)>,
    {
        let mut filled = String::new();
        for part in &self.0 {
            let (name, takes) = match part {
                Part::Text(text) => {
                    filled.push_str(text);
                    continue;
                }
                Part::Place { name, takes } => (name, *takes),
            };
            let mut found = values().filter_map(|(other, value)| (other == name).then_some(value));
            match (found.next(), found.next()) {
                (Some(value), None) if takes.accepts(value) => filled.push_str(value),
                (Some(value), None) => {
                    return Err(Unmapped::new(format!("{value:?} is no value for the placeholder `{name}`")));
                }
                _ => {
                    return Err(Unmapped::new(format!(
                        "the path has not one value for the placeholder `{name}`"
                    )));
                }
            }
        }
        Ok(filled)
    }
}

fn place_of(place: &str, colons: usize) -> Option<Part> {
    let (name, takes) = match place.strip_prefix('*') {
        Some(name) => (name, Takes::Path),
        None => (place, Takes::Segment),
    };
    let takes = match takes {
        Takes::Path if colons < HEAD_COLONS => return None,
        _ if colons < HEAD_COLONS => Takes::Word,
        takes => takes,
    };
    let is_name = !name.is_empty() && !name.contains(['{', '*']);
    is_name.then(|| Part::Place { name: name.to_owned(), takes })
}

impl Takes {
    fn accepts(self, value: &str) -> bool {
        match self {
            Self::Word => {
                let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
                !value.is_empty() && value.bytes().all(is_word)
            }
            Self::Segment => is_segment(value),
            Self::Path => value.split('/').all(is_segment),
        }
    }
}

/// One name. `*` and `?` are ordinary characters to the engine, but a handler or a store behind it might take them for
/// more than one thing; `\` is a separator to some; `.` and `..` name something else than they say.
fn is_segment(value: &str) -> bool {
    let is_odd = |letter: char| letter.is_control() || matches!(letter, '/' | ':' | '\\' | '*' | '?');
    !matches!(value, "" | "." | "..") && !value.contains(is_odd)
}

#[cfg(test)]
mod tests;
