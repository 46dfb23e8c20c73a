//! A second evaluator, written only from semantics.md, that the compiled engine is compared with.
//!
//! It walks the raw JSON of the policy directory for every request: no index, no compile step, nothing shared
//! with the engine. It supposes that the directory loads in lenient mode and that the request is well formed.

pub(crate) mod condition;
pub(crate) mod context;
pub(crate) mod directory;
pub(crate) mod principal;
pub(crate) mod statement;
pub(crate) mod text;
pub(crate) mod typed;

use std::borrow::Cow;

use serde_json::Value;

use context::{Context, Held};
use principal::{Caller, Classes, Kind};
use statement::Layer;
use text::arn_parts;

/// Instant of a request that fixes no clock, so that runs repeat.
pub(crate) const DEFAULT_CLOCK: &str = "2026-06-15T12:00:00Z";

/// What the rules say about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `Allow` or `Deny`.
    pub(crate) decision: &'static str,
    /// `Allowed`, `ExplicitDeny` or `ImplicitDeny`.
    pub(crate) reason: &'static str,
    /// The layers that may be named as decisive: the rules fix the decision, but not always the one layer to report.
    pub(crate) layers: Vec<&'static str>,
}

/// One request with everything that is known about it.
pub(crate) struct Ask<'a> {
    pub(crate) caller: Caller<'a>,
    /// Lower-case vendor and name.
    pub(crate) vendor: String,
    pub(crate) name: String,
    pub(crate) resource: &'a str,
    pub(crate) resource_account: Option<String>,
    pub(crate) context: Context,
    /// P-41 asks for it.
    pub(crate) has_boundary: bool,
}

impl Ask<'_> {
    fn is(&self, vendor: &str, names: &[&str]) -> bool {
        self.vendor == vendor && names.contains(&self.name.as_str())
    }
}

type Documents<'a> = Vec<Cow<'a, Value>>;

/// Actions whose resource policy is the trust policy of the role.
const TRUST_ACTIONS: [&str; 6] = [
    "assumerole",
    "assumerolewithsaml",
    "assumerolewithwebidentity",
    "tagsession",
    "setsourceidentity",
    "setcontext",
];
const ASSUME_ACTIONS: [&str; 3] = ["assumerole", "assumerolewithsaml", "assumerolewithwebidentity"];
const POLICY_WRITES: [&str; 6] = [
    "createpolicyversion",
    "deletepolicy",
    "deletepolicyversion",
    "setdefaultpolicyversion",
    "tagpolicy",
    "untagpolicy",
];

/// What each applicable policy set says, before the sets are combined.
struct Sets {
    identity: Classes,
    boundary: Option<Classes>,
    session: Option<Classes>,
    resource: Classes,
    resource_layer: Layer,
    delegating: bool,
    endpoint: Option<Classes>,
    scp: Option<Vec<Classes>>,
    rcp: Vec<Classes>,
}

/// Answers `request` (the simulate object) over `directory` (the policy directory object).
pub(crate) fn decide(directory: &Value, request: &Value) -> Answer {
    let caller = Caller::of(directory, request);
    let action = request["Action"].as_str().unwrap_or_default().to_ascii_lowercase();
    let (vendor, name) = action.split_once(':').unwrap_or_default();
    let resource = &*text::folded_prefix(request["Resource"].as_str().unwrap_or_default());
    let trust = vendor == "sts"
        && TRUST_ACTIONS.contains(&name)
        && arn_parts(resource).is_some_and(|p| p[2] == "iam" && p[5].starts_with("role/"));
    let of_role = arn_parts(resource).map(|p| p[4]).filter(|account| trust && text::is_account(account));
    let resource_account = match of_role {
        Some(account) => Some(account.to_owned()), // T-1
        None => resource_account(directory, request, resource, &caller),
    };
    let context = context::build(directory, request, &caller, vendor, resource_account.as_deref());
    let ask = Ask {
        has_boundary: boundary(directory, &caller).is_some(),
        vendor: vendor.to_owned(),
        name: name.to_owned(),
        caller,
        resource,
        resource_account,
        context,
    };
    if let Some(answer) = always_allowed(&ask) {
        return answer;
    }
    let sets = evaluate_sets(directory, &ask, trust);
    combine(&ask, &sets, trust)
}

/// E-40.
fn always_allowed(ask: &Ask<'_>) -> Option<Answer> {
    let authenticated = !matches!(ask.caller.kind, Kind::Anonymous | Kind::Provider);
    let identity = authenticated && ask.is("sts", &["getcalleridentity"]);
    let token =
        ask.caller.kind == Kind::User && ask.caller.session.is_none() && ask.is("sts", &["getsessiontoken"]);
    (identity || token).then(|| allow(&["identity"]))
}

fn evaluate_sets(directory: &Value, ask: &Ask<'_>, trust: bool) -> Sets {
    let caller = &ask.caller;
    let run = |documents: &Documents<'_>, layer| statement::evaluate(documents, layer, ask);
    let resource_layer = if trust { Layer::Trust } else { Layer::Resource };
    let resource_documents = if trust {
        trust_documents(directory, ask.resource)
    } else {
        directory::matching_resources(directory, ask.resource)
            .filter_map(|entry| entry.get("ResourcePolicy").map(directory::document))
            .collect()
    };
    let mut identity = run(&identity_documents(directory, caller), Layer::Identity);
    if caller.issued_by_root() {
        identity.direct = true;
    }
    Sets {
        identity,
        boundary: boundary(directory, caller).map(|documents| run(&documents, Layer::Boundary)),
        session: session_documents(directory, caller).map(|documents| run(&documents, Layer::Session)),
        resource: run(&resource_documents, resource_layer),
        resource_layer,
        delegating: trust || is_delegating(directory, ask.resource),
        endpoint: endpoint(directory, &ask.context).map(|documents| run(&documents, Layer::Endpoint)),
        scp: scp_levels(directory, caller)
            .map(|levels| levels.iter().map(|documents| run(documents, Layer::Scp)).collect()),
        rcp: rcp_levels(directory, ask).iter().map(|documents| run(documents, Layer::Rcp)).collect(),
    }
}

/// E-5, line by line.
fn combine(ask: &Ask<'_>, sets: &Sets, trust: bool) -> Answer {
    let caller = &ask.caller;
    let resource_name = sets.resource_layer.as_str();
    // 1: a matching Deny anywhere
    let denying = denying_layers(sets);
    if !denying.is_empty() {
        return deny("ExplicitDeny", &denying);
    }
    // 2 (RCPFullAWSAccess stands at every level), 3, 4: the filters
    let mut missing = Vec::new();
    if sets.scp.as_ref().is_some_and(|levels| levels.iter().any(|level| !level.any())) {
        missing.push("scp");
    }
    if sets.endpoint.is_some_and(|endpoint| !endpoint.any()) {
        missing.push("endpoint");
    }
    if let Some(layer) = forbidden_whatever_policies_say(ask) {
        missing.push(layer);
    }
    let assume = trust && ASSUME_ACTIONS.contains(&ask.name.as_str());
    if assume && matches!(caller.kind, Kind::Root | Kind::Anonymous) {
        missing.push(resource_name); // T-5
    }
    if !missing.is_empty() {
        return deny("ImplicitDeny", &missing);
    }
    // 5
    if matches!(caller.kind, Kind::Service | Kind::Anonymous | Kind::Provider) {
        let paired = caller.kind != Kind::Provider || (trust && provider_may_call(ask));
        return if sets.resource.direct && paired {
            allow(&[resource_name])
        } else {
            deny("ImplicitDeny", &[resource_name])
        };
    }
    // 6
    let identity_side = missing_on_identity_side(caller, sets);
    let crosses = ask.resource_account.as_deref().is_some_and(|account| account != caller.account);
    if crosses || (trust && ask.name == "setsourceidentity") {
        let mut missing = identity_side;
        if !sets.resource.any() || (crosses && in_different_aws_partitions(ask)) {
            missing.push(resource_name);
        }
        return if missing.is_empty() {
            allow(&["identity", resource_name])
        } else {
            deny("ImplicitDeny", &missing)
        };
    }
    // 7, 8
    let limited = limits(caller, sets);
    if sets.resource.direct || (sets.resource.role_like && limited.is_empty()) {
        return allow(&[resource_name]);
    }
    // 9: every entry that names the root's account is Direct for it, so a delegating resource said no in 7
    // 10
    if sets.delegating && !sets.resource.account {
        let mut named = vec![resource_name];
        if sets.resource.role_like {
            named.extend(limited);
        }
        return deny("ImplicitDeny", &named);
    }
    // 11..14
    match identity_side.first() {
        // a blocked RoleLike grant beside an Account one: the resource's side may be named too
        Some(first) if sets.delegating && sets.resource.role_like => {
            deny("ImplicitDeny", &[*first, resource_name])
        }
        Some(first) => deny("ImplicitDeny", &[*first]),
        None => allow(&["identity"]),
    }
}

fn allow(layers: &[&'static str]) -> Answer {
    Answer { decision: "Allow", reason: "Allowed", layers: layers.to_vec() }
}

fn deny(reason: &'static str, layers: &[&'static str]) -> Answer {
    Answer { decision: "Deny", reason, layers: layers.to_vec() }
}

fn denying_layers(sets: &Sets) -> Vec<&'static str> {
    let mut layers = Vec::new();
    let mut note = |denies: bool, layer: Layer| {
        if denies {
            layers.push(layer.as_str());
        }
    };
    note(sets.identity.deny, Layer::Identity);
    note(sets.boundary.is_some_and(|set| set.deny), Layer::Boundary);
    note(sets.session.is_some_and(|set| set.deny), Layer::Session);
    note(sets.resource.deny, sets.resource_layer);
    note(sets.endpoint.is_some_and(|set| set.deny), Layer::Endpoint);
    note(sets.scp.as_ref().is_some_and(|levels| levels.iter().any(|level| level.deny)), Layer::Scp);
    note(sets.rcp.iter().any(|level| level.deny), Layer::Rcp);
    layers
}

/// The limits of P-20 that do not allow: what blocks a RoleLike grant.
fn limits(caller: &Caller<'_>, sets: &Sets) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if sets.boundary.is_some_and(|set| !set.any()) {
        missing.push("boundary");
    }
    let session = match sets.session {
        Some(set) => set.any(),
        None => caller.kind != Kind::Federated, // E-6
    };
    if !session {
        missing.push("session");
    }
    missing
}

/// The principal's own layers that do not allow, in the order of E-5.
fn missing_on_identity_side(caller: &Caller<'_>, sets: &Sets) -> Vec<&'static str> {
    if caller.kind == Kind::Root {
        return Vec::new();
    }
    let mut missing = Vec::new();
    if !sets.identity.any() {
        missing.push("identity");
    }
    missing.extend(limits(caller, sets));
    missing
}

/// E-41 and E-43.
fn forbidden_whatever_policies_say(ask: &Ask<'_>) -> Option<&'static str> {
    let parts = arn_parts(ask.resource);
    let resource = parts.map_or("", |p| p[5]);
    let iam_resource = parts.is_some_and(|p| p[2] == "iam");
    let reading = ["get", "list", "passrole"].iter().any(|prefix| ask.name.starts_with(prefix));
    let aws_policy = iam_resource && parts.is_some_and(|p| p[4] == "aws") && resource.starts_with("policy/");
    if ask.is("iam", &POLICY_WRITES) && aws_policy {
        return Some("identity");
    }
    if ask.vendor == "iam" && !reading && iam_resource && resource.starts_with("role/aws-reserved/") {
        return Some("identity");
    }
    if ask.is("kms", &["createalias", "updatealias", "deletealias"]) && resource.starts_with("alias/aws/") {
        return Some("identity");
    }
    let mfa = ask.caller.session.is_some_and(|session| session.get("MfaAuthenticatedAt").is_some());
    let forbidden = match ask.caller.kind {
        Kind::Federated => ask.vendor == "iam" || (ask.vendor == "sts" && ask.name != "getcalleridentity"),
        Kind::User if ask.caller.session.is_some() => {
            (ask.vendor == "iam" && !mfa)
                || (ask.vendor == "sts" && !["assumerole", "getcalleridentity"].contains(&ask.name.as_str()))
        }
        Kind::Role => ask.is("sts", &["getfederationtoken", "getsessiontoken"]),
        _ => false,
    };
    forbidden.then_some("session")
}

/// G-53.
fn provider_may_call(ask: &Ask<'_>) -> bool {
    let saml = arn_parts(ask.caller.text).is_some_and(|p| p[5].starts_with("saml-provider/"));
    match ask.name.as_str() {
        "tagsession" | "setsourceidentity" | "setcontext" => true,
        "assumerolewithsaml" => saml,
        "assumerolewithwebidentity" => !saml,
        _ => false,
    }
}

/// own partitions are not compared.
fn in_different_aws_partitions(ask: &Ask<'_>) -> bool {
    let aws = |partition: &str| partition == "aws" || partition.starts_with("aws-");
    arn_parts(ask.resource)
        .is_some_and(|p| aws(p[1]) && aws(ask.caller.partition) && p[1] != ask.caller.partition)
}

fn resource_account(
    directory: &Value,
    request: &Value,
    resource: &str,
    caller: &Caller<'_>,
) -> Option<String> {
    if let Some(account) = request.get("ResourceAccount").and_then(Value::as_str) {
        return Some(account.to_owned());
    }
    let mut owners = directory::matching_resources(directory, resource)
        .filter_map(|entry| entry.get("OwnerAccountId").and_then(Value::as_str));
    if let Some(owner) = owners.next() {
        return Some(owner.to_owned());
    }
    let named = arn_parts(resource).map(|p| p[4]).filter(|account| text::is_account(account));
    let account = named.unwrap_or(caller.account);
    (!account.is_empty()).then(|| account.to_owned())
}

/// E-9 and P-3.
fn identity_documents<'a>(directory: &'a Value, caller: &Caller<'a>) -> Documents<'a> {
    let Some(entity) = caller.entity else { return Vec::new() };
    if caller.kind == Kind::Role {
        return directory::policies_of(directory, entity, "RolePolicyList");
    }
    let mut documents = directory::policies_of(directory, entity, "UserPolicyList");
    let account = arn_parts(&caller.entity_arn).map_or("", |parts| parts[4]);
    for name in text::strings(&entity["GroupList"]) {
        let mut groups = directory::entries(directory, "GroupDetailList");
        if let Some(group) =
            groups.find(|group| directory::is_named(group, "group", "GroupName", account, &name))
        {
            documents.extend(directory::policies_of(directory, group, "GroupPolicyList"));
        }
    }
    documents
}

fn boundary<'a>(directory: &'a Value, caller: &Caller<'a>) -> Option<Documents<'a>> {
    let arn = caller.entity?.get("PermissionsBoundary")?.get("PermissionsBoundaryArn")?.as_str()?;
    Some(directory::managed(directory, arn).into_iter().collect())
}

fn session_documents<'a>(directory: &'a Value, caller: &Caller<'a>) -> Option<Documents<'a>> {
    if !matches!(caller.kind, Kind::Role | Kind::Federated) {
        return None;
    }
    let list = |name: &str| caller.session.and_then(|session| session.get(name)).and_then(Value::as_array);
    let mut documents: Documents<'a> =
        list("Policies").into_iter().flatten().map(directory::document).collect();
    let mut present = !documents.is_empty();
    for arn in list("PolicyArns").into_iter().flatten().filter_map(Value::as_str) {
        present = true;
        documents.extend(directory::managed(directory, arn));
    }
    present.then_some(documents)
}

fn trust_documents<'a>(directory: &'a Value, resource: &str) -> Documents<'a> {
    directory::entries(directory, "RoleDetailList")
        .filter(|role| directory::arn_of(role, "role", "RoleName") == resource)
        .filter_map(|role| role.get("AssumeRolePolicyDocument").map(directory::document))
        .collect()
}

/// E-30..E-33.
fn is_delegating(directory: &Value, resource: &str) -> bool {
    let key = arn_parts(resource).is_some_and(|p| p[2] == "kms" && p[5].starts_with("key/"));
    key || directory::matching_resources(directory, resource).any(|entry| entry["Delegating"] == true)
}

fn endpoint<'a>(directory: &'a Value, context: &Context) -> Option<Documents<'a>> {
    let Some(Held::Single(id)) = context.get("aws:sourcevpce") else { return None };
    let mut endpoints = directory::entries(directory, "EndpointPolicyList");
    let entry = endpoints.find(|entry| entry["EndpointId"] == id.as_str())?;
    Some(vec![directory::document(&entry["PolicyDocument"])])
}

/// E-12..E-14: the levels on the way to the caller's account, or nothing when SCPs do not apply.
fn scp_levels<'a>(directory: &'a Value, caller: &Caller<'a>) -> Option<Vec<Documents<'a>>> {
    let bound = matches!(caller.kind, Kind::Root | Kind::User | Kind::Role | Kind::Federated);
    if !bound || caller.is_service_linked() {
        return None;
    }
    directory::organization_levels(directory, caller.account, "ServiceControlPolicies")
}

/// E-15, E-16.
fn rcp_levels<'a>(directory: &'a Value, ask: &Ask<'_>) -> Vec<Documents<'a>> {
    let exempt = ask.caller.is_service_linked() || ask.is("kms", &["retiregrant"]);
    match &ask.resource_account {
        Some(account) if !exempt => {
            directory::organization_levels(directory, account, "ResourceControlPolicies").unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
