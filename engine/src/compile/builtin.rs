//! AWS-managed policies that can be attached without being in the directory; a definition there wins.

use super::Map;

use super::pool::PoolBuilder;
use crate::diagnostic::{SourceText, Span};
use crate::load::LoadMode;
use crate::policy::{Document, Effect, Patterns, PolicyType, Spanned, Statement};

/// The content of the built-in file, in the form of a policy directory.
const TEXT: &str = include_str!("builtin.json");

/// Compiles the built-in policies whose ARN is not defined yet.
pub(super) fn add(pool: &mut PoolBuilder, managed: &mut Map<Box<str>, u32>) {
    let text = SourceText::new("built-in".to_owned(), TEXT.to_owned());
    let mut findings = Vec::new();
    let entities = crate::directory::parse::entities(&text, LoadMode::Strict, &mut findings);
    debug_assert!(findings.is_empty(), "{findings:?}");
    for policy in entities.policies {
        let arn = policy.arn.value.as_str();
        if !managed.contains_key(arn) {
            let index = pool.add_document(arn, PolicyType::Managed, &policy.document, None);
            managed.insert(arn.into(), index);
        }
    }
}

/// Id of the SCP that allows everything.
const FULL_ACCESS_SCP: &str = "p-FullAWSAccess";
/// Id of the RCP that allows everything; it is attached everywhere (G-56).
const FULL_ACCESS_RCP: &str = "p-RCPFullAWSAccess";

/// Compiles the two full-access policies of organizations: id and index of each.
pub(super) fn full_access(pool: &mut PoolBuilder) -> [(&'static str, u32); 2] {
    let everything = || Patterns {
        negated: false,
        entries: vec![Spanned { value: "*".to_owned(), span: Span::default() }],
    };
    let document = Document {
        variables: true,
        statements: vec![Statement {
            sid: None,
            effect: Effect::Allow,
            principal: None,
            actions: everything(),
            resources: Some(everything()),
            conditions: Vec::new(),
            span: Span::default(),
        }],
        span: Span::default(),
    };
    [(FULL_ACCESS_SCP, PolicyType::Scp), (FULL_ACCESS_RCP, PolicyType::Rcp)]
        .map(|(id, kind)| (id, pool.add_document(id, kind, &document, None)))
}
