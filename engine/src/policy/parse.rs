//! From a JSON tree to a policy document: the grammar that holds in every policy type (semantics.md section 1).
//!
//! Reports every problem, not the first. What a policy type asks for on top is judged by `validate`.
//! Invariant: where this returns `None`, it has reported an error.

mod condition;
mod pattern;
mod principal;
#[cfg(test)]
mod tests;

use super::validate;
use super::{Document, Effect, Patterns, PolicyType, Principals, Spanned, Statement};
use crate::LoadMode;
use crate::diagnostic::{Code, Diagnostic, SourceText, Span};
use crate::json::report::{Report, quoted};
use crate::json::{Member, Node, Value};
use std::borrow::Cow;

pub(crate) use pattern::{is_account, split_arn};

/// The members of a document.
const DOCUMENT_MEMBERS: [&str; 3] = ["Version", "Id", "Statement"];
/// The members of a statement.
const STATEMENT_MEMBERS: [&str; 9] = [
    "Sid",
    "Principal",
    "NotPrincipal",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Parses and validates one policy document, an object or a (URL-encoded) string that holds one.
pub(crate) fn document(
    node: &Node<'_>,
    kind: PolicyType,
    mode: LoadMode,
    text: &SourceText,
    findings: &mut Vec<Diagnostic>,
) -> Option<Document> {
    let mut report = Report::new(text, mode, findings);
    let (document, raw) = document_in(node, kind, &mut report)?;
    if kind == PolicyType::Session {
        validate::length(&[raw], validate::SESSION_CHARS_MAX, "a session policy", node.span, &mut report);
    }
    Some(document)
}

/// The same within a larger text; also gives the document's JSON text, for its length.
pub(crate) fn document_in<'a>(
    node: &Node<'_>,
    kind: PolicyType,
    report: &mut Report<'a>,
) -> Option<(Document, Cow<'a, str>)> {
    match &node.value {
        Value::Object(members) => {
            let source: &'a str = report.text.text();
            let raw = source.get(node.span.start as usize..node.span.end as usize).unwrap_or_default();
            validate::characters(raw, node.span.start, kind, report);
            Some((object(members, node.span, kind, report)?, Cow::Borrowed(raw)))
        }
        Value::String(text) => {
            let decoded = decode(text, node.span, report)?;
            let document =
                report.embedded(node.span, |report| embedded(&decoded, node.span, kind, report))?;
            Some((document, Cow::Owned(decoded.into_owned())))
        }
        other => {
            report.error(
                Code::DocumentNotObject,
                node.span,
                format!("a policy document must be an object, not {}", other.kind()),
            );
            None
        }
    }
}

/// Undoes the URL encoding; text that is JSON already stands as it is.
fn decode<'s>(text: &'s str, span: Span, report: &mut Report<'_>) -> Option<Cow<'s, str>> {
    if text.trim_start().starts_with('{') {
        return Some(Cow::Borrowed(text));
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if decoded.trim_start().starts_with('{') => Some(decoded),
        _ => {
            report.error(
                Code::DocumentNotObject,
                span,
                "a policy document must be an object or a URL-encoded object".to_owned(),
            );
            None
        }
    }
}

/// A document inside a JSON string: every place in it is the string's.
fn embedded(text: &str, span: Span, kind: PolicyType, report: &mut Report<'_>) -> Option<Document> {
    let (node, faults) = crate::json::parse_str(text);
    for fault in faults {
        report.fault(fault);
    }
    let mut node = node?;
    relocate(&mut node, span);
    validate::characters(text, span.start, kind, report);
    let Value::Object(members) = &node.value else {
        report.error(Code::DocumentNotObject, span, "a policy document must be an object".to_owned());
        return None;
    };
    object(members, span, kind, report)
}

fn relocate(node: &mut Node<'_>, span: Span) {
    node.span = span;
    match &mut node.value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| relocate(element, span)),
        Value::Object(members) => {
            for member in members {
                member.name.span = span;
                relocate(&mut member.node, span);
            }
        }
        _ => {}
    }
}

/// The first member of this name; a second one is the JSON parser's finding.
fn member<'n, 't>(members: &'n [Member<'t>], name: &str) -> Option<&'n Member<'t>> {
    members.iter().find(|member| member.name.value == name)
}

fn object(members: &[Member<'_>], span: Span, kind: PolicyType, report: &mut Report<'_>) -> Option<Document> {
    for member in members {
        if !DOCUMENT_MEMBERS.contains(&&*member.name.value) {
            let name = &member.name;
            report.unknown(
                Code::UnknownElement,
                name.span,
                &name.value,
                "a policy document",
                &DOCUMENT_MEMBERS,
            );
        }
    }
    let variables = version(member(members, "Version"), span, kind, report);
    if let Some(id) = member(members, "Id") {
        match &id.node.value {
            Value::String(_) => validate::id(id.name.span, kind, report),
            _ => report.wrong_type(&id.node, "Id", "a string"),
        }
    }
    let Some(statement) = member(members, "Statement") else {
        report.error(Code::MissingStatement, span, "the document has no `Statement`".to_owned());
        return None;
    };
    let statements = statements(&statement.node, Scope { kind, variables }, report)?;
    validate::sids(&statements, report);
    Some(Document { variables, statements, span })
}

/// What of the document bears on its statements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub(super) kind: PolicyType,
    /// Whether variables are variables (G-10).
    pub(super) variables: bool,
}

/// Whether variables are variables.
fn version(member: Option<&Member<'_>>, span: Span, kind: PolicyType, report: &mut Report<'_>) -> bool {
    let (variables, span) = match member.map(|member| &member.node) {
        None => (false, span),
        Some(node) => match &node.value {
            Value::String(text) if text == "2012-10-17" => (true, node.span),
            Value::String(text) if text == "2008-10-17" => (false, node.span),
            Value::String(text) => {
                let message = format!("{} is not a version of the policy language", quoted(text));
                report.error_with(Code::InvalidVersion, node.span, message, "write `2012-10-17`");
                return true;
            }
            _ => {
                report.wrong_type(node, "Version", "the string `2012-10-17` or `2008-10-17`");
                return true;
            }
        },
    };
    if !variables {
        validate::old_version(span, kind, report);
    }
    variables
}

fn statements(node: &Node<'_>, scope: Scope, report: &mut Report<'_>) -> Option<Vec<Statement>> {
    let elements = match &node.value {
        Value::Object(_) => std::slice::from_ref(node),
        Value::Array(elements) if elements.is_empty() => {
            report.error(Code::InvalidStatement, node.span, "`Statement` is an empty list".to_owned());
            return None;
        }
        Value::Array(elements) => elements.as_slice(),
        other => {
            let message = format!("`Statement` must be an object or a list of objects, not {}", other.kind());
            report.error(Code::InvalidStatement, node.span, message);
            return None;
        }
    };
    let mut statements = Vec::with_capacity(elements.len());
    for element in elements {
        match &element.value {
            Value::Object(members) => statements.extend(statement(members, element.span, scope, report)),
            other => {
                let message = format!("a statement must be an object, not {}", other.kind());
                report.error(Code::InvalidStatement, element.span, message);
            }
        }
    }
    Some(statements)
}

fn statement(members: &[Member<'_>], span: Span, scope: Scope, report: &mut Report<'_>) -> Option<Statement> {
    for member in members {
        if !STATEMENT_MEMBERS.contains(&&*member.name.value) {
            let name = &member.name;
            report.unknown(Code::UnknownElement, name.span, &name.value, "a statement", &STATEMENT_MEMBERS);
        }
    }
    let sid = member(members, "Sid").and_then(|member| sid(&member.node, scope.kind, report));
    let effect = effect(member(members, "Effect"), span, report);
    let principal = pair(members, ["Principal", "NotPrincipal"], report).and_then(|(node, negated)| {
        let entries = principal::entries(node, negated, scope.kind, report)?;
        Some(Principals { negated, entries })
    });
    let actions = pair(members, ["Action", "NotAction"], report);
    if actions.is_none() {
        report.error(
            Code::MissingAction,
            span,
            "the statement has neither `Action` nor `NotAction`".to_owned(),
        );
    }
    let actions = actions.and_then(|(node, negated)| {
        let entries = strings(node, if negated { "NotAction" } else { "Action" }, report)?;
        entries.iter().for_each(|entry| pattern::action(entry, scope, report));
        Some(Patterns { negated, entries })
    });
    let resources = pair(members, ["Resource", "NotResource"], report).and_then(|(node, negated)| {
        let entries = strings(node, if negated { "NotResource" } else { "Resource" }, report)?;
        entries.iter().for_each(|entry| pattern::resource(entry, scope, report));
        Some(Patterns { negated, entries })
    });
    let conditions = match member(members, "Condition") {
        Some(member) => condition::block(&member.node, scope, report),
        None => Vec::new(),
    };
    validate::presence(members, span, scope.kind, report);
    let statement =
        Statement { sid, effect: effect?, principal, actions: actions?, resources, conditions, span };
    validate::statement(&statement, members, scope.kind, report);
    Some(statement)
}

/// The one of an element and its negated twin that is there; both together are an error (G-15).
fn pair<'n, 't>(
    members: &'n [Member<'t>],
    names: [&str; 2],
    report: &mut Report<'_>,
) -> Option<(&'n Node<'t>, bool)> {
    let [plain, negated] = names;
    match (member(members, plain), member(members, negated)) {
        (None, None) => None,
        (Some(member), None) => Some((&member.node, false)),
        (None, Some(member)) => Some((&member.node, true)),
        (Some(first), Some(second)) => {
            let message = format!("a statement has either `{plain}` or `{negated}`, not both");
            report.error(Code::ConflictingElements, second.name.span, message);
            Some((&first.node, false))
        }
    }
}

fn sid(node: &Node<'_>, kind: PolicyType, report: &mut Report<'_>) -> Option<String> {
    let Value::String(text) = &node.value else {
        report.wrong_type(node, "Sid", "a string");
        return None;
    };
    validate::sid(text, node.span, kind, report);
    (!text.is_empty()).then(|| text.clone().into_owned())
}

fn effect(member: Option<&Member<'_>>, span: Span, report: &mut Report<'_>) -> Option<Effect> {
    let Some(member) = member else {
        report.error(Code::InvalidEffect, span, "the statement has no `Effect`".to_owned());
        return None;
    };
    match &member.node.value {
        Value::String(text) if text == "Allow" => Some(Effect::Allow),
        Value::String(text) if text == "Deny" => Some(Effect::Deny),
        Value::String(text) => {
            let message = format!("`Effect` must be `Allow` or `Deny`, not {}", quoted(text));
            report.error(Code::InvalidEffect, member.node.span, message);
            None
        }
        _ => {
            report.wrong_type(&member.node, "Effect", "`Allow` or `Deny`");
            None
        }
    }
}

/// A string or a list of strings with at least one element. A `null` in a list of resources is dropped in lenient
/// mode, as AWS is known to store it (G-6).
fn strings(node: &Node<'_>, name: &str, report: &mut Report<'_>) -> Option<Vec<Spanned<String>>> {
    let elements = match &node.value {
        Value::String(text) => {
            return Some(vec![Spanned { value: text.clone().into_owned(), span: node.span }]);
        }
        Value::Array(elements) => elements,
        _ => {
            report.wrong_type(node, name, "a string or a list of strings");
            return None;
        }
    };
    let mut entries = Vec::with_capacity(elements.len());
    let mut wrong = false;
    for element in elements {
        match &element.value {
            Value::String(text) => {
                entries.push(Spanned { value: text.clone().into_owned(), span: element.span })
            }
            Value::Null if name.ends_with("Resource") && !report.is_strict() => {
                report.strict(Code::NullValue, element.span, format!("`null` in `{name}` is ignored"));
            }
            _ => {
                report.wrong_type(element, name, "a list of strings");
                wrong = true;
            }
        }
    }
    if entries.is_empty() && !wrong {
        report.error(Code::EmptyList, node.span, format!("`{name}` has no value"));
    }
    (!entries.is_empty()).then_some(entries)
}
