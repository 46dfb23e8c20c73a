//! Wildcard patterns (semantics.md M-1 to M-3): compiled once, matched in linear time or within a step budget.
//!
//! Variables are pieces of the pattern, so nothing is compiled at request time (V-15).

use std::cell::Cell;

use crate::policy::variable::{Piece, pieces};

/// What a pattern needs from the request.
pub(crate) trait Resolve {
    /// The text of the variable `index` of the pool, or `None` when it cannot be resolved (V-5, V-10, V-13).
    fn variable(&self, index: u32) -> Option<&str>;
    /// Steps left; matching stops (and does not match) at zero.
    fn steps(&self) -> &Cell<u32>;
}

/// For patterns without variables: nothing to resolve, only steps to count.
pub(crate) struct NoVariables<'s> {
    pub(crate) steps: &'s Cell<u32>,
}

impl Resolve for NoVariables<'_> {
    fn variable(&self, _: u32) -> Option<&str> {
        None
    }

    fn steps(&self) -> &Cell<u32> {
        self.steps
    }
}

/// A compiled piece.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Literal(Box<str>),
    Star,
    One,
    Variable(u32),
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Glob(Box<[Part]>),
    Variables(Box<[Part]>),
}

/// The result of a match that may depend on variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matched {
    Yes,
    No,
    Unresolved,
}

impl Pattern {
    /// Compiles text; `variable` interns a key with its default and is only called when `variables` is set.
    pub(crate) fn compile(
        text: &str,
        wildcards: bool,
        variables: bool,
        variable: &mut dyn FnMut(&str, Option<&str>) -> u32,
    ) -> Self {
        let pieces = pieces(text, wildcards, variables);
        match pieces.as_slice() {
            [] => return Self::Exact("".into()),
            [Piece::Star] => return Self::Any,
            [Piece::Literal(text)] => return Self::Exact(text.clone()),
            [Piece::Literal(text), Piece::Star] => return Self::Prefix(text.clone()),
            [Piece::Star, Piece::Literal(text)] => return Self::Suffix(text.clone()),
            _ => {}
        }
        let mut has_variables = false;
        let mut parts: Vec<Part> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            parts.push(match piece {
                Piece::Literal(text) => Part::Literal(text),
                Piece::Star => Part::Star,
                Piece::One => Part::One,
                Piece::Variable { key, default } => {
                    has_variables = true;
                    Part::Variable(variable(&key, default.as_deref()))
                }
            });
        }
        if has_variables { Self::Variables(parts.into()) } else { Self::Glob(parts.into()) }
    }

    /// Without wildcards and variables in play.
    pub(crate) fn without_variables(text: &str) -> Self {
        Self::compile(text, true, false, &mut |_, _| 0)
    }

    /// Whether the pattern needs the request to be understood.
    pub(crate) fn has_variables(&self) -> bool {
        matches!(self, Self::Variables(_))
    }

    /// The text with which everything that matches starts.
    pub(crate) fn literal_start(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Glob(parts) | Self::Variables(parts) => match parts.first() {
                Some(Part::Literal(text)) => text,
                _ => "",
            },
            Self::Any | Self::Suffix(_) => "",
        }
    }

    /// The variables it mentions.
    pub(crate) fn variables(&self) -> impl Iterator<Item = u32> + '_ {
        let parts: &[Part] = if let Self::Variables(parts) = self { parts } else { &[] };
        parts.iter().filter_map(|part| if let Part::Variable(index) = part { Some(*index) } else { None })
    }

    /// The text of a pattern without wildcards; `None` when a variable cannot be resolved.
    pub(crate) fn substituted(&self, resolve: &impl Resolve) -> Option<String> {
        match self {
            Self::Exact(text) => Some(text.to_string()),
            Self::Variables(parts) => parts.iter().map(|part| literal(part, resolve)).collect(),
            Self::Any | Self::Prefix(_) | Self::Suffix(_) | Self::Glob(_) => None,
        }
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str, resolve: &impl Resolve) -> Matched {
        let matched = match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Glob(parts) => glob(parts, text, resolve),
            Self::Variables(parts) => {
                if self.variables().any(|index| resolve.variable(index).is_none()) {
                    return Matched::Unresolved;
                }
                glob(parts, text, resolve)
            }
        };
        if matched { Matched::Yes } else { Matched::No }
    }
}

/// Matches parts against the whole text: the first and the last run of parts are anchored, each run between two
/// stars takes the leftmost place.
fn glob(parts: &[Part], text: &str, resolve: &impl Resolve) -> bool {
    let mut runs = parts.split(|part| matches!(part, Part::Star));
    let Some(first) = runs.next() else { return text.is_empty() };
    let Some(mut rest) = strip_front(first, text, resolve) else { return false };
    let mut runs = runs.peekable();
    if runs.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(run) = runs.next() {
        if runs.peek().is_none() {
            return strip_back(run, rest, resolve);
        }
        match find(run, rest, resolve) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

fn literal<'p>(part: &'p Part, resolve: &'p impl Resolve) -> Option<&'p str> {
    match part {
        Part::Literal(text) => Some(text),
        Part::Variable(index) => resolve.variable(*index),
        Part::Star | Part::One => None,
    }
}

/// What follows the run at the start of `text`.
fn strip_front<'t>(run: &[Part], text: &'t str, resolve: &impl Resolve) -> Option<&'t str> {
    let mut rest = text;
    for part in run {
        rest = if matches!(part, Part::One) {
            let mut characters = rest.chars();
            characters.next()?;
            characters.as_str()
        } else {
            rest.strip_prefix(literal(part, resolve)?)?
        };
    }
    Some(rest)
}

/// Whether the run stands at the end of `text`.
fn strip_back(run: &[Part], text: &str, resolve: &impl Resolve) -> bool {
    let mut rest = text;
    for part in run.iter().rev() {
        let before = if matches!(part, Part::One) {
            let mut characters = rest.chars();
            characters.next_back().map(|_| characters.as_str())
        } else {
            literal(part, resolve).and_then(|literal| rest.strip_suffix(literal))
        };
        match before {
            Some(before) => rest = before,
            None => return false,
        }
    }
    true
}

/// What follows the leftmost place of the run in `text`.
fn find<'t>(run: &[Part], text: &'t str, resolve: &impl Resolve) -> Option<&'t str> {
    let first = run.first().and_then(|part| literal(part, resolve));
    let mut rest = text;
    if run.len() == 1
        && let Some(first) = first
    {
        spend(resolve, rest.len())?;
        let at = memchr::memmem::find(rest.as_bytes(), first.as_bytes())?;
        return rest.get(at + first.len()..);
    }
    loop {
        if let Some(first) = first {
            let at = memchr::memmem::find(rest.as_bytes(), first.as_bytes())?;
            spend(resolve, at)?;
            rest = rest.get(at..)?;
        }
        spend(resolve, run.len() + first.map_or(1, str::len))?;
        if let Some(after) = strip_front(run, rest, resolve) {
            return Some(after);
        }
        let mut characters = rest.chars();
        characters.next()?;
        rest = characters.as_str();
    }
}

/// Takes steps from the budget; `None` when it is used up.
fn spend(resolve: &impl Resolve, steps: usize) -> Option<()> {
    let left = resolve.steps().get().saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
    resolve.steps().set(left);
    if left == 0 { None } else { Some(()) }
}

#[cfg(test)]
mod tests;
