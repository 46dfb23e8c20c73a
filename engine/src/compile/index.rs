//! Which statements a request could match: found by its action and the start of its resource, never by a scan over
//! all policies.
//!
//! The index may offer a statement that does not match, never hide one that does; a test holds it against the walk
//! over all statements.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use arrayvec::ArrayVec;
use smallvec::SmallVec;

use super::action::{ANY, UNINDEXED};
use super::pool::{Pool, ResourcePattern, Statement};
use crate::pattern::Pattern;
use crate::policy::Effect;
use crate::word::{start, stir, visit_words};

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
    /// How every resource that the pattern matches starts.
    anchor: Anchor,
    /// Index of the statement.
    pub(crate) statement: u32,
    /// Index of the resource pattern, or [`WHOLE_ELEMENT`].
    pub(crate) resource: u32,
}

/// The start of a resource: its hash, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Anchor {
    hash: u32,
    length: u32,
}

/// A pattern that says nothing about how the resource starts.
const ANYWHERE: Anchor = Anchor { hash: 0, length: 0 };
/// The statement has to be looked at as a whole.
pub(crate) const WHOLE_ELEMENT: u32 = u32::MAX;
/// Candidates of one statement from which on its resource element is looked at as a whole.
const CANDIDATES_MAX: usize = 256;
/// Candidates of one action from which on a search beats a scan.
const SEARCH_MIN: usize = 32;

/// Candidates grouped by action pattern, each group sorted by anchor.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Open addressing by action id; a power of two of slots, at least half of them empty.
    groups: Box<[Group]>,
    candidates: Box<[Candidate]>,
    /// A bit for each group: most actions without one are told by it.
    bits: u64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    action: u32,
    start: u32,
    end: u32,
}

/// A slot without a group: ids are far below.
const EMPTY: Group = Group { action: u32::MAX, start: 0, end: 0 };

/// Builds the views of a pool.
#[derive(Debug)]
pub(crate) struct ViewBuilder<'p> {
    pool: &'p Pool,
    /// Of each resource pattern: patterns stand in many views.
    anchors: Vec<Anchor>,
}

impl<'p> ViewBuilder<'p> {
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Self { pool, anchors: pool.patterns.iter().map(anchor_of).collect() }
    }

    /// The view of these policies.
    pub(crate) fn view(&self, policies: Vec<u32>) -> View {
        let pool = self.pool;
        let (mut denies, mut allows) = (Vec::new(), Vec::new());
        for policy in policies.iter().filter_map(|policy| pool.policies.get(*policy as usize)) {
            for id in policy.statements.clone() {
                match pool.statements.get(id as usize) {
                    Some(statement) if statement.effect == Effect::Deny => {
                        self.add_candidates(id, statement, &mut denies);
                    }
                    Some(statement) => self.add_candidates(id, statement, &mut allows),
                    None => {}
                }
            }
        }
        View { denies: Index::new(denies), allows: Index::new(allows), policies: policies.into() }
    }

    fn add_candidates(&self, id: u32, statement: &Statement, candidates: &mut Vec<Candidate>) {
        let pool = self.pool;
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
        let patterns =
            listed.map(|it| it.patterns.clone()).filter(|it| it.len() * ids.len() <= CANDIDATES_MAX);
        for action in ids {
            let one = |anchor, resource| Candidate { action: *action, anchor, statement: id, resource };
            match &patterns {
                None => candidates.push(one(ANYWHERE, WHOLE_ELEMENT)),
                Some(patterns) => candidates.extend(patterns.clone().filter_map(|at| {
                    let pattern = pool.patterns.get(at as usize)?;
                    let anchor = self.anchors.get(at as usize).copied().unwrap_or(ANYWHERE);
                    // M-19: the wildcard of a prefix may reach into the resource part.
                    let reaches = statement.effect == Effect::Deny
                        && matches!(pattern, ResourcePattern::Arn { whole: Some(_), .. });
                    Some(one(if reaches { ANYWHERE } else { anchor }, at))
                })),
            }
        }
    }
}

impl View {
    /// Every statement, in the order of the policies.
    pub(crate) fn statements<'p>(&'p self, pool: &'p Pool) -> impl Iterator<Item = u32> + 'p {
        let policies = self.policies.iter().filter_map(|policy| pool.policies.get(*policy as usize));
        policies.flat_map(|policy| policy.statements.clone())
    }
}

impl Index {
    fn new(mut candidates: Vec<Candidate>) -> Self {
        candidates.sort_unstable();
        candidates.dedup();
        let runs = candidates.chunk_by(|one, other| one.action == other.action);
        let slots = if candidates.is_empty() { 0 } else { (runs.count() * 2).next_power_of_two() };
        let mut groups = vec![EMPTY; slots];
        let (mut start, mut bits) = (0, 0);
        for run in candidates.chunk_by(|one, other| one.action == other.action) {
            let end = start + run.len() as u32;
            let action = run.first().map_or(ANY, |candidate| candidate.action);
            bits |= bit(action);
            let mut at = slot(action, slots);
            while groups.get(at).is_some_and(|group| group.action != EMPTY.action) {
                at = (at + 1) & (slots - 1);
            }
            if let Some(group) = groups.get_mut(at) {
                *group = Group { action, start, end };
            }
            start = end;
        }
        Self { groups: groups.into(), candidates: candidates.into(), bits }
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

    /// Shows every candidate for these actions and this start of the resource until `visit` breaks.
    #[inline]
    pub(crate) fn visit<B>(
        &self,
        actions: &[u32],
        resource: &ResourceStart<'_>,
        visit: &mut impl FnMut(&Candidate) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for action in actions {
            if self.bits & bit(*action) == 0 {
                continue;
            }
            let group = self.group(*action);
            if group.len() > SEARCH_MIN {
                search(group, resource, visit)?;
                continue;
            }
            for candidate in group {
                if resource.hash(candidate.anchor.length) == candidate.anchor.hash {
                    visit(candidate)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// Looks a large group up by each way in which the resource may start.
fn search<B>(
    group: &[Candidate],
    resource: &ResourceStart<'_>,
    visit: &mut impl FnMut(&Candidate) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let anchors = resource.cuts.get_or_init(|| {
        let mut anchors: Cuts = [ANYWHERE].into_iter().collect();
        anchors.extend(cuts(resource.text).take(CUTS_MAX).map(|length| resource.anchor(length)));
        let whole = resource.anchor(resource.text.len().min(START_BYTES));
        if anchors.last() != Some(&whole) {
            anchors.push(whole);
        }
        anchors
    });
    for anchor in anchors {
        let start = group.partition_point(|candidate| candidate.anchor < *anchor);
        for candidate in group.iter().skip(start).take_while(|candidate| candidate.anchor == *anchor) {
            visit(candidate)?;
        }
    }
    ControlFlow::Continue(())
}

#[inline]
fn bit(action: u32) -> u64 {
    1 << (action % 64)
}

#[inline]
fn slot(action: u32, slots: usize) -> usize {
    // Ids are dense, so a multiplication spreads them enough; the high bits are the well mixed ones.
    (action.wrapping_mul(0x9E37_79B1) >> 8) as usize & slots.wrapping_sub(1)
}

/// Bytes of a resource that anchors are about.
const START_BYTES: usize = 128;
/// Delimiters at which the start of a resource is cut.
const CUTS_MAX: usize = 12;

/// The anchors of the patterns that may match a resource.
type Cuts = SmallVec<[Anchor; CUTS_MAX + 2]>;

/// How the resource of a request starts; hashes of its parts are a few instructions away.
#[derive(Debug)]
pub(crate) struct ResourceStart<'a> {
    text: &'a str,
    /// Its words, and the hash of all words before each.
    words: ArrayVec<(u64, u64), { START_BYTES / 8 + 1 }>,
    cuts: OnceCell<Cuts>,
}

impl<'a> ResourceStart<'a> {
    /// Of a request about no resource.
    pub(crate) fn new() -> Self {
        Self { text: "", words: ArrayVec::new(), cuts: OnceCell::new() }
    }

    /// Takes in the resource part of an ARN.
    pub(crate) fn read(&mut self, text: &'a str) {
        self.text = text;
        let mut hash = 0;
        let bytes = self.text.as_bytes();
        let _: ControlFlow<()> = visit_words(bytes.get(..START_BYTES).unwrap_or(bytes), |word| {
            let _ = self.words.try_push((word, hash));
            hash = stir(hash, word);
            ControlFlow::Continue(())
        });
        let _ = self.words.try_push((0, hash));
    }

    /// The hash of the first bytes; of any text that is longer than this one, a number without meaning.
    #[inline]
    fn hash(&self, length: u32) -> u32 {
        if length == 0 {
            return ANYWHERE.hash;
        }
        match self.words.get(length as usize / 8) {
            Some((word, before)) => stir(*before, start(*word, length as usize % 8)) as u32,
            None => 0,
        }
    }

    fn anchor(&self, length: usize) -> Anchor {
        Anchor { hash: self.hash(length as u32), length: length as u32 }
    }
}

/// How every resource that the pattern matches starts: the text before its first wildcard, cut at a delimiter.
fn anchor_of(pattern: &ResourcePattern) -> Anchor {
    let ResourcePattern::Arn { resource, .. } = pattern else { return ANYWHERE };
    let text = resource.literal_start();
    let length = match resource {
        Pattern::Exact(_) => text.len().min(START_BYTES),
        _ => cuts(text).take(CUTS_MAX).last().unwrap_or(0),
    };
    if length == 0 {
        return ANYWHERE;
    }
    let mut start = ResourceStart::new();
    start.read(text);
    start.anchor(length)
}

/// The lengths of the parts of the text, from its start, that end in a delimiter.
fn cuts(text: &str) -> impl Iterator<Item = usize> + '_ {
    let bytes = text.bytes().take(START_BYTES).enumerate();
    bytes.filter(|(_, byte)| matches!(byte, b'/' | b'-' | b':' | b'.' | b'_')).map(|(at, _)| at + 1)
}
