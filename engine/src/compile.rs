//! From entities to a policy set: documents into pools, attachments into views.
//!
//! Building may fail, deciding may not: a policy set exists only when every reference resolved.

pub(crate) mod action;
mod builtin;
pub(crate) mod condition;
pub(crate) mod index;
mod names;
pub(crate) mod organization;
pub(crate) mod pool;
mod references;
pub(crate) mod resources;

use std::ops::Range;

use crate::condition::value::Instant;
use crate::diagnostic::{Code, Diagnostic, Severity, SourceText, Span};
use crate::directory::{self, Entities, InlinePolicy};
use crate::load::{LoadMode, Loaded};
use crate::policy::{Document, Effect, PolicyType, Spanned};
use crate::{json, limit};
use index::{View, ViewBuilder};
use names::Names;
use organization::OrganizationIndex;
use pool::{Pool, PoolBuilder};
use resources::ResourceIndex;

/// How much a policy set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each is the number of what it names")]
pub struct Counts {
    pub users: u32,
    pub groups: u32,
    pub roles: u32,
    pub policies: u32,
    pub statements: u32,
}

/// A map with a fast hash that differs between processes.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;

/// Folded tag keys with their values.
pub(crate) type Tags = Box<[(Box<str>, Box<str>)]>;

/// A user or role, as a decision needs it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) arn: Box<str>,
    pub(crate) id: Option<Box<str>>,
    pub(crate) tags: Tags,
    /// Index of the view of its identity policies.
    pub(crate) identity: u32,
    /// Index of the view of its permissions boundary.
    pub(crate) boundary: Option<u32>,
    /// Index of the view of its trust policy; roles only.
    pub(crate) trust: Option<u32>,
}

/// The compiled, immutable policy set: everything a decision needs.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) pool: Pool,
    pub(crate) views: Vec<View>,
    pub(crate) users: Map<Box<str>, Identity>,
    /// ARNs of users.
    pub(crate) user_names: Names<Box<str>>,
    /// The path of a role is not in the ARN of its sessions (P-2).
    pub(crate) roles: Names<Identity>,
    /// Index of the policy by ARN.
    pub(crate) managed: Map<Box<str>, u32>,
    pub(crate) resources: ResourceIndex,
    /// Index of the view by endpoint id.
    pub(crate) endpoints: Map<Box<str>, u32>,
    pub(crate) organization: Option<OrganizationIndex>,
    counts: Counts,
}

impl PolicySet {
    /// How much it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many of the statements that are counted deny.
    #[must_use]
    pub fn deny_statements(&self) -> u32 {
        let policies = self.pool.policies.iter().filter(|policy| !policy.file.is_empty());
        let statements = policies.filter_map(|policy| {
            let Range { start, end } = policy.statements;
            self.pool.statements.get(start as usize..end as usize)
        });
        statements.flatten().filter(|statement| statement.effect == Effect::Deny).count() as u32
    }

    /// Whether a managed policy of this ARN is defined.
    #[must_use]
    pub fn has_policy(&self, arn: &str) -> bool {
        self.managed.contains_key(arn)
    }

    pub(crate) fn view(&self, index: u32) -> Option<&View> {
        self.views.get(index as usize)
    }

    pub(crate) fn role(&self, account: &str, name: &str) -> Option<&Identity> {
        self.roles.get(account, name)
    }

    /// The user of this name, whatever its path.
    pub(crate) fn user_named(&self, account: &str, name: &str) -> Option<&Identity> {
        self.users.get(self.user_names.get(account, name)?)
    }
}

/// Inline session policies, compiled apart from any policy set.
#[derive(Debug)]
pub struct SessionPolicies {
    pub(crate) pool: Pool,
    pub(crate) view: View,
}

impl SessionPolicies {
    /// Compiles the documents of one session; all of them form one set (E-4).
    ///
    /// # Errors
    /// The diagnostics, when one of them is an error. Files are named `session`.
    pub fn compile(documents: &[String], mode: LoadMode) -> Result<Self, Vec<Diagnostic>> {
        let mut pool = PoolBuilder::default();
        let mut findings = Vec::new();
        let mut policies = Vec::new();
        for document in documents {
            match json::decode_text("session", document.clone().into_bytes()) {
                Ok(text) => {
                    let tree = json::parse(&text, &mut findings);
                    let kind = PolicyType::Session;
                    let parsed = tree
                        .and_then(|n| crate::policy::parse::document(&n, kind, mode, &text, &mut findings));
                    policies
                        .extend(parsed.map(|document| pool.add_document("session", kind, &document, None)));
                }
                Err(finding) => findings.push(finding),
            }
        }
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(findings);
        }
        let pool = pool.finish();
        let view = ViewBuilder::new(&pool).view(policies);
        Ok(Self { pool, view })
    }
}

/// An entity whose documents are compiled and whose references are still names.
#[derive(Debug)]
struct Pending<T> {
    entity: T,
    /// Indexes of its inline policies.
    inline: Vec<u32>,
    /// Index of the source text.
    source: usize,
}

/// Takes sources one by one and makes a policy set of them.
#[derive(Debug)]
pub struct PolicySetBuilder {
    mode: LoadMode,
    sources: Vec<SourceText>,
    findings: Vec<Diagnostic>,
    pool: PoolBuilder,
    users: Vec<Pending<directory::User>>,
    groups: Vec<Pending<directory::Group>>,
    roles: Vec<(Pending<directory::Role>, Option<u32>)>,
    resources: Vec<(directory::Resource, Option<u32>, usize)>,
    endpoints: Vec<(Spanned<String>, u32, usize)>,
    organization: Option<(directory::Organization, Vec<u32>, usize)>,
    managed: Map<Box<str>, u32>,
    /// Where each entity was first defined.
    defined: Map<String, (usize, Span)>,
}

impl PolicySetBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new(mode: LoadMode) -> Self {
        Self {
            mode,
            sources: Vec::new(),
            findings: Vec::new(),
            pool: PoolBuilder::default(),
            users: Vec::new(),
            groups: Vec::new(),
            roles: Vec::new(),
            resources: Vec::new(),
            endpoints: Vec::new(),
            organization: None,
            managed: Map::default(),
            defined: Map::default(),
        }
    }

    /// Merges in what a reader found about a file it could not hand over.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.findings.push(diagnostic);
    }

    /// Parses, validates and compiles one source; every problem becomes a diagnostic.
    pub fn add(&mut self, file: &str, bytes: Vec<u8>) {
        if bytes.len() > limit::SOURCE_BYTES_MAX {
            let message = format!("the file is longer than {} bytes", limit::SOURCE_BYTES_MAX);
            self.findings.push(Diagnostic::of_file(Code::FileTooLarge, Severity::Error, file, message));
            return;
        }
        let text = match json::decode_text(file, bytes) {
            Ok(text) => text,
            Err(finding) => return self.findings.push(finding),
        };
        let entities = directory::parse::entities(&text, self.mode, &mut self.findings);
        self.add_entities(entities, &text);
        self.sources.push(text);
    }

    fn add_entities(&mut self, entities: Entities, text: &SourceText) {
        let Entities { users, groups, roles, policies, resources, endpoints, organization } = entities;
        let source = self.sources.len();
        for mut entity in users {
            let arn = entity.arn.value.clone();
            if self.define("user", &arn, entity.arn.span, text) {
                let inline = self.inline(&arn, std::mem::take(&mut entity.inline), text);
                self.users.push(Pending { entity, inline, source });
            }
        }
        for mut entity in groups {
            let arn = entity.arn.value.clone();
            if self.define("group", &arn, entity.arn.span, text) {
                let inline = self.inline(&arn, std::mem::take(&mut entity.inline), text);
                self.groups.push(Pending { entity, inline, source });
            }
        }
        for mut entity in roles {
            let arn = entity.arn.value.clone();
            let unique = format!("{}/{}", entity.account, entity.name.to_ascii_lowercase());
            if self.define("role", &unique, entity.arn.span, text) {
                let inline = self.inline(&arn, std::mem::take(&mut entity.inline), text);
                let trust = entity.trust.take().map(|it| self.document(&arn, PolicyType::Trust, &it, text));
                self.roles.push((Pending { entity, inline, source }, trust));
            }
        }
        for entity in policies {
            let arn = &entity.arn.value;
            if self.define("policy", arn, entity.arn.span, text) {
                let policy = self.document(arn, PolicyType::Managed, &entity.document, text);
                self.managed.insert(arn.as_str().into(), policy);
            }
        }
        for mut entity in resources {
            let id = entity.patterns.first().map(|pattern| pattern.value.clone()).unwrap_or_default();
            let policy = entity.policy.take().map(|it| self.document(&id, PolicyType::Resource, &it, text));
            self.resources.push((entity, policy, source));
        }
        for entity in endpoints {
            if self.define("endpoint", &entity.id.value, entity.id.span, text) {
                let policy = self.document(&entity.id.value, PolicyType::Endpoint, &entity.document, text);
                self.endpoints.push((entity.id, policy, source));
            }
        }
        if let Some(entity) = organization
            && self.define("organization", "", entity.span, text)
        {
            let kind = |kind| match kind {
                directory::OrganizationPolicyType::Scp => PolicyType::Scp,
                directory::OrganizationPolicyType::Rcp => PolicyType::Rcp,
            };
            let documents = entity.policies.iter();
            let policies =
                documents.map(|it| self.document(&it.id.value, kind(it.kind), &it.document, text)).collect();
            self.organization = Some((entity, policies, source));
        }
    }

    fn inline(&mut self, owner: &str, policies: Vec<InlinePolicy>, text: &SourceText) -> Vec<u32> {
        let compile = |InlinePolicy { name, document }| {
            self.document(&format!("{owner}/{name}"), PolicyType::Inline, &document, text)
        };
        policies.into_iter().map(compile).collect()
    }

    fn document(&mut self, id: &str, kind: PolicyType, document: &Document, text: &SourceText) -> u32 {
        self.pool.add_document(id, kind, document, Some(text))
    }

    /// Notes where an entity is defined; a second definition is an error that names both places.
    fn define(&mut self, kind: &str, name: &str, span: Span, text: &SourceText) -> bool {
        let source = self.sources.len();
        let Some((first, first_span)) = self.defined.insert(format!("{kind} {name}"), (source, span)) else {
            return true;
        };
        let first_text = self.sources.get(first).unwrap_or(text);
        let message = match kind {
            "organization" => "the organization is defined twice".to_owned(),
            _ => format!("the {kind} `{name}` is defined twice"),
        };
        let code = if kind == "organization" { Code::DuplicateOrganization } else { Code::DuplicateEntity };
        let mut finding = text.diagnostic(code, Severity::Error, span, message);
        finding.related.push(crate::diagnostic::Related {
            file: first_text.name().to_owned(),
            position: first_text.position(first_span.start),
            message: "first defined here".to_owned(),
        });
        self.findings.push(finding.with_help("keep one of the two definitions"));
        false
    }

    /// Resolves every reference and builds the views.
    #[must_use]
    pub fn finish(mut self) -> Loaded {
        builtin::add(&mut self.pool, &mut self.managed);
        let policy_set = references::resolve(&mut self);
        self.findings.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
        let failed = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        Loaded { policy_set: if failed { None } else { Some(policy_set) }, diagnostics: self.findings }
    }
}

/// Folds the keys of tags: they are compared ignoring case (C-6).
pub(crate) fn folded_tags(tags: &[(String, String)]) -> Tags {
    tags.iter().map(|(key, value)| (key.to_ascii_lowercase().into(), value.as_str().into())).collect()
}

/// The value of a folded tag key.
pub(crate) fn tag<'t>(tags: &'t [(Box<str>, Box<str>)], folded: &str) -> Option<&'t str> {
    tags.iter().find(|(key, _)| **key == *folded).map(|(_, value)| &**value)
}

/// Seconds of a duration between two instants, not below zero.
pub(crate) fn seconds_between(from: Instant, to: Instant) -> i64 {
    to.seconds().saturating_sub(from.seconds()).max(0)
}
