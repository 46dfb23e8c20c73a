//! The condition block: operators, keys and values (G-40 to G-48).

use super::Scope;
use super::pattern::{inactive_variable, variables};
use crate::condition::value::{Decimal, Instant, IpNetwork, decode_base64, parse_bool};
use crate::condition::{Family, Operator, Qualifier};
use crate::diagnostic::{Code, Span};
use crate::json::report::{Report, closest, quoted};
use crate::json::{Member, Node, Value};
use crate::policy::{Condition, Spanned};
use std::mem::discriminant;

/// Longest exponent that a JSON number may have; with it the number is written out.
const EXPONENT_MAX: i64 = 128;
/// Keys whose values name one account, organization or network (K-5), in lower case.
const SENSITIVE_KEYS: [&str; 10] = [
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:vpceaccount",
    "aws:vpceorgid",
];
/// Keys that take a tag name after the slash (K-9), in lower case.
const TAG_KEYS: [&str; 4] = ["aws:principaltag/", "aws:resourcetag/", "aws:requesttag/", "iam:resourcetag/"];

/// An operator with what is around it.
#[derive(Debug, Clone, Copy)]
struct Written {
    operator: Operator,
    qualifier: Option<Qualifier>,
    if_exists: bool,
    exact: bool,
}

/// The whole block, flattened.
pub(super) fn block(node: &Node<'_>, scope: Scope, report: &mut Report<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let Value::Object(members) = &node.value else {
        report.wrong_type(node, "Condition", "an object");
        return conditions;
    };
    for member in members {
        operator_block(member, scope, &mut conditions, report);
    }
    conditions
}

fn operator_block(
    member: &Member<'_>,
    scope: Scope,
    conditions: &mut Vec<Condition>,
    report: &mut Report<'_>,
) {
    let (name, span) = (&*member.name.value, member.name.span);
    let Value::Object(keys) = &member.node.value else {
        let message = format!(
            "the operator {} needs an object of keys, not {}",
            quoted(name),
            member.node.value.kind()
        );
        return report.error(Code::InvalidCondition, member.node.span, message);
    };
    let Some(written) = operator(name) else {
        let message = format!("{} is not a condition operator", quoted(name));
        let help = suggestion(name);
        // With nothing in it, AWS stores an unknown operator, and it adds nothing (G-41).
        if keys.is_empty() {
            report.strict_with(Code::UnknownOperator, span, message, help);
        } else {
            report.error_with(Code::UnknownOperator, span, message, help);
        }
        return;
    };
    if !written.exact {
        let message = format!("the operator {} is spelled in the wrong case", quoted(name));
        report.strict_with(Code::OperatorSpelling, span, message, suggestion(name));
    }
    if written.operator == Operator::Null && written.qualifier.is_some() {
        let message = "`Null` with a set qualifier has a constant result".to_owned();
        report.strict_with(Code::NullQualifier, span, message, "write `Null` alone");
    }
    same_keys(keys, report);
    for key in keys {
        conditions.extend(condition(key, written, scope, report));
    }
}

/// `[ForAllValues:|ForAnyValue:]Base[IfExists]`, ignoring case; `exact` says whether the case is right.
fn operator(name: &str) -> Option<Written> {
    let (qualifier, rest, exact_start) = match name.split_once(':') {
        None => (None, name, true),
        Some((word, rest)) if word.eq_ignore_ascii_case("ForAllValues") => {
            (Some(Qualifier::ForAllValues), rest, word == "ForAllValues")
        }
        Some((word, rest)) if word.eq_ignore_ascii_case("ForAnyValue") => {
            (Some(Qualifier::ForAnyValue), rest, word == "ForAnyValue")
        }
        Some(_) => return None,
    };
    let (base, if_exists, exact_end) =
        match rest.len().checked_sub(8).and_then(|at| rest.split_at_checked(at)) {
            Some((base, end)) if end.eq_ignore_ascii_case("IfExists") => (base, true, end == "IfExists"),
            _ => (rest, false, true),
        };
    let (written, operator, _) =
        Operator::TABLE.iter().find(|(known, ..)| known.eq_ignore_ascii_case(base))?;
    if if_exists && *operator == Operator::Null {
        return None;
    }
    let exact = exact_start && exact_end && *written == base;
    Some(Written { operator: *operator, qualifier, if_exists, exact })
}

/// What was probably meant by an operator that is not quite one.
fn suggestion(name: &str) -> String {
    let (start, rest) = match name.split_once(':') {
        Some((word, rest)) => (closest(word, &["ForAllValues", "ForAnyValue"]), rest.trim_start_matches(':')),
        None => (None, name),
    };
    let cut = rest.len().saturating_sub(8);
    let (base, end) = match rest.split_at_checked(cut) {
        Some((base, end)) if end.eq_ignore_ascii_case("IfExists") => (base, "IfExists"),
        _ => (rest, ""),
    };
    let names: Vec<&str> = Operator::TABLE.iter().map(|(name, ..)| *name).collect();
    match closest(base, &names) {
        Some("Null") if !end.is_empty() => {
            "`Null` already tests whether the key is there; write `Null`".to_owned()
        }
        Some(base) => {
            let colon = if start.is_some() { ":" } else { "" };
            format!("did you mean `{}{colon}{base}{end}`?", start.unwrap_or_default())
        }
        None => {
            "an operator is `[ForAllValues:|ForAnyValue:]Name[IfExists]`, such as `StringEquals`".to_owned()
        }
    }
}

/// Keys that differ only in case (G-44); equal ones are the JSON parser's finding.
fn same_keys(keys: &[Member<'_>], report: &mut Report<'_>) {
    if keys.len() < 2 {
        return;
    }
    let mut folded: Vec<(String, &Member<'_>)> =
        keys.iter().map(|key| (key.name.value.to_ascii_lowercase(), key)).collect();
    folded.sort_by(|left, right| left.0.cmp(&right.0));
    for ((left, first), (right, second)) in folded.iter().zip(folded.iter().skip(1)) {
        if left == right && first.name.value != second.name.value {
            let message = format!("the key {} is there twice, in different case", quoted(&second.name.value));
            report.error(Code::DuplicateConditionKey, second.name.span, message);
            report.relate(first.name.span, "first given here");
        }
    }
}

fn condition(
    member: &Member<'_>,
    written: Written,
    scope: Scope,
    report: &mut Report<'_>,
) -> Option<Condition> {
    let Written { operator, qualifier, if_exists, .. } = written;
    let (key, span) = (&*member.name.value, member.name.span);
    key_form(key, span, report);
    let values = values(&member.node, key, report)?;
    let wildcards = matches!(
        operator,
        Operator::StringLike
            | Operator::StringNotLike
            | Operator::ArnEquals
            | Operator::ArnLike
            | Operator::ArnNotEquals
            | Operator::ArnNotLike
    );
    for value in &values {
        value_form(value, operator, scope, report);
        if wildcards
            && value.value.contains(['*', '?'])
            && SENSITIVE_KEYS.iter().any(|sensitive| sensitive.eq_ignore_ascii_case(key))
        {
            let message = format!("a wildcard in the value of {} lets in strangers", quoted(key));
            report.note(Code::WildcardInSensitiveKey, value.span, message);
        }
    }
    let key = Spanned { value: key.to_owned(), span };
    Some(Condition { operator, qualifier, if_exists, key, values })
}

fn key_form(key: &str, span: Span, report: &mut Report<'_>) {
    let named = key.split_once(':').is_some_and(|(prefix, name)| !prefix.is_empty() && !name.is_empty());
    if !named {
        let message = format!("the condition key {} must have the form `prefix:name`", quoted(key));
        report.strict(Code::ConditionKey, span, message);
    } else if key.ends_with('/') && TAG_KEYS.iter().any(|tag| tag.eq_ignore_ascii_case(key)) {
        report.strict(Code::TagKey, span, format!("the condition key {} names no tag", quoted(key)));
    }
}

fn values(node: &Node<'_>, key: &str, report: &mut Report<'_>) -> Option<Vec<Spanned<String>>> {
    let elements = match &node.value {
        Value::Array(elements) => elements.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if elements.is_empty() {
        report.strict(
            Code::EmptyValues,
            node.span,
            format!("the condition key {} has no value", quoted(key)),
        );
    }
    let mut values = Vec::with_capacity(elements.len());
    let mut wrong = false;
    let mut mixed = false;
    for element in elements {
        mixed |=
            elements.first().is_some_and(|first| discriminant(&first.value) != discriminant(&element.value));
        match scalar(element, key, report) {
            Some(value) => values.push(Spanned { value, span: element.span }),
            None => wrong = true,
        }
    }
    if mixed && !wrong {
        let message = format!("the values of {} are of different JSON types", quoted(key));
        report.warning(Code::MixedValueTypes, node.span, message);
    }
    (!wrong).then_some(values)
}

fn scalar(node: &Node<'_>, key: &str, report: &mut Report<'_>) -> Option<String> {
    match &node.value {
        Value::String(text) => Some(text.clone().into_owned()),
        Value::Bool(true) => Some("true".to_owned()),
        Value::Bool(false) => Some("false".to_owned()),
        Value::Number(raw) => {
            let text = plain_decimal(raw);
            if text.is_none() {
                let message = format!("the number {} has too large an exponent", quoted(raw));
                report.error(Code::TypedValue, node.span, message);
            }
            text
        }
        Value::Null => {
            report.error(Code::NullValue, node.span, format!("a value of {} is `null`", quoted(key)));
            None
        }
        other => {
            let message = format!(
                "a value of {} must be a string, boolean or number, not {}",
                quoted(key),
                other.kind()
            );
            report.error(Code::InvalidCondition, node.span, message);
            None
        }
    }
}

/// A JSON number without exponent (G-40).
pub(super) fn plain_decimal(raw: &str) -> Option<String> {
    let Some((mantissa, exponent)) = raw.split_once(['e', 'E']) else {
        return Some(raw.to_owned());
    };
    let exponent: i64 = exponent.parse().ok()?;
    if exponent.abs() > EXPONENT_MAX {
        return None;
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let point = whole.len() as i64 + exponent;
    if point <= 0 {
        digits.insert_str(0, &"0".repeat(point.unsigned_abs() as usize + 1));
    }
    let point = point.max(1) as usize;
    if digits.len() < point {
        digits.push_str(&"0".repeat(point - digits.len()));
    }
    let (whole, fraction) = digits.split_at_checked(point)?;
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{dot}{fraction}"))
}

/// Whether the operator can read the value (C-15, G-46, G-48).
fn value_form(value: &Spanned<String>, operator: Operator, scope: Scope, report: &mut Report<'_>) {
    let (text, span) = (value.value.as_str(), value.span);
    let family = operator.family();
    let variable = memchr::memchr(b'$', text.as_bytes()).is_some() && text.contains("${");
    if family == Family::Null {
        if parse_bool(text).is_none() {
            let message = format!("`Null` takes `true` or `false`, not {}", quoted(text));
            report.error(Code::NullOperatorValue, span, message);
        }
        return;
    }
    if variable && !scope.variables {
        inactive_variable(text, span, report);
    }
    if variable && scope.variables {
        variables(text, span, report);
        if !matches!(family, Family::String | Family::Arn) {
            let message = format!("`{}` does not take policy variables", operator.name());
            return report.strict(Code::VariableInTypedValue, span, message);
        }
    }
    let expected = match family {
        Family::Numeric if Decimal::parse(text).is_none() => "a decimal number",
        Family::Date => return date(text, span, report),
        Family::Bool if parse_bool(text).is_none() => "`true` or `false`",
        Family::Binary if decode_base64(text).is_none() => "base64",
        Family::Ip if IpNetwork::parse(text).is_none() => "an IP address or a CIDR range",
        Family::Arn if components(text, scope.variables) < 6 => {
            let message = format!("the ARN pattern {} has fewer than six parts", quoted(text));
            return report.strict_with(
                Code::ArnPattern,
                span,
                message,
                "it never matches; any ARN is written `arn:*:*:*:*:*`",
            );
        }
        _ => return,
    };
    let message = format!("`{}` cannot read {}: it takes {expected}", operator.name(), quoted(text));
    report.strict(Code::TypedValue, span, message);
}

fn date(text: &str, span: Span, report: &mut Report<'_>) {
    if !Instant::check_saved(text) {
        let why = if Instant::parse(text).is_some() { "a date as AWS stores it" } else { "a date" };
        report.strict(Code::InvalidDate, span, format!("{} is not {why}", quoted(text)));
    } else if Instant::parse(text).is_none() {
        report.warning(Code::InvalidDate, span, format!("the day {} does not exist", quoted(text)));
    }
}

/// Parts between colons outside `${...}`, at most six.
fn components(text: &str, variables: bool) -> usize {
    if !variables || !text.contains("${") {
        return text.splitn(6, ':').count();
    }
    let mut count = 1;
    let mut rest = text;
    loop {
        let (outside, after) = rest.split_once("${").unwrap_or((rest, ""));
        count += outside.bytes().filter(|byte| *byte == b':').count();
        let Some((_, tail)) = after.split_once('}') else {
            return (count + after.bytes().filter(|byte| *byte == b':').count()).min(6);
        };
        rest = tail;
    }
}
