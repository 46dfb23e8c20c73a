//! Patterns against their definition: a table of characters, nothing clever.

use arbitrary::{Arbitrary as _, Unstructured};
use portcullis_engine::fuzzing::matches;
use portcullis_engine::policy::variable::{Piece, check as check_variables, pieces};

pub(crate) const WORDS: &[&str] =
    &["*", "?", "**", "*?*", "${a}", "${b, 'x'}", "${*}", "${?}", "${$}", "${", "}", "\u{e9}", "ab"];
/// Characters of the small alphabet, where accidents are frequent.
const SMALL: [&str; 16] = [
    "a",
    "b",
    "*",
    "?",
    "a",
    "b",
    "*",
    "ab",
    "\u{e9}",
    "${a}",
    "${b}",
    "${c}",
    "${d, 'a'}",
    "${*}",
    "${",
    "}",
];

/// A pattern, a text, and what the variables `a`, `b` and `c` stand for.
#[derive(Debug)]
struct Case {
    pattern: String,
    text: String,
    variables: bool,
    values: [Option<String>; 3],
}

fn case(bytes: &[u8]) -> arbitrary::Result<Case> {
    let mut input = Unstructured::new(bytes);
    let kind = u8::arbitrary(&mut input)?;
    let small = kind & 1 == 0;
    let mut values = [None, None, None];
    for value in &mut values {
        if bool::arbitrary(&mut input)? {
            *value = Some(text(&mut input, small, 4)?);
        }
    }
    let pattern = text(&mut input, small, 24)?;
    let text = text(&mut input, small, 40)?;
    Ok(Case { pattern, text, variables: kind & 2 == 0, values })
}

fn text(input: &mut Unstructured<'_>, small: bool, length_max: usize) -> arbitrary::Result<String> {
    if !small {
        return String::arbitrary(input);
    }
    let length = input.int_in_range(0..=length_max)?;
    (0..length).map(|_| input.choose(&SMALL).copied()).collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut seeds: Vec<Vec<u8>> =
        (0..200).map(|_| (0..random.usize(8..120)).map(|_| random.u8(..)).collect()).collect();
    seeds.extend(crate::seed::directories().into_iter().take(50).map(|mut bytes| {
        bytes.truncate(200);
        bytes
    }));
    seeds
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    Vec::new()
}

pub(crate) fn check(bytes: &[u8]) {
    let Ok(case) = case(bytes) else { return };
    let Case { pattern, text, variables, values } = &case;
    let value = |key: &str, default: Option<&str>| {
        let at = ["a", "b", "c"].iter().position(|known| *known == key);
        at.and_then(|at| values[at].clone()).or_else(|| default.map(str::to_owned))
    };
    let outcome = matches(pattern, *variables, value, text);
    if outcome.steps_left == 0 {
        return;
    }
    let expected = by_definition(pattern, *variables, value, text);
    assert_eq!(outcome.matched, expected, "{case:?}");
    if outcome.matched == Some(true) {
        assert!(text.starts_with(&outcome.literal_start), "{case:?} {outcome:?}");
    }
}

/// What one place of a pattern takes.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Character(char),
    One,
    Any,
}

fn by_definition(
    pattern: &str,
    variables: bool,
    value: impl Fn(&str, Option<&str>) -> Option<String>,
    text: &str,
) -> Option<bool> {
    let mut places = Vec::new();
    let literal = |text: &str, places: &mut Vec<Place>| places.extend(text.chars().map(Place::Character));
    if variables {
        for piece in pieces(pattern, true, true) {
            match piece {
                Piece::Literal(text) => literal(&text, &mut places),
                Piece::Star => places.push(Place::Any),
                Piece::One => places.push(Place::One),
                Piece::Variable { key, default } => literal(&value(&key, default.as_deref())?, &mut places),
            }
        }
    } else {
        places.extend(pattern.chars().map(|character| match character {
            '*' => Place::Any,
            '?' => Place::One,
            other => Place::Character(other),
        }));
    }
    // reached[i]: the places so far match the first i characters.
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for place in places {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match place {
                Place::Any => reached[at] || (at > 0 && next[at - 1]),
                Place::One => at > 0 && reached[at - 1],
                Place::Character(character) => at > 0 && reached[at - 1] && text[at - 1] == character,
            };
        }
        reached = next;
    }
    reached.last().copied()
}

pub(crate) fn hostile_pieces() -> Vec<Vec<u8>> {
    ["${", "${a", "}", "${a}", "${$}", "${a, '", "*", "${${a}"]
        .iter()
        .map(|word| word.repeat((1 << 20) / word.len()).into_bytes())
        .collect()
}

/// Taking a text apart loses nothing: put together again it is the same text, and the checks agree with it.
pub(crate) fn check_pieces(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert_eq!(together(&pieces(text, false, false)), text);
    let wild = pieces(text, true, false);
    assert_eq!(together(&wild), without_repeated_stars(text));
    let found = pieces(text, true, true);
    let adjacent =
        |pair: &[Piece]| matches!(pair, [Piece::Literal(_), Piece::Literal(_)] | [Piece::Star, Piece::Star]);
    assert!(!found.windows(2).any(adjacent), "{found:?}");
    let errors = check_variables(text);
    if !text.contains("${") {
        assert!(errors.is_empty());
        assert_eq!(found, wild);
    }
    for piece in &found {
        if let Piece::Variable { key, .. } = piece {
            assert!(!key.is_empty() && text.contains(&**key), "{key}");
        }
    }
}

fn without_repeated_stars(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character != '*' || !out.ends_with('*') {
            out.push(character);
        }
    }
    out
}

fn together(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.to_string(),
            Piece::Star => "*".to_owned(),
            Piece::One => "?".to_owned(),
            Piece::Variable { key, default: None } => format!("${{{key}}}"),
            Piece::Variable { key, default: Some(default) } => format!("${{{key}, '{default}'}}"),
        })
        .collect()
}
