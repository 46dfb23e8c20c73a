//! Which statements a request could match: found by its action, never by a scan over all policies.

use std::collections::HashMap;

use super::pool::Pool;
use crate::policy::Effect;
use crate::request::{Request, hash};

/// The statements of one set of policies, by effect.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) denies: Index,
    pub(crate) allows: Index,
    /// The policies it was made of, in order.
    pub(crate) policies: Box<[u32]>,
}

/// Statements by the hash of `vendor:` (patterns of names) and of `vendor:name` (literal actions).
#[derive(Debug, Default)]
pub(crate) struct Index {
    always: Box<[u32]>,
    /// Sorted by hash; ranges of `entries`.
    buckets: Box<[(u64, u32, u32)]>,
    entries: Box<[u32]>,
}

impl View {
    pub(crate) fn new(pool: &Pool, policies: Vec<u32>) -> Self {
        let (mut denies, mut allows) = (Vec::new(), Vec::new());
        for policy in policies.iter().filter_map(|policy| pool.policies.get(*policy as usize)) {
            for id in policy.statements.clone() {
                match pool.statements.get(id as usize).map(|statement| statement.effect) {
                    Some(Effect::Deny) => denies.push(id),
                    Some(Effect::Allow) => allows.push(id),
                    None => {}
                }
            }
        }
        Self {
            denies: Index::new(pool, &denies),
            allows: Index::new(pool, &allows),
            policies: policies.into(),
        }
    }

    /// Every statement, in the order of the policies.
    pub(crate) fn statements<'p>(&'p self, pool: &'p Pool) -> impl Iterator<Item = u32> + 'p {
        let policies = self.policies.iter().filter_map(|policy| pool.policies.get(*policy as usize));
        policies.flat_map(|policy| policy.statements.clone())
    }
}

impl Index {
    fn new(pool: &Pool, statements: &[u32]) -> Self {
        let mut always = Vec::new();
        let mut buckets: HashMap<u64, Vec<u32>> = HashMap::new();
        for id in statements {
            let statement = pool.statements.get(*id as usize);
            let Some(actions) = statement.and_then(|statement| pool.actions.get(statement.actions as usize))
            else {
                continue;
            };
            if actions.negated || actions.any || !actions.any_vendor.is_empty() {
                always.push(*id);
                continue;
            }
            let literals = actions.literals.iter().map(|literal| hash(literal));
            for hash in literals.chain(actions.globs.iter().map(|(vendor, _)| hash(vendor))) {
                let bucket = buckets.entry(hash).or_default();
                if bucket.last() != Some(id) {
                    bucket.push(*id);
                }
            }
        }
        let mut sorted: Vec<_> = buckets.into_iter().collect();
        sorted.sort_unstable_by_key(|(hash, _)| *hash);
        let mut entries = Vec::new();
        let mut ranges = Vec::with_capacity(sorted.len());
        for (hash, bucket) in sorted {
            let start = entries.len() as u32;
            entries.extend(bucket);
            ranges.push((hash, start, entries.len() as u32));
        }
        Self { always: always.into(), buckets: ranges.into(), entries: entries.into() }
    }

    fn bucket(&self, hash: u64) -> &[u32] {
        let found = self.buckets.binary_search_by_key(&hash, |(hash, _, _)| *hash).ok();
        let range = found.and_then(|at| self.buckets.get(at));
        range.and_then(|(_, start, end)| self.entries.get(*start as usize..*end as usize)).unwrap_or_default()
    }

    /// The statements whose action part may match.
    pub(crate) fn candidates(&self, request: &Request<'_>) -> impl Iterator<Item = u32> + '_ {
        let (vendor, action): (&[u32], &[u32]) = if self.buckets.is_empty() {
            (&[], &[])
        } else {
            (self.bucket(request.vendor_hash), self.bucket(request.action_hash))
        };
        self.always.iter().chain(vendor).chain(action).copied()
    }
}
