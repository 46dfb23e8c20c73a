//! The naive evaluator: every statement that applies, one after the other.
//!
//! Two uses, one code: it answers the questions of worlds that bring no answers, and it is the peer that says what an
//! index is worth. Patterns, blocks of addresses, dates and numbers are parsed once; nothing else is clever. It shares no
//! code with the engine, and knows what the worlds hold: identity policies, resources of the principal's own account.

mod condition;
mod facts;
mod pattern;

use std::collections::HashMap;

use portcullis_engine::Reason;

use crate::account::{Account, holder};
use crate::question::Question;
use crate::statement::Statement;
use condition::Condition;
pub use condition::seconds;
use facts::Facts;
use pattern::Pattern;

/// A statement whose patterns and values are parsed.
#[derive(Debug)]
struct Compiled {
    deny: bool,
    not_action: bool,
    not_resource: bool,
    actions: Vec<Pattern>,
    resources: Vec<Pattern>,
    /// Patterns that may also be read across colons: where more matches grant less, and a part ends in a star (M-19).
    across: Vec<Pattern>,
    conditions: Vec<Condition>,
}

/// An account ready to be scanned.
#[derive(Debug)]
pub struct Scan {
    policies: Vec<Vec<Compiled>>,
    held: HashMap<String, Vec<usize>>,
}

impl Scan {
    /// Parses everything once.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        let policies = &account.policies;
        Self {
            policies: policies.iter().map(|policy| policy.iter().map(Compiled::new).collect()).collect(),
            held: account
                .principals()
                .map(|principal| (principal.to_owned(), account.held(principal).to_vec()))
                .collect(),
        }
    }

    /// A matching Deny decides, else a matching Allow, else nothing allows.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Reason {
        let facts = Facts::new(question);
        let action = question.action.to_ascii_lowercase();
        let action: Vec<&[u8]> = action.splitn(2, ':').map(str::as_bytes).collect();
        let (prefix, rest) = split_arn(&question.resource);
        let prefix = prefix.to_ascii_lowercase();
        let mut resource: Vec<&[u8]> = prefix.split(':').map(str::as_bytes).collect();
        resource.push(rest.as_bytes());
        let mut reason = Reason::ImplicitDeny;
        let held = self.held.get(holder(&question.principal)).into_iter().flatten();
        for statement in held.filter_map(|policy| self.policies.get(*policy)).flatten() {
            if statement.matches(&action, &resource, &question.resource, &facts) {
                if statement.deny {
                    return Reason::ExplicitDeny;
                }
                reason = Reason::Allowed;
            }
        }
        reason
    }
}

impl Compiled {
    fn new(statement: &Statement) -> Self {
        let patterns = |patterns: &[String], parts, folded| {
            patterns.iter().map(|pattern| Pattern::new(pattern, parts, folded)).collect()
        };
        Self {
            deny: statement.deny,
            not_action: statement.actions.negated,
            not_resource: statement.resources.negated,
            actions: patterns(&statement.actions.patterns, 2, 2),
            resources: patterns(&statement.resources.patterns, 6, 5),
            across: if statement.deny != statement.resources.negated {
                let ends = |pattern: &&String| pattern.splitn(6, ':').take(5).any(|part| part.ends_with('*'));
                let patterns = statement.resources.patterns.iter().filter(ends);
                patterns.map(|pattern| Pattern::new(pattern, 1, 0)).collect()
            } else {
                Vec::new()
            },
            conditions: statement.conditions.iter().map(Condition::new).collect(),
        }
    }

    fn matches(&self, action: &[&[u8]], resource: &[&[u8]], whole: &str, facts: &Facts<'_>) -> bool {
        let variable = |name: &str| facts.variable(name);
        let resource = || {
            self.resources.iter().any(|pattern| pattern.matches(resource, &variable))
                || self.across.iter().any(|pattern| pattern.matches(&[whole.as_bytes()], &variable))
        };
        self.actions.iter().any(|pattern| pattern.matches(action, &variable)) != self.not_action
            && resource() != self.not_resource
            && self.conditions.iter().all(|condition| condition.holds(facts))
    }
}

/// The first five parts of an ARN, and the sixth.
fn split_arn(arn: &str) -> (&str, &str) {
    let fifth = arn.match_indices(':').nth(4).map(|(at, _)| at);
    fifth
        .and_then(|at| arn.split_at_checked(at))
        .map_or((arn, ""), |(prefix, rest)| (prefix, rest.strip_prefix(':').unwrap_or_default()))
}
