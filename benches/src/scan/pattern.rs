//! Globs that match part by part, and texts with variables.

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Byte(u8),
    One,
    Run,
}

/// A pattern, its parts between colons split when it has no variables.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Everything,
    Parts(Vec<Part>),
    /// The text, how many parts it has, and how many of them ignore case.
    Template(String, usize, usize),
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Any,
    Text(Vec<u8>),
    Glob(Vec<Token>),
}

impl Pattern {
    /// A pattern of at most `parts` parts; the first `folded` of them ignore case.
    pub(super) fn new(text: &str, parts: usize, folded: usize) -> Self {
        if text == "*" {
            Self::Everything
        } else if text.contains("${") {
            Self::Template(text.to_owned(), parts, folded)
        } else {
            Self::split(text, parts, folded, &|_| None).map_or(Self::Everything, Self::Parts)
        }
    }

    /// `None` when a variable has no value.
    fn split<'v>(
        text: &str,
        parts: usize,
        folded: usize,
        variable: &dyn Fn(&str) -> Option<&'v str>,
    ) -> Option<Vec<Part>> {
        let mut split: Vec<Vec<Token>> = vec![Vec::new()];
        for token in tokens(text, variable)? {
            if token == Token::Byte(b':') && split.len() < parts {
                split.push(Vec::new());
            } else if let (Some(part), Token::Byte(byte)) = (split.last_mut(), token) {
                part.push(Token::Byte(byte));
            } else if let Some(part) = split.last_mut() {
                part.push(token);
            }
        }
        for token in split.iter_mut().take(folded).flatten() {
            if let Token::Byte(byte) = token {
                byte.make_ascii_lowercase();
            }
        }
        Some(split.into_iter().map(Part::new).collect())
    }

    /// Whether every part matches; `texts` are folded as far as the pattern is.
    pub(super) fn matches<'v>(&self, texts: &[&[u8]], variable: &dyn Fn(&str) -> Option<&'v str>) -> bool {
        let all = |parts: &[Part]| {
            parts.len() == texts.len() && parts.iter().zip(texts).all(|(part, text)| part.matches(text))
        };
        match self {
            Self::Everything => true,
            Self::Parts(parts) => all(parts),
            Self::Template(text, parts, folded) => {
                Self::split(text, *parts, *folded, variable).is_some_and(|parts| all(&parts))
            }
        }
    }
}

impl Part {
    fn new(tokens: Vec<Token>) -> Self {
        if tokens == [Token::Run] {
            return Self::Any;
        }
        let literal: Option<Vec<u8>> = tokens
            .iter()
            .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
            .collect();
        literal.map_or(Self::Glob(tokens), Self::Text)
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Text(wanted) => wanted == text,
            Self::Glob(tokens) => glob(tokens, text),
        }
    }
}

/// The pieces of a text; a variable's value is literal.
fn tokens<'v>(text: &str, variable: &dyn Fn(&str) -> Option<&'v str>) -> Option<Vec<Token>> {
    let mut tokens = Vec::with_capacity(text.len());
    let plain = |text: &str, tokens: &mut Vec<Token>| {
        tokens.extend(text.bytes().map(|byte| match byte {
            b'*' => Token::Run,
            b'?' => Token::One,
            byte => Token::Byte(byte),
        }));
    };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        plain(before, &mut tokens);
        let (name, after) = after.split_once('}')?;
        let value = if matches!(name, "*" | "?" | "$") { name } else { variable(name)? };
        tokens.extend(value.bytes().map(Token::Byte));
        rest = after;
    }
    plain(rest, &mut tokens);
    Some(tokens)
}

/// A text with its variables in their place; wildcards are ordinary characters. `None` when a variable has no value.
pub(super) fn filled<'v>(text: &str, variable: &dyn Fn(&str) -> Option<&'v str>) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(if matches!(name, "*" | "?" | "$") { name } else { variable(name)? });
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// `*` is any run of bytes, `?` any one; the texts of the worlds are ASCII.
fn glob(pattern: &[Token], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (pattern.get(at), text.get(read)) {
            (Some(Token::Run), _) => {
                at += 1;
                retry = Some((at, read));
                continue;
            }
            (None, None) => return true,
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Byte(wanted)), Some(found)) => wanted == found,
            _ => false,
        };
        if fits {
            (at, read) = (at + 1, read + 1);
        } else if let Some((after, start)) = retry.filter(|(_, start)| *start < text.len()) {
            retry = Some((after, start + 1));
            (at, read) = (after, start + 1);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn matches(pattern: &str, text: &str, parts: usize) -> bool {
        let texts: Vec<&[u8]> = text.splitn(parts, ':').map(str::as_bytes).collect();
        Pattern::new(pattern, parts, 0).matches(&texts, &|name| (name == "who").then_some("a*b"))
    }

    #[test]
    fn a_star_stays_in_its_part() {
        assert!(matches("s3:Get*", "s3:GetObject", 2));
        assert!(!matches("s3:Get*", "s3:PutObject", 2));
        assert!(matches("arn:aws:sqs:*:1:q-?*", "arn:aws:sqs:eu-west-1:1:q-a:b/c", 6));
        assert!(!matches("arn:aws:sqs:*:q", "arn:aws:sqs:eu-west-1:1:q", 6));
        assert!(matches("a*c*e", "abcde", 1));
        assert!(!matches("a*c*e", "abcd", 1));
        assert!(matches("*e", "ee", 1));
    }

    #[test]
    fn the_value_of_a_variable_is_literal() {
        assert!(matches("home/${who}/*", "home/a*b/x", 1));
        assert!(!matches("home/${who}/*", "home/aab/x", 1));
        assert!(!matches("home/${nobody}/*", "home/a*b/x", 1));
        assert!(matches("${*}", "*", 1));
    }
}
