//! Policy variables (semantics.md section 4): text with `${...}` as a list of pieces.
//!
//! Substituted text is data: nothing in it is a wildcard or a variable again (V-8).

/// A piece of text that may hold wildcards and variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Stands for itself.
    Literal(Box<str>),
    /// `*`.
    Star,
    /// `?`.
    One,
    /// `${key}` or `${key, 'default'}`.
    Variable {
        /// The key as written.
        key: Box<str>,
        /// Used when the key is missing (V-6).
        default: Option<Box<str>>,
    },
}

/// What is wrong with the variables of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableError {
    /// `${` without `}` (V-14).
    Unclosed,
    /// `${}`.
    Empty,
    /// `${` inside a variable.
    Nested,
    /// The default is not `, 'text'` (V-6).
    MalformedDefault,
}

/// Splits text into pieces. Text that is no well-formed variable stays literal; see [`check`].
#[must_use]
pub fn pieces(text: &str, wildcards: bool, variables: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if variables && let Some((piece, after)) = read_variable(rest) {
            match piece {
                Piece::Literal(text) => literal.push_str(&text),
                piece => push(&mut pieces, &mut literal, piece),
            }
            rest = after;
            continue;
        }
        match character {
            '*' if wildcards => push(&mut pieces, &mut literal, Piece::Star),
            '?' if wildcards => push(&mut pieces, &mut literal, Piece::One),
            other => literal.push(other),
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    pieces
}

fn push(pieces: &mut Vec<Piece>, literal: &mut String, piece: Piece) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into()));
    }
    // `**` means the same as `*` (M-1).
    if piece != Piece::Star || pieces.last() != Some(&Piece::Star) {
        pieces.push(piece);
    }
}

/// The variable at the start of `text`, and what follows it.
fn read_variable(text: &str) -> Option<(Piece, &str)> {
    let body = text.strip_prefix("${")?;
    // A variable inside makes this none, so looking stops there: many openings cost no more than one pass.
    let next = memchr::memmem::find(body.as_bytes(), b"${").unwrap_or(body.len());
    let end = body.get(..next)?.find('}')?;
    let (inner, rest) = (body.get(..end)?, body.get(end + 1..)?);
    if matches!(inner, "*" | "?" | "$") {
        return Some((Piece::Literal(inner.into()), rest));
    }
    let (key, default) = match split_default(inner) {
        Ok(parts) => parts,
        Err(_) => return None,
    };
    if key.is_empty() {
        return None;
    }
    Some((Piece::Variable { key: key.into(), default: default.map(Into::into) }, rest))
}

fn split_default(inner: &str) -> Result<(&str, Option<&str>), VariableError> {
    let Some((key, rest)) = inner.split_once(',') else {
        return Ok((inner, None));
    };
    let default = rest.strip_prefix(" '").and_then(|rest| rest.strip_suffix('\''));
    default.map(|default| (key, Some(default))).ok_or(VariableError::MalformedDefault)
}

/// Every problem of the variables in a text of a 2012-10-17 policy.
#[must_use]
pub fn check(text: &str) -> Vec<VariableError> {
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let body = rest.get(at + 2..).unwrap_or_default();
        let Some(end) = body.find('}') else {
            errors.push(VariableError::Unclosed);
            return errors;
        };
        let inner = body.get(..end).unwrap_or_default();
        if inner.contains("${") {
            errors.push(VariableError::Nested);
        } else if inner.trim().is_empty() {
            errors.push(VariableError::Empty);
        } else if let Err(error) = split_default(inner) {
            errors.push(error);
        }
        rest = body.get(end + 1..).unwrap_or_default();
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_openings_are_read_in_one_pass() {
        // Looking for an end from each of them would take hours.
        let openings = "${".repeat(4 << 20);
        for end in ["", "}", "a}"] {
            let text = format!("{openings}{end}");
            let found = pieces(&text, true, true);
            match end {
                "a}" => {
                    let literal = text.strip_suffix("${a}").unwrap();
                    let variable = Piece::Variable { key: "a".into(), default: None };
                    assert_eq!(found, [Piece::Literal(literal.into()), variable]);
                }
                _ => assert_eq!(found, [Piece::Literal(text.into())]),
            }
        }
    }
}
