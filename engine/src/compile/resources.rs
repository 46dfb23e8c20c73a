//! The resource directory: which entries bear on a resource.

use std::cell::Cell;

use super::{Map, Tags};
use crate::pattern::{Matched, NoVariables, Pattern};

/// An entry of `ResourceDetailList`.
#[derive(Debug)]
pub(crate) struct ResourceEntry {
    pub(crate) owner: Option<Box<str>>,
    /// Index of the view of its policy.
    pub(crate) policy: Option<u32>,
    /// Folded keys and values; `None` when the entry does not say.
    pub(crate) tags: Option<Tags>,
    pub(crate) delegating: bool,
}

/// All entries, found by exact text or by the start of a pattern.
#[derive(Debug, Default)]
pub(crate) struct ResourceIndex {
    pub(crate) entries: Vec<ResourceEntry>,
    exact: Map<Box<str>, Vec<u32>>,
    /// Patterns by the text up to their first wildcard, cut at [`BUCKET_BYTES`].
    prefixed: Map<Box<str>, Vec<(Pattern, u32)>>,
    /// Patterns whose text before the first wildcard is shorter than [`BUCKET_BYTES`].
    others: Vec<(Pattern, u32)>,
}

/// Bytes by which patterns are grouped: enough to tell services and accounts or bucket names apart.
const BUCKET_BYTES: usize = 24;

impl ResourceIndex {
    pub(crate) fn add(&mut self, entry: ResourceEntry, patterns: impl Iterator<Item = String>) {
        let index = self.entries.len() as u32;
        self.entries.push(entry);
        for text in patterns.flat_map(spellings) {
            let wildcard = text.find(['*', '?']).unwrap_or(text.len());
            if wildcard == text.len() {
                self.exact.entry(text.into()).or_default().push(index);
            } else if let Some(start) = text.get(..BUCKET_BYTES).filter(|_| wildcard >= BUCKET_BYTES) {
                let pattern = Pattern::without_variables(&text);
                self.prefixed.entry(start.into()).or_default().push((pattern, index));
            } else {
                self.others.push((Pattern::without_variables(&text), index));
            }
        }
    }

    /// The entries whose pattern matches the resource or its other spelling, in the order of their definition.
    pub(crate) fn find(
        &self,
        resource: &str,
        folded: Option<&str>,
        steps: &Cell<u32>,
    ) -> smallvec::SmallVec<[u32; 4]> {
        let mut found: smallvec::SmallVec<[u32; 4]> = smallvec::SmallVec::new();
        if self.entries.is_empty() {
            return found;
        }
        for text in std::iter::once(resource).chain(folded) {
            self.find_text(text, steps, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn find_text(&self, resource: &str, steps: &Cell<u32>, found: &mut smallvec::SmallVec<[u32; 4]>) {
        found.extend(self.exact.get(resource).into_iter().flatten().copied());
        let bucket = resource.get(..BUCKET_BYTES).and_then(|start| self.prefixed.get(start));
        // Steps are the evaluation's, so that running out of them fails closed.
        let plain = NoVariables { steps };
        let patterns = bucket.into_iter().flatten().chain(&self.others);
        found.extend(
            patterns.filter(|(p, _)| p.matches(resource, &plain) == Matched::Yes).map(|(_, index)| *index),
        );
    }
}

/// A pattern as written, and with its prefix in lower case where that differs: a request's is compared in either (M-14).
fn spellings(text: String) -> impl Iterator<Item = String> {
    let folded = folded_prefix(&text);
    std::iter::once(text).chain(folded)
}

/// The text with the segments before the resource part in lower case; `None` when they are. Where a wildcard stands for
/// some of the segments, what follows it may be the resource part.
pub(crate) fn folded_prefix(text: &str) -> Option<String> {
    let colon = memchr::memchr_iter(b':', text.as_bytes()).nth(4);
    let (prefix, rest) = text.split_at_checked(colon.or_else(|| text.find('*')).unwrap_or(0))?;
    let has_upper = prefix.bytes().any(|byte| byte.is_ascii_uppercase());
    has_upper.then(|| format!("{}{rest}", prefix.to_ascii_lowercase()))
}
