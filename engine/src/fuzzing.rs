//! The private matcher under a name that the fuzz targets can reach; not part of the library.

use std::cell::Cell;

use crate::limit::EVALUATION_STEPS_MAX;
use crate::pattern::{Matched, Pattern, Resolve};

/// How a pattern fared against a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the whole text matches; `None` when a variable cannot be resolved.
    pub matched: Option<bool>,
    /// What every text that matches starts with.
    pub literal_start: String,
    /// Steps left of those of one evaluation; with none left the match was given up.
    pub steps_left: u32,
}

struct Values {
    values: Vec<Option<String>>,
    steps: Cell<u32>,
}

impl Resolve for Values {
    fn variable(&self, index: u32) -> Option<&str> {
        self.values.get(index as usize)?.as_deref()
    }

    fn steps(&self) -> &Cell<u32> {
        &self.steps
    }
}

/// Compiles the pattern and matches the text; `value` tells what a key with its default stands for.
pub fn matches(
    pattern: &str,
    variables: bool,
    mut value: impl FnMut(&str, Option<&str>) -> Option<String>,
    text: &str,
) -> Outcome {
    let mut values = Vec::new();
    let pattern = Pattern::compile(pattern, true, variables, &mut |key, default| {
        values.push(value(key, default));
        values.len() as u32 - 1
    });
    let resolve = Values { values, steps: Cell::new(EVALUATION_STEPS_MAX) };
    let matched = match pattern.matches(text, &resolve) {
        Matched::Yes => Some(true),
        Matched::No => Some(false),
        Matched::Unresolved => None,
    };
    let literal_start = pattern.literal_start().to_owned();
    Outcome { matched, literal_start, steps_left: resolve.steps.get() }
}
