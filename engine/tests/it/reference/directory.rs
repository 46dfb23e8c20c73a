//! Reading the policy directory object (interfaces.md, section 1).

use std::borrow::Cow;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::Documents;
use super::text::{self, arn_parts, strings};

/// The entries of one list of the directory.
pub(crate) fn entries<'a>(directory: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    directory.get(member).and_then(Value::as_array).into_iter().flatten()
}

/// A policy document, URL-decoded when it stands as a text.
pub(crate) fn document(value: &Value) -> Cow<'_, Value> {
    match value {
        Value::String(text) => Cow::Owned(serde_json::from_str(&percent_decoded(text)).unwrap_or_default()),
        other => Cow::Borrowed(other),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The entry's ARN, derived where it is left out.
pub(crate) fn arn_of(entry: &Value, kind: &str, name_member: &str) -> String {
    if let Some(arn) = entry.get("Arn").and_then(Value::as_str) {
        return arn.to_owned();
    }
    let text = |member: &str| entry.get(member).and_then(Value::as_str);
    let path = text("Path").unwrap_or("/");
    let account = text("AccountId").unwrap_or_default();
    format!("arn:aws:iam::{account}:{kind}{path}{}", text(name_member).unwrap_or_default())
}

/// Whether an entry is of this account and has this name, whatever its path and case (I-3).
pub(crate) fn is_named(entry: &Value, kind: &str, name_member: &str, account: &str, name: &str) -> bool {
    let arn = arn_of(entry, kind, name_member);
    arn_parts(&arn).is_some_and(|parts| {
        parts[4] == account && parts[5].rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name))
    })
}

pub(crate) fn user<'a>(directory: &'a Value, arn: &str) -> Option<&'a Value> {
    entries(directory, "UserDetailList").find(|user| arn_of(user, "user", "UserName") == arn)
}

pub(crate) fn role<'a>(directory: &'a Value, account: &str, name: &str) -> Option<&'a Value> {
    entries(directory, "RoleDetailList").find(|role| is_named(role, "role", "RoleName", account, name))
}

/// Inline and attached documents of an entity.
pub(crate) fn policies_of<'a>(directory: &'a Value, entity: &'a Value, inline: &str) -> Documents<'a> {
    let mut documents: Documents<'a> =
        entries(entity, inline).map(|policy| document(&policy["PolicyDocument"])).collect();
    for attached in entries(entity, "AttachedManagedPolicies") {
        documents.extend(managed(directory, attached["PolicyArn"].as_str().unwrap_or_default()));
    }
    documents
}

/// The document of a managed policy; one of the directory wins over a built-in one.
pub(crate) fn managed<'a>(directory: &'a Value, arn: &str) -> Option<Cow<'a, Value>> {
    let Some(policy) =
        entries(directory, "Policies").find(|policy| arn_of(policy, "policy", "PolicyName") == arn)
    else {
        return built_in(arn).map(Cow::Borrowed);
    };
    if let Some(short) = policy.get("PolicyDocument") {
        return Some(document(short));
    }
    let is_default = |version: &&Value| {
        version["IsDefaultVersion"] == true
            || (policy.get("DefaultVersionId").is_some()
                && version["VersionId"] == policy["DefaultVersionId"])
    };
    let default = entries(policy, "PolicyVersionList").find(is_default);
    default
        .or_else(|| entries(policy, "PolicyVersionList").next())
        .map(|version| document(&version["Document"]))
}

fn built_in(arn: &str) -> Option<&'static Value> {
    static BUILT_IN: OnceLock<Value> = OnceLock::new();
    let all = BUILT_IN.get_or_init(|| {
        let allow = |actions: Value| {
            json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}})
        };
        json!({
            "AdministratorAccess": allow(json!("*")),
            "AmazonS3FullAccess": allow(json!(["s3:*", "s3-object-lambda:*"])),
            "AmazonS3ReadOnlyAccess": allow(json!(["s3:Get*", "s3:List*", "s3:Describe*",
                "s3-object-lambda:Get*", "s3-object-lambda:List*"])),
        })
    });
    all.get(arn.strip_prefix("arn:aws:iam::aws:policy/")?)
}

/// The entries of `ResourceDetailList` whose pattern matches a resource.
pub(crate) fn matching_resources<'a>(
    directory: &'a Value,
    resource: &str,
) -> impl Iterator<Item = &'a Value> {
    entries(directory, "ResourceDetailList").filter(move |entry| {
        strings(&entry["ResourceArn"])
            .iter()
            .any(|pattern| text::matches(&text::glob(&text::folded_prefix(pattern)), resource))
    })
}

/// The nodes from the organization's root to an account, root first; empty when the account is not in the tree.
pub(crate) fn organization_path<'a>(directory: &'a Value, account: &str) -> Vec<&'a Value> {
    fn search<'a>(node: &'a Value, account: &str) -> Option<Vec<&'a Value>> {
        if let Some(found) = entries(node, "Accounts").find(|entry| entry["Id"] == account) {
            return Some(vec![node, found]);
        }
        entries(node, "OrganizationalUnits").find_map(|unit| {
            let mut path = search(unit, account)?;
            path.insert(0, node);
            Some(path)
        })
    }
    let root = directory.get("Organization").and_then(|organization| organization.get("Root"));
    root.and_then(|root| search(root, account)).unwrap_or_default()
}

/// The documents of each level that has a list named `member`, or nothing when such policies do not bind the account.
pub(crate) fn organization_levels<'a>(
    directory: &'a Value,
    account: &str,
    member: &str,
) -> Option<Vec<Documents<'a>>> {
    let organization = directory.get("Organization")?;
    let path = organization_path(directory, account);
    if path.is_empty() || organization["ManagementAccountId"] == account {
        return None;
    }
    let levels = path.into_iter().filter_map(|node| node.get(member));
    Some(
        levels
            .map(|ids| strings(ids).iter().filter_map(|id| control_policy(organization, id)).collect())
            .collect(),
    )
}

fn control_policy<'a>(organization: &'a Value, id: &str) -> Option<Cow<'a, Value>> {
    if let Some(policy) = entries(organization, "Policies").find(|policy| policy["Id"] == id) {
        return Some(document(&policy["Content"]));
    }
    let full =
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}});
    (id == "p-FullAWSAccess").then_some(Cow::Owned(full))
}
