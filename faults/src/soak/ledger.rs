//! What all answers together say about the policy sets: each must be whole, and no caller may be led back.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_proto::v1::AuthorizeResponse;

use super::questions::Question;

/// Policy sets that are remembered; a caller that lags behind more is told of as going backward anyway.
const SETS_MAX: usize = 256;
const ALLOW: i32 = 1;
const DENY: i32 = 2;

/// One policy set, as answers show it.
#[derive(Debug, Default)]
struct Set {
    revision: String,
    /// The tag that it allows.
    tag: Option<u64>,
    /// Tags that it denied.
    denied: BTreeSet<u64>,
}

/// What was wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Wrong {
    /// Alice was not answered as she always is, or somebody not at all.
    pub(super) steady: u64,
    /// Two answers of one generation do not agree.
    pub(super) mixed: u64,
    /// An older generation after a newer one: on one connection, or by what was written when.
    pub(super) backward: u64,
    /// The first of all these, in words.
    pub(super) first: Option<String>,
}

impl Wrong {
    pub(super) fn count(&self) -> u64 {
        self.steady + self.mixed + self.backward
    }
}

/// Every policy set that was seen.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sets: BTreeMap<u64, Set>,
    newest_tag: u64,
    pub(super) wrong: Wrong,
    /// Policy sets whose tag was seen.
    pub(super) seen: u64,
}

/// What one connection has seen last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last(u64);

impl Ledger {
    /// The newest tag that was allowed.
    pub(super) fn newest_tag(&self) -> u64 {
        self.newest_tag
    }

    /// Takes one answer in.
    pub(super) fn take(&mut self, last: &mut Last, question: Question, answer: &AuthorizeResponse) {
        let generation = answer.generation;
        if generation < last.0 {
            self.wrong.backward += 1;
            self.note(|| format!("generation {generation} after {} on one connection", last.0));
        }
        last.0 = last.0.max(generation);
        let known = self.sets.entry(generation).or_default();
        if known.revision.is_empty() {
            known.revision.clone_from(&answer.revision);
        } else if known.revision != answer.revision {
            self.wrong.mixed += 1;
            self.note(|| format!("generation {generation} has two revisions"));
        }
        match (question, answer.decision) {
            (Question::Steady { allowed: true }, ALLOW) | (Question::Steady { allowed: false }, DENY) => {}
            (Question::Tagged { tag, .. }, ALLOW) => self.allowed(generation, tag),
            (Question::Tagged { tag, .. }, DENY) => self.denied(generation, tag),
            (question, decision) => {
                self.wrong.steady += 1;
                self.note(|| format!("{question:?} is answered with {decision}"));
            }
        }
        while self.sets.len() > SETS_MAX {
            self.sets.pop_first();
        }
    }

    fn allowed(&mut self, generation: u64, tag: u64) {
        self.newest_tag = self.newest_tag.max(tag);
        let older = self.sets.range(..generation).rev().find_map(|(_, set)| set.tag);
        let newer = self.sets.range(generation + 1..).find_map(|(_, set)| set.tag);
        if older.is_some_and(|older| older >= tag) || newer.is_some_and(|newer| newer <= tag) {
            self.wrong.backward += 1;
            self.note(|| format!("generation {generation} is {tag}, between {older:?} and {newer:?}"));
        }
        let Some(set) = self.sets.get_mut(&generation) else { return };
        let differs = set.tag.is_some_and(|known| known != tag) || set.denied.contains(&tag);
        if set.tag.is_none() {
            set.tag = Some(tag);
            self.seen += 1;
        }
        if differs {
            self.mixed(generation, tag);
        }
    }

    fn denied(&mut self, generation: u64, tag: u64) {
        let Some(set) = self.sets.get_mut(&generation) else { return };
        set.denied.insert(tag);
        if set.tag == Some(tag) {
            self.mixed(generation, tag);
        }
    }

    fn mixed(&mut self, generation: u64, tag: u64) {
        self.wrong.mixed += 1;
        self.note(|| format!("generation {generation} both allows {tag} and does not"));
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.wrong.first.get_or_insert_with(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(generation: u64, decision: i32) -> AuthorizeResponse {
        let revision = format!("r{generation}");
        AuthorizeResponse { decision, generation, revision, ..AuthorizeResponse::default() }
    }

    fn tagged(file: u64, tag: u64) -> Question {
        Question::Tagged { file, tag }
    }

    fn wrong(answers: &[(Question, AuthorizeResponse)]) -> (u64, u64, u64) {
        let (mut ledger, mut last) = (Ledger::default(), Last::default());
        answers.iter().for_each(|(question, answer)| ledger.take(&mut last, *question, answer));
        (ledger.wrong.steady, ledger.wrong.mixed, ledger.wrong.backward)
    }

    #[test]
    fn answers_of_whole_generations_are_right() {
        let answers = [
            (Question::Steady { allowed: true }, answer(1, ALLOW)),
            (tagged(0, 5), answer(1, ALLOW)),
            (tagged(1, 6), answer(1, DENY)),
            (tagged(1, 6), answer(2, ALLOW)),
            (Question::Steady { allowed: false }, answer(2, DENY)),
        ];
        assert_eq!(wrong(&answers), (0, 0, 0));
    }

    #[test]
    fn every_kind_of_wrong_answer_is_found() {
        let steady = |allowed| Question::Steady { allowed };
        assert_eq!(wrong(&[(steady(true), answer(1, DENY)), (steady(false), answer(1, 0))]), (2, 0, 0));
        assert_eq!(wrong(&[(tagged(0, 5), answer(1, ALLOW)), (tagged(1, 5), answer(1, DENY))]), (0, 1, 0));
        assert_eq!(wrong(&[(tagged(0, 5), answer(1, DENY)), (tagged(1, 5), answer(1, ALLOW))]), (0, 1, 0));
        assert_eq!(wrong(&[(tagged(0, 5), answer(1, ALLOW)), (tagged(1, 6), answer(1, ALLOW))]), (0, 1, 0));
        assert_eq!(wrong(&[(tagged(0, 5), answer(2, DENY)), (tagged(1, 6), answer(1, DENY))]), (0, 0, 1));
        assert_eq!(wrong(&[(tagged(0, 5), answer(1, ALLOW)), (tagged(1, 4), answer(2, ALLOW))]), (0, 0, 1));
        let other = AuthorizeResponse { revision: "other".to_owned(), ..answer(1, DENY) };
        assert_eq!(wrong(&[(tagged(0, 5), answer(1, DENY)), (tagged(0, 5), other)]), (0, 1, 0));
    }
}
