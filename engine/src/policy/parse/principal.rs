//! The values of `Principal` and `NotPrincipal` (G-32 to G-38).
//!
//! What AWS refuses today but some services still store becomes [`PrincipalEntry::Inert`] in lenient mode: it never
//! matches. What could never have been stored is an error in both modes.

use super::pattern::{is_account, split_arn};
use crate::diagnostic::{Code, Span};
use crate::json::report::{Report, quoted};
use crate::json::{Member, Node, Value};
use crate::policy::{PolicyType, PrincipalEntry};

/// The members of a principal.
const MEMBERS: [&str; 4] = ["AWS", "Service", "Federated", "CanonicalUser"];
/// The identity providers that have a name instead of an ARN.
const BUILT_IN_PROVIDERS: [&str; 4] =
    ["cognito-identity.amazonaws.com", "www.amazon.com", "graph.facebook.com", "accounts.google.com"];

/// All entries of a principal element.
pub(super) fn entries(
    node: &Node<'_>,
    negated: bool,
    kind: PolicyType,
    report: &mut Report<'_>,
) -> Option<Vec<PrincipalEntry>> {
    let name = if negated { "NotPrincipal" } else { "Principal" };
    let members = match &node.value {
        Value::String(text) if text == "*" => return Some(vec![PrincipalEntry::Any]),
        Value::String(text) => {
            let message = format!("`{name}` must be `*` or an object, not {}", quoted(text));
            let help = format!("write {{\"AWS\": \"{}\"}}", text.chars().take(80).collect::<String>());
            report.error_with(Code::InvalidPrincipal, node.span, message, help);
            return None;
        }
        Value::Object(members) if members.is_empty() => {
            report.error(Code::InvalidPrincipal, node.span, format!("`{name}` is an empty object"));
            return None;
        }
        Value::Object(members) => members,
        _ => {
            report.wrong_type(node, name, "`*` or an object");
            return None;
        }
    };
    let mut entries = Vec::new();
    for member in members {
        of_member(member, kind, &mut entries, report);
    }
    (!entries.is_empty()).then_some(entries)
}

fn of_member(
    member: &Member<'_>,
    kind: PolicyType,
    entries: &mut Vec<PrincipalEntry>,
    report: &mut Report<'_>,
) {
    let name = &*member.name.value;
    if !MEMBERS.contains(&name) {
        return report.unknown(Code::InvalidPrincipal, member.name.span, name, "a principal", &MEMBERS);
    }
    misplaced(name, member.name.span, kind, report);
    let values = match &member.node.value {
        Value::String(_) => std::slice::from_ref(&member.node),
        Value::Array(values) if values.is_empty() => {
            return report.error(Code::EmptyList, member.node.span, format!("`{name}` has no value"));
        }
        Value::Array(values) => values.as_slice(),
        _ => return report.wrong_type(&member.node, name, "a string or a list of strings"),
    };
    for value in values {
        let Value::String(text) = &value.value else {
            report.wrong_type(value, name, "a list of strings");
            continue;
        };
        entries.extend(match name {
            "AWS" => aws(text, value.span, report),
            "Service" => Some(service(text, value.span, report)),
            "Federated" => Some(federated(text, value.span, report)),
            _ => Some(canonical_user(text, value.span, report)),
        });
    }
}

fn misplaced(name: &str, span: Span, kind: PolicyType, report: &mut Report<'_>) {
    match name {
        "Federated" if kind != PolicyType::Trust => {
            let message = "identity providers are principals of trust policies only".to_owned();
            report.strict(Code::FederatedPrincipal, span, message);
        }
        "CanonicalUser" if kind != PolicyType::Resource => {
            let message = "canonical users are principals of resource policies only".to_owned();
            report.strict(Code::CanonicalUser, span, message);
        }
        _ => {}
    }
}

/// Text that stays in the policy and never matches.
fn inert(code: Code, text: &str, span: Span, why: &str, report: &mut Report<'_>) -> PrincipalEntry {
    report.strict(code, span, format!("the principal {} {why}, so it never matches", quoted(text)));
    PrincipalEntry::Inert(text.to_owned())
}

fn aws(text: &str, span: Span, report: &mut Report<'_>) -> Option<PrincipalEntry> {
    if text == "*" {
        return Some(PrincipalEntry::Any);
    }
    if is_account(text) {
        return Some(PrincipalEntry::Account(text.to_owned()));
    }
    if text.starts_with("arn:") {
        return aws_arn(text, span, report);
    }
    if is_unique_id(text) {
        if text.starts_with("AIDA") || text.starts_with("AROA") {
            return Some(PrincipalEntry::UniqueId(text.to_owned()));
        }
        return Some(inert(Code::UnsupportedPrincipal, text, span, "is neither a user nor a role", report));
    }
    garbage(text, span, report)
}

/// `AIDA...`, `AROA...` and the ids of what is not a principal (I-4).
fn is_unique_id(text: &str) -> bool {
    let known = matches!(text.get(..4), Some("AIDA" | "AROA" | "AGPA" | "AIPA" | "ANPA" | "AKIA" | "ASIA"));
    known
        && (5..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn garbage(text: &str, span: Span, report: &mut Report<'_>) -> Option<PrincipalEntry> {
    let message = format!("{} is not a principal", quoted(text));
    let help = "a principal is `*`, an account id, the ARN of an account root, user, role or session, or a unique id";
    report.error_with(Code::InvalidPrincipal, span, message, help);
    None
}

fn aws_arn(text: &str, span: Span, report: &mut Report<'_>) -> Option<PrincipalEntry> {
    let (parts, count) = split_arn(text);
    let [_, partition, service, region, account, tail] = parts;
    if count < 6 || partition.is_empty() || !region.is_empty() {
        return garbage(text, span, report);
    }
    if text.contains(['*', '?']) {
        return Some(inert(Code::PrincipalWildcard, text, span, "has a wildcard inside", report));
    }
    // The identities of content distributions: AWS stores them, no caller here has one.
    if service == "iam" && account == "cloudfront" && tail.starts_with("user/") {
        return Some(PrincipalEntry::Inert(text.to_owned()));
    }
    if !is_account(account) || !matches!(service, "iam" | "sts") {
        return garbage(text, span, report);
    }
    if service == "iam" && tail == "root" {
        return Some(PrincipalEntry::Account(text.to_owned()));
    }
    let Some((word, name)) = tail.split_once('/') else {
        return garbage(text, span, report);
    };
    if name.is_empty() || name.ends_with('/') {
        return garbage(text, span, report);
    }
    Some(match (service, word) {
        ("iam", "user") => PrincipalEntry::User(text.to_owned()),
        ("iam", "role") => PrincipalEntry::Role(text.to_owned()),
        ("sts", "federated-user") => PrincipalEntry::FederatedUser(text.to_owned()),
        ("sts", "assumed-role") if name.split('/').count() == 2 => PrincipalEntry::Session(text.to_owned()),
        ("sts", "assumed-role") => {
            inert(Code::UnsupportedPrincipal, text, span, "is not `assumed-role/ROLE/SESSION`", report)
        }
        _ => inert(Code::UnsupportedPrincipal, text, span, "is neither a user, a role nor a session", report),
    })
}

/// Host-name characters with at least one dot.
fn is_host(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

fn service(text: &str, span: Span, report: &mut Report<'_>) -> PrincipalEntry {
    if is_host(text) {
        return PrincipalEntry::Service(text.to_owned());
    }
    let why = if text.contains(['*', '?']) {
        "has a wildcard"
    } else {
        "is not a service such as `ec2.amazonaws.com`"
    };
    inert(Code::ServicePrincipal, text, span, why, report)
}

fn federated(text: &str, span: Span, report: &mut Report<'_>) -> PrincipalEntry {
    if BUILT_IN_PROVIDERS.contains(&text) {
        return PrincipalEntry::Federated(text.to_owned());
    }
    if text.contains(['*', '?']) {
        return inert(Code::PrincipalWildcard, text, span, "has a wildcard", report);
    }
    let ([scheme, partition, service, region, account, tail], count) = split_arn(text);
    let named = ["saml-provider/", "oidc-provider/"]
        .iter()
        .any(|word| tail.strip_prefix(word).is_some_and(|name| !name.is_empty()));
    let form =
        count == 6 && scheme == "arn" && service == "iam" && !partition.is_empty() && region.is_empty();
    if form && is_account(account) && named {
        return PrincipalEntry::Federated(text.to_owned());
    }
    inert(Code::FederatedPrincipal, text, span, "is not an identity provider", report)
}

fn canonical_user(text: &str, span: Span, report: &mut Report<'_>) -> PrincipalEntry {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return PrincipalEntry::CanonicalUser(text.to_owned());
    }
    inert(Code::CanonicalUser, text, span, "is not 64 hexadecimal digits", report)
}
