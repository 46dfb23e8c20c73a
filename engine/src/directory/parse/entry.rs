//! The entries of the lists: users, groups, roles, managed policies, resources and endpoints.

use super::fields::{Fields, Text};
use super::identity::{Identity, Kind, identity};
use crate::diagnostic::{Code, Span};
use crate::directory::{Endpoint, Group, InlinePolicy, ManagedPolicy, Resource, Role, User};
use crate::json::report::{Report, quoted};
use crate::json::{Node, Value};
use crate::policy::parse::{document_in, is_account, split_arn};
use crate::policy::validate::{
    GROUP_INLINE_CHARS_MAX, MANAGED_CHARS_MAX, ROLE_INLINE_CHARS_MAX, TRUST_CHARS_MAX, USER_INLINE_CHARS_MAX,
    length,
};
use crate::policy::{Document, PolicyType, Spanned};
use std::borrow::Cow;

/// The members of a user.
const USER_MEMBERS: [&str; 10] = [
    "UserName",
    "Arn",
    "AccountId",
    "UserId",
    "Path",
    "GroupList",
    "UserPolicyList",
    "AttachedManagedPolicies",
    "PermissionsBoundary",
    "Tags",
];
/// The members of a group.
const GROUP_MEMBERS: [&str; 7] =
    ["GroupName", "Arn", "AccountId", "GroupId", "Path", "GroupPolicyList", "AttachedManagedPolicies"];
/// The members of a role.
const ROLE_MEMBERS: [&str; 10] = [
    "RoleName",
    "Arn",
    "AccountId",
    "RoleId",
    "Path",
    "AssumeRolePolicyDocument",
    "RolePolicyList",
    "AttachedManagedPolicies",
    "PermissionsBoundary",
    "Tags",
];
/// The members of a managed policy.
const POLICY_MEMBERS: [&str; 7] =
    ["PolicyName", "Arn", "AccountId", "Path", "DefaultVersionId", "PolicyVersionList", "PolicyDocument"];
/// What AWS prints in users, groups and roles that means nothing here.
const IGNORED: [&str; 8] = [
    "CreateDate",
    "Description",
    "InstanceProfileList",
    "LoginProfile",
    "MaxSessionDuration",
    "PasswordLastUsed",
    "RoleLastUsed",
    "UpdateDate",
];
/// What AWS prints in managed policies that means nothing here.
const POLICY_IGNORED: [&str; 8] = [
    "AttachmentCount",
    "CreateDate",
    "Description",
    "IsAttachable",
    "PermissionsBoundaryUsageCount",
    "PolicyId",
    "Tags",
    "UpdateDate",
];

/// An entry of `UserDetailList`.
pub(super) fn user(node: &Node<'_>, report: &mut Report<'_>) -> Option<User> {
    let fields = Fields::of(node, "a user", &USER_MEMBERS, &IGNORED, report)?;
    let kind = Kind { name_member: "UserName", word: "user" };
    let who = identity(&fields, kind, report);
    let id = fields.text("UserId", report).map(|id| id.value.to_owned());
    let inline = inline(&fields, "UserPolicyList", USER_INLINE_CHARS_MAX, report);
    let attached = attached(&fields, report);
    let boundary = boundary(&fields, report);
    let tags = tags(&fields, report).unwrap_or_default();
    let groups = fields.texts("GroupList", report).unwrap_or_default();
    let Identity { arn, account, name } = who?;
    Some(User { name, arn, account, id, groups, inline, attached, boundary, tags })
}

/// An entry of `GroupDetailList`.
pub(super) fn group(node: &Node<'_>, report: &mut Report<'_>) -> Option<Group> {
    let fields = Fields::of(node, "a group", &GROUP_MEMBERS, &IGNORED, report)?;
    let kind = Kind { name_member: "GroupName", word: "group" };
    let who = identity(&fields, kind, report);
    fields.text("GroupId", report);
    let inline = inline(&fields, "GroupPolicyList", GROUP_INLINE_CHARS_MAX, report);
    let attached = attached(&fields, report);
    let Identity { arn, account, name } = who?;
    Some(Group { name, arn, account, inline, attached })
}

/// An entry of `RoleDetailList`.
pub(super) fn role(node: &Node<'_>, report: &mut Report<'_>) -> Option<Role> {
    let fields = Fields::of(node, "a role", &ROLE_MEMBERS, &IGNORED, report)?;
    let kind = Kind { name_member: "RoleName", word: "role" };
    let who = identity(&fields, kind, report);
    let id = fields.text("RoleId", report).map(|id| id.value.to_owned());
    let trust = fields.get("AssumeRolePolicyDocument").and_then(|node| {
        let (document, raw) = document_in(node, PolicyType::Trust, report)?;
        length(&[raw], TRUST_CHARS_MAX, "a trust policy", node.span, report);
        Some(document)
    });
    let inline = inline(&fields, "RolePolicyList", ROLE_INLINE_CHARS_MAX, report);
    let attached = attached(&fields, report);
    let boundary = boundary(&fields, report);
    let tags = tags(&fields, report).unwrap_or_default();
    let Identity { arn, account, name } = who?;
    Some(Role { name, arn, account, id, trust, inline, attached, boundary, tags })
}

/// An entry of `Policies`, in AWS's long form or in the short one.
pub(super) fn managed_policy(node: &Node<'_>, report: &mut Report<'_>) -> Option<ManagedPolicy> {
    let fields = Fields::of(node, "a managed policy", &POLICY_MEMBERS, &POLICY_IGNORED, report)?;
    let who = identity(&fields, Kind { name_member: "PolicyName", word: "policy" }, report);
    let node = match (fields.get("PolicyDocument"), fields.get("PolicyVersionList")) {
        (Some(node), None) => Some(node),
        (None, Some(_)) => default_version(&fields, report),
        (Some(node), Some(_)) => {
            let message =
                "a managed policy has either `PolicyDocument` or `PolicyVersionList`, not both".to_owned();
            report.error(Code::DefaultVersion, node.span, message);
            None
        }
        (None, None) => {
            fields.missing("PolicyDocument", report);
            None
        }
    };
    let node = node?;
    // AWS's own policies do what AWS does not let customers store; they are longer too (G-59).
    let of_aws = who.as_ref().is_some_and(|who| who.account == "aws");
    let (document, raw) = if of_aws {
        report.leniently(|report| document_in(node, PolicyType::Managed, report))?
    } else {
        document_in(node, PolicyType::Managed, report)?
    };
    let who = who?;
    if !of_aws {
        length(&[raw], MANAGED_CHARS_MAX, "a managed policy", node.span, report);
    }
    Some(ManagedPolicy { arn: who.arn, document })
}

/// The document of the one default version (I-7).
fn default_version<'n, 't>(fields: &Fields<'n, 't>, report: &mut Report<'_>) -> Option<&'n Node<'t>> {
    const MEMBERS: [&str; 3] = ["VersionId", "IsDefaultVersion", "Document"];
    let named = fields.text("DefaultVersionId", report);
    let nodes = fields.list("PolicyVersionList", report);
    let mut defaults = Vec::new();
    for node in nodes {
        let Some(version) = Fields::of(node, "a policy version", &MEMBERS, &["CreateDate"], report) else {
            continue;
        };
        let id = version.text("VersionId", report).map(|id| id.value);
        let flagged = version.flag("IsDefaultVersion", report);
        let unmarked = version.get("IsDefaultVersion").is_none();
        let chosen = match named {
            Some(named) => id == Some(named.value),
            None => flagged || (unmarked && nodes.len() == 1),
        };
        if named.is_some() && !unmarked && flagged != chosen {
            let message = "`IsDefaultVersion` contradicts `DefaultVersionId`".to_owned();
            report.error(Code::DefaultVersion, node.span, message);
        }
        if chosen {
            defaults.push(version);
        }
    }
    let [version] = defaults.as_slice() else {
        let message =
            format!("a managed policy needs exactly one default version, this has {}", defaults.len());
        report.error(Code::DefaultVersion, fields.span, message);
        return None;
    };
    let document = version.get("Document");
    if document.is_none() {
        version.missing("Document", report);
    }
    document
}

/// An entry of `ResourceDetailList`.
pub(super) fn resource(node: &Node<'_>, report: &mut Report<'_>) -> Option<Resource> {
    const MEMBERS: [&str; 5] = ["ResourceArn", "OwnerAccountId", "ResourcePolicy", "Tags", "Delegating"];
    let fields = Fields::of(node, "a resource", &MEMBERS, &[], report)?;
    let patterns = resource_arns(&fields, report);
    let owner = fields.text("OwnerAccountId", report).filter(|owner| is_owner(*owner, report));
    let policy =
        fields.get("ResourcePolicy").and_then(|node| document_in(node, PolicyType::Resource, report));
    let tags = tags(&fields, report);
    let delegating = fields.flag("Delegating", report);
    Some(Resource {
        patterns: patterns?,
        owner: owner.map(|owner| owner.value.to_owned()),
        policy: policy.map(|(document, _)| document),
        tags,
        delegating,
        span: fields.span,
    })
}

fn is_owner(owner: Text<'_>, report: &mut Report<'_>) -> bool {
    let valid = is_account(owner.value);
    if !valid {
        let message = format!("{} is not a 12-digit account id", quoted(owner.value));
        report.error(Code::InvalidAccount, owner.span, message);
    }
    valid
}

fn resource_arns(fields: &Fields<'_, '_>, report: &mut Report<'_>) -> Option<Vec<Spanned<String>>> {
    let Some(node) = fields.get("ResourceArn") else {
        fields.missing("ResourceArn", report);
        return None;
    };
    let patterns = match &node.value {
        Value::String(text) => vec![Spanned { value: text.clone().into_owned(), span: node.span }],
        Value::Array(_) => fields.texts("ResourceArn", report)?,
        _ => {
            report.wrong_type(node, "ResourceArn", "a string or a list of strings");
            return None;
        }
    };
    if patterns.is_empty() {
        report.error(Code::EmptyList, node.span, "`ResourceArn` has no value".to_owned());
    }
    for Spanned { value, span } in &patterns {
        // A whole-text pattern: its wildcards may stand for several segments.
        let whole = value.contains('*') || split_arn(value).1 == 6;
        if value != "*" && (!value.starts_with("arn:") || !whole) {
            let message = format!("{} is neither `*` nor an ARN pattern", quoted(value));
            report.error(Code::InvalidArn, *span, message);
        }
    }
    Some(patterns)
}

/// An entry of `EndpointPolicyList`.
pub(super) fn endpoint(node: &Node<'_>, report: &mut Report<'_>) -> Option<Endpoint> {
    let fields = Fields::of(node, "an endpoint", &["EndpointId", "PolicyDocument"], &[], report)?;
    let id = fields.required_text("EndpointId", report);
    let document = required_document(&fields, "PolicyDocument", PolicyType::Endpoint, report);
    let id = id?;
    Some(Endpoint { id: id.to_spanned(), document: document?.0 })
}

/// A document that must be there.
pub(super) fn required_document<'a>(
    fields: &Fields<'_, '_>,
    name: &str,
    kind: PolicyType,
    report: &mut Report<'a>,
) -> Option<(Document, Cow<'a, str>)> {
    let Some(node) = fields.get(name) else {
        fields.missing(name, report);
        return None;
    };
    document_in(node, kind, report)
}

fn inline(fields: &Fields<'_, '_>, name: &str, limit: usize, report: &mut Report<'_>) -> Vec<InlinePolicy> {
    let mut policies: Vec<InlinePolicy> = Vec::new();
    let mut texts = Vec::new();
    for node in fields.list(name, report) {
        let known = ["PolicyName", "PolicyDocument"];
        let Some(entry) = Fields::of(node, "an inline policy", &known, &[], report) else {
            continue;
        };
        let name = entry.required_text("PolicyName", report);
        let document = required_document(&entry, "PolicyDocument", PolicyType::Inline, report);
        let (Some(name), Some((document, raw))) = (name, document) else {
            continue;
        };
        if policies.iter().any(|policy| policy.name == name.value) {
            let message = format!("two inline policies have the name {}", quoted(name.value));
            report.error(Code::DuplicateEntity, name.span, message);
        }
        texts.push(raw);
        policies.push(InlinePolicy { name: name.value.to_owned(), document });
    }
    length(&texts, limit, &format!("all inline policies of {}", fields.what), fields.span, report);
    policies
}

fn attached(fields: &Fields<'_, '_>, report: &mut Report<'_>) -> Vec<Spanned<String>> {
    let mut arns = Vec::new();
    for node in fields.list("AttachedManagedPolicies", report) {
        let known = ["PolicyName", "PolicyArn"];
        let Some(entry) = Fields::of(node, "an attached policy", &known, &[], report) else {
            continue;
        };
        entry.text("PolicyName", report);
        let arn = entry.required_text("PolicyArn", report);
        arns.extend(arn.map(|arn| arn.to_spanned()));
    }
    arns
}

fn boundary(fields: &Fields<'_, '_>, report: &mut Report<'_>) -> Option<Spanned<String>> {
    let node = fields.get("PermissionsBoundary")?;
    if let Value::String(text) = &node.value {
        let message = "`PermissionsBoundary` should be an object".to_owned();
        let help = "write {\"PermissionsBoundaryType\": \"Policy\", \"PermissionsBoundaryArn\": ...}";
        report.strict_with(Code::WrongType, node.span, message, help);
        return Some(Spanned { value: text.clone().into_owned(), span: node.span });
    }
    let known = ["PermissionsBoundaryType", "PermissionsBoundaryArn"];
    let entry = Fields::of(node, "a permissions boundary", &known, &[], report)?;
    entry.text("PermissionsBoundaryType", report);
    let arn = entry.required_text("PermissionsBoundaryArn", report)?;
    Some(arn.to_spanned())
}

/// `None` when the entry does not say.
fn tags(fields: &Fields<'_, '_>, report: &mut Report<'_>) -> Option<Vec<(String, String)>> {
    fields.get("Tags")?;
    let mut tags: Vec<(String, String)> = Vec::new();
    for node in fields.list("Tags", report) {
        let Some(entry) = Fields::of(node, "a tag", &["Key", "Value"], &[], report) else {
            continue;
        };
        let key = entry.required_text("Key", report);
        let value = entry.required_text("Value", report);
        let (Some(key), Some(value)) = (key, value) else {
            continue;
        };
        tag_key(key.value, &tags, key.span, report);
        tags.push((key.value.to_owned(), value.value.to_owned()));
    }
    Some(tags)
}

/// Keys are not empty, and unique ignoring case (C-6).
fn tag_key(key: &str, tags: &[(String, String)], span: Span, report: &mut Report<'_>) {
    if key.is_empty() {
        report.error(Code::InvalidTag, span, "a tag has an empty key".to_owned());
    } else if tags.iter().any(|(other, _)| other.eq_ignore_ascii_case(key)) {
        report.error(Code::InvalidTag, span, format!("two tags have the key {}, ignoring case", quoted(key)));
    }
}
