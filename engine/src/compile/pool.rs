//! Compiled statements: small records whose parts live once in pools.
//!
//! Invariant: after `add_document` no text of a policy is interpreted again (parse, don't validate).

use std::ops::Range;

use hashbrown::HashTable;

use super::Map;
use super::action::{ActionTable, ActionTableBuilder};
use super::condition::{Condition, compile_condition};
use crate::arn::is_account;
use crate::condition::key::{Derived, facts};
use crate::diagnostic::SourceText;
use crate::pattern::Pattern;
use crate::policy::{self, Document, Effect, Patterns, PolicyType, PrincipalEntry, Spanned};
use crate::word::hash_folded;

/// A condition key that some statement mentions.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) written: Box<str>,
    pub(crate) folded: Box<str>,
    /// Whether it holds a list, when the engine knows the key (C-17).
    pub(crate) multi_valued: Option<bool>,
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
    /// Ids of the patterns with a plain vendor, sorted.
    pub(crate) ids: Box<[u32]>,
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
    /// Index of the prefix, resource part, and the whole-string reading (M-19).
    Arn { prefix: u32, resource: Pattern, whole: Option<Box<Pattern>> },
}

/// The five segments before the resource part, in lower case (M-14).
#[derive(Debug)]
pub(crate) struct ArnPrefix {
    pub(crate) text: Box<str>,
    /// Segment by segment, when one has wildcards.
    pub(crate) segments: Option<Box<[Pattern; 5]>>,
}

/// `Resource` or `NotResource`.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) negated: bool,
    pub(crate) has_variables: bool,
    /// Indexes of its patterns.
    pub(crate) patterns: Range<u32>,
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
    pub(crate) statements: Range<u32>,
}

/// Everything compiled so far.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pub(crate) keys: Vec<Key>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) action_table: ActionTable,
    pub(crate) actions: Vec<Actions>,
    pub(crate) resources: Vec<Resources>,
    pub(crate) patterns: Vec<ResourcePattern>,
    pub(crate) prefixes: Vec<ArnPrefix>,
    pub(crate) principals: Vec<Principals>,
    pub(crate) conditions: Vec<Box<[Condition]>>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) policies: Vec<Policy>,
}

impl Pool {
    /// The patterns of an element.
    pub(crate) fn patterns_of(&self, resources: &Resources) -> &[ResourcePattern] {
        let range = resources.patterns.start as usize..resources.patterns.end as usize;
        self.patterns.get(range).unwrap_or_default()
    }
}

/// Numbers texts: the same text has the same number.
#[derive(Debug, Default)]
struct Interner {
    texts: String,
    numbers: HashTable<(Range<usize>, u32)>,
}

impl Interner {
    fn find(&self, text: &str) -> Option<u32> {
        let is_it = |(range, _): &(Range<usize>, u32)| self.texts.get(range.clone()) == Some(text);
        self.numbers.find(hash_folded(text), is_it).map(|(_, number)| *number)
    }

    fn insert(&mut self, text: &str, number: u32) {
        let start = self.texts.len();
        self.texts.push_str(text);
        let texts = &self.texts;
        let rehash =
            |(range, _): &(Range<usize>, u32)| hash_folded(texts.get(range.clone()).unwrap_or_default());
        self.numbers.insert_unique(hash_folded(text), (start..texts.len(), number), rehash);
    }
}

/// What is only needed while compiling.
#[derive(Debug, Default)]
pub(crate) struct PoolBuilder {
    pub(crate) pool: Pool,
    keys: Map<Box<str>, u32>,
    action_table: ActionTableBuilder,
    actions: Interner,
    resources: Interner,
    prefixes: Interner,
    /// The last name of an element, kept for its room.
    name: String,
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
            derived: Derived::of(&folded),
            multi_valued: facts(&folded).map(|facts| facts.multi_valued),
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

    /// The pool, with what only the whole of it tells.
    pub(crate) fn finish(&mut self) -> Pool {
        let mut pool = std::mem::take(&mut self.pool);
        pool.action_table = std::mem::take(&mut self.action_table).finish();
        pool.prefixes.shrink_to_fit();
        pool.patterns.shrink_to_fit();
        pool.resources.shrink_to_fit();
        pool.statements.shrink_to_fit();
        pool
    }

    fn actions(&mut self, effect: Effect, element: &Patterns) -> u32 {
        let mut name = std::mem::take(&mut self.name);
        // What becomes of a wildcard in the vendor depends on the effect.
        let tag = [if element.negated { "!" } else { "" }, if effect == Effect::Deny { "-" } else { "+" }];
        name_element(&mut name, tag, &element.entries);
        let index = self.actions.find(&name).unwrap_or_else(|| {
            let index = self.pool.actions.len() as u32;
            self.pool.actions.push(compile_actions(&mut self.action_table, effect, element));
            self.actions.insert(&name, index);
            index
        });
        self.name = name;
        index
    }

    fn resources(&mut self, element: &Patterns, kind: PolicyType, variables: bool) -> u32 {
        let mut name = std::mem::take(&mut self.name);
        let tag = [
            match (element.negated, variables) {
                (false, false) => "",
                (false, true) => "$",
                (true, false) => "!",
                (true, true) => "!$",
            },
            match padding(kind) {
                Padding::Always => "a",
                Padding::WithWildcard => "w",
                Padding::EndsWithWildcard => "e",
                Padding::Never => "n",
            },
        ];
        name_element(&mut name, tag, &element.entries);
        let index = self.resources.find(&name).unwrap_or_else(|| {
            let index = self.pool.resources.len() as u32;
            let resources = self.compile_resources(element, kind, variables);
            self.pool.resources.push(resources);
            self.resources.insert(&name, index);
            index
        });
        self.name = name;
        index
    }

    fn compile_resources(&mut self, element: &Patterns, kind: PolicyType, variables: bool) -> Resources {
        let start = self.pool.patterns.len() as u32;
        let mut has_variables = false;
        for entry in &element.entries {
            let pattern = self.resource(&entry.value, kind, variables);
            has_variables |=
                matches!(&pattern, ResourcePattern::Arn { resource, .. } if resource.has_variables());
            self.pool.patterns.push(pattern);
        }
        let patterns = start..self.pool.patterns.len() as u32;
        Resources { negated: element.negated, has_variables, patterns }
    }

    fn resource(&mut self, text: &str, kind: PolicyType, variables: bool) -> ResourcePattern {
        if text.bytes().all(|byte| byte == b'*') {
            return ResourcePattern::Any;
        }
        let Some(padded) = pad(text, padding(kind)) else { return ResourcePattern::Never };
        let Some(colon) = memchr::memchr_iter(b':', padded.as_bytes()).nth(4) else {
            return ResourcePattern::Never;
        };
        let Some((prefix, rest)) = padded.split_at_checked(colon) else { return ResourcePattern::Never };
        let (prefix, rest) = (prefix.to_ascii_lowercase(), rest.get(1..).unwrap_or_default());
        let resource = self.pattern(rest, true, variables);
        // Variables may stand in the resource part only (G-31), so `$` before it is escaped by compiling apart.
        let whole = prefix.split(':').any(|segment| segment.ends_with('*'));
        let whole = whole.then(|| Box::new(self.whole(&prefix, rest, variables)));
        ResourcePattern::Arn { prefix: self.prefix(prefix), resource, whole }
    }

    /// The index of a prefix in lower case.
    fn prefix(&mut self, text: String) -> u32 {
        if let Some(known) = self.prefixes.find(&text) {
            return known;
        }
        let index = self.pool.prefixes.len() as u32;
        self.prefixes.insert(&text, index);
        let segments = text.contains(['*', '?']).then(|| {
            let mut segments = text.split(':').map(Pattern::without_variables);
            let mut next = || segments.next().unwrap_or(Pattern::Any);
            Box::new([next(), next(), next(), next(), next()])
        });
        self.pool.prefixes.push(ArnPrefix { text: text.into(), segments });
        index
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

/// Writes a text that names a list of entries injectively.
fn name_element(name: &mut String, tag: [&str; 2], entries: &[Spanned<String>]) {
    use std::fmt::Write as _;
    name.clear();
    tag.iter().for_each(|part| name.push_str(part));
    for entry in entries {
        // Writing to a string cannot fail.
        let _ = write!(name, "{}:", entry.value.len());
        name.push_str(&entry.value);
    }
}

fn compile_actions(table: &mut ActionTableBuilder, effect: Effect, element: &Patterns) -> Actions {
    let mut compiled = Actions { negated: element.negated, ..Actions::default() };
    let (mut ids, mut any_vendor) = (Vec::new(), Vec::new());
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
        } else {
            ids.push(table.id(&text, vendor.len() + 1));
        }
    }
    ids.sort_unstable();
    ids.dedup();
    compiled.ids = ids.into();
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
