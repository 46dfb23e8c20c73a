//! The decision procedure, in the order of semantics.md E-5: the only file that combines layers.
//!
//! Deciding cannot fail, takes no lock, and reads one immutable policy set.

mod exception;
mod layers;

use std::ops::ControlFlow;

use smallvec::{SmallVec, smallvec};

use crate::arn::is_aws_partition;
use crate::compile::PolicySet;
use crate::decision::{Decision, Layer, PrincipalRef, Reason, StatementRef};
use crate::evaluate::Evaluation;
use crate::policy::Effect;
use crate::request::{Principal, Request, Target};
pub(crate) use layers::{Grants, Layers, Scope};

impl PolicySet {
    /// Answers one request.
    #[must_use]
    pub fn authorize<'a>(&'a self, request: &'a Request<'a>) -> Decision<'a> {
        let mut evaluation = Evaluation::new(self, request);
        evaluation.find_facts();
        let layers = Layers::of(&evaluation);
        let verdict = decide(&evaluation, &layers);
        conclude(&evaluation, verdict)
    }
}

/// What the procedure concludes, before it is written down.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    Allow(Layer, SmallVec<[StatementRef<'a>; 2]>),
    ExplicitDeny(StatementRef<'a>, SmallVec<[&'a str; 4]>),
    ImplicitDeny(Layer),
}

/// E-5, step by step.
pub(crate) fn decide<'a>(evaluation: &Evaluation<'a>, layers: &Layers<'a>) -> Verdict<'a> {
    if exception::always_allowed(evaluation) {
        return Verdict::Allow(Layer::Identity, smallvec![]);
    }
    // 1: an explicit deny in any layer decides.
    let denied = layers.visit(evaluation, |scope| stop_at(scope.find_deny(evaluation)));
    if let ControlFlow::Break(denied) = denied {
        return denied;
    }
    // 2, 3, 4: pure filters.
    let silent = layers.visit_filters(evaluation, |scope| {
        stop_at(scope.find_allow(evaluation).is_none().then_some(scope.layer))
    });
    if let ControlFlow::Break(layer) = silent {
        return Verdict::ImplicitDeny(layer);
    }
    if let Some(layer) = exception::never_allowed(evaluation, layers) {
        return Verdict::ImplicitDeny(layer);
    }
    let grants = layers.grants(evaluation);
    // 5: callers without an account depend on the resource policy alone.
    let Some(account) = evaluation.request.principal.account() else {
        return match grants.direct {
            Some(statement) => Verdict::Allow(layers.resource_layer, smallvec![statement]),
            None => Verdict::ImplicitDeny(layers.resource_layer),
        };
    };
    // 6: another account needs both sides; so does a source identity (T-10).
    let both_sides = evaluation.is_trust && evaluation.request.action.is("sts:setsourceidentity");
    if evaluation.resource_account != Some(account) || both_sides {
        return across(evaluation, layers, &grants);
    }
    within(evaluation, layers, &grants)
}

fn stop_at<T>(found: Option<T>) -> ControlFlow<T> {
    found.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// E-5 steps 7 to 14: one account.
fn within<'a>(evaluation: &Evaluation<'a>, layers: &Layers<'a>, grants: &Grants<'a>) -> Verdict<'a> {
    if let Some(statement) = grants.direct {
        return Verdict::Allow(layers.resource_layer, smallvec![statement]);
    }
    if let Some(statement) = grants.role_like
        && layers.boundary_allows(evaluation)
        && layers.session_allows(evaluation)
    {
        return Verdict::Allow(layers.resource_layer, smallvec![statement]);
    }
    let mut statements: SmallVec<[StatementRef<'a>; 2]> = SmallVec::new();
    if layers.is_delegating {
        // 9, 10: the resource policy must open the door; to root a grant to the account is direct.
        match grants.account {
            Some(statement) => statements.push(statement),
            None => return Verdict::ImplicitDeny(layers.resource_layer),
        }
    }
    match principal_side(evaluation, layers) {
        Ok(granted) => {
            statements.extend(granted);
            Verdict::Allow(Layer::Identity, statements)
        }
        Err(layer) => Verdict::ImplicitDeny(layer),
    }
}

/// the principal's side and the resource's side must both allow.
fn across<'a>(evaluation: &Evaluation<'a>, layers: &Layers<'a>, grants: &Grants<'a>) -> Verdict<'a> {
    let granted = match principal_side(evaluation, layers) {
        Ok(granted) => granted,
        Err(layer) => return Verdict::ImplicitDeny(layer),
    };
    match grants.any() {
        Some(statement) if same_partition(evaluation) => {
            let mut statements: SmallVec<[StatementRef<'a>; 2]> = granted.into_iter().collect();
            statements.push(statement);
            Verdict::Allow(layers.resource_layer, statements)
        }
        _ => Verdict::ImplicitDeny(layers.resource_layer),
    }
}

/// E-8: identity policies, boundary and session policies, each of which must allow. Root has none of them (E-11).
fn principal_side<'a>(
    evaluation: &Evaluation<'a>,
    layers: &Layers<'a>,
) -> Result<Option<StatementRef<'a>>, Layer> {
    let mut granted = None;
    if let Some(identity) = layers.identity(evaluation) {
        granted = Some(identity.find_allow(evaluation).ok_or(Layer::Identity)?);
    }
    if !layers.boundary_allows(evaluation) {
        return Err(Layer::Boundary);
    }
    if !layers.session_allows(evaluation) {
        return Err(Layer::Session);
    }
    Ok(granted)
}

/// X-1; partitions that AWS does not run are not compared.
fn same_partition(evaluation: &Evaluation<'_>) -> bool {
    let Target::Arn { arn, .. } = &evaluation.request.target else { return true };
    let own = evaluation.request.input.principal.split(':').nth(1).unwrap_or_default();
    own == arn.partition || !is_aws_partition(own) || !is_aws_partition(arn.partition)
}

/// Writes the verdict down; a request that ran out of steps is denied, whatever was found (fail closed).
pub(crate) fn conclude<'a>(evaluation: &Evaluation<'a>, verdict: Verdict<'a>) -> Decision<'a> {
    let missing = evaluation.missing.take();
    let principal =
        evaluation.identity.map(|identity| PrincipalRef { arn: &identity.arn, id: identity.id.as_deref() });
    let depends_on_time = evaluation.clock_read.get();
    let mut decision = match verdict {
        Verdict::Allow(layer, statements) => Decision {
            effect: Effect::Allow,
            reason: Reason::Allowed,
            layer,
            statements,
            principal,
            missing_context_keys: SmallVec::new(),
            depends_on_time,
        },
        Verdict::ExplicitDeny(statement, missing) => Decision {
            effect: Effect::Deny,
            reason: Reason::ExplicitDeny,
            layer: statement.layer,
            statements: smallvec![statement],
            principal,
            missing_context_keys: missing,
            depends_on_time,
        },
        Verdict::ImplicitDeny(layer) => Decision {
            effect: Effect::Deny,
            reason: Reason::ImplicitDeny,
            layer,
            statements: SmallVec::new(),
            principal,
            missing_context_keys: missing,
            depends_on_time,
        },
    };
    if evaluation.steps.get() == 0 {
        decision.effect = Effect::Deny;
        decision.reason = Reason::EvaluationLimit;
        decision.statements.clear();
    }
    decision
}

impl Decision<'_> {
    /// The decision in AWS's words.
    #[must_use]
    pub fn message(&self, request: &Request<'_>) -> String {
        self.message_parts(request).concat()
    }

    /// The same in parts, for whoever writes it somewhere else than into a text of its own.
    #[must_use]
    pub fn message_parts<'r>(&self, request: &Request<'r>) -> [&'r str; 11] {
        let input = request.input();
        let (caller, name) = match request.principal {
            Principal::Anonymous => ("Anonymous caller", ""),
            Principal::Service(name) => ("Service: ", name),
            _ => ("User: ", input.principal),
        };
        let (denied_in, policy) = match self.layer {
            Layer::Identity => (" with an explicit deny in an ", "identity-based policy"),
            Layer::Resource => (" with an explicit deny in a ", "resource-based policy"),
            Layer::Boundary => (" with an explicit deny in a ", "permissions boundary"),
            Layer::Session => (" with an explicit deny in a ", "session policy"),
            Layer::Scp => (" with an explicit deny in a ", "service control policy"),
            Layer::Rcp => (" with an explicit deny in a ", "resource control policy"),
            Layer::Endpoint => (" with an explicit deny in a ", "VPC endpoint policy"),
            Layer::Trust => (" with an explicit deny in a ", "role trust policy"),
        };
        let may = match self.reason {
            Reason::Allowed => " is authorized to perform: ",
            _ => " is not authorized to perform: ",
        };
        let because = match self.reason {
            Reason::Allowed => [""; 5],
            Reason::ExplicitDeny => [denied_in, policy, "", "", ""],
            Reason::ImplicitDeny => [" because no ", policy, " allows the ", input.action, " action"],
            Reason::EvaluationLimit => [" because the evaluation took too many steps", "", "", "", ""],
        };
        let [b, c, d, e, f] = because;
        [caller, name, may, input.action, " on resource: ", input.resource, b, c, d, e, f]
    }
}
