//! cedar-policy: a prepared policy set for each principal.
//!
//! Actions without wildcards stand in the scope, globs are `like`, everything else is a condition on the context. What
//! the language cannot say is left out, and shows as answers that differ: `?` in a glob (it becomes nothing), stars that
//! stop at a colon, comparing without case, quantifiers over globs, variables that are not known beforehand.

mod translate;

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicyId,
    PolicySet, Request, Response, RestrictedExpression,
};
use portcullis_engine::{Instant, Reason};

use super::{Line, Peer};
use crate::account::{Account, holder};
use crate::question::{Question, Value};
use crate::statement::Test;
use translate::{cedar_text, has_variables};

/// How a key is given to cedar-policy, from how the policies compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Long,
    Bool,
    Ip,
    Date,
}

/// An account in cedar-policy.
#[derive(Debug)]
pub struct Cedar {
    policies: HashMap<String, Policy>,
    sets: HashMap<String, PolicySet>,
    kinds: HashMap<String, Kind>,
    types: [EntityTypeName; 3],
    authorizer: Authorizer,
    entities: Entities,
}

impl Cedar {
    /// Without any policy yet, but with what requests are made with.
    ///
    /// # Errors
    /// Never, for the names that it uses.
    pub fn new(account: &Account) -> Result<Self, String> {
        let name = |name: &str| EntityTypeName::from_str(name).map_err(|error| error.to_string());
        Ok(Self {
            policies: HashMap::new(),
            sets: HashMap::new(),
            kinds: kinds(account),
            types: [name("Principal")?, name("Action")?, name("Resource")?],
            authorizer: Authorizer::new(),
            entities: Entities::empty(),
        })
    }

    /// The question as cedar-policy's request: everything from texts.
    ///
    /// # Errors
    /// What cedar-policy does not take.
    pub fn request(&self, question: &Question) -> Result<Request, String> {
        let [principal, action, resource] = &self.types;
        let entity = |kind: &EntityTypeName, id: &str| {
            EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
        };
        let folded = question.action.to_ascii_lowercase();
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut pairs = vec![
            ("action".to_owned(), text(&folded)),
            ("resource".to_owned(), text(&question.resource)),
            ("aws:multifactorauthpresent".to_owned(), RestrictedExpression::new_bool(question.mfa)),
        ];
        let account = question.principal.split(':').nth(4).unwrap_or_default();
        let owner = question.resource.split(':').nth(4).filter(|owner| !owner.is_empty()).unwrap_or(account);
        for (key, value) in [("aws:principalaccount", account), ("aws:resourceaccount", owner)] {
            if self.kinds.contains_key(key) {
                pairs.push((key.to_owned(), text(value)));
            }
        }
        if self.kinds.contains_key("aws:currenttime") {
            let now = cedar_date(question.now);
            pairs.push(("aws:currenttime".to_owned(), RestrictedExpression::new_datetime(now)));
        }
        for (key, value) in &question.context {
            let key = key.to_ascii_lowercase();
            let kind = self.kinds.get(&key).copied().unwrap_or(Kind::Text);
            let value = match value {
                Value::List(list) => RestrictedExpression::new_set(list.iter().map(|item| text(item))),
                Value::Bool(flag) => RestrictedExpression::new_bool(*flag),
                Value::Text(said) => match kind {
                    Kind::Text => text(said),
                    Kind::Long => said.parse().map_or_else(|_| text(said), RestrictedExpression::new_long),
                    Kind::Bool => RestrictedExpression::new_bool(said == "true"),
                    Kind::Ip => RestrictedExpression::new_ip(said),
                    Kind::Date => RestrictedExpression::new_datetime(said),
                },
            };
            pairs.push((key, value));
        }
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        let (who, what) = (entity(principal, &question.principal), entity(action, &folded));
        Request::new(who, what, entity(resource, &question.resource), context, None)
            .map_err(|error| error.to_string())
    }

    /// Decides a prepared request.
    #[must_use]
    pub fn decide(&self, principal: &str, request: &Request) -> Option<Reason> {
        let set = self.sets.get(holder(principal))?;
        Some(reason(&self.authorizer.is_authorized(request, set, &self.entities)))
    }

    /// From texts to a reason.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Option<Reason> {
        let request = self.request(question).ok()?;
        self.decide(&question.principal, &request)
    }
}

impl Peer for Cedar {
    /// A policy that does not depend on who asks is parsed once and shared.
    fn lines(account: &Account, principals: &mut dyn Iterator<Item = &str>, line: &mut dyn FnMut(Line)) {
        let mut written: HashSet<String> = HashSet::new();
        let principals: HashSet<&str> = principals.map(holder).collect();
        for principal in principals {
            let mut ids = Vec::new();
            for policy in account.held(principal) {
                for (index, statement) in account.policies.get(*policy).into_iter().flatten().enumerate() {
                    let mut id = format!("{policy}.{index}");
                    if has_variables(statement) {
                        id = format!("{id}.{principal}");
                    }
                    if written.insert(id.clone()) {
                        line(Line::Text(id.clone(), cedar_text(statement, principal)));
                    }
                    ids.push(id);
                }
            }
            line(Line::Principal(principal.to_owned(), ids));
        }
    }

    fn add(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Text(id, text) => {
                let policy = Policy::parse(Some(PolicyId::new(&id)), &text);
                self.policies.insert(id, policy.map_err(|error| format!("{text}: {error}"))?);
            }
            Line::Principal(principal, ids) => {
                let mut set = PolicySet::new();
                for policy in ids.iter().filter_map(|id| self.policies.get(id)) {
                    set.add(policy.clone()).map_err(|error| error.to_string())?;
                }
                self.sets.insert(principal, set);
            }
        }
        Ok(())
    }
}

/// A denial with reasons is an explicit one.
fn reason(response: &Response) -> Reason {
    match (response.decision(), response.diagnostics().reason().next()) {
        (Decision::Allow, _) => Reason::Allowed,
        (Decision::Deny, Some(_)) => Reason::ExplicitDeny,
        (Decision::Deny, None) => Reason::ImplicitDeny,
    }
}

/// `2026-01-31T12:00:00Z`.
fn cedar_date(seconds: i64) -> String {
    Instant::new(seconds, 0).to_string()
}

/// The kind of every key that a condition compares.
fn kinds(account: &Account) -> HashMap<String, Kind> {
    let mut kinds = HashMap::new();
    for condition in account.policies.iter().flatten().flat_map(|statement| &statement.conditions) {
        let kind = match condition.test {
            Test::Equals | Test::EqualsIgnoreCase | Test::Like | Test::Arn => Kind::Text,
            Test::Numeric(_) => Kind::Long,
            Test::Bool => Kind::Bool,
            Test::Ip => Kind::Ip,
            Test::Date(_) => Kind::Date,
            Test::Null => continue,
        };
        kinds.insert(condition.key.to_ascii_lowercase(), kind);
    }
    kinds
}
