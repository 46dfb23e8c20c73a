//! Policy directories.

use serde_json::{Map, Value, json};

use super::{
    ACTIONS, Dice, FOREIGN, HOME, MANAGEMENT, OTHER, PRINCIPALS, PROVIDERS, RESOURCES, ROLES, STS_ACTIONS,
    USERS, conditions, patterns,
};

/// What a world's rules turn around.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) action: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) account: &'static str,
}

/// A policy directory and what requests should ask of it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) directory: Value,
    pub(crate) targets: Vec<Target>,
    pub(crate) principals: Vec<&'static str>,
}

/// The kind of policy a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Identity,
    Boundary,
    Resource,
    Endpoint,
    Trust,
    Scp,
    Rcp,
}

/// A target by chance: an ordinary action, or one about a role.
pub(crate) fn target(dice: &mut Dice) -> Target {
    if dice.chance(15) {
        let (resource, account) = *dice.pick(&ROLES);
        let action = *dice.pick(&STS_ACTIONS);
        return Target { action, resource, account };
    }
    let (resource, account) = *dice.pick(&RESOURCES);
    let action = *dice.pick(&ACTIONS);
    Target { action, resource, account }
}

/// A world of a seed.
pub(crate) fn world(dice: &mut Dice) -> World {
    let targets: Vec<Target> = (0..3).map(|_| target(dice)).collect();
    let principals = (0..3).map(|_| *dice.pick(&PRINCIPALS)).collect();
    let mut directory = Map::new();
    directory.insert("UserDetailList".to_owned(), users(dice, &targets));
    directory.insert("GroupDetailList".to_owned(), groups(dice, &targets));
    directory.insert("RoleDetailList".to_owned(), roles(dice, &targets));
    directory.insert("Policies".to_owned(), managed(dice, &targets));
    directory.insert("ResourceDetailList".to_owned(), resources(dice, &targets));
    let endpoint = |id: &str, dice: &mut Dice| json!({"EndpointId": id, "PolicyDocument": document(dice, &targets, Place::Endpoint, &[1, 3])});
    directory
        .insert("EndpointPolicyList".to_owned(), json!([endpoint("vpce-1", dice), endpoint("vpce-2", dice)]));
    if dice.chance(60) {
        directory.insert("Organization".to_owned(), organization(dice, &targets));
    }
    World { directory: Value::Object(directory), targets, principals }
}

/// A document with a number of statements between two bounds.
pub(crate) fn document(dice: &mut Dice, targets: &[Target], place: Place, bounds: &[usize; 2]) -> Value {
    let count = bounds[0] + dice.below(bounds[1] - bounds[0] + 1);
    let mut statements: Vec<Value> = (0..count).map(|_| statement(dice, targets, place)).collect();
    if (place == Place::Identity && dice.chance(42)) || (place == Place::Scp && dice.chance(50)) {
        statements.push(json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
    }
    let open = match place {
        Place::Resource => 62,
        Place::Endpoint => 75,
        _ => 0,
    };
    if dice.chance(open) {
        let principal = if dice.chance(40) { json!("*") } else { json!({"AWS": [HOME, OTHER, FOREIGN]}) };
        statements.push(json!({"Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*"}));
    }
    for (at, statement) in statements.iter_mut().enumerate() {
        if dice.chance(40) {
            statement["Sid"] = json!(format!("S{at}"));
        }
    }
    let body = match statements.len() {
        1 if dice.chance(50) => statements.remove(0),
        _ => Value::Array(statements),
    };
    match dice.below(if place == Place::Rcp { 1 } else { 12 }) {
        10 => json!({"Version": "2008-10-17", "Statement": body}),
        11 => json!({"Statement": body}),
        _ => json!({"Version": "2012-10-17", "Statement": body}),
    }
}

/// One statement about one of the targets.
pub(crate) fn statement(dice: &mut Dice, targets: &[Target], place: Place) -> Value {
    let target = dice.pick(targets).clone();
    let miss = if dice.chance(60) { dice.below(5) } else { usize::MAX };
    let mut statement = Map::new();
    let denies = match place {
        Place::Rcp => true,
        Place::Identity => dice.chance(20),
        Place::Trust | Place::Resource => dice.chance(14),
        _ => dice.chance(12),
    };
    statement.insert("Effect".to_owned(), json!(if denies { "Deny" } else { "Allow" }));
    actions(dice, &mut statement, &target, place, miss == 0);
    if place != Place::Trust {
        resource_part(dice, &mut statement, &target, place, miss == 1);
    }
    match place {
        Place::Rcp => {
            statement.insert("Principal".to_owned(), json!("*"));
        }
        Place::Resource | Place::Endpoint | Place::Trust => {
            principals(dice, &mut statement, place, denies, miss == 2)
        }
        Place::Identity | Place::Boundary | Place::Scp => {}
    }
    if let Some(block) = conditions::block(dice) {
        statement.insert("Condition".to_owned(), block);
    }
    Value::Object(statement)
}

/// One text or a list of a few.
fn listed(dice: &mut Dice, mut make: impl FnMut(&mut Dice) -> String) -> Value {
    match dice.below(10) {
        0..=5 => json!(make(dice)),
        6 => json!([make(dice)]),
        _ => (0..2 + dice.below(2)).map(|_| make(dice)).collect(),
    }
}

fn actions(dice: &mut Dice, statement: &mut Map<String, Value>, target: &Target, place: Place, miss: bool) {
    if place == Place::Trust {
        let action =
            *dice.pick(&["sts:AssumeRole", "sts:AssumeRole", "sts:*", "sts:Assume*", "STS:assumerole"]);
        let with = *dice.pick(&STS_ACTIONS);
        let value = if dice.chance(40) { json!([action, with]) } else { json!(action) };
        statement.insert("Action".to_owned(), value);
        return;
    }
    let inverted = dice.chance(8) && place != Place::Rcp;
    let value = listed(dice, |dice| {
        let about =
            if dice.chance(if inverted { 70 } else { 12 }) { *dice.pick(&ACTIONS) } else { target.action };
        let pattern = patterns::action(dice, about, miss);
        if place == Place::Rcp && pattern.starts_with('*') { about.to_owned() } else { pattern }
    });
    statement.insert(if inverted { "NotAction" } else { "Action" }.to_owned(), value);
}

fn resource_part(
    dice: &mut Dice,
    statement: &mut Map<String, Value>,
    target: &Target,
    place: Place,
    miss: bool,
) {
    if place == Place::Resource && dice.chance(15) {
        return; // G-51
    }
    let inverted = dice.chance(8);
    let value = listed(dice, |dice| {
        let about = if dice.chance(if inverted { 70 } else { 12 }) {
            dice.pick(&RESOURCES).0
        } else {
            target.resource
        };
        patterns::resource(dice, about, miss)
    });
    statement.insert(if inverted { "NotResource" } else { "Resource" }.to_owned(), value);
}

/// Entries under `AWS`.
const AWS_ENTRIES: [&str; 21] = [
    "111111111111",
    "111111111111",
    "arn:aws:iam::111111111111:root",
    "222222222222",
    "arn:aws:iam::222222222222:root",
    "333333333333",
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:iam::111111111111:user/eng/bob",
    "arn:aws:iam::111111111111:user/bob",
    "arn:aws:iam::222222222222:user/carol",
    "AIDAALICE000000000000",
    "arn:aws:iam::111111111111:role/R",
    "arn:aws:iam::111111111111:role/r",
    "arn:aws:iam::111111111111:role/eng/app/Deploy",
    "arn:aws:iam::111111111111:role/Deploy",
    "arn:aws:iam::333333333333:role/any/path/Unknown",
    "AROAROLER000000000000",
    "arn:aws:sts::111111111111:assumed-role/R/s1",
    "arn:aws:sts::111111111111:assumed-role/Deploy/ci",
    "arn:aws:sts::111111111111:federated-user/alice",
    "arn:aws:sts::222222222222:federated-user/carol",
];

fn aws_entry(dice: &mut Dice, miss: bool) -> String {
    let entry = *dice.pick(&AWS_ENTRIES);
    match entry.rsplit_once('/') {
        Some((front, name)) if miss => format!("{front}/{}", patterns::miss(dice, name)),
        _ => entry.to_owned(),
    }
}

fn principals(dice: &mut Dice, statement: &mut Map<String, Value>, place: Place, denies: bool, miss: bool) {
    let inverted = place != Place::Trust && dice.chance(if denies { 20 } else { 4 });
    let mut members = Map::new();
    if inverted && dice.chance(8) {
        let nobody = if dice.chance(50) { json!("*") } else { json!({"AWS": "*"}) };
        statement.insert("NotPrincipal".to_owned(), nobody);
        return;
    }
    if inverted {
        let mut entries: Vec<String> = (0..2).map(|_| aws_entry(dice, miss)).collect();
        let family = dice.pick(&[
            [
                "111111111111",
                "arn:aws:iam::111111111111:user/alice",
                "arn:aws:sts::111111111111:federated-user/alice",
            ],
            [
                "111111111111",
                "arn:aws:iam::111111111111:role/R",
                "arn:aws:sts::111111111111:assumed-role/R/s1",
            ],
            [
                "arn:aws:iam::222222222222:root",
                "AIDAALICE000000000000",
                "arn:aws:iam::222222222222:user/carol",
            ],
        ]);
        let kept = if dice.chance(75) { 3 } else { 2 };
        entries.extend(family[..kept].iter().map(|entry| (*entry).to_owned()));
        members.insert("AWS".to_owned(), json!(entries));
        if dice.chance(40) {
            members.insert("Service".to_owned(), json!("ec2.amazonaws.com"));
        }
        statement.insert("NotPrincipal".to_owned(), Value::Object(members));
        return;
    }
    let everyone = if place == Place::Endpoint { 75 } else { 28 };
    if dice.chance(everyone) {
        let value = if dice.chance(50) { json!("*") } else { json!({"AWS": "*"}) };
        statement.insert("Principal".to_owned(), value);
        return;
    }
    if dice.chance(85) {
        members.insert("AWS".to_owned(), listed(dice, |dice| aws_entry(dice, miss)));
    }
    if dice.chance(25) {
        let names = ["ec2.amazonaws.com", "cloudtrail.amazonaws.com", "s3.eu-south-1.amazonaws.com"];
        members.insert("Service".to_owned(), listed(dice, |dice| (*dice.pick(&names)).to_owned()));
    }
    if place == Place::Trust && dice.chance(45) {
        members.insert("Federated".to_owned(), listed(dice, |dice| (*dice.pick(&PROVIDERS)).to_owned()));
    }
    if members.is_empty() {
        members.insert("AWS".to_owned(), json!(HOME));
    }
    statement.insert("Principal".to_owned(), Value::Object(members));
}

/// Inline, attached and boundary policies of an entity.
fn policies(dice: &mut Dice, targets: &[Target], entity: &mut Value, inline: &str) {
    let documents: Vec<Value> = (0..1 + dice.below(2))
        .map(|at| {
            let document = document(dice, targets, Place::Identity, &[1, 3]);
            json!({"PolicyName": format!("inline{at}"), "PolicyDocument": document})
        })
        .collect();
    entity[inline] = Value::Array(documents);
    if dice.chance(50) {
        let arn = if dice.chance(20) {
            "arn:aws:iam::aws:policy/AdministratorAccess".to_owned()
        } else {
            format!("arn:aws:iam::111111111111:policy/M{}", dice.below(3))
        };
        entity["AttachedManagedPolicies"] = json!([{"PolicyName": arn.rsplit('/').next(), "PolicyArn": arn}]);
    }
    if dice.chance(30) && inline != "GroupPolicyList" {
        let arn = format!("arn:aws:iam::111111111111:policy/B{}", dice.below(2));
        entity["PermissionsBoundary"] =
            json!({"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn});
    }
}

fn users(dice: &mut Dice, targets: &[Target]) -> Value {
    USERS
        .iter()
        .map(|arn| {
            let name = arn.rsplit('/').next().unwrap_or_default();
            let mut user = json!({"UserName": name, "Arn": arn});
            policies(dice, targets, &mut user, "UserPolicyList");
            user["Tags"] = match name {
                "alice" => json!([{"Key": "Team", "Value": "eng"}, {"Key": "empty", "Value": ""}]),
                "bob" => json!([{"Key": "team", "Value": "ops"}]),
                _ => json!([]),
            };
            if name == "alice" {
                user["UserId"] = json!("AIDAALICE000000000000");
            }
            if dice.chance(50) {
                let group =
                    if arn.contains(OTHER) || arn.contains(MANAGEMENT) { json!([]) } else { json!(["devs"]) };
                user["GroupList"] = group;
            }
            user
        })
        .collect()
}

fn groups(dice: &mut Dice, targets: &[Target]) -> Value {
    let mut devs = json!({"GroupName": "devs", "Arn": format!("arn:aws:iam::{HOME}:group/eng/devs")});
    policies(dice, targets, &mut devs, "GroupPolicyList");
    let mut others = json!({"GroupName": "devs", "Arn": format!("arn:aws:iam::{OTHER}:group/devs")});
    policies(dice, targets, &mut others, "GroupPolicyList");
    json!([devs, others])
}

fn roles(dice: &mut Dice, targets: &[Target]) -> Value {
    ROLES
        .iter()
        .map(|(arn, _)| {
            let name = arn.rsplit('/').next().unwrap_or_default();
            let mut role = json!({"RoleName": name, "Arn": arn});
            role["AssumeRolePolicyDocument"] = document(dice, targets, Place::Trust, &[1, 3]);
            policies(dice, targets, &mut role, "RolePolicyList");
            role["Tags"] = json!([{"Key": "team", "Value": dice.pick(&["eng", "ops", ""])}]);
            if name == "R" {
                role["RoleId"] = json!("AROAROLER000000000000");
            }
            role
        })
        .collect()
}

fn managed(dice: &mut Dice, targets: &[Target]) -> Value {
    let mut policies = Vec::new();
    for name in ["M0", "M1", "M2", "B0", "B1"] {
        let place = if name.starts_with('B') { Place::Boundary } else { Place::Identity };
        let document = if place == Place::Boundary && dice.chance(45) {
            json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
        } else {
            document(dice, targets, place, &[1, 3])
        };
        let arn = format!("arn:aws:iam::111111111111:policy/{name}");
        policies.push(if dice.chance(50) {
            json!({"PolicyName": name, "Arn": arn, "PolicyDocument": document})
        } else {
            let old = json!({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}});
            json!({"PolicyName": name, "Arn": arn, "DefaultVersionId": "v2", "PolicyVersionList": [
                {"VersionId": "v1", "IsDefaultVersion": false, "Document": old},
                {"VersionId": "v2", "IsDefaultVersion": true, "Document": document}]})
        });
    }
    Value::Array(policies)
}

fn resources(dice: &mut Dice, targets: &[Target]) -> Value {
    let mut entries: Vec<Value> = Vec::new();
    let mut tagged = Vec::new();
    for target in targets {
        let skip = target.resource == "*" || target.action.starts_with("sts:");
        if skip || !dice.chance(88) || entries.iter().any(|entry| entry["ResourceArn"] == target.resource) {
            continue;
        }
        let mut entry = json!({
            "ResourceArn": target.resource,
            "OwnerAccountId": target.account,
            "ResourcePolicy": document(dice, targets, Place::Resource, &[1, 3]),
        });
        if dice.chance(40) {
            entry["Tags"] = json!([{"Key": "Team", "Value": dice.pick(&["eng", "ops"])}]);
            tagged.push(target.resource);
        }
        if dice.chance(15) {
            entry["Delegating"] = json!(true);
        }
        entries.push(entry);
    }
    // a second entry over the same resources: both count
    if dice.chance(35) {
        let patterns =
            *dice.pick(&[["arn:aws:s3:::b*", "arn:aws:s3:::f?r/*"], ["arn:*:sqs:*", "arn:acme:*"]]);
        let document = document(dice, targets, Place::Resource, &[1, 2]);
        entries.push(json!({"ResourceArn": patterns, "ResourcePolicy": document}));
    }
    Value::Array(entries)
}

fn organization(dice: &mut Dice, targets: &[Target]) -> Value {
    let mut policies = Vec::new();
    for id in ["p-scp00001", "p-scp00002", "p-scp00003"] {
        let content = document(dice, targets, Place::Scp, &[1, 3]);
        policies.push(json!({"Id": id, "Name": id, "Type": "SERVICE_CONTROL_POLICY", "Content": content}));
    }
    for id in ["p-rcp00001", "p-rcp00002"] {
        let content = document(dice, targets, Place::Rcp, &[1, 2]);
        policies.push(json!({"Id": id, "Name": id, "Type": "RESOURCE_CONTROL_POLICY", "Content": content}));
    }
    let mut home = level(dice, json!({"Id": HOME}));
    home["Id"] = json!(HOME);
    let other = level(dice, json!({"Id": OTHER}));
    let management = level(dice, json!({"Id": MANAGEMENT}));
    let mut inner = level(dice, json!({"Id": "ou-root-two"}));
    inner["Accounts"] = json!([home]);
    let mut outer = level(dice, json!({"Id": "ou-root-one"}));
    outer["OrganizationalUnits"] = json!([inner]);
    outer["Accounts"] = json!([other]);
    let mut root = level(dice, json!({"Id": "r-root"}));
    root["OrganizationalUnits"] = json!([outer]);
    if dice.chance(50) {
        root["Accounts"] = json!([management]);
    }
    json!({"Id": "o-aaaa000000", "ManagementAccountId": MANAGEMENT, "Policies": policies, "Root": root})
}

/// Attaches policies to a node; now and then a level has no list, or an empty one.
fn level(dice: &mut Dice, mut node: Value) -> Value {
    match dice.below(24) {
        0..=3 => {}
        4 if dice.chance(40) => node["ServiceControlPolicies"] = json!([]),
        5..=9 => {
            let id = *dice.pick(&["p-scp00001", "p-scp00002", "p-scp00003"]);
            node["ServiceControlPolicies"] = json!(["p-FullAWSAccess", id]);
        }
        10 => node["ServiceControlPolicies"] = json!([*dice.pick(&["p-scp00001", "p-scp00002"])]),
        _ => node["ServiceControlPolicies"] = json!(["p-FullAWSAccess"]),
    }
    match dice.below(12) {
        0 => {}
        1 => node["ResourceControlPolicies"] = json!(["p-rcp00001"]),
        2 => node["ResourceControlPolicies"] = json!(["p-RCPFullAWSAccess", "p-rcp00002"]),
        _ => node["ResourceControlPolicies"] = json!(["p-RCPFullAWSAccess"]),
    }
    node
}

/// Accounts that own something.
pub(crate) const ACCOUNTS: [&str; 4] = [HOME, OTHER, FOREIGN, MANAGEMENT];
