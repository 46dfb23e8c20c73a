//! Compiled statements: small records whose parts live once in pools.
//!
//! Invariant: after `add_document` no text of a policy is interpreted again (parse, don't validate).

use std::collections::HashMap;

use super::condition::{Condition, compile_condition};
use crate::arn::is_account;
use crate::condition::key::Derived;
use crate::diagnostic::SourceText;
use crate::pattern::Pattern;
use crate::policy::{self, Document, Effect, Patterns, PolicyType, PrincipalEntry, Spanned};
use crate::request::hash;

/// A condition key that some statement mentions.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) written: Box<str>,
    pub(crate) folded: Box<str>,
    pub(crate) hash: u64,
    pub(crate) derived: Derived,
}

/// A variable: its key and default.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) key: u32,
    pub(crate) default: Option<Box<str>>,
}

/// `Action` or `NotAction`.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub(crate) negated: bool,
    /// `*` is among them.
    pub(crate) any: bool,
    /// `vendor:name` in lower case, sorted.
    pub(crate) literals: Box<[Box<str>]>,
    /// `vendor:` in lower case with a pattern of the name.
    pub(crate) globs: Box<[(Box<str>, Pattern)]>,
    /// Patterns of `vendor:` and name, where a wildcard in the vendor is honoured (G-22).
    pub(crate) any_vendor: Box<[(Pattern, Pattern)]>,
}

/// One entry of `Resource` or `NotResource`.
#[derive(Debug)]
pub(crate) enum ResourcePattern {
    /// `*`.
    Any,
    /// Matches nothing (M-22).
    Never,
    /// Prefix (five segments joined, or each on its own), resource part, and the whole-string reading (M-19).
    Arn { prefix: ArnPrefix, resource: Pattern, whole: Option<Pattern> },
}

/// The five segments before the resource part, in lower case (M-14).
#[derive(Debug)]
pub(crate) enum ArnPrefix {
    /// No wildcards: `arn:aws:s3::`.
    Exact(Box<str>),
    /// Segment by segment.
    Segments(Box<[Pattern; 5]>),
}

/// `Resource` or `NotResource`.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) negated: bool,
    pub(crate) entries: Box<[ResourcePattern]>,
    pub(crate) has_variables: bool,
}

/// `Principal` or `NotPrincipal`.
#[derive(Debug)]
pub(crate) struct Principals {
    pub(crate) negated: bool,
    pub(crate) entries: Box<[PrincipalEntry]>,
}

/// One statement; parts are indexes into the pools.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) effect: Effect,
    pub(crate) actions: u32,
    pub(crate) resources: Option<u32>,
    pub(crate) principals: Option<u32>,
    pub(crate) conditions: Option<u32>,
    pub(crate) policy: u32,
    pub(crate) index: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) sid: Box<str>,
}

/// One document.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) id: Box<str>,
    pub(crate) file: Box<str>,
    pub(crate) statements: std::ops::Range<u32>,
}

/// Everything compiled so far.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pub(crate) keys: Vec<Key>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) actions: Vec<Actions>,
    pub(crate) resources: Vec<Resources>,
    pub(crate) principals: Vec<Principals>,
    pub(crate) conditions: Vec<Box<[Condition]>>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) policies: Vec<Policy>,
}

/// What is only needed while compiling.
#[derive(Debug, Default)]
pub(crate) struct PoolBuilder {
    pub(crate) pool: Pool,
    keys: HashMap<Box<str>, u32>,
    actions: HashMap<Box<str>, u32>,
    resources: HashMap<Box<str>, u32>,
}

impl PoolBuilder {
    /// Compiles a document and returns the index of its policy.
    pub(crate) fn add_document(
        &mut self,
        id: &str,
        kind: PolicyType,
        document: &Document,
        text: Option<&SourceText>,
    ) -> u32 {
        let policy = self.pool.policies.len() as u32;
        let first = self.pool.statements.len() as u32;
        for (index, statement) in document.statements.iter().enumerate() {
            let position = text.map(|text| text.position(statement.span.start)).unwrap_or_default();
            let actions = self.actions(statement.effect, &statement.actions);
            let resources =
                statement.resources.as_ref().map(|it| self.resources(it, kind, document.variables));
            let principals = statement.principal.as_ref().map(|it| self.principals(it));
            let conditions = self.conditions(statement, document.variables);
            self.pool.statements.push(Statement {
                effect: statement.effect,
                actions,
                resources,
                principals,
                conditions,
                policy,
                index: index as u32,
                line: position.line,
                column: position.column,
                sid: statement.sid.as_deref().unwrap_or_default().into(),
            });
        }
        let file = text.map_or("", SourceText::name).into();
        let statements = first..self.pool.statements.len() as u32;
        self.pool.policies.push(Policy { id: id.into(), file, statements });
        policy
    }

    /// The index of a key; names that differ in case only are one key (C-5).
    pub(crate) fn key(&mut self, written: &str) -> u32 {
        let folded = written.to_ascii_lowercase();
        if let Some(index) = self.keys.get(folded.as_str()) {
            return *index;
        }
        let index = self.pool.keys.len() as u32;
        self.pool.keys.push(Key {
            written: written.into(),
            hash: hash(&folded),
            derived: Derived::of(&folded),
            folded: folded.as_str().into(),
        });
        self.keys.insert(folded.into(), index);
        index
    }

    /// Compiles a pattern, interning its variables.
    pub(crate) fn pattern(&mut self, text: &str, wildcards: bool, variables: bool) -> Pattern {
        Pattern::compile(text, wildcards, variables, &mut |key, default| {
            let key = self.key(key);
            let index = self.pool.variables.len() as u32;
            self.pool.variables.push(Variable { key, default: default.map(Into::into) });
            index
        })
    }

    fn actions(&mut self, effect: Effect, element: &Patterns) -> u32 {
        let name = pool_name(&element.entries, &format!("{}{effect:?}", element.negated));
        if let Some(index) = self.actions.get(name.as_str()) {
            return *index;
        }
        let index = self.pool.actions.len() as u32;
        self.pool.actions.push(compile_actions(effect, element));
        self.actions.insert(name.into(), index);
        index
    }

    fn resources(&mut self, element: &Patterns, kind: PolicyType, variables: bool) -> u32 {
        let name = pool_name(&element.entries, &format!("{}{variables}{:?}", element.negated, padding(kind)));
        if let Some(index) = self.resources.get(name.as_str()) {
            return *index;
        }
        let entries: Box<[ResourcePattern]> =
            element.entries.iter().map(|entry| self.resource(&entry.value, kind, variables)).collect();
        let has_variables = entries
            .iter()
            .any(|entry| matches!(entry, ResourcePattern::Arn { resource, .. } if resource.has_variables()));
        let index = self.pool.resources.len() as u32;
        self.pool.resources.push(Resources { negated: element.negated, entries, has_variables });
        self.resources.insert(name.into(), index);
        index
    }

    fn resource(&mut self, text: &str, kind: PolicyType, variables: bool) -> ResourcePattern {
        if text.bytes().all(|byte| byte == b'*') {
            return ResourcePattern::Any;
        }
        let Some(padded) = pad(text, padding(kind)) else { return ResourcePattern::Never };
        let mut parts = padded.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let segments = [next(), next(), next(), next(), next()].map(str::to_ascii_lowercase);
        let rest = next();
        let resource = self.pattern(rest, true, variables);
        let whole = segments.iter().any(|segment| segment.ends_with('*')).then(|| {
            // Variables may stand in the resource part only (G-31), so `$` before it is escaped by compiling apart.
            let prefix = segments.join(":");
            self.whole(&prefix, rest, variables)
        });
        let prefix = if segments.iter().any(|segment| segment.contains(['*', '?'])) {
            ArnPrefix::Segments(Box::new(segments.map(|segment| Pattern::without_variables(&segment))))
        } else {
            ArnPrefix::Exact(segments.join(":").into())
        };
        ResourcePattern::Arn { prefix, resource, whole }
    }

    fn whole(&mut self, prefix: &str, rest: &str, variables: bool) -> Pattern {
        if variables && prefix.contains("${") {
            return Pattern::without_variables(&format!("{prefix}:{rest}"));
        }
        self.pattern(&format!("{prefix}:{rest}"), true, variables)
    }

    fn principals(&mut self, element: &policy::Principals) -> u32 {
        let index = self.pool.principals.len() as u32;
        self.pool
            .principals
            .push(Principals { negated: element.negated, entries: element.entries.clone().into() });
        index
    }

    fn conditions(&mut self, statement: &policy::Statement, variables: bool) -> Option<u32> {
        if statement.conditions.is_empty() {
            return None;
        }
        let compiled = statement.conditions.iter().map(|it| compile_condition(self, it, variables)).collect();
        let index = self.pool.conditions.len() as u32;
        self.pool.conditions.push(compiled);
        Some(index)
    }
}

/// A text that names a list of entries injectively.
fn pool_name(entries: &[Spanned<String>], tag: &str) -> String {
    let mut name =
        String::with_capacity(entries.iter().map(|entry| entry.value.len() + 8).sum::<usize>() + tag.len());
    name.push_str(tag);
    for entry in entries {
        name.push_str(&entry.value.len().to_string());
        name.push(':');
        name.push_str(&entry.value);
    }
    name
}

fn compile_actions(effect: Effect, element: &Patterns) -> Actions {
    let mut compiled = Actions { negated: element.negated, ..Actions::default() };
    let (mut literals, mut globs, mut any_vendor) = (Vec::new(), Vec::new(), Vec::new());
    // A vendor with a wildcard grants nothing and denies what it says (G-22): honour it where more matching grants less.
    let honour = (effect == Effect::Deny) != element.negated;
    for entry in &element.entries {
        let text = entry.value.to_ascii_lowercase();
        let Some((vendor, name)) = text.split_once(':') else {
            compiled.any |= !text.is_empty() && text.bytes().all(|byte| byte == b'*');
            continue;
        };
        if vendor == "*" && !name.is_empty() && name.bytes().all(|byte| byte == b'*') {
            compiled.any = true;
        } else if vendor.contains(['*', '?']) {
            if honour {
                let vendor = Pattern::without_variables(&format!("{vendor}:"));
                any_vendor.push((vendor, Pattern::without_variables(name)));
            }
        } else if name.contains(['*', '?']) {
            globs.push((Box::from(format!("{vendor}:")), Pattern::without_variables(name)));
        } else {
            literals.push(Box::from(text));
        }
    }
    literals.sort_unstable();
    literals.dedup();
    compiled.literals = literals.into();
    compiled.globs = globs.into();
    compiled.any_vendor = any_vendor.into();
    compiled
}

/// What becomes of an ARN with fewer than six segments (M-22).
#[derive(Debug, Clone, Copy)]
enum Padding {
    Always,
    WithWildcard,
    EndsWithWildcard,
    Never,
}

fn padding(kind: PolicyType) -> Padding {
    match kind {
        PolicyType::Managed | PolicyType::Inline | PolicyType::Session => Padding::Always,
        PolicyType::Resource | PolicyType::Trust | PolicyType::Endpoint => Padding::WithWildcard,
        PolicyType::Scp => Padding::EndsWithWildcard,
        PolicyType::Rcp => Padding::Never,
    }
}

/// The pattern with six segments, or `None` when it never matches.
fn pad(text: &str, padding: Padding) -> Option<std::borrow::Cow<'_, str>> {
    let segments = text.splitn(6, ':').count();
    if segments == 6 {
        return Some(text.into());
    }
    let pads = match padding {
        Padding::Always => true,
        Padding::WithWildcard => text.contains('*'),
        Padding::EndsWithWildcard => text.ends_with('*'),
        Padding::Never => false,
    };
    pads.then(|| format!("{text}{}", ":*".repeat(6 - segments)).into())
}

/// The account that an `Account` entry names.
pub(crate) fn account_of(entry: &str) -> Option<&str> {
    if is_account(entry) { Some(entry) } else { entry.split(':').nth(4) }
}
