//! Which sets of policies bear on a request (semantics.md 7.1), and what each of them says.

use std::ops::{ControlFlow, Range};

use smallvec::SmallVec;

use super::Verdict;
use crate::compile::index::{Candidate, View};
use crate::compile::organization::Levels;
use crate::compile::pool::{Pool, Statement};
use crate::decision::{Layer, StatementRef};
use crate::evaluate::{Class, Evaluation, Terms};
use crate::policy::Effect;
use crate::request::{Principal, Target};

/// One set of policies (E-4).
#[derive(Debug)]
pub(crate) struct Scope<'l, 'a> {
    pub(crate) layer: Layer,
    /// The organization node of a level; empty otherwise.
    pub(crate) note: &'a str,
    pub(crate) pool: &'a Pool,
    part: Part<'l, 'a>,
    /// Whether statements name principals.
    pub(crate) has_principals: bool,
}

/// Statements of a scope: through indexes, or the few of one policy.
#[derive(Debug)]
enum Part<'l, 'a> {
    None,
    View(&'a View),
    Views(&'l [&'a View]),
    Policy(&'a Range<u32>),
}

/// The sets that apply.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    rcp: &'a Levels,
    scp: &'a Levels,
    endpoint: Option<&'a View>,
    /// The policies of the resource; none is no layer.
    resource: SmallVec<[&'a View; 2]>,
    identity: Identity<'a>,
    boundary: Option<&'a View>,
    /// Whether a session policy must allow (E-6).
    session_required: bool,
    /// `trust` for the role of an AssumeRole call, else `resource`.
    pub(crate) resource_layer: Layer,
    /// E-30 to E-33.
    pub(crate) is_delegating: bool,
}

/// The identity policies of a principal.
#[derive(Debug)]
enum Identity<'a> {
    /// Root, services, anonymous callers and providers have no such layer.
    NoLayer,
    /// Users and roles, known to the directory or not.
    Layer(Option<&'a View>),
}

/// The strongest grants of a resource policy, by class.
#[derive(Debug, Default)]
pub(crate) struct Grants<'a> {
    pub(crate) direct: Option<StatementRef<'a>>,
    pub(crate) role_like: Option<StatementRef<'a>>,
    pub(crate) account: Option<StatementRef<'a>>,
}

impl<'a> Grants<'a> {
    /// A grant of whatever class.
    pub(crate) fn any(&self) -> Option<StatementRef<'a>> {
        self.direct.or(self.role_like).or(self.account)
    }
}

impl<'a> Layers<'a> {
    /// Finds the sets that apply to the request.
    pub(crate) fn of(evaluation: &Evaluation<'a>) -> Self {
        let set = evaluation.set;
        let is_delegating = evaluation.is_trust
            || evaluation.resource_entries.iter().any(|entry| entry.delegating)
            || is_kms_key(&evaluation.request.target);
        let mut layers = Self {
            rcp: &[],
            scp: &[],
            endpoint: None,
            resource: SmallVec::new(),
            identity: Identity::NoLayer,
            boundary: None,
            session_required: false,
            resource_layer: if evaluation.is_trust { Layer::Trust } else { Layer::Resource },
            is_delegating,
        };
        if set.organization.is_some() {
            layers.add_organization(evaluation);
        }
        let trust = evaluation.resource_identity.filter(|_| evaluation.is_trust).and_then(|role| role.trust);
        if let Some(view) = trust.and_then(|trust| set.view(trust)) {
            layers.resource.push(view);
        }
        for entry in &evaluation.resource_entries {
            layers.resource.extend(entry.policy.and_then(|policy| set.view(policy)));
        }
        if !set.endpoints.is_empty() {
            let policy = evaluation.endpoint().and_then(|id| set.endpoints.get(id));
            layers.endpoint = policy.and_then(|policy| set.view(*policy));
        }
        layers.add_principal_side(evaluation);
        layers
    }

    /// SCPs of the principal's account (E-12), RCPs of the resource's (E-15).
    fn add_organization(&mut self, evaluation: &Evaluation<'a>) {
        let Some(organization) = &evaluation.set.organization else { return };
        if evaluation.identity.is_some_and(|identity| identity.arn.contains(":role/aws-service-role/")) {
            return; // E-20
        }
        let principal =
            evaluation.request.principal.account().and_then(|account| organization.member(account));
        self.scp = principal.and_then(|account| account.scps.as_deref()).unwrap_or_default();
        if evaluation.request.action.is("kms:retiregrant") {
            return; // E-15
        }
        let owner = evaluation.resource_account.and_then(|account| organization.member(account));
        self.rcp = owner.and_then(|account| account.rcps.as_deref()).unwrap_or_default();
    }

    fn add_principal_side(&mut self, evaluation: &Evaluation<'a>) {
        let set = evaluation.set;
        match evaluation.request.principal {
            Principal::User { .. } | Principal::RoleSession { .. } | Principal::Role { .. } => {}
            Principal::FederatedUser { .. } => self.session_required = true,
            _ => return,
        }
        let root_issued = evaluation.issuer.is_some_and(|issuer| issuer.ends_with(":root"));
        if !root_issued {
            let view = evaluation.identity.and_then(|identity| set.view(identity.identity));
            self.identity = Identity::Layer(view);
        }
        self.boundary = evaluation.identity.and_then(|identity| set.view(identity.boundary?));
        if let Some(session) = &evaluation.request.input.session {
            self.session_required |= session.policies.is_some() || !session.policy_arns.is_empty();
        }
    }

    /// Shows every set, in the order in which denies are reported, until `visit` breaks.
    pub(crate) fn visit<B>(
        &self,
        evaluation: &Evaluation<'a>,
        mut visit: impl FnMut(Scope<'_, 'a>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.visit_filters(evaluation, &mut visit)?;
        self.resource(evaluation).map_or(ControlFlow::Continue(()), &mut visit)?;
        self.identity(evaluation).map_or(ControlFlow::Continue(()), &mut visit)?;
        self.boundary(evaluation).map_or(ControlFlow::Continue(()), &mut visit)?;
        self.visit_session(evaluation, visit)
    }

    /// Shows the sets that only take away: RCPs, SCPs and the endpoint's policy (E-5 steps 2 to 4).
    pub(crate) fn visit_filters<B>(
        &self,
        evaluation: &Evaluation<'a>,
        mut visit: impl FnMut(Scope<'_, 'a>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let pool = &evaluation.set.pool;
        for (layer, levels) in [(Layer::Rcp, self.rcp), (Layer::Scp, self.scp)] {
            for (node, view) in levels {
                let Some(view) = evaluation.set.view(*view) else { continue };
                visit(Scope { layer, note: node, pool, part: Part::View(view), has_principals: false })?;
            }
        }
        match self.endpoint {
            Some(view) => visit(Scope { has_principals: true, ..scope(Layer::Endpoint, pool, view) }),
            None => ControlFlow::Continue(()),
        }
    }

    /// All session policies are one union, which can stand in two pools.
    fn visit_session<B>(
        &self,
        evaluation: &Evaluation<'a>,
        mut visit: impl FnMut(Scope<'_, 'a>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(session) = evaluation.request.input.session.as_ref().filter(|_| self.session_required)
        else {
            return ControlFlow::Continue(());
        };
        if let Some(policies) = session.policies {
            visit(scope(Layer::Session, &policies.pool, &policies.view))?;
        }
        let set = evaluation.set;
        for arn in session.policy_arns {
            let policy = set.managed.get(arn.as_str()).and_then(|at| set.pool.policies.get(*at as usize));
            let Some(policy) = policy else { continue };
            let part = Part::Policy(&policy.statements);
            visit(Scope { layer: Layer::Session, note: "", pool: &set.pool, part, has_principals: false })?;
        }
        ControlFlow::Continue(())
    }

    fn resource(&self, evaluation: &Evaluation<'a>) -> Option<Scope<'_, 'a>> {
        let (layer, pool) = (self.resource_layer, &evaluation.set.pool);
        let part = Part::Views(&self.resource);
        (!self.resource.is_empty()).then_some(Scope { layer, note: "", pool, part, has_principals: true })
    }

    /// `None` for principals that have no identity policies.
    pub(crate) fn identity(&self, evaluation: &Evaluation<'a>) -> Option<Scope<'_, 'a>> {
        let Identity::Layer(view) = self.identity else { return None };
        let part = view.map_or(Part::None, Part::View);
        let (layer, pool) = (Layer::Identity, &evaluation.set.pool);
        Some(Scope { layer, note: "", pool, part, has_principals: false })
    }

    fn boundary(&self, evaluation: &Evaluation<'a>) -> Option<Scope<'_, 'a>> {
        self.boundary.map(|view| scope(Layer::Boundary, &evaluation.set.pool, view))
    }

    /// The grants of the resource policy (P-8): stops at a direct one.
    pub(crate) fn grants(&self, evaluation: &Evaluation<'a>) -> Grants<'a> {
        let mut grants = Grants::default();
        let Some(scope) = self.resource(evaluation) else { return grants };
        let _ = scope.visit(evaluation, Effect::Allow, |terms, statement, candidate| {
            let Some(class) = evaluation.class(scope.pool, statement) else {
                return ControlFlow::Continue(());
            };
            if !is_match(evaluation, terms, statement, candidate) {
                return ControlFlow::Continue(());
            }
            let named = scope.name(statement);
            match class {
                Class::Direct => {
                    grants.direct = Some(named);
                    return ControlFlow::Break(());
                }
                Class::RoleLike => {
                    grants.role_like = grants.role_like.or(Some(named));
                    // The statement may name the account too, and every class counts.
                    if evaluation.lists_account(scope.pool, statement) {
                        grants.account = grants.account.or(Some(named));
                    }
                }
                Class::Account => grants.account = grants.account.or(Some(named)),
            }
            ControlFlow::Continue(())
        });
        grants
    }

    /// No boundary, or it allows.
    pub(crate) fn boundary_allows(&self, evaluation: &Evaluation<'a>) -> bool {
        self.boundary(evaluation).is_none_or(|scope| scope.find_allow(evaluation).is_some())
    }

    /// No session policies needed, or one of them allows (E-6).
    pub(crate) fn session_allows(&self, evaluation: &Evaluation<'a>) -> bool {
        let allows = |scope: Scope<'_, 'a>| match scope.find_allow(evaluation) {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        };
        !self.session_required || self.visit_session(evaluation, allows).is_break()
    }

    /// Whether a session layer applies, be it empty.
    pub(crate) fn has_session(&self) -> bool {
        self.session_required
    }
}

fn scope<'l, 'a>(layer: Layer, pool: &'a Pool, view: &'a View) -> Scope<'l, 'a> {
    Scope { layer, note: "", pool, part: Part::View(view), has_principals: false }
}

fn is_kms_key(target: &Target<'_>) -> bool {
    let Target::Arn { arn, .. } = target else { return false };
    arn.service.eq_ignore_ascii_case("kms") && arn.resource.starts_with("key/")
}

impl<'a> Scope<'_, 'a> {
    /// What the request is in terms of the pool of this scope.
    pub(crate) fn terms<'e>(&self, evaluation: &'e Evaluation<'a>) -> &'e Terms<'a> {
        match &evaluation.session_terms {
            Some(terms) if std::ptr::eq(terms.pool, self.pool) => terms,
            _ => &evaluation.terms,
        }
    }

    fn views(&self) -> &[&'a View] {
        match &self.part {
            Part::View(view) => std::slice::from_ref(view),
            Part::Views(views) => views,
            Part::None | Part::Policy(_) => &[],
        }
    }

    /// Shows the statements of one effect that may match, each with the way in which the index found it, until `visit`
    /// breaks.
    fn visit<B>(
        &self,
        evaluation: &Evaluation<'a>,
        effect: Effect,
        mut visit: impl FnMut(&Terms<'a>, &'a Statement, Option<&Candidate>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (pool, terms) = (self.pool, self.terms(evaluation));
        for view in self.views() {
            let index = if effect == Effect::Deny { &view.denies } else { &view.allows };
            index.visit(terms.actions.as_slice(), &evaluation.resource_start, &mut |candidate| match pool
                .statements
                .get(candidate.statement as usize)
            {
                Some(statement) => visit(terms, statement, Some(candidate)),
                None => ControlFlow::Continue(()),
            })?;
        }
        if let Part::Policy(range) = self.part {
            let statements = range.clone().filter_map(|id| pool.statements.get(id as usize));
            for statement in statements.filter(|statement| statement.effect == effect) {
                visit(terms, statement, None)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// The first statement of one effect that matches.
    fn find(&self, evaluation: &Evaluation<'a>, effect: Effect) -> Option<&'a Statement> {
        let found = self.visit(evaluation, effect, |terms, statement, candidate| {
            let named = !self.has_principals || evaluation.class(self.pool, statement).is_some();
            if named && is_match(evaluation, terms, statement, candidate) {
                return ControlFlow::Break(statement);
            }
            ControlFlow::Continue(())
        });
        found.break_value()
    }

    /// Every statement, in the order of the policies.
    pub(crate) fn statements(&self) -> Vec<&'a Statement> {
        let pool = self.pool;
        let mut ids: Vec<u32> = self.views().iter().flat_map(|view| view.statements(pool)).collect();
        if let Part::Policy(range) = self.part {
            ids.extend(range.clone());
        }
        ids.into_iter().filter_map(|id| pool.statements.get(id as usize)).collect()
    }

    /// The first Allow that matches.
    pub(crate) fn find_allow(&self, evaluation: &Evaluation<'a>) -> Option<StatementRef<'a>> {
        self.find(evaluation, Effect::Allow).map(|statement| self.name(statement))
    }

    /// The first Deny that matches, with the keys it found missing.
    pub(crate) fn find_deny(&self, evaluation: &Evaluation<'a>) -> Option<Verdict<'a>> {
        let statement = self.find(evaluation, Effect::Deny)?;
        let block = statement.conditions.and_then(|at| self.pool.conditions.get(at as usize));
        evaluation.missing.take();
        evaluation.note_missing_keys(self.pool, block.map_or(&[], |block| block));
        Some(Verdict::ExplicitDeny(self.name(statement), evaluation.missing.take()))
    }

    /// The statement for people.
    pub(crate) fn name(&self, statement: &'a Statement) -> StatementRef<'a> {
        let policy = self.pool.policies.get(statement.policy as usize);
        StatementRef {
            policy_id: policy.map_or("", |policy| &policy.id),
            sid: &statement.sid,
            index: statement.index,
            file: policy.map_or("", |policy| &policy.file),
            line: statement.line,
            column: statement.column,
            layer: self.layer,
        }
    }
}

fn is_match<'a>(
    evaluation: &Evaluation<'a>,
    terms: &Terms<'a>,
    statement: &Statement,
    candidate: Option<&Candidate>,
) -> bool {
    match candidate {
        Some(candidate) => evaluation.matches_as(terms, statement, candidate),
        None => evaluation.matches(terms, statement),
    }
}
