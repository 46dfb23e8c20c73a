//! Resolves names to indexes and builds the views: the last step of a build. Every unresolved name is a diagnostic.

use super::Map;
use super::index::{View, ViewBuilder};
use super::names::Names;
use super::organization::{OrganizationAccount, OrganizationIndex};
use super::resources::{ResourceEntry, ResourceIndex};
use super::{Counts, Identity, PolicySet, PolicySetBuilder, builtin, folded_tags};
use crate::diagnostic::{Code, Diagnostic, Severity, SourceText};
use crate::directory::{Node, Organization, OrganizationPolicyType};
use crate::policy::Spanned;

/// What resolving needs from the builder, and what it finds.
struct Resolver<'b> {
    builder: ViewBuilder<'b>,
    sources: &'b [SourceText],
    managed: &'b Map<Box<str>, u32>,
    findings: Vec<Diagnostic>,
    views: Vec<View>,
    /// Equal sets of policies share one view.
    view_of: Map<Vec<u32>, u32>,
}

/// Makes a policy set of everything added; findings go to the builder.
pub(super) fn resolve(builder: &mut PolicySetBuilder) -> PolicySet {
    let full_access = builtin::full_access(&mut builder.pool);
    let pool = builder.pool.finish();
    let mut resolver = Resolver {
        builder: ViewBuilder::new(&pool),
        sources: &builder.sources,
        managed: &builder.managed,
        findings: Vec::new(),
        views: Vec::new(),
        view_of: Map::default(),
    };
    let groups = resolver.groups(builder);
    let users = resolver.users(builder, &groups);
    let mut user_names = Names::default();
    for user in &builder.users {
        let entity = &user.entity;
        user_names.insert(&entity.account, &entity.name, Box::from(entity.arn.value.as_str()));
    }
    let roles = resolver.roles(builder);
    let resources = resolver.resources(builder);
    let endpoints = builder
        .endpoints
        .iter()
        .map(|(id, policy, _)| (id.value.as_str().into(), resolver.view(vec![*policy])));
    let endpoints: Map<Box<str>, u32> = endpoints.collect();
    let organization = builder.organization.as_ref();
    let organization = organization.map(|it| resolver.organization(&it.0, &it.1, it.2, &full_access));
    let Resolver { findings, views, .. } = resolver;
    builder.findings.extend(findings);
    let counts = Counts {
        users: users.len() as u32,
        groups: builder.groups.len() as u32,
        roles: roles.len() as u32,
        policies: pool.policies.iter().filter(|policy| !policy.file.is_empty()).count() as u32,
        statements: pool
            .policies
            .iter()
            .filter(|policy| !policy.file.is_empty())
            .map(|it| it.statements.len() as u32)
            .sum(),
    };
    let managed = std::mem::take(&mut builder.managed);
    PolicySet { pool, views, users, user_names, roles, managed, resources, endpoints, organization, counts }
}

impl Resolver<'_> {
    /// The view of these policies; the same set gives the same view.
    fn view(&mut self, policies: Vec<u32>) -> u32 {
        if let Some(index) = self.view_of.get(&policies) {
            return *index;
        }
        let index = self.views.len() as u32;
        self.views.push(self.builder.view(policies.clone()));
        self.view_of.insert(policies, index);
        index
    }

    fn report(&mut self, code: Code, source: usize, name: &Spanned<String>, message: String, help: &str) {
        if let Some(text) = self.sources.get(source) {
            let finding = text.diagnostic(code, Severity::Error, name.span, message);
            self.findings.push(finding.with_help(help));
        }
    }

    fn attached(&mut self, arns: &[Spanned<String>], source: usize) -> Vec<u32> {
        arns.iter().filter_map(|arn| self.managed_policy(arn, source, Code::UnresolvedPolicy)).collect()
    }

    fn managed_policy(&mut self, arn: &Spanned<String>, source: usize, code: Code) -> Option<u32> {
        let found = self.managed.get(arn.value.as_str()).copied();
        if found.is_none() {
            let message = format!("no file defines the policy `{}`", arn.value);
            let help = "add it to `Policies`, or correct the ARN";
            self.report(code, source, arn, message, help);
        }
        found
    }

    /// The policies of each group, by account and name.
    fn groups(&mut self, builder: &PolicySetBuilder) -> Map<(String, String), Vec<u32>> {
        let mut groups = Map::default();
        for group in &builder.groups {
            let mut policies = group.inline.clone();
            policies.extend(self.attached(&group.entity.attached, group.source));
            groups.insert((group.entity.account.clone(), group.entity.name.clone()), policies);
        }
        groups
    }

    fn users(
        &mut self,
        builder: &PolicySetBuilder,
        groups: &Map<(String, String), Vec<u32>>,
    ) -> Map<Box<str>, Identity> {
        let mut users = Map::with_capacity_and_hasher(builder.users.len(), Default::default());
        for user in &builder.users {
            let entity = &user.entity;
            let mut policies = user.inline.clone();
            policies.extend(self.attached(&entity.attached, user.source));
            for group in &entity.groups {
                match groups.get(&(entity.account.clone(), group.value.clone())) {
                    Some(of_group) => policies.extend(of_group),
                    None => {
                        let message = format!(
                            "no file defines the group `{}` in account {}",
                            group.value, entity.account
                        );
                        let help = "add it to `GroupDetailList`, or correct the name";
                        self.report(Code::UnresolvedGroup, user.source, group, message, help);
                    }
                }
            }
            let boundary = entity.boundary.as_ref();
            let boundary =
                boundary.and_then(|arn| self.managed_policy(arn, user.source, Code::UnresolvedBoundary));
            let identity = Identity {
                arn: entity.arn.value.as_str().into(),
                id: entity.id.as_deref().map(Into::into),
                tags: folded_tags(&entity.tags),
                identity: self.view(without_repeats(policies)),
                boundary: boundary.map(|policy| self.view(vec![policy])),
                trust: None,
            };
            users.insert(identity.arn.clone(), identity);
        }
        users
    }

    fn roles(&mut self, builder: &PolicySetBuilder) -> Names<Identity> {
        let mut roles = Names::default();
        for (role, trust) in &builder.roles {
            let entity = &role.entity;
            let mut policies = role.inline.clone();
            policies.extend(self.attached(&entity.attached, role.source));
            let boundary = entity.boundary.as_ref();
            let boundary =
                boundary.and_then(|arn| self.managed_policy(arn, role.source, Code::UnresolvedBoundary));
            let identity = Identity {
                arn: entity.arn.value.as_str().into(),
                id: entity.id.as_deref().map(Into::into),
                tags: folded_tags(&entity.tags),
                identity: self.view(without_repeats(policies)),
                boundary: boundary.map(|policy| self.view(vec![policy])),
                trust: trust.map(|policy| self.view(vec![policy])),
            };
            roles.insert(&entity.account, &entity.name, identity);
        }
        roles
    }

    fn resources(&mut self, builder: &PolicySetBuilder) -> ResourceIndex {
        let mut index = ResourceIndex::default();
        for (resource, policy, _) in &builder.resources {
            let entry = ResourceEntry {
                owner: resource.owner.as_deref().map(Into::into),
                policy: policy.map(|policy| self.view(vec![policy])),
                tags: resource.tags.as_deref().map(folded_tags),
                delegating: resource.delegating,
            };
            index.add(entry, resource.patterns.iter().map(|pattern| pattern.value.clone()));
        }
        index
    }

    fn organization(
        &mut self,
        organization: &Organization,
        compiled: &[u32],
        source: usize,
        full_access: &[(&'static str, u32); 2],
    ) -> OrganizationIndex {
        let [scp, rcp] = full_access;
        let mut ids: Map<(bool, String), u32> = Map::default();
        ids.insert((true, scp.0.to_owned()), scp.1);
        ids.insert((false, rcp.0.to_owned()), rcp.1);
        for (policy, index) in organization.policies.iter().zip(compiled) {
            ids.insert((policy.kind == OrganizationPolicyType::Scp, policy.id.value.clone()), *index);
        }
        let mut walk = Walk {
            source,
            ids,
            full_rcp: rcp.1,
            has_scps: any_node(&organization.root, &|node| node.scps.is_some()),
            has_rcps: any_node(&organization.root, &|node| node.rcps.is_some()),
            accounts: Map::default(),
        };
        let root_path = format!("{}/{}/", organization.id, organization.root.id.value);
        self.walk(&mut walk, &organization.root, &root_path, (&[], &[]));
        OrganizationIndex {
            id: organization.id.as_str().into(),
            management_account: organization.management_account.as_deref().map(Into::into),
            root_path: root_path.into(),
            accounts: walk.accounts,
        }
    }

    /// Visits a unit: its accounts with all levels down to them, then the units below.
    fn walk(&mut self, walk: &mut Walk, node: &Node, path: &str, above: (&[Level], &[Level])) {
        let (scps, rcps) = (self.level(walk, node, true, above.0), self.level(walk, node, false, above.1));
        for account in &node.accounts {
            let account_scps = self.level(walk, account, true, &scps);
            let account_rcps = self.level(walk, account, false, &rcps);
            let entry = OrganizationAccount {
                path: path.into(),
                scps: walk.has_scps.then(|| account_scps.into()),
                rcps: walk.has_rcps.then(|| account_rcps.into()),
            };
            if walk.accounts.insert(account.id.value.as_str().into(), entry).is_some() {
                let message = format!("the account `{}` stands twice in the organization", account.id.value);
                self.report(
                    Code::DuplicateEntity,
                    walk.source,
                    &account.id,
                    message,
                    "keep one of the two places",
                );
            }
        }
        for unit in &node.units {
            self.walk(walk, unit, &format!("{path}{}/", unit.id.value), (&scps, &rcps));
        }
    }

    /// The levels above and the node's own; a node that does not say has none (E-14).
    fn level(&mut self, walk: &Walk, node: &Node, scp: bool, above: &[Level]) -> Vec<Level> {
        let mut levels = above.to_vec();
        let Some(ids) = (if scp { &node.scps } else { &node.rcps }) else { return levels };
        let mut policies = if scp { Vec::new() } else { vec![walk.full_rcp] };
        for id in ids {
            match walk.ids.get(&(scp, id.value.clone())) {
                Some(policy) => policies.push(*policy),
                None => {
                    let kind = if scp { "service control policy" } else { "resource control policy" };
                    let message = format!("the organization defines no {kind} `{}`", id.value);
                    let help = "add it to `Policies` of the organization, or correct the id";
                    self.report(Code::UnresolvedOrganizationPolicy, walk.source, id, message, help);
                }
            }
        }
        let view = self.view(without_repeats(policies));
        levels.push((node.id.value.as_str().into(), view));
        levels
    }
}

/// Name of a node and index of its view.
type Level = (Box<str>, u32);

/// What a walk over the organization carries.
struct Walk {
    source: usize,
    /// Index by kind (SCP or not) and id.
    ids: Map<(bool, String), u32>,
    full_rcp: u32,
    has_scps: bool,
    has_rcps: bool,
    accounts: Map<Box<str>, OrganizationAccount>,
}

fn any_node(node: &Node, test: &dyn Fn(&Node) -> bool) -> bool {
    test(node) || node.accounts.iter().any(test) || node.units.iter().any(|unit| any_node(unit, test))
}

/// A policy attached twice counts once.
fn without_repeats(policies: Vec<u32>) -> Vec<u32> {
    let mut seen = std::collections::HashSet::with_capacity(policies.len());
    policies.into_iter().filter(|policy| seen.insert(*policy)).collect()
}
