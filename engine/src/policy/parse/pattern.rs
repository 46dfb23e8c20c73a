//! Actions, resources and the policy variables in them: what one pattern may look like.

use super::Scope;
use crate::diagnostic::{Code, Span};
use crate::json::report::{Report, quoted};
use crate::policy::{PolicyType, Spanned};
use memchr::memchr;

/// The partitions that AWS has (G-27).
const PARTITIONS: [&str; 9] =
    ["*", "aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];
/// What the resource part of an IAM ARN begins with (G-29).
const IAM_RESOURCES: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];
/// The actions of a trust policy (G-53), in lower case.
const TRUST_ACTIONS: [&[u8]; 6] = [
    b"assumerole",
    b"assumerolewithsaml",
    b"assumerolewithwebidentity",
    b"tagsession",
    b"setsourceidentity",
    b"setcontext",
];

/// Twelve digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The six parts of an ARN, split at the first five colons; the missing ones are empty. Also how many there are.
pub(crate) fn split_arn(text: &str) -> ([&str; 6], usize) {
    let mut parts = [""; 6];
    let mut count = 0;
    for (slot, part) in parts.iter_mut().zip(text.splitn(6, ':')) {
        *slot = part;
        count += 1;
    }
    (parts, count)
}

/// G-20 to G-24 and G-53.
pub(super) fn action(entry: &Spanned<String>, scope: Scope, report: &mut Report<'_>) {
    let (text, span) = (entry.value.as_str(), entry.span);
    if text == "*" {
        if scope.kind == PolicyType::Trust {
            trust_action("*", "", span, report);
        }
        return;
    }
    let Some((vendor, name)) = text.split_once(':') else {
        let message = format!("the action {} is neither `*` nor `vendor:name`", quoted(text));
        return report.error(Code::InvalidAction, span, message);
    };
    if vendor.is_empty() || name.contains(':') {
        let message = format!("the action {} must have the form `vendor:name`", quoted(text));
        return report.error(Code::InvalidAction, span, message);
    }
    if !vendor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
        && text != "*:*"
    {
        vendor_characters(text, vendor, span, report);
    }
    if memchr(b'$', name.as_bytes()).is_some() && name.contains("${") {
        let message = format!("a variable in the action {} is literal text", quoted(text));
        report.warning(Code::VariableInAction, span, message);
    } else if name.is_empty() || name.bytes().any(|byte| byte == b',' || byte.is_ascii_whitespace()) {
        let message = format!("no request can name the action {}", quoted(text));
        report.note(Code::ActionNeverMatches, span, message);
    }
    if scope.kind == PolicyType::Trust {
        trust_action(vendor, name, span, report);
    }
}

fn vendor_characters(text: &str, vendor: &str, span: Span, report: &mut Report<'_>) {
    if vendor.contains(['*', '?']) {
        let message = format!("the vendor of the action {} has a wildcard", quoted(text));
        report.strict_with(
            Code::ActionVendor,
            span,
            message,
            "an Allow never matches through it; a Deny matches every vendor that fits",
        );
    } else {
        let message = format!("the vendor of the action {} has an illegal character", quoted(text));
        report.strict(Code::ActionVendor, span, message);
    }
}

fn trust_action(vendor: &str, name: &str, span: Span, report: &mut Report<'_>) {
    let folded = name.to_ascii_lowercase();
    let known = TRUST_ACTIONS.iter().any(|action| glob(folded.as_bytes(), action));
    if !vendor.eq_ignore_ascii_case("sts") || !known {
        let message = "a trust policy has only actions that assume a role".to_owned();
        report.strict_with(
            Code::TrustAction,
            span,
            message,
            "write `sts:AssumeRole` or one of its relatives",
        );
    }
}

/// A small `*`/`?` matcher; goes back to the last star only.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while pos < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, pos));
                at += 1;
            }
            Some(byte) if *byte == b'?' || text.get(pos) == Some(byte) => {
                at += 1;
                pos += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                (at, pos) = (after, from + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

/// G-25 to G-31, M-22.
pub(super) fn resource(entry: &Spanned<String>, scope: Scope, report: &mut Report<'_>) {
    let (text, span) = (entry.value.as_str(), entry.span);
    if !text.is_empty() && text.bytes().all(|byte| byte == b'*') {
        return;
    }
    if !text.starts_with("arn:") {
        let message = format!("the resource {} is neither `*` nor an ARN", quoted(text));
        return report.error(Code::InvalidResource, span, message);
    }
    let (parts, count) = split_arn(text);
    let [_, partition, service, _, _, tail] = parts;
    if !PARTITIONS.contains(&partition) {
        unknown_partition(partition, text, span, report);
    }
    if service.is_empty() || service.contains(['*', '?']) {
        let message = format!("the resource {} must name a service", quoted(text));
        report.strict(Code::ResourceService, span, message);
    }
    if count < 6 {
        short_arn(text, scope.kind, span, report);
    } else {
        service_form(parts, span, report);
    }
    if memchr(b'$', text.as_bytes()).is_none() {
        return;
    }
    if !scope.variables {
        inactive_variable(text, span, report);
        return;
    }
    let prefix = text.get(..text.len() - tail.len()).unwrap_or_default();
    if prefix.contains("${") {
        let message = format!("a variable in {} stands before the resource part", quoted(text));
        report.strict_with(
            Code::VariablePlacement,
            span,
            message,
            "variables work only after the fifth colon; before it they are literal text",
        );
    }
    variables(tail, span, report);
}

fn unknown_partition(partition: &str, text: &str, span: Span, report: &mut Report<'_>) {
    if partition.is_empty() {
        report.strict(Code::InvalidResource, span, format!("the resource {} has no partition", quoted(text)));
    } else {
        let message = format!("AWS has no partition {}", quoted(partition));
        report.note(Code::UnknownPartition, span, message);
    }
}

fn short_arn(text: &str, kind: PolicyType, span: Span, report: &mut Report<'_>) {
    let message = format!("the resource {} has fewer than six parts", quoted(text));
    if text.contains("::") {
        return report.strict(Code::ShortArn, span, message);
    }
    match kind {
        PolicyType::Managed | PolicyType::Inline => {
            report.warning(Code::ShortArn, span, format!("{message}; the missing ones count as `*`"));
        }
        PolicyType::Scp if text.ends_with('*') => {
            report.warning(Code::ShortArn, span, format!("{message}; the missing ones count as `*`"));
        }
        PolicyType::Resource | PolicyType::Endpoint | PolicyType::Trust if text.contains('*') => {
            report.warning(Code::ShortArn, span, format!("{message}; the missing ones count as `*`"));
        }
        PolicyType::Session => report.strict(Code::ShortArn, span, message),
        _ => report.strict(Code::ShortArn, span, format!("{message} and never matches")),
    }
}

/// What IAM and S3 ask of their ARNs (G-29).
fn service_form(parts: [&str; 6], span: Span, report: &mut Report<'_>) {
    let [_, _, service, region, _, tail] = parts;
    let wrong = match service {
        "iam" => {
            let starts =
                tail.starts_with(['*', '$']) || IAM_RESOURCES.iter().any(|start| tail.starts_with(start));
            let regional = !region.is_empty() && region != "*";
            if regional {
                Some("an IAM ARN has no region")
            } else {
                (!starts).then_some("IAM has no such resource")
            }
        }
        "s3" if !matches!(region, "" | "*") && !tail.starts_with("accesspoint/") => {
            Some("the ARN of a bucket or object has no region")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        report.note(Code::ResourceForm, span, wrong.to_owned());
    }
}

/// Says that text which looks like a variable is none (G-10).
pub(super) fn inactive_variable(text: &str, span: Span, report: &mut Report<'_>) {
    if !text.contains("${") {
        return;
    }
    let message = format!("the variable in {} is literal text in this version", quoted(text));
    let help = "policy variables need `\"Version\": \"2012-10-17\"`";
    report.warning_with(Code::InactiveVariable, span, message, help);
}

/// The form of each `${...}` (V-6, V-14).
pub(super) fn variables(text: &str, span: Span, report: &mut Report<'_>) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let Some((body, tail)) = after.split_once('}') else {
            let message = format!("the variable in {} is not closed", quoted(text));
            return report.strict(Code::InvalidVariable, span, message);
        };
        variable(body, span, report);
        rest = tail;
    }
}

fn variable(body: &str, span: Span, report: &mut Report<'_>) {
    let (key, default) = match body.split_once(',') {
        Some((key, default)) => (key, Some(default)),
        None => (body, None),
    };
    if key.trim().is_empty() || key.contains("${") || key.trim() != key {
        let message = format!("{} is not a policy variable", quoted(&format!("${{{body}}}")));
        report.strict(Code::InvalidVariable, span, message);
    }
    let Some(default) = default else { return };
    let text = default.strip_prefix(" '").and_then(|text| text.strip_suffix('\''));
    if text.is_none_or(|text| text.contains('\'')) {
        let message = format!("the default of {} is malformed", quoted(&format!("${{{body}}}")));
        report.error_with(
            Code::VariableDefault,
            span,
            message,
            "a default follows a comma and one space, in single quotes",
        );
    }
}
