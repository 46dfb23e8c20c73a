//! The private matcher and reader of ARNs under names that the fuzz targets can reach; not part of the library.

use std::cell::Cell;

use crate::arn::{Arn, is_account, name_of};
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

/// An ARN as the engine reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components {
    /// `arn`, partition, service, region, account.
    pub segments: [String; 5],
    /// Everything after the fifth colon.
    pub resource: String,
    /// Everything before it.
    pub prefix: String,
    /// Whether the prefix has an upper-case letter.
    pub prefix_has_upper: bool,
    /// Whether the prefix is, in lower case, that of the other text.
    pub has_prefix: bool,
    /// The last path element of the resource.
    pub name: String,
    /// Whether the account is one.
    pub is_account: bool,
}

/// Reads an ARN, and compares its prefix with `folded`; `None` when it is none.
#[must_use]
pub fn arn(text: &str, folded: &str) -> Option<Components> {
    let arn = Arn::parse(text)?;
    Some(Components {
        segments: arn.segments().map(str::to_owned),
        resource: arn.resource.to_owned(),
        prefix: arn.prefix.to_owned(),
        prefix_has_upper: arn.prefix_has_upper,
        has_prefix: arn.has_prefix(folded),
        name: name_of(arn.resource).to_owned(),
        is_account: is_account(arn.account),
    })
}
