//! What each policy type asks of a document on top of the grammar (the table of G-49, sizes, characters).
//!
//! An element that no evaluation could give a meaning to is an error in both modes: reading past it could drop a Deny.

use super::{Effect, PolicyType, PrincipalEntry, Statement};
use crate::condition::{Operator, Qualifier};
use crate::diagnostic::{Code, Span};
use crate::json::report::{Report, quoted};
use crate::json::{Member, Value};
use std::borrow::Cow;

/// Characters of a customer-managed policy (G-58).
pub(crate) const MANAGED_CHARS_MAX: usize = 6144;
/// Characters of all inline policies of a user.
pub(crate) const USER_INLINE_CHARS_MAX: usize = 2048;
/// Characters of all inline policies of a group.
pub(crate) const GROUP_INLINE_CHARS_MAX: usize = 5120;
/// Characters of all inline policies of a role.
pub(crate) const ROLE_INLINE_CHARS_MAX: usize = 10_240;
/// Characters of a trust policy.
pub(crate) const TRUST_CHARS_MAX: usize = 2048;
/// Characters of the inline session policies of a session.
pub(crate) const SESSION_CHARS_MAX: usize = 2048;
/// Characters of a policy of the organization.
pub(crate) const ORGANIZATION_CHARS_MAX: usize = 5120;

/// The type in words.
fn name(kind: PolicyType) -> &'static str {
    match kind {
        PolicyType::Managed => "a managed policy",
        PolicyType::Inline => "an inline policy",
        PolicyType::Resource => "a resource policy",
        PolicyType::Trust => "a trust policy",
        PolicyType::Session => "a session policy",
        PolicyType::Scp => "a service control policy",
        PolicyType::Rcp => "a resource control policy",
        PolicyType::Endpoint => "an endpoint policy",
    }
}

/// Whether statements of this type say whom they are about.
fn has_principals(kind: PolicyType) -> bool {
    matches!(kind, PolicyType::Resource | PolicyType::Trust | PolicyType::Rcp | PolicyType::Endpoint)
}

/// `Version` is missing or 2008-10-17 (G-11).
pub(super) fn old_version(span: Span, kind: PolicyType, report: &mut Report<'_>) {
    if matches!(kind, PolicyType::Managed | PolicyType::Rcp) {
        let message = format!("{} needs version `2012-10-17`", name(kind));
        report.strict_with(Code::OldVersion, span, message, "add `\"Version\": \"2012-10-17\"`");
    }
}

/// `Id` is there (G-12).
pub(super) fn id(span: Span, kind: PolicyType, report: &mut Report<'_>) {
    if !has_principals(kind) {
        report.warning(Code::IdNotUsed, span, format!("`Id` has no meaning in {}", name(kind)));
    }
}

/// G-17.
pub(super) fn sid(text: &str, span: Span, kind: PolicyType, report: &mut Report<'_>) {
    let free = matches!(kind, PolicyType::Resource | PolicyType::Endpoint);
    if !free && !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let message =
            format!("the `Sid` {} may have only letters and digits in {}", quoted(text), name(kind));
        report.strict(Code::InvalidSid, span, message);
    }
}

/// G-18.
pub(super) fn sids(statements: &[Statement], report: &mut Report<'_>) {
    let mut named: Vec<(&str, Span)> =
        statements.iter().filter_map(|statement| Some((statement.sid.as_deref()?, statement.span))).collect();
    // The sort is stable, so that of two equal ones the later one is reported.
    named.sort_by_key(|(sid, _)| *sid);
    for ((left, first), (right, second)) in named.iter().zip(named.iter().skip(1)) {
        if left == right {
            let message = format!("two statements have the `Sid` {}", quoted(left));
            report.error(Code::DuplicateSid, *second, message);
            report.relate(*first, "first given here");
        }
    }
}

/// Which elements may and must be there (G-49 to G-51).
pub(super) fn presence(members: &[Member<'_>], span: Span, kind: PolicyType, report: &mut Report<'_>) {
    let find =
        |name: &str| members.iter().find(|member| member.name.value == name).map(|member| member.name.span);
    let principal = [("Principal", find("Principal")), ("NotPrincipal", find("NotPrincipal"))];
    if !has_principals(kind) {
        let code =
            if kind == PolicyType::Session { Code::SessionPolicyPrincipal } else { Code::ElementNotAllowed };
        for (element, span) in principal.iter().filter_map(|(element, span)| Some((element, (*span)?))) {
            report.error(code, span, format!("{} has no `{element}`", name(kind)));
        }
    } else if principal.iter().all(|(_, span)| span.is_none()) {
        let message = format!("a statement of {} needs a `Principal`", name(kind));
        match kind {
            PolicyType::Rcp => report.error(Code::MissingPrincipal, span, message),
            _ => report.strict_with(Code::MissingPrincipal, span, message, "without one it never matches"),
        }
    }
    let resource = find("Resource").or(find("NotResource"));
    match (kind, resource) {
        (PolicyType::Trust, Some(span)) => {
            report.strict(Code::ElementNotAllowed, span, "a trust policy has no `Resource`".to_owned());
        }
        (PolicyType::Trust | PolicyType::Resource, _) | (_, Some(_)) => {}
        (_, None) => {
            let message = "the statement has neither `Resource` nor `NotResource`".to_owned();
            report.error(Code::MissingResource, span, message);
        }
    }
}

/// What the types ask of a whole statement.
pub(super) fn statement(
    statement: &Statement,
    members: &[Member<'_>],
    kind: PolicyType,
    report: &mut Report<'_>,
) {
    let span_of = |name: &str| {
        members
            .iter()
            .find(|member| member.name.value == name)
            .map_or(statement.span, |member| member.name.span)
    };
    let bare_star = members.iter().any(|member| {
        member.name.value == "Principal" && matches!(&member.node.value, Value::String(text) if text == "*")
    });
    match kind {
        PolicyType::Trust => {
            if statement.actions.negated {
                let message = "a trust policy has no `NotAction`".to_owned();
                report.strict(Code::ElementNotAllowed, span_of("NotAction"), message);
            }
            if bare_star {
                let message = "a trust policy does not support the bare principal `*`".to_owned();
                report.strict_with(
                    Code::TrustPrincipal,
                    span_of("Principal"),
                    message,
                    "write {\"AWS\": \"*\"}",
                );
            }
        }
        PolicyType::Rcp => resource_control(statement, bare_star, &span_of, report),
        _ => {}
    }
    if let Some(principals) = statement.principal.as_ref().filter(|principals| principals.negated) {
        let span = span_of("NotPrincipal");
        if matches!(kind, PolicyType::Trust | PolicyType::Rcp) {
            report.strict(Code::ElementNotAllowed, span, format!("{} has no `NotPrincipal`", name(kind)));
        } else if statement.effect == Effect::Allow {
            let message = "`NotPrincipal` with `Allow` is not supported".to_owned();
            report.strict_with(Code::AllowNotPrincipal, span, message, "name the principals to allow");
        }
        if principals.entries.contains(&PrincipalEntry::Any) {
            let message = "`NotPrincipal` with `*` never matches anyone".to_owned();
            report.warning(Code::PrincipalWildcard, span, message);
        }
    }
    unguarded(statement, report);
}

/// G-49, the row of resource control policies.
fn resource_control(
    statement: &Statement,
    bare_star: bool,
    span_of: &dyn Fn(&str) -> Span,
    report: &mut Report<'_>,
) {
    if statement.effect == Effect::Allow {
        let message = "a resource control policy can only deny".to_owned();
        report.strict(Code::ResourceControl, span_of("Effect"), message);
    }
    if statement.actions.negated {
        let message = "a resource control policy has no `NotAction`".to_owned();
        report.strict(Code::ElementNotAllowed, span_of("NotAction"), message);
    } else if statement.actions.entries.iter().any(|entry| matches!(entry.value.as_str(), "*" | "*:*")) {
        let message = "a resource control policy must name the services of its actions".to_owned();
        report.strict(Code::ResourceControl, span_of("Action"), message);
    }
    if !bare_star && statement.principal.as_ref().is_some_and(|principals| !principals.negated) {
        let message = "the principal of a resource control policy must be `*`".to_owned();
        report.strict(Code::ResourceControl, span_of("Principal"), message);
    }
}

/// `ForAllValues` in an Allow without a guard against the missing key (C-51).
fn unguarded(statement: &Statement, report: &mut Report<'_>) {
    if statement.effect != Effect::Allow {
        return;
    }
    let conditions = &statement.conditions;
    for condition in conditions.iter().filter(|one| one.qualifier == Some(Qualifier::ForAllValues)) {
        let guarded = conditions.iter().any(|other| {
            other.key.value.eq_ignore_ascii_case(&condition.key.value)
                && (other.qualifier == Some(Qualifier::ForAnyValue)
                    || other.operator == Operator::Null
                        && other.values.iter().all(|value| value.value.eq_ignore_ascii_case("false")))
        });
        if !guarded && condition.operator != Operator::Null {
            let message = format!("this also allows requests without {}", quoted(&condition.key.value));
            report.note(Code::UnguardedForAllValues, condition.key.span, message);
        }
    }
}

/// G-5: IAM stores tab, line feed, carriage return and U+0020 to U+00FF. `start` is where `raw` stands.
pub(super) fn characters(raw: &str, start: u32, kind: PolicyType, report: &mut Report<'_>) {
    let stored_by_iam =
        matches!(kind, PolicyType::Managed | PolicyType::Inline | PolicyType::Trust | PolicyType::Session);
    // In UTF-8 every character past U+00FF begins with a byte of at least 0xC4.
    if !stored_by_iam || !raw.bytes().any(|byte| byte >= 0xc4) {
        return;
    }
    if let Some((at, char)) = raw.char_indices().find(|(_, char)| *char > '\u{ff}') {
        let at = start + at as u32;
        let span = Span { start: at, end: at + char.len_utf8() as u32 };
        let message = format!("IAM does not store the character U+{:04X} in a policy", u32::from(char));
        report.strict(Code::DocumentCharacter, span, message);
    }
}

/// G-58. Counts only what is long enough to be over the limit.
pub(crate) fn length(texts: &[Cow<'_, str>], limit: usize, what: &str, span: Span, report: &mut Report<'_>) {
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    if bytes <= limit {
        return;
    }
    let count: usize = texts.iter().map(|text| counted_length(text)).sum();
    if count > limit {
        let message = format!("AWS stores {limit} characters of {what}, this has {count}");
        report.warning(Code::PolicyTooLong, span, message);
    }
}

/// The characters of a JSON text that IAM counts: all but whitespace outside strings.
fn counted_length(raw: &str) -> usize {
    let mut count = 0;
    let mut in_string = false;
    let mut escaped = false;
    for byte in raw.bytes() {
        let skipped = !in_string && byte.is_ascii_whitespace() || byte & 0xc0 == 0x80;
        count += usize::from(!skipped);
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    count
}
