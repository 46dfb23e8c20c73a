//! Which sets of policies bear on a request (semantics.md 7.1), and what each of them says.

use std::ops::{ControlFlow, Range};

use smallvec::SmallVec;

use super::Verdict;
use crate::compile::index::{Candidate, View};
use crate::compile::pool::{Pool, Statement};
use crate::decision::{Layer, StatementRef};
use crate::evaluate::{Class, Evaluation, Terms};
use crate::policy::Effect;
use crate::request::{Principal, Target};

/// One set of policies (E-4).
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) layer: Layer,
    /// The organization node of a level; empty otherwise.
    pub(crate) note: &'a str,
    pub(crate) pool: &'a Pool,
    parts: SmallVec<[ScopePart<'a>; 1]>,
    /// Whether statements name principals.
    pub(crate) has_principals: bool,
}

/// Statements of a scope: through an index, or the few of one policy.
#[derive(Debug)]
enum ScopePart<'a> {
    View(&'a View),
    Policy(Range<u32>),
}

/// The sets that apply.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    pub(crate) rcp: SmallVec<[Scope<'a>; 4]>,
    pub(crate) scp: SmallVec<[Scope<'a>; 4]>,
    pub(crate) endpoint: Option<Scope<'a>>,
    pub(crate) resource: Option<Scope<'a>>,
    /// `None` for principals that have no identity policies: root, services, anonymous callers, providers.
    pub(crate) identity: Option<Scope<'a>>,
    pub(crate) boundary: Option<Scope<'a>>,
    /// All session policies as one union, which can stand in two pools.
    pub(crate) session: SmallVec<[Scope<'a>; 2]>,
    /// Whether a session policy must allow (E-6).
    session_required: bool,
    /// `trust` for the role of an AssumeRole call, else `resource`.
    pub(crate) resource_layer: Layer,
    /// E-30 to E-33.
    pub(crate) is_delegating: bool,
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
        let is_delegating = evaluation.is_trust
            || evaluation.resource_entries.iter().any(|entry| entry.delegating)
            || is_kms_key(&evaluation.request.target);
        let mut layers = Self {
            rcp: SmallVec::new(),
            scp: SmallVec::new(),
            endpoint: None,
            resource: None,
            identity: None,
            boundary: None,
            session: SmallVec::new(),
            session_required: false,
            resource_layer: if evaluation.is_trust { Layer::Trust } else { Layer::Resource },
            is_delegating,
        };
        layers.add_organization(evaluation);
        layers.add_resource_side(evaluation);
        layers.add_principal_side(evaluation);
        layers
    }

    /// SCPs of the principal's account (E-12), RCPs of the resource's (E-15).
    fn add_organization(&mut self, evaluation: &Evaluation<'a>) {
        let set = evaluation.set;
        let Some(organization) = &set.organization else { return };
        if evaluation.identity.is_some_and(|identity| identity.arn.contains(":role/aws-service-role/")) {
            return; // E-20
        }
        let principal =
            evaluation.request.principal.account().and_then(|account| organization.member(account));
        let levels = principal.and_then(|account| account.scps.as_deref()).unwrap_or_default();
        self.scp.extend(levels.iter().filter_map(|level| level_scope(evaluation, Layer::Scp, level)));
        if &*evaluation.request.action == "kms:retiregrant" {
            return; // E-15
        }
        let owner = evaluation.resource_account.and_then(|account| organization.member(account));
        let levels = owner.and_then(|account| account.rcps.as_deref()).unwrap_or_default();
        self.rcp.extend(levels.iter().filter_map(|level| level_scope(evaluation, Layer::Rcp, level)));
    }

    fn add_resource_side(&mut self, evaluation: &Evaluation<'a>) {
        let set = evaluation.set;
        let view = |index: u32| set.view(index).map(ScopePart::View);
        let trust = evaluation.resource_identity.filter(|_| evaluation.is_trust).and_then(|role| role.trust);
        let policies = evaluation.resource_entries.iter().filter_map(|entry| entry.policy);
        let parts: SmallVec<[ScopePart<'a>; 1]> =
            trust.into_iter().chain(policies).filter_map(view).collect();
        if !parts.is_empty() {
            let layer = self.resource_layer;
            self.resource = Some(Scope { layer, note: "", pool: &set.pool, parts, has_principals: true });
        }
        if !set.endpoints.is_empty() {
            let view =
                evaluation.endpoint().and_then(|id| set.endpoints.get(id)).and_then(|index| view(*index));
            self.endpoint = view.map(|part| scope(Layer::Endpoint, &set.pool, part, true));
        }
    }

    fn add_principal_side(&mut self, evaluation: &Evaluation<'a>) {
        let set = evaluation.set;
        let root_issued = evaluation.issuer.is_some_and(|issuer| issuer.ends_with(":root"));
        match evaluation.request.principal {
            Principal::User { .. } | Principal::RoleSession { .. } | Principal::Role { .. } => {}
            Principal::FederatedUser { .. } => self.session_required = true,
            _ => return,
        }
        if !root_issued {
            let view = evaluation.identity.and_then(|identity| set.view(identity.identity));
            let parts = view.into_iter().map(ScopePart::View).collect();
            let layer = Layer::Identity;
            self.identity = Some(Scope { layer, note: "", pool: &set.pool, parts, has_principals: false });
        }
        let boundary = evaluation.identity.and_then(|identity| set.view(identity.boundary?));
        self.boundary = boundary.map(|view| scope(Layer::Boundary, &set.pool, ScopePart::View(view), false));
        if let Some(session) = &evaluation.request.input.session {
            self.session_required |= session.policies.is_some() || !session.policy_arns.is_empty();
            let inline =
                session.policies.map(|it| scope(Layer::Session, &it.pool, ScopePart::View(&it.view), false));
            self.session.extend(inline);
            for arn in session.policy_arns {
                let policy = set.managed.get(arn.as_str()).and_then(|at| set.pool.policies.get(*at as usize));
                let part = policy.map(|policy| ScopePart::Policy(policy.statements.clone()));
                self.session.extend(part.map(|part| scope(Layer::Session, &set.pool, part, false)));
            }
        }
    }

    /// Every set, in the order in which denies are reported.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Scope<'a>> {
        let organization = self.rcp.iter().chain(&self.scp).chain(&self.endpoint);
        organization.chain(&self.resource).chain(&self.identity).chain(&self.boundary).chain(&self.session)
    }

    /// The grants of the resource policy (P-8): stops at a direct one.
    pub(crate) fn grants(&self, evaluation: &Evaluation<'a>) -> Grants<'a> {
        let mut grants = Grants::default();
        let Some(scope) = &self.resource else { return grants };
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
                Class::RoleLike => grants.role_like = grants.role_like.or(Some(named)),
                Class::Account => grants.account = grants.account.or(Some(named)),
            }
            ControlFlow::Continue(())
        });
        grants
    }

    /// No boundary, or it allows.
    pub(crate) fn boundary_allows(&self, evaluation: &Evaluation<'a>) -> bool {
        self.boundary.as_ref().is_none_or(|scope| scope.find_allow(evaluation).is_some())
    }

    /// No session policies needed, or one of them allows (E-6).
    pub(crate) fn session_allows(&self, evaluation: &Evaluation<'a>) -> bool {
        !self.session_required || self.session.iter().any(|scope| scope.find_allow(evaluation).is_some())
    }

    /// Whether a session layer applies, be it empty.
    pub(crate) fn has_session(&self) -> bool {
        self.session_required
    }
}

fn scope<'a>(layer: Layer, pool: &'a Pool, part: ScopePart<'a>, has_principals: bool) -> Scope<'a> {
    Scope { layer, note: "", pool, parts: smallvec::smallvec![part], has_principals }
}

fn level_scope<'a>(
    evaluation: &Evaluation<'a>,
    layer: Layer,
    level: &'a (Box<str>, u32),
) -> Option<Scope<'a>> {
    let view = evaluation.set.view(level.1)?;
    let parts = smallvec::smallvec![ScopePart::View(view)];
    Some(Scope { layer, note: &level.0, pool: &evaluation.set.pool, parts, has_principals: false })
}

fn is_kms_key(target: &Target<'_>) -> bool {
    let Target::Arn { arn, .. } = target else { return false };
    arn.service.eq_ignore_ascii_case("kms") && arn.resource.starts_with("key/")
}

impl<'a> Scope<'a> {
    /// What the request is in terms of the pool of this scope.
    pub(crate) fn terms<'e>(&self, evaluation: &'e Evaluation<'a>) -> &'e Terms<'a> {
        match &evaluation.session_terms {
            Some(terms) if std::ptr::eq(terms.pool, self.pool) => terms,
            _ => &evaluation.terms,
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
        for part in &self.parts {
            match part {
                ScopePart::View(view) => {
                    let index = if effect == Effect::Deny { &view.denies } else { &view.allows };
                    index.visit(terms.actions.as_slice(), &evaluation.resource_start, &mut |candidate| {
                        match pool.statements.get(candidate.statement as usize) {
                            Some(statement) => visit(terms, statement, Some(candidate)),
                            None => ControlFlow::Continue(()),
                        }
                    })?;
                }
                ScopePart::Policy(range) => {
                    let statements = range.clone().filter_map(|id| pool.statements.get(id as usize));
                    for statement in statements.filter(|statement| statement.effect == effect) {
                        visit(terms, statement, None)?;
                    }
                }
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
        let ids = self.parts.iter().flat_map(|part| match part {
            ScopePart::View(view) => view.statements(pool).collect::<Vec<_>>(),
            ScopePart::Policy(range) => range.clone().collect(),
        });
        ids.filter_map(|id| pool.statements.get(id as usize)).collect()
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
