//! Laws that hold whatever the policies are (semantics.md, N-8), on generated worlds.

use serde_json::{Value, json};

use crate::differential::{Compiled, compiled};
use crate::generator::conditions::{self, Form};
use crate::generator::worlds::{self, Place, World};
use crate::generator::{Dice, requests};
use crate::simulate;
use portcullis_engine::PolicySet;

const WORLDS: u64 = 60;
const REQUESTS: usize = 60;

fn loaded(directory: &Value) -> PolicySet {
    simulate::load(directory).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}\n{directory}"))
}

fn answer(policy_set: &PolicySet, request: &Value) -> Compiled {
    compiled(policy_set, request, false).unwrap_or_else(|violations| panic!("{violations}\n{request}"))
}

/// Compares the answers over a world and over what `change` makes of world and request.
fn compare(
    seed: u64,
    change: impl Fn(&mut Dice, &World, &mut Value) -> bool,
    change_request: impl Fn(&mut Dice, &Value) -> Value,
    holds: impl Fn(&Compiled, &Compiled) -> bool,
) {
    let mut tried = 0;
    for number in 0..WORLDS {
        let mut dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let world = worlds::world(&mut dice);
        let mut changed = world.directory.clone();
        if !change(&mut dice, &world, &mut changed) {
            continue;
        }
        let (before_set, after_set) = (loaded(&world.directory), loaded(&changed));
        for _ in 0..REQUESTS {
            let request = requests::request(&mut dice, &world);
            let other = change_request(&mut dice, &request);
            let (before, after) = (answer(&before_set, &request), answer(&after_set, &other));
            assert!(
                holds(&before, &after),
                "{before:?} became {after:?}\n{}\n{changed}\n{request}\n{other}",
                world.directory
            );
            tried += 1;
        }
    }
    assert!(tried > 1_000, "only {tried} comparisons");
}

fn same_request(_: &mut Dice, request: &Value) -> Value {
    request.clone()
}

fn not_wider(before: &Compiled, after: &Compiled) -> bool {
    after.denies() || !before.denies()
}

fn not_narrower(before: &Compiled, after: &Compiled) -> bool {
    before.denies() || !after.denies()
}

/// A statement of an effect for a place, in a document of its own.
fn document_of(dice: &mut Dice, world: &World, place: Place, effect: &str) -> Value {
    loop {
        let statement = worlds::statement(dice, &world.targets, place);
        if statement["Effect"] == effect {
            return json!({"Version": "2012-10-17", "Statement": [statement]});
        }
    }
}

/// Every document under a list of entries, by the name that holds it.
fn documents<'a>(entries: &'a mut Value, name: &str) -> Vec<&'a mut Value> {
    let entries = entries.as_array_mut().into_iter().flatten();
    entries.filter_map(|entry| entry.get_mut(name)).collect()
}

fn append(document: &mut Value, addition: &Value) {
    let added = addition["Statement"][0].clone();
    match &mut document["Statement"] {
        Value::Array(statements) => statements.push(added),
        single => *single = json!([single.clone(), added]),
    }
}

#[test]
fn adding_a_deny_never_allows() {
    let add = |dice: &mut Dice, world: &World, changed: &mut Value| {
        let (list, member, place) = *dice.pick(&[
            ("ResourceDetailList", "ResourcePolicy", Place::Resource),
            ("EndpointPolicyList", "PolicyDocument", Place::Endpoint),
            ("RoleDetailList", "AssumeRolePolicyDocument", Place::Trust),
            ("Policies", "PolicyDocument", Place::Boundary),
        ]);
        let deny = document_of(dice, world, place, "Deny");
        documents(&mut changed[list], member).into_iter().for_each(|document| append(document, &deny));
        let own = document_of(dice, world, Place::Identity, "Deny");
        for entity in changed["UserDetailList"].as_array_mut().into_iter().flatten() {
            documents(&mut entity["UserPolicyList"], "PolicyDocument")
                .into_iter()
                .for_each(|d| append(d, &own));
        }
        let control = document_of(dice, world, Place::Scp, "Deny");
        if changed.get("Organization").is_some() {
            let policies = &mut changed["Organization"]["Policies"];
            for policy in policies.as_array_mut().into_iter().flatten() {
                if policy["Type"] == "SERVICE_CONTROL_POLICY" {
                    append(&mut policy["Content"], &control);
                }
            }
        }
        true
    };
    compare(1, add, same_request, not_wider);
}

#[test]
fn adding_an_allow_to_identity_policies_never_denies() {
    let add = |dice: &mut Dice, world: &World, changed: &mut Value| {
        for (list, member) in [
            ("UserDetailList", "UserPolicyList"),
            ("GroupDetailList", "GroupPolicyList"),
            ("RoleDetailList", "RolePolicyList"),
        ] {
            let allow = document_of(dice, world, Place::Identity, "Allow");
            for entity in changed[list].as_array_mut().into_iter().flatten() {
                let inline = entity[member].as_array_mut().expect("inline policies");
                inline.push(json!({"PolicyName": "added", "PolicyDocument": allow}));
            }
        }
        true
    };
    compare(2, add, same_request, not_narrower);
}

#[test]
fn adding_a_boundary_never_allows() {
    let add = |dice: &mut Dice, _: &World, changed: &mut Value| {
        for list in ["UserDetailList", "RoleDetailList"] {
            for entity in changed[list].as_array_mut().into_iter().flatten() {
                if entity.get("PermissionsBoundary").is_none() {
                    let arn = *dice.pick(&[
                        "arn:aws:iam::111111111111:policy/B0",
                        "arn:aws:iam::111111111111:policy/B1",
                        "arn:aws:iam::aws:policy/AdministratorAccess",
                    ]);
                    entity["PermissionsBoundary"] =
                        json!({"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn});
                }
            }
        }
        true
    };
    compare(3, add, same_request, not_wider);
}

/// Calls `visit` with every node of the organization's tree.
fn for_each_node(node: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    visit(node);
    for list in ["Accounts", "OrganizationalUnits"] {
        if let Some(children) = node.get_mut(list).and_then(Value::as_array_mut) {
            children.iter_mut().for_each(|child| for_each_node(child, visit));
        }
    }
}

#[test]
fn adding_a_level_of_control_policies_never_allows() {
    let add = |dice: &mut Dice, _: &World, changed: &mut Value| {
        let Some(root) = changed.pointer_mut("/Organization/Root") else { return false };
        for_each_node(root, &mut |node| {
            if node.get("ServiceControlPolicies").is_none() {
                let lists = [json!(["p-FullAWSAccess"]), json!(["p-scp00001"]), json!([])];
                node["ServiceControlPolicies"] = dice.pick(&lists).clone();
            }
            let attached =
                node.get("ResourceControlPolicies").and_then(Value::as_array).cloned().unwrap_or_default();
            if !attached.contains(&json!("p-rcp00001")) {
                node["ResourceControlPolicies"] = attached.into_iter().chain([json!("p-rcp00001")]).collect();
            }
        });
        true
    };
    compare(4, add, same_request, not_wider);
}

#[test]
fn adding_an_endpoint_policy_never_allows() {
    let add = |dice: &mut Dice, world: &World, changed: &mut Value| {
        let document = worlds::document(dice, &world.targets, Place::Endpoint, &[1, 3]);
        let endpoints = changed["EndpointPolicyList"].as_array_mut().expect("endpoints");
        endpoints.push(json!({"EndpointId": "vpce-3", "PolicyDocument": document}));
        true
    };
    let through_it = |_: &mut Dice, request: &Value| {
        let mut other = request.clone();
        if let Some(context) = other["Context"].as_object_mut() {
            context.retain(|key, _| !key.eq_ignore_ascii_case("aws:SourceVpce"));
            context.insert("aws:SourceVpce".to_owned(), json!("vpce-3"));
        }
        other
    };
    // both sides ask through the endpoint, since conditions may read the key
    let mut tried = 0;
    for number in 0..WORLDS {
        let mut dice = Dice::new(5_000_000 + number);
        let world = worlds::world(&mut dice);
        let mut changed = world.directory.clone();
        add(&mut dice, &world, &mut changed);
        let (before_set, after_set) = (loaded(&world.directory), loaded(&changed));
        for _ in 0..REQUESTS {
            let made = requests::request(&mut dice, &world);
            let request = through_it(&mut dice, &made);
            let (before, after) = (answer(&before_set, &request), answer(&after_set, &request));
            assert!(not_wider(&before, &after), "{before:?} became {after:?}\n{changed}\n{request}");
            tried += 1;
        }
    }
    assert!(tried > 1_000);
}

#[test]
fn adding_session_policies_to_a_role_session_never_allows() {
    let limit = |dice: &mut Dice, request: &Value| {
        let mut other = request.clone();
        let principal = request["Principal"].as_str().unwrap_or_default();
        let without = ["Policies", "PolicyArns"]
            .iter()
            .all(|member| request["Session"][member].as_array().is_none_or(Vec::is_empty));
        if principal.contains(":assumed-role/") && without {
            let effect = *dice.pick(&["Allow", "Deny"]);
            let action = request["Action"].as_str().unwrap_or_default();
            let statement = json!({"Effect": effect, "Action": [action, "s3:*"], "Resource": "*"});
            if !other["Session"].is_object() {
                other["Session"] = json!({});
            }
            other["Session"]["Policies"] = json!([{"Version": "2012-10-17", "Statement": statement}]);
        }
        other
    };
    compare(6, |_, _, _| true, limit, not_wider);
}

/// Shuffles every list below a value, except the list whose order names the owner of a resource.
fn shuffled(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::Array(items) => {
            dice.shuffle(items);
            items.iter_mut().for_each(|item| shuffled(dice, item));
        }
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Array(items) if name == "ResourceDetailList" => {
                        items.iter_mut().for_each(|item| shuffled(dice, item));
                    }
                    other => shuffled(dice, other),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn order_does_not_matter() {
    let shuffle = |dice: &mut Dice, _: &World, changed: &mut Value| {
        shuffled(dice, changed);
        true
    };
    let shuffle_request = |dice: &mut Dice, request: &Value| {
        let mut other = request.clone();
        shuffled(dice, &mut other);
        other
    };
    compare(7, shuffle, shuffle_request, |before, after| before == after);
}

fn any_case(dice: &mut Dice, text: &str) -> String {
    text.chars()
        .map(
            |character| {
                if dice.chance(50) { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() }
            },
        )
        .collect()
}

fn recased_texts(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::String(text) => *text = any_case(dice, text),
        Value::Array(items) => items.iter_mut().for_each(|item| recased_texts(dice, item)),
        _ => {}
    }
}

fn recased_keys(dice: &mut Dice, value: &mut Value) {
    if let Value::Object(members) = value {
        *members =
            std::mem::take(members).into_iter().map(|(key, held)| (any_case(dice, &key), held)).collect();
    }
}

/// Turns the case of actions, condition keys and tag keys everywhere below a value.
fn recased(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| recased(dice, item)),
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "Action" | "NotAction" => recased_texts(dice, member),
                    "Condition" => {
                        member
                            .as_object_mut()
                            .into_iter()
                            .flatten()
                            .for_each(|(_, keys)| recased_keys(dice, keys));
                    }
                    "Context" => recased_keys(dice, member),
                    "Tags" if member.is_object() => recased_keys(dice, member),
                    "Key" => recased_texts(dice, member),
                    _ => recased(dice, member),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn case_of_actions_and_key_names_does_not_matter() {
    let recase = |dice: &mut Dice, _: &World, changed: &mut Value| {
        recased(dice, changed);
        true
    };
    let recase_request = |dice: &mut Dice, request: &Value| {
        let mut other = request.clone();
        recased(dice, &mut other);
        other
    };
    compare(8, recase, recase_request, |before, after| before == after);
}

/// Whether a condition of one operator with these values is true of a context value.
fn condition_holds(operator: &str, values: &[&str], held: Option<&Value>) -> bool {
    let directory = json!({"UserDetailList": [{
        "UserName": "alice",
        "Arn": "arn:aws:iam::111111111111:user/alice",
        "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {operator: {"app:key": values}}},
        ]}}],
    }]});
    let mut request = json!({
        "Principal": "arn:aws:iam::111111111111:user/alice",
        "Action": "app:Do",
        "Resource": "*",
        "Context": {},
    });
    if let Some(held) = held {
        request["Context"]["app:key"] = held.clone();
    }
    !answer(&loaded(&directory), &request).denies()
}

#[test]
fn several_values_are_the_or_or_the_nor_of_single_ones() {
    let mut dice = Dice::new(9);
    let forms = [Form::Text, Form::Number, Form::Date, Form::Bool, Form::Binary, Form::Address, Form::Arn];
    for form in forms {
        for operator in conditions::operators(form) {
            for suffix in ["", "IfExists"] {
                for _ in 0..40 {
                    let name = format!("{operator}{suffix}");
                    let (one, other) =
                        (*dice.pick(conditions::pool(form)), *dice.pick(conditions::pool(form)));
                    let given = json!(conditions::given_value(&mut dice, form));
                    let held = if dice.chance(85) { Some(&given) } else { None };
                    let both = condition_holds(&name, &[one, other], held);
                    let (first, second) =
                        (condition_holds(&name, &[one], held), condition_holds(&name, &[other], held));
                    let combined = if operator.contains("Not") { first && second } else { first || second };
                    assert_eq!(both, combined, "{name} [{one}, {other}] of {held:?}");
                }
            }
        }
    }
}
