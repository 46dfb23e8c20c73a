//! One request against one statement: the facts of the request, and whether each part of a statement matches.
//!
//! Knows nothing of how layers combine; that is `authorize`.

mod condition;
mod facts;
mod principal;

use std::cell::{Cell, RefCell};

use smallvec::SmallVec;

use crate::arn::Arn;
use crate::compile::action::ActionIds;
use crate::compile::index::{Candidate, ResourceStart, WHOLE_ELEMENT};
use crate::compile::pool::{Actions, Pool, ResourcePattern, Resources, Statement};
use crate::compile::resources::{ResourceEntry, folded_prefix};
use crate::compile::{Identity, PolicySet};
use crate::limit;
use crate::pattern::{Matched, Pattern, Resolve};
use crate::policy::Effect;
use crate::request::{Principal, Request, Target, Value, fold};
pub(crate) use principal::Class;

/// The state of one evaluation: facts derived from the directory, and what is learned on the way.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) set: &'a PolicySet,
    pub(crate) request: &'a Request<'a>,
    /// The user or role whose policies apply; for a federated user the issuing user.
    pub(crate) identity: Option<&'a Identity>,
    /// ARN of whoever called GetFederationToken.
    pub(crate) issuer: Option<&'a str>,
    /// Who owns the resource.
    pub(crate) resource_account: Option<&'a str>,
    /// The entries of the resource directory that match.
    pub(crate) resource_entries: SmallVec<[&'a ResourceEntry; 4]>,
    /// The role or user of the directory that is the resource.
    pub(crate) resource_identity: Option<&'a Identity>,
    /// Whether the resource policy in question is a trust policy.
    pub(crate) is_trust: bool,
    pub(crate) resource_start: ResourceStart<'a>,
    /// What the action is in the pool of the policy set.
    pub(crate) terms: Terms<'a>,
    /// The same in the pool of the inline session policies.
    pub(crate) session_terms: Option<Terms<'a>>,
    pub(crate) steps: Cell<u32>,
    pub(crate) missing: RefCell<SmallVec<[&'a str; 4]>>,
    /// Whether a condition or a variable has asked for the time.
    pub(crate) clock_read: Cell<bool>,
    texts: facts::Texts,
}

/// What a request is in terms of one pool.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) pool: &'a Pool,
    /// The action patterns that the action matches.
    pub(crate) actions: ActionIds<'a>,
}

impl<'a> Terms<'a> {
    #[inline]
    fn of(request: &Request<'_>, pool: &'a Pool, steps: &Cell<u32>) -> Self {
        Self { pool, actions: pool.action_table.matching(&request.action, steps) }
    }
}

/// Resolves the variables of one pool.
struct Variables<'e, 'a> {
    evaluation: &'e Evaluation<'a>,
    pool: &'e Pool,
}

impl Resolve for Variables<'_, '_> {
    fn variable(&self, index: u32) -> Option<&str> {
        let variable = self.pool.variables.get(index as usize)?;
        let key = self.pool.keys.get(variable.key as usize)?;
        match self.evaluation.lookup(key) {
            // V-13: an empty value is as good as none.
            None | Some(Value::One("")) => variable.default.as_deref(),
            Some(Value::One(text)) => Some(text),
            // V-5: a multi-valued key does not resolve, default or not.
            Some(Value::ListOfOne(_) | Value::List(_)) => None,
        }
    }

    fn steps(&self) -> &Cell<u32> {
        &self.evaluation.steps
    }
}

/// Which part of a statement failed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Principal,
    Action,
    Resource,
    Condition,
}

impl<'a> Evaluation<'a> {
    /// One that knows nothing yet; [`Self::find_facts`] completes it where it stands, since moving it would cost as much.
    #[inline]
    pub(crate) fn new(set: &'a PolicySet, request: &'a Request<'a>) -> Self {
        Self {
            set,
            request,
            identity: None,
            issuer: None,
            resource_account: None,
            resource_entries: SmallVec::new(),
            resource_identity: None,
            is_trust: false,
            resource_start: ResourceStart::new(),
            terms: Terms { pool: &set.pool, actions: ActionIds::Known(&[]) },
            session_terms: None,
            steps: Cell::new(limit::EVALUATION_STEPS_MAX),
            missing: RefCell::new(SmallVec::new()),
            clock_read: Cell::new(false),
            texts: facts::Texts::default(),
        }
    }

    /// Derives everything that the directory knows about the principal and the resource.
    pub(crate) fn find_facts(&mut self) {
        let (set, request) = (self.set, self.request);
        let session = request.input.session.as_ref();
        let issuer = session.and_then(|session| session.issuer);
        self.identity = match request.principal {
            Principal::User { arn, .. } => set.users.get(arn),
            Principal::RoleSession { account, role_name, .. } => set.role(account, role_name),
            Principal::Role { account, arn } => set
                .role(account, crate::arn::name_of(arn))
                .filter(|role| principal::same_role(&role.arn, arn)),
            Principal::FederatedUser { account, name, .. } => match issuer {
                Some(issuer) => set.users.get(issuer),
                None => set.user_named(account, name),
            },
            _ => None,
        };
        self.issuer = issuer.or_else(|| match request.principal {
            Principal::FederatedUser { .. } => self.identity.map(|user| &*user.arn),
            _ => None,
        });
        if let Target::Arn { arn, .. } = &request.target {
            self.resource_start.read(arn.resource);
        }
        self.terms = Terms::of(request, &set.pool, &self.steps);
        if let Some(policies) = session.and_then(|session| session.policies) {
            self.session_terms = Some(Terms::of(request, &policies.pool, &self.steps));
        }
        self.find_resource();
    }

    fn find_resource(&mut self) {
        let (request, set) = (self.request, self.set);
        let mut arn_account = None;
        if let Target::Arn { text, arn, .. } = &request.target {
            arn_account = Some(arn.account).filter(|account| crate::arn::is_account(account));
            // Segments of the prefix ignore case (M-14), so that no spelling gets past a policy of the resource.
            let folded = if arn.prefix_has_upper { folded_prefix(text) } else { None };
            let is_named = |own: &str| {
                principal::same_role(own, text)
                    || folded.as_deref().is_some_and(|it| principal::same_role(own, it))
            };
            if arn.service.eq_ignore_ascii_case("iam") {
                let name = crate::arn::name_of(arn.resource);
                if arn.resource.starts_with("role/") {
                    let role = set.role(arn.account, name);
                    self.resource_identity = role.filter(|role| is_named(&role.arn));
                    self.is_trust = is_trust_action(&request.action.folded());
                } else if arn.resource.starts_with("user/") {
                    self.resource_identity =
                        set.users.get(*text).or_else(|| set.users.get(folded.as_deref()?));
                }
            }
            if !self.is_trust && !set.resources.entries.is_empty() {
                let found = set.resources.find(text, folded.as_deref(), &self.steps);
                self.resource_entries =
                    found.iter().filter_map(|at| set.resources.entries.get(*at as usize)).collect();
            }
        }
        let owner = self.resource_entries.iter().find_map(|entry| entry.owner.as_deref());
        // T-1: a role is its account's, whatever the request says.
        let of_role = arn_account.filter(|_| self.is_trust);
        let given = of_role.or(request.input.resource_account);
        self.resource_account = given.or(owner).or(arn_account).or_else(|| request.principal.account());
    }

    /// Whether action, resource and condition match (M-28).
    pub(crate) fn matches(&self, terms: &Terms<'a>, statement: &Statement) -> bool {
        self.action_matches(terms, statement)
            && self.resource_matches(terms, statement)
            && self.conditions_match(terms.pool, statement)
    }

    /// Whether the statement matches in the way that the index found.
    pub(crate) fn matches_as(&self, terms: &Terms<'a>, statement: &Statement, candidate: &Candidate) -> bool {
        if candidate.resource == WHOLE_ELEMENT {
            return self.matches(terms, statement);
        }
        let Some(pattern) = terms.pool.patterns.get(candidate.resource as usize) else { return false };
        self.entry_matches(pattern, statement.effect == Effect::Deny, terms)
            && self.conditions_match(terms.pool, statement)
    }

    /// The first part that fails, principal apart.
    pub(crate) fn failing_part(&self, terms: &Terms<'a>, statement: &Statement) -> Option<Part> {
        if !self.action_matches(terms, statement) {
            Some(Part::Action)
        } else if !self.resource_matches(terms, statement) {
            Some(Part::Resource)
        } else if !self.conditions_match(terms.pool, statement) {
            Some(Part::Condition)
        } else {
            None
        }
    }

    fn action_matches(&self, terms: &Terms<'a>, statement: &Statement) -> bool {
        let Some(actions) = terms.pool.actions.get(statement.actions as usize) else { return false };
        self.listed(terms, actions) != actions.negated
    }

    /// Whether an entry of the action element matches (M-4 to M-7).
    fn listed(&self, terms: &Terms<'a>, actions: &Actions) -> bool {
        if actions.any || terms.actions.as_slice().iter().any(|id| actions.ids.binary_search(id).is_ok()) {
            return true;
        }
        if actions.any_vendor.is_empty() {
            return false;
        }
        let action = self.request.action.folded();
        let (vendor, name) = action.split_at_checked(self.request.action.vendor_length).unwrap_or_default();
        let variables = Variables { evaluation: self, pool: terms.pool };
        let yes = |pattern: &Pattern, text| pattern.matches(text, &variables) == Matched::Yes;
        actions.any_vendor.iter().any(|(of, pattern)| yes(of, vendor) && yes(pattern, name))
    }

    fn resource_matches(&self, terms: &Terms<'a>, statement: &Statement) -> bool {
        let pool = terms.pool;
        // G-51: without the element the statement is about the resource that carries the policy.
        let Some(resources) = statement.resources.and_then(|at| pool.resources.get(at as usize)) else {
            return true;
        };
        let (allow, negated) = (statement.effect == Effect::Allow, resources.negated);
        if resources.has_variables && allow && self.has_unresolved(pool, resources) && negated {
            return false; // V-12
        }
        // M-19: where matching more grants less, either reading of a prefix star will do.
        let wide = allow == negated;
        let listed = pool.patterns_of(resources).iter().any(|entry| self.entry_matches(entry, wide, terms));
        listed != negated
    }

    /// Whether a variable of the element has no value; notes its key as missing.
    fn has_unresolved(&self, pool: &'a Pool, resources: &Resources) -> bool {
        let variables = Variables { evaluation: self, pool };
        let mut unresolved = false;
        for entry in pool.patterns_of(resources) {
            let ResourcePattern::Arn { resource, .. } = entry else { continue };
            for index in resource.variables().filter(|index| variables.variable(*index).is_none()) {
                unresolved = true;
                let variable = pool.variables.get(index as usize);
                if let Some(key) = variable.and_then(|variable| pool.keys.get(variable.key as usize)) {
                    self.note_missing(&key.written);
                }
            }
        }
        unresolved
    }

    fn entry_matches(&self, entry: &ResourcePattern, wide: bool, terms: &Terms<'a>) -> bool {
        let ResourcePattern::Arn { prefix, resource, whole } = entry else {
            return matches!(entry, ResourcePattern::Any);
        };
        // M-25: a specific ARN says nothing about an action without resources.
        let Target::Arn { text, arn } = &self.request.target else { return false };
        let variables = Variables { evaluation: self, pool: terms.pool };
        if self.prefix_matches(*prefix, arn, terms)
            && resource.matches(arn.resource, &variables) == Matched::Yes
        {
            return true;
        }
        let Some(whole) = whole.as_ref().filter(|_| wide) else { return false };
        if !arn.prefix_has_upper {
            return whole.matches(text, &variables) == Matched::Yes;
        }
        let folded = format!("{}:{}", arn.prefix.to_ascii_lowercase(), arn.resource);
        whole.matches(&folded, &variables) == Matched::Yes
    }

    fn prefix_matches(&self, prefix: u32, arn: &Arn<'_>, terms: &Terms<'a>) -> bool {
        let Some(prefix) = terms.pool.prefixes.get(prefix as usize) else { return false };
        if arn.has_prefix(&prefix.text) {
            return true;
        }
        let Some(segments) = &prefix.segments else { return false };
        let variables = Variables { evaluation: self, pool: terms.pool };
        let matches = |(pattern, segment): (&Pattern, &str)| {
            matches!(pattern, Pattern::Any) || pattern.matches(segment, &variables) == Matched::Yes
        };
        if arn.prefix_has_upper {
            let folded = fold(arn.prefix, true);
            return segments.iter().zip(folded.split(':')).all(matches);
        }
        segments.iter().zip(arn.segments()).all(matches)
    }

    pub(crate) fn note_missing(&self, key: &'a str) {
        let mut missing = self.missing.borrow_mut();
        // A condition may name thousands of keys, and each is compared with all before it.
        if missing.len() < limit::MISSING_KEYS_MAX
            && !missing.iter().any(|known| known.eq_ignore_ascii_case(key))
        {
            missing.push(key);
        }
    }
}

/// The actions that a trust policy answers (G-53).
fn is_trust_action(action: &str) -> bool {
    matches!(
        action,
        "sts:assumerole"
            | "sts:assumerolewithsaml"
            | "sts:assumerolewithwebidentity"
            | "sts:tagsession"
            | "sts:setsourceidentity"
            | "sts:setcontext"
    )
}
