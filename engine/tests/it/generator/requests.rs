//! Requests over a world.

use serde_json::{Map, Value, json};

use super::worlds::{self, ACCOUNTS, Place, Target, World};
use super::{Dice, NOW, PRINCIPALS, PROVIDERS, USERS, conditions};

/// A simulate request object.
pub(crate) fn request(dice: &mut Dice, world: &World) -> Value {
    let target = if dice.chance(85) { dice.pick(&world.targets).clone() } else { worlds::target(dice) };
    let by_token = ["sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithSAML"].contains(&target.action);
    let principal = if by_token && dice.chance(75) {
        *dice.pick(&PROVIDERS)
    } else if dice.chance(80) {
        *dice.pick(&world.principals)
    } else {
        *dice.pick(&PRINCIPALS)
    };
    let built_in = principal == "accounts.google.com" && target.action != "sts:AssumeRoleWithWebIdentity";
    let principal = if built_in { PROVIDERS[0] } else { principal };
    let mut request = Map::new();
    request.insert("Principal".to_owned(), json!(principal));
    request.insert("Action".to_owned(), json!(cased(dice, target.action)));
    request.insert("Resource".to_owned(), json!(target.resource));
    if dice.chance(60) {
        let account = if dice.chance(95) { target.account } else { *dice.pick(&ACCOUNTS) };
        request.insert("ResourceAccount".to_owned(), json!(account));
    }
    request.insert("CurrentTime".to_owned(), json!(NOW));
    request.insert("Context".to_owned(), context(dice, &target));
    if let Some(session) = session(dice, world, principal) {
        request.insert("Session".to_owned(), session);
    }
    Value::Object(request)
}

fn cased(dice: &mut Dice, action: &str) -> String {
    match dice.below(12) {
        0 => action.to_ascii_uppercase(),
        1 => action.to_ascii_lowercase(),
        _ => action.to_owned(),
    }
}

fn context(dice: &mut Dice, target: &Target) -> Value {
    let mut context = Map::new();
    for (key, form) in conditions::GIVEN {
        let often = if key == "aws:SourceVpce" { 12 } else { 35 };
        if dice.chance(often) {
            context.insert(cased(dice, key), conditions::given(dice, key, form));
        }
    }
    // keys of the engine that a simulation overrides
    if dice.chance(8) {
        let (key, form) = *dice.pick(&conditions::DERIVED);
        if !key.ends_with("OrgPaths") && !key.starts_with("aws:ResourceTag") {
            context.insert(key.to_owned(), json!(conditions::given_value(dice, form)));
        }
    }
    if dice.chance(20) && !target.resource.contains(":iam:") {
        context.insert("aws:ResourceTag/team".to_owned(), json!(*dice.pick(&["eng", "ops", ""])));
    }
    Value::Object(context)
}

fn session(dice: &mut Dice, world: &World, principal: &str) -> Option<Value> {
    let user = principal.contains(":user/");
    let federated = principal.contains(":federated-user/");
    let role = principal.contains(":assumed-role/") || principal.contains(":role/");
    if !(federated && dice.chance(85) || role && dice.chance(50) || user && dice.chance(15)) {
        return None;
    }
    let mut session = Map::new();
    if dice.chance(50) {
        session.insert("IssuedAt".to_owned(), json!("2026-06-15T11:00:00Z"));
    }
    if dice.chance(40) {
        let times = ["2026-06-15T11:55:00Z", "2026-06-15T11:59:50Z"];
        session.insert("MfaAuthenticatedAt".to_owned(), json!(*dice.pick(&times)));
    }
    if user {
        return Some(Value::Object(session));
    }
    if dice.chance(40) {
        session.insert("SourceIdentity".to_owned(), json!("alice"));
    }
    if dice.chance(50) {
        let key = *dice.pick(&["team", "TEAM", "cost/center", "empty"]);
        session.insert("Tags".to_owned(), json!({key: *dice.pick(&["eng", "ops", "a*c", ""])}));
    }
    let limited = if federated { 75 } else { 45 };
    if dice.chance(limited) {
        let count = dice.below(3);
        let documents: Vec<Value> =
            (0..count).map(|_| worlds::document(dice, &world.targets, Place::Identity, &[1, 2])).collect();
        session.insert("Policies".to_owned(), Value::Array(documents));
    }
    if dice.chance(limited / 3) {
        let arns = [
            "arn:aws:iam::111111111111:policy/M0",
            "arn:aws:iam::111111111111:policy/M2",
            "arn:aws:iam::aws:policy/AdministratorAccess",
            "arn:aws:iam::111111111111:policy/Absent",
        ];
        session.insert("PolicyArns".to_owned(), json!([*dice.pick(&arns)]));
    }
    if federated && dice.chance(25) {
        let issuer = if dice.chance(30) { "arn:aws:iam::111111111111:root" } else { *dice.pick(&USERS) };
        session.insert("Issuer".to_owned(), json!(issuer));
    }
    Some(Value::Object(session))
}
