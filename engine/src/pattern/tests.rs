//! The matcher against the definition of a glob, on every small pattern and text.

use super::*;

struct NoVariables(Cell<u32>);

impl Resolve for NoVariables {
    fn variable(&self, _: u32) -> Option<&str> {
        None
    }
    fn steps(&self) -> &Cell<u32> {
        &self.0
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let budget = NoVariables(Cell::new(crate::limit::EVALUATION_STEPS_MAX));
    Pattern::without_variables(pattern).matches(text, &budget) == Matched::Yes
}

/// The definition, on characters.
fn slow(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
        Some((b'?', rest)) => !text.is_empty() && slow(rest, &text[1..]),
        Some((byte, rest)) => text.first() == Some(byte) && slow(rest, &text[1..]),
    }
}

fn words(alphabet: &[u8], longest: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..longest {
        last =
            last.iter().flat_map(|word| alphabet.iter().map(|byte| [&word[..], &[*byte]].concat())).collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[test]
fn every_small_pattern_matches_by_definition() {
    let texts = words(b"ab", 6);
    for pattern in words(b"ab*?", 5) {
        let compiled = Pattern::without_variables(std::str::from_utf8(&pattern).unwrap());
        for text in &texts {
            let budget = NoVariables(Cell::new(crate::limit::EVALUATION_STEPS_MAX));
            let fast = compiled.matches(std::str::from_utf8(text).unwrap(), &budget) == Matched::Yes;
            assert_eq!(
                fast,
                slow(&pattern, text),
                "{:?} on {:?}",
                pattern.escape_ascii(),
                text.escape_ascii()
            );
        }
    }
}

#[test]
fn a_question_mark_is_one_scalar_and_a_star_takes_newlines() {
    assert!(matches("?", "ß"));
    assert!(!matches("??", "ß"));
    assert!(matches("secret*", "secret\nx"));
    assert!(matches("a.b", "a.b") && !matches("a.b", "axb"));
}

#[test]
fn an_exploding_pattern_ends() {
    let pattern = "*a".repeat(1000) + "*b";
    assert!(!matches(&pattern, &"a".repeat(6000)));
    let pattern = "*a?".repeat(300) + "*b";
    assert!(!matches(&pattern, &"a".repeat(6000)));
}
