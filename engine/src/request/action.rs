//! The action of a request: what one pass over its text tells.

use std::ops::ControlFlow;

use super::fold::{Folded, fold};
use crate::word::{equal, equals_folded, first, lower, stir, upper, visit_words};

/// `vendor:Name`, as sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action<'a> {
    pub(crate) text: &'a str,
    /// Of the text in lower case.
    pub(crate) hash: u64,
    /// Bytes of `vendor:`.
    pub(crate) vendor_length: usize,
    /// Whether AWS has answers of its own for actions of this vendor: `iam`, `kms`, `sts`.
    pub(crate) has_exceptions: bool,
    has_upper: bool,
}

/// Why a text is no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionProblem {
    Wildcard,
    Form,
}

const fn vendor(text: [u8; 4]) -> u32 {
    u32::from_le_bytes(text)
}
const IAM: u32 = vendor(*b"iam:");
const KMS: u32 = vendor(*b"kms:");
const STS: u32 = vendor(*b"sts:");

impl<'a> Action<'a> {
    #[inline]
    pub(crate) fn parse(text: &'a str) -> Result<Self, ActionProblem> {
        let (mut hash, mut start, mut base) = (text.len() as u64, 0, 0);
        let (mut uppers, mut wildcards, mut colons, mut first_colon) = (0, 0, 0, 0);
        let _: ControlFlow<()> = visit_words(text.as_bytes(), |word| {
            let folded = lower(word);
            hash = stir(hash, folded);
            uppers |= upper(word);
            wildcards |= equal(word, b'*') | equal(word, b'?');
            let found = equal(word, b':');
            if found != 0 && colons == 0 {
                first_colon = base + first(found);
            }
            colons += found.count_ones();
            if base == 0 {
                start = folded as u32;
            }
            base += 8;
            ControlFlow::Continue(())
        });
        if wildcards != 0 {
            return Err(ActionProblem::Wildcard);
        }
        if colons != 1 || first_colon == 0 || first_colon + 1 == text.len() {
            return Err(ActionProblem::Form);
        }
        let has_exceptions = matches!(start, IAM | KMS | STS);
        Ok(Self { text, hash, vendor_length: first_colon + 1, has_exceptions, has_upper: uppers != 0 })
    }

    /// Whether it is this action, given in lower case.
    #[inline]
    pub(crate) fn is(&self, folded: &str) -> bool {
        equals_folded(self.text, folded)
    }

    /// `vendor:name` in lower case.
    pub(crate) fn folded(&self) -> Folded<'a> {
        fold(self.text, self.has_upper)
    }
}
