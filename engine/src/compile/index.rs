//! Which statements a request could match: found by its action and the start of its resource, never by a scan over
//! all policies.
//!
//! The index may offer a statement that does not match, never hide one that does; a test holds it against the walk
//! over all statements.

use std::ops::ControlFlow;

use arrayvec::ArrayVec;

use super::action::{ANY, UNINDEXED};
use super::pool::{Pool, ResourcePattern, Statement};
use crate::pattern::Pattern;
use crate::policy::Effect;

/// The statements of one set of policies, by effect.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) denies: Index,
    pub(crate) allows: Index,
    /// The policies it was made of, in order.
    pub(crate) policies: Box<[u32]>,
}

/// One way in which a statement may match: an action pattern and a resource pattern of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// Id of the action pattern.
    action: u32,
    /// Hash of how the resource pattern starts, or [`ANYWHERE`].
    anchor: u32,
    /// Index of the statement.
    pub(crate) statement: u32,
    /// Index of the resource pattern, or [`WHOLE_ELEMENT`].
    pub(crate) resource: u32,
}

/// A pattern that says nothing about how the resource starts.
const ANYWHERE: u32 = 0;
/// The statement has to be looked at as a whole.
pub(crate) const WHOLE_ELEMENT: u32 = u32::MAX;
/// Candidates of one statement from which on its resource element is looked at as a whole.
const CANDIDATES_MAX: usize = 256;
/// Candidates of one action up to which a scan beats a search.
const SCAN_MAX: usize = 24;

/// Candidates grouped by action pattern, each group sorted by anchor.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Open addressing by action id; a power of two of slots, at least half of them empty.
    groups: Box<[Group]>,
    candidates: Box<[Candidate]>,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    action: u32,
    start: u32,
    end: u32,
}

/// A slot without a group: ids are far below.
const EMPTY: Group = Group { action: u32::MAX, start: 0, end: 0 };

impl View {
    pub(crate) fn new(pool: &Pool, policies: Vec<u32>) -> Self {
        let (mut denies, mut allows) = (Vec::new(), Vec::new());
        for policy in policies.iter().filter_map(|policy| pool.policies.get(*policy as usize)) {
            for id in policy.statements.clone() {
                match pool.statements.get(id as usize) {
                    Some(statement) if statement.effect == Effect::Deny => {
                        add_candidates(pool, id, statement, &mut denies);
                    }
                    Some(statement) => add_candidates(pool, id, statement, &mut allows),
                    None => {}
                }
            }
        }
        Self { denies: Index::new(denies), allows: Index::new(allows), policies: policies.into() }
    }

    /// Every statement, in the order of the policies.
    pub(crate) fn statements<'p>(&'p self, pool: &'p Pool) -> impl Iterator<Item = u32> + 'p {
        let policies = self.policies.iter().filter_map(|policy| pool.policies.get(*policy as usize));
        policies.flat_map(|policy| policy.statements.clone())
    }
}

fn add_candidates(pool: &Pool, id: u32, statement: &Statement, candidates: &mut Vec<Candidate>) {
    let Some(actions) = pool.actions.get(statement.actions as usize) else { return };
    let ids: &[u32] = if actions.negated || !actions.any_vendor.is_empty() {
        &[UNINDEXED]
    } else if actions.any {
        &[ANY]
    } else {
        &actions.ids
    };
    let resources = statement.resources.and_then(|at| pool.resources.get(at as usize));
    // Negation and variables are about the element, not about one pattern of it; and where the action is still to be
    // looked at, so is the whole statement.
    let listed = resources.filter(|it| !it.negated && !it.has_variables && *ids != [UNINDEXED]);
    let patterns = listed.map(|it| it.patterns.clone()).filter(|it| it.len() * ids.len() <= CANDIDATES_MAX);
    for action in ids {
        let one = |anchor, resource| Candidate { action: *action, anchor, statement: id, resource };
        match &patterns {
            None => candidates.push(one(ANYWHERE, WHOLE_ELEMENT)),
            Some(patterns) => candidates.extend(patterns.clone().filter_map(|at| {
                let pattern = pool.patterns.get(at as usize)?;
                Some(one(anchor_of(pattern, statement.effect), at))
            })),
        }
    }
}

impl Index {
    fn new(mut candidates: Vec<Candidate>) -> Self {
        candidates.sort_unstable();
        candidates.dedup();
        let runs = candidates.chunk_by(|one, other| one.action == other.action);
        let slots = if candidates.is_empty() { 0 } else { (runs.count() * 2).next_power_of_two() };
        let mut groups = vec![EMPTY; slots];
        let mut start = 0;
        for run in candidates.chunk_by(|one, other| one.action == other.action) {
            let end = start + run.len() as u32;
            let action = run.first().map_or(ANY, |candidate| candidate.action);
            let mut at = slot(action, slots);
            while groups.get(at).is_some_and(|group| group.action != EMPTY.action) {
                at = (at + 1) & (slots - 1);
            }
            if let Some(group) = groups.get_mut(at) {
                *group = Group { action, start, end };
            }
            start = end;
        }
        Self { groups: groups.into(), candidates: candidates.into() }
    }

    #[inline]
    fn group(&self, action: u32) -> &[Candidate] {
        let slots = self.groups.len();
        let mut at = slot(action, slots);
        while let Some(group) = self.groups.get(at) {
            if group.action == action {
                return self.candidates.get(group.start as usize..group.end as usize).unwrap_or_default();
            }
            if group.action == EMPTY.action {
                break;
            }
            at = (at + 1) & (slots - 1);
        }
        &[]
    }

    /// Shows every candidate for these actions and anchors until `visit` breaks.
    #[inline]
    pub(crate) fn visit<B>(
        &self,
        actions: &[u32],
        anchors: &Anchors,
        visit: &mut impl FnMut(&Candidate) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if self.groups.is_empty() {
            return ControlFlow::Continue(());
        }
        for action in actions {
            let group = self.group(*action);
            if group.len() <= SCAN_MAX {
                for candidate in group {
                    if anchors.contains(candidate.anchor) {
                        visit(candidate)?;
                    }
                }
                continue;
            }
            for anchor in &anchors.hashes {
                let start = group.partition_point(|candidate| candidate.anchor < *anchor);
                for candidate in group.iter().skip(start).take_while(|candidate| candidate.anchor == *anchor)
                {
                    visit(candidate)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[inline]
fn slot(action: u32, slots: usize) -> usize {
    // Ids are dense, so a multiplication spreads them enough; the high bits are the well mixed ones.
    (action.wrapping_mul(0x9E37_79B1) >> 8) as usize & slots.wrapping_sub(1)
}

/// Delimiters at which the start of a resource is cut.
const ANCHORS_MAX: usize = 12;

/// The hashes of the ways in which a pattern of this resource may start.
#[derive(Debug)]
pub(crate) struct Anchors {
    hashes: ArrayVec<u32, { ANCHORS_MAX + 2 }>,
    /// A bit for each hash: most others are told apart by it.
    bits: u64,
}

impl Anchors {
    /// Of the resource part of an ARN; empty for a request about no resource.
    pub(crate) fn of(resource: &str) -> Self {
        let mut anchors = Self { hashes: ArrayVec::new(), bits: 0 };
        anchors.add(ANYWHERE);
        let mut state = SEED;
        let mut rest = resource.as_bytes();
        for _ in 0..ANCHORS_MAX {
            let Some(length) = segment(rest) else { break };
            let (head, tail) = rest.split_at(length);
            state = extend(state, head);
            rest = tail;
            anchors.add(anchor(state));
        }
        anchors.add(anchor(extend(state, rest)));
        anchors
    }

    fn add(&mut self, hash: u32) {
        self.bits |= bit(hash);
        let _ = self.hashes.try_push(hash);
    }

    #[inline]
    fn contains(&self, hash: u32) -> bool {
        self.bits & bit(hash) != 0 && self.hashes.contains(&hash)
    }
}

/// How every resource that the pattern matches starts.
fn anchor_of(pattern: &ResourcePattern, effect: Effect) -> u32 {
    let ResourcePattern::Arn { resource, whole, .. } = pattern else { return ANYWHERE };
    if whole.is_some() && effect == Effect::Deny {
        // M-19: the wildcard of the prefix may reach into the resource part.
        return ANYWHERE;
    }
    if let Pattern::Exact(text) = resource {
        return Anchors::of(text).hashes.last().copied().unwrap_or(ANYWHERE);
    }
    let mut state = SEED;
    let mut rest = resource.literal_start().as_bytes();
    let mut hash = ANYWHERE;
    for _ in 0..ANCHORS_MAX {
        let Some(length) = segment(rest) else { break };
        let (head, tail) = rest.split_at(length);
        state = extend(state, head);
        rest = tail;
        hash = anchor(state);
    }
    hash
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Bytes up to and with the next delimiter.
#[inline]
fn segment(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| matches!(byte, b'/' | b'-' | b':' | b'.' | b'_')).map(|at| at + 1)
}

#[inline]
fn extend(mut state: u64, segment: &[u8]) -> u64 {
    for chunk in segment.chunks(8) {
        let mut word = [0; 8];
        if let Some(bytes) = word.get_mut(..chunk.len()) {
            bytes.copy_from_slice(chunk);
        }
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        state ^= state >> 32;
    }
    state
}

#[inline]
fn anchor(state: u64) -> u32 {
    (state as u32).max(1)
}

#[inline]
fn bit(hash: u32) -> u64 {
    1 << (hash & 63)
}
