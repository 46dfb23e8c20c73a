//! Every action pattern of a pool under a small id, and which of them a request's action matches.
//!
//! A request's action is looked up once; after that, actions are compared as numbers.

use std::cell::Cell;
use std::ops::Range;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::limit;
use crate::pattern::{Matched, NoVariables, Pattern};
use crate::request::Action;
use crate::word::hash_folded as hash;

/// The id of `*`, which matches every action.
pub(crate) const ANY: u32 = 0;
/// The id under which statements stand whose action element has to be looked at: `NotAction` and wildcard vendors.
pub(crate) const UNINDEXED: u32 = 1;
const FIRST: u32 = 2;

/// The ids that an action matches, [`ANY`] and [`UNINDEXED`] first.
#[derive(Debug)]
pub(crate) enum ActionIds<'t> {
    /// Some policy names the action: found at load.
    Known(&'t [u32]),
    Computed(SmallVec<[u32; 16]>),
}

impl ActionIds<'_> {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::Known(ids) => ids,
            Self::Computed(ids) => ids,
        }
    }
}

/// Action patterns by id.
#[derive(Debug, Default)]
pub(crate) struct ActionTable {
    /// `vendor:name` without wildcards.
    literals: HashTable<Literal>,
    vendors: HashTable<Vendor>,
    /// What each literal action matches; filled by `finish`.
    matches: Vec<u32>,
}

#[derive(Debug)]
struct Literal {
    text: Box<str>,
    id: u32,
    /// Empty when working them out took more steps than a request has.
    matches: Range<u32>,
}

/// The wildcard patterns of one vendor.
#[derive(Debug)]
struct Vendor {
    /// `vendor:`
    text: Box<str>,
    /// Sorted by the first byte of the name.
    globs: Vec<Glob>,
}

#[derive(Debug)]
struct Glob {
    /// `None` when a wildcard comes first.
    first: Option<u8>,
    name: Pattern,
    id: u32,
}

/// Gives out ids.
#[derive(Debug, Default)]
pub(crate) struct ActionTableBuilder {
    table: ActionTable,
    /// Ids of wildcard patterns by their text.
    globs: HashTable<(Box<str>, u32)>,
    count: u32,
}

impl ActionTableBuilder {
    /// The id of an action in lower case, `vendor:name`, where the name may have wildcards.
    pub(crate) fn id(&mut self, text: &str, vendor_length: usize) -> u32 {
        let (vendor, name) = text.split_at_checked(vendor_length).unwrap_or_default();
        let (next, of_text) = (FIRST + self.count, hash(text));
        if !name.contains(['*', '?']) {
            if let Some(known) = self.table.literals.find(of_text, |literal| *literal.text == *text) {
                return known.id;
            }
            let literal = Literal { text: text.into(), id: next, matches: 0..0 };
            self.table.literals.insert_unique(of_text, literal, |literal| hash(&literal.text));
        } else {
            if let Some((_, known)) = self.globs.find(of_text, |(known, _)| **known == *text) {
                return *known;
            }
            self.globs.insert_unique(of_text, (text.into(), next), |(known, _)| hash(known));
            let first = name.bytes().next().filter(|byte| !matches!(byte, b'*' | b'?'));
            let glob = Glob { first, name: Pattern::without_variables(name), id: next };
            let vendors = &mut self.table.vendors;
            match vendors.find_mut(hash(vendor), |known| *known.text == *vendor) {
                Some(known) => known.globs.push(glob),
                None => {
                    let vendor = Vendor { text: vendor.into(), globs: vec![glob] };
                    vendors.insert_unique(hash(&vendor.text), vendor, |vendor| hash(&vendor.text));
                }
            }
        }
        self.count += 1;
        next
    }

    /// Works out which patterns each named action matches.
    pub(crate) fn finish(self) -> ActionTable {
        let mut table = self.table;
        for vendor in table.vendors.iter_mut() {
            vendor.globs.sort_by_key(|glob| glob.first);
        }
        let mut matches = Vec::new();
        let mut literals = std::mem::take(&mut table.literals);
        for literal in literals.iter_mut() {
            let start = matches.len() as u32;
            let steps = Cell::new(limit::EVALUATION_STEPS_MAX);
            let vendor_length = literal.text.find(':').map_or(0, |colon| colon + 1);
            matches.extend([ANY, UNINDEXED, literal.id]);
            table.find_globs(&literal.text, vendor_length, &steps, |id| matches.push(id));
            if steps.get() == 0 {
                // A pattern may have been missed, a Deny's among them: the request runs out too, and is denied.
                matches.truncate(start as usize);
            }
            literal.matches = start..matches.len() as u32;
        }
        table.literals = literals;
        table.matches = matches;
        table
    }
}

impl ActionTable {
    /// The ids that an action matches.
    #[inline]
    pub(crate) fn matching(&self, action: &Action<'_>, steps: &Cell<u32>) -> ActionIds<'_> {
        let literal = self.literals.find(action.hash, |literal| action.is(&literal.text));
        let range = literal.map(|literal| literal.matches.start as usize..literal.matches.end as usize);
        if let Some(ids) = range.and_then(|range| self.matches.get(range)).filter(|ids| !ids.is_empty()) {
            return ActionIds::Known(ids);
        }
        let mut ids = SmallVec::from_slice(&[ANY, UNINDEXED]);
        ids.extend(literal.map(|literal| literal.id));
        self.find_globs(&action.folded(), action.vendor_length, steps, |id| ids.push(id));
        ActionIds::Computed(ids)
    }

    fn find_globs(&self, action: &str, vendor_length: usize, steps: &Cell<u32>, mut found: impl FnMut(u32)) {
        let Some((vendor, name)) = action.split_at_checked(vendor_length) else { return };
        let Some(vendor) = self.vendors.find(hash(vendor), |known| *known.text == *vendor) else { return };
        let resolve = NoVariables { steps };
        // Wildcards first, then those that start as the name does: both are runs, since the globs are sorted.
        for first in [None, name.bytes().next()] {
            let start = vendor.globs.partition_point(|glob| glob.first < first);
            let run = vendor.globs.iter().skip(start).take_while(|glob| glob.first == first);
            for glob in run {
                if glob.name.matches(name, &resolve) == Matched::Yes {
                    found(glob.id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(table: &ActionTable, action: &str) -> Vec<u32> {
        let steps = Cell::new(limit::EVALUATION_STEPS_MAX);
        let mut ids = table.matching(&Action::parse(action).unwrap(), &steps).as_slice().to_vec();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_named_action_and_an_unnamed_one_match_the_same_patterns() {
        let mut builder = ActionTableBuilder::default();
        let texts = ["s3:getobject", "s3:get*", "s3:*object", "s3:*", "s3:?etobject", "s3:put*", "sqs:*"];
        let of: Vec<u32> = texts.iter().map(|text| builder.id(text, text.find(':').unwrap() + 1)).collect();
        assert_eq!(builder.id("s3:get*", 3), of[1], "the same text has the same id");
        let table = builder.finish();
        assert_eq!(ids(&table, "s3:getobject"), [ANY, UNINDEXED, of[0], of[1], of[2], of[3], of[4]]);
        assert_eq!(ids(&table, "s3:setobject"), [ANY, UNINDEXED, of[2], of[3], of[4]]);
        assert_eq!(ids(&table, "sqs:getobject"), [ANY, UNINDEXED, of[6]]);
        assert_eq!(ids(&table, "sns:getobject"), [ANY, UNINDEXED]);
    }

    #[test]
    fn a_named_action_runs_out_of_steps_as_an_unnamed_one_does() {
        let mut builder = ActionTableBuilder::default();
        let named = format!("s3:{}", "e".repeat(100));
        let costly = format!("s3:*e{}*", "?".repeat(limit::EVALUATION_STEPS_MAX as usize / 100));
        for text in [&*costly, "s3:e*", &named] {
            builder.id(text, 3);
        }
        let table = builder.finish();
        for action in [&*named, &format!("{named}f")] {
            let steps = Cell::new(limit::EVALUATION_STEPS_MAX);
            table.matching(&Action::parse(action).unwrap(), &steps);
            assert_eq!(steps.get(), 0, "{action} could miss a pattern unseen");
        }
    }
}
