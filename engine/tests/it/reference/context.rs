//! The context of a request: what it says and what follows from the directory, the session and the clock (section 5).

use std::collections::BTreeMap;

use serde_json::Value;

use super::directory;
use super::principal::{Caller, Kind};
use super::text::{arn_parts, folded_prefix, strings};
use super::typed;

/// A key that is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    Single(String),
    Multi(Vec<String>),
}

/// Keys in lower case (C-5).
pub(crate) type Context = BTreeMap<String, Held>;

/// Keys that hold a list by declaration (C-17).
const MULTI_VALUED: [&str; 10] = [
    "aws:principalorgpaths",
    "aws:principalservicenameslist",
    "aws:resourceorgpaths",
    "aws:sourceorgpaths",
    "aws:vpceorgpaths",
    "aws:tagkeys",
    "aws:calledvia",
    "sts:transitivetagkeys",
    "sts:requestcontextproviders",
    "saml:edupersonaffiliation",
];
/// Vendors whose other keys are declared single-valued; a list of one value is that value.
const DECLARED: [&str; 3] = ["aws:", "sts:", "iam:"];

/// The context of one request.
pub(crate) fn build(
    directory: &Value,
    request: &Value,
    caller: &Caller<'_>,
    vendor: &str,
    resource_account: Option<&str>,
) -> Context {
    let mut context = Context::new();
    let clock = request.get("CurrentTime").and_then(Value::as_str).unwrap_or(super::DEFAULT_CLOCK);
    let now = typed::date(clock).map_or(0, |(seconds, _)| seconds);
    set(&mut context, "aws:currenttime", typed::date_text(now));
    set(&mut context, "aws:epochtime", now.to_string());
    set(&mut context, "aws:viaawsservice", "false");
    principal_keys(&mut context, directory, caller);
    session_keys(&mut context, caller, now);
    if let Some(account) = resource_account {
        set(&mut context, "aws:resourceaccount", account);
        organization_keys(&mut context, directory, account, "aws:resource");
    }
    let tags =
        resource_tags(directory, &folded_prefix(request["Resource"].as_str().unwrap_or_default()), vendor);
    let given = request.get("Context").and_then(Value::as_object).into_iter().flatten();
    for (key, value) in given {
        let key = key.to_ascii_lowercase();
        if tags.is_none() || !key.starts_with("aws:resourcetag/") {
            set_given(&mut context, key, value);
        }
    }
    for (key, value) in tags.into_iter().flatten() {
        set(&mut context, &key, value);
    }
    context
}

fn set(context: &mut Context, key: &str, value: impl Into<String>) {
    context.insert(key.to_ascii_lowercase(), Held::Single(value.into()));
}

/// C-12, C-17.
fn set_given(context: &mut Context, key: String, value: &Value) {
    let mut values = strings(value);
    if values.is_empty() {
        context.remove(&key);
        return;
    }
    let multi = MULTI_VALUED.contains(&key.as_str());
    let declared = DECLARED.iter().any(|vendor| key.starts_with(vendor));
    let held = if multi || (value.is_array() && !declared) {
        Held::Multi(values)
    } else {
        Held::Single(values.remove(0))
    };
    context.insert(key, held);
}

/// K-2, K-3.
fn principal_keys(context: &mut Context, directory: &Value, caller: &Caller<'_>) {
    let kind = match caller.kind {
        Kind::Provider => return,
        Kind::Anonymous => {
            set(context, "aws:PrincipalAccount", "anonymous");
            set(context, "aws:userid", "anonymous");
            set(context, "aws:PrincipalType", "Anonymous");
            return;
        }
        Kind::Service => {
            set(context, "aws:PrincipalIsAWSService", "true");
            set(context, "aws:PrincipalServiceName", caller.text);
            let names = Held::Multi(vec![caller.text.to_owned()]);
            context.insert("aws:principalservicenameslist".to_owned(), names);
            return;
        }
        Kind::Root => "Account",
        Kind::User => "User",
        Kind::Role => "AssumedRole",
        Kind::Federated => "FederatedUser",
    };
    set(context, "aws:PrincipalType", kind);
    set(context, "aws:PrincipalIsAWSService", "false");
    set(context, "aws:PrincipalAccount", caller.account);
    organization_keys(context, directory, caller.account, "aws:principal");
    let arn = if caller.kind == Kind::Federated { caller.text } else { caller.entity_arn.as_str() };
    set(context, "aws:PrincipalArn", arn);
    let id = |member: &str| caller.entity.and_then(|entity| entity.get(member)).and_then(Value::as_str);
    let userid = match caller.kind {
        Kind::Root => Some(caller.account.to_owned()),
        Kind::User => id("UserId").map(str::to_owned),
        Kind::Federated => Some(format!("{}:{}", caller.account, caller.name)),
        _ if caller.name.is_empty() => None,
        _ => id("RoleId").map(|id| format!("{id}:{}", caller.name)),
    };
    if let Some(userid) = userid {
        set(context, "aws:userid", userid);
    }
    if caller.kind == Kind::User {
        set(context, "aws:username", caller.name);
    }
    // K-8
    for (key, value) in caller.entity.map(tags_of).into_iter().flatten() {
        set(context, &format!("aws:PrincipalTag/{key}"), value);
    }
}

fn session_keys(context: &mut Context, caller: &Caller<'_>, now: i64) {
    let temporary = matches!(caller.kind, Kind::Role | Kind::Federated);
    if !temporary && (caller.kind != Kind::User || caller.session.is_none()) {
        return;
    }
    let text = |member: &str| caller.session.and_then(|session| session.get(member)).and_then(Value::as_str);
    let mfa = text("MfaAuthenticatedAt").and_then(typed::date);
    set(context, "aws:MultiFactorAuthPresent", mfa.is_some().to_string());
    if let Some((seconds, _)) = mfa {
        set(context, "aws:MultiFactorAuthAge", (now - seconds).to_string());
    }
    for (member, key) in [
        ("IssuedAt", "aws:TokenIssueTime"),
        ("SourceIdentity", "aws:SourceIdentity"),
        ("FederatedProvider", "aws:FederatedProvider"),
    ] {
        if let Some(value) = text(member) {
            set(context, key, value);
        }
    }
    let tags = caller.session.and_then(|session| session.get("Tags")).and_then(Value::as_object);
    for (key, value) in tags.into_iter().flatten() {
        set(context, &format!("aws:PrincipalTag/{key}"), value.as_str().unwrap_or_default());
    }
}

/// `…OrgID` and `…OrgPaths` of an account.
fn organization_keys(context: &mut Context, directory: &Value, account: &str, prefix: &str) {
    let Some(organization) = directory.get("Organization") else { return };
    let id = organization["Id"].as_str().unwrap_or_default();
    let path = directory::organization_path(directory, account);
    let mut nodes: Vec<&str> = path.iter().filter_map(|node| node["Id"].as_str()).collect();
    if nodes.is_empty() {
        if organization["ManagementAccountId"] != account {
            return;
        }
        nodes.extend(organization["Root"]["Id"].as_str());
    } else {
        nodes.pop(); // the account itself
    }
    set(context, &format!("{prefix}orgid"), id);
    let whole = format!("{id}/{}/", nodes.join("/"));
    context.insert(format!("{prefix}orgpaths"), Held::Multi(vec![whole]));
}

fn tags_of(entry: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    directory::entries(entry, "Tags").map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect()
}

/// The tag keys that the directory knows of the resource, or nothing when it does not have the resource.
fn resource_tags(directory: &Value, resource: &str, vendor: &str) -> Option<Vec<(String, String)>> {
    let role = directory::entries(directory, "RoleDetailList")
        .find(|role| directory::arn_of(role, "role", "RoleName") == resource);
    let user = directory::user(directory, resource);
    let mut keys = Vec::new();
    if let Some(entity) = role.or(user) {
        for (key, value) in tags_of(entity) {
            if role.is_some() && ["sts", "iam"].contains(&vendor) {
                keys.push((format!("iam:ResourceTag/{key}"), value.clone()));
            }
            keys.push((format!("aws:ResourceTag/{key}"), value));
        }
        return Some(keys);
    }
    arn_parts(resource)?;
    let mut tagged =
        directory::matching_resources(directory, resource).filter(|entry| entry.get("Tags").is_some());
    let entry = tagged.next()?;
    keys.extend(tags_of(entry).into_iter().map(|(key, value)| (format!("aws:ResourceTag/{key}"), value)));
    Some(keys)
}
