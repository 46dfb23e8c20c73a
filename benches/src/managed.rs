//! A world of real text: policies that AWS manages, attached to roles, and asked in their own words.
//!
//! The policies are not part of this repository. Any account export with a `Policies` list will do.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis_engine::condition::key::{KeyType, facts};
use portcullis_engine::{OwnedKeys, Reason, Request};
use serde_json::{Value as Json, json};

use crate::World;
use crate::account::Account;
use crate::generate::{Draw, files, mix};
use crate::question::{NOW_SECONDS, Question, Value};
use crate::scan::Scan;
use crate::statement::{Condition, Statement, Test};

const ACCOUNT: &str = "123456789012";
const ROLES: usize = 100;
const POLICIES_PER_ROLE: usize = 10;
const QUESTIONS: usize = 10_000;
const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-2"];
const FILLERS: [&str; 5] = ["x7", "prod-orders", "2024/06", "AWSServiceThing", "data/part-0001.parquet"];

/// A hundred roles with ten policies each of those in the `*.json` files of a directory.
///
/// # Errors
/// What could not be read, or is not an account export.
pub fn world(directory: &Path, seed: u64) -> Result<World, String> {
    let mut sources = crate::sources(directory)?;
    let policies = arns(&sources)?;
    let mut draw = Draw::numbers(seed);
    let roles: Vec<Vec<usize>> =
        (0..ROLES).map(|_| draw.distinct(POLICIES_PER_ROLE, policies.len())).collect();
    let role = |(number, held): (usize, &Vec<usize>)| {
        let name = role_name(number);
        let attached: Vec<Json> = held
            .iter()
            .filter_map(|policy| policies.get(*policy))
            .map(|arn| json!({"PolicyArn": arn}))
            .collect();
        let trust = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}});
        json!({"RoleName": name, "Arn": format!("arn:aws:iam::{ACCOUNT}:role/{name}"), "Path": "/",
               "AssumeRolePolicyDocument": trust, "AttachedManagedPolicies": attached})
    };
    sources.extend(files("RoleDetailList", roles.iter().enumerate().map(role)));
    let account = Account::read(&sources)?;
    let vocabulary = vocabulary(&account);
    let scan = Scan::new(&account);
    let questions = mix(QUESTIONS, &mut || loop {
        let role = draw.below(ROLES);
        let Some(mut question) = question(&mut draw, &account, &vocabulary, role) else { continue };
        if Request::parse(question.borrow().input()).is_ok() {
            question.expected = scan.answer(&question);
            return question;
        }
    });
    Ok(World { name: "W7".to_owned(), sources, questions })
}

fn role_name(number: usize) -> String {
    format!("role{number:03}")
}

/// The policies' ARNs, in the order of the files.
fn arns(sources: &[(String, Vec<u8>)]) -> Result<Vec<String>, String> {
    let mut arns = Vec::new();
    for (file, text) in sources {
        let json: Json = serde_json::from_slice(text).map_err(|error| format!("{file}: {error}"))?;
        let policies = json.get("Policies").and_then(Json::as_array).into_iter().flatten();
        arns.extend(policies.filter_map(|policy| policy.get("Arn")?.as_str()).map(str::to_owned));
    }
    if arns.len() < POLICIES_PER_ROLE { Err("too few policies".to_owned()) } else { Ok(arns) }
}

/// The actions that any policy names without wildcards, by vendor in lower case.
fn vocabulary(account: &Account) -> BTreeMap<String, Vec<String>> {
    let mut vocabulary: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let actions = account.policies.iter().flatten().flat_map(|statement| &statement.actions.patterns);
    for action in actions.filter(|action| !action.contains(['*', '?'])) {
        if let Some((vendor, _)) = action.split_once(':') {
            vocabulary.entry(vendor.to_ascii_lowercase()).or_default().push(action.clone());
        }
    }
    for actions in vocabulary.values_mut() {
        actions.sort();
        actions.dedup();
    }
    vocabulary
}

/// Of ten questions six aim at a statement that applies, two at one but another resource, two at anything.
fn question(
    draw: &mut Draw,
    account: &Account,
    vocabulary: &BTreeMap<String, Vec<String>>,
    role: usize,
) -> Option<Question> {
    let principal = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{}/session", role_name(role));
    let mode = draw.below(10);
    let statements: Vec<&Statement> = account.applying(&principal).collect();
    let statement = *statements.get(draw.below(statements.len()))?;
    let anything = mode >= 8 || statement.actions.negated;
    let action = if anything {
        let all: Vec<&String> = vocabulary.values().flatten().collect();
        (*all.get(draw.below(all.len()))?).clone()
    } else {
        let patterns = &statement.actions.patterns;
        let pattern = patterns.get(draw.below(patterns.len()))?;
        concrete_action(draw, pattern, vocabulary)?
    };
    let patterns = &statement.resources.patterns;
    let pattern = patterns.get(draw.below(patterns.len()))?;
    let everything = anything || statement.resources.negated;
    let resource = concrete_resource(draw, if everything { "*" } else { pattern }, &action)?;
    let resource = if matches!(mode, 6 | 7) { format!("{resource}-of-another") } else { resource };
    let mut context = Vec::new();
    for condition in &statement.conditions {
        if draw.below(10) < 8 {
            say(draw, condition, &mut context);
        }
    }
    for (key, value) in [
        ("aws:SourceIp", format!("10.20.{}.{}", draw.below(250), draw.below(250))),
        ("aws:RequestedRegion", REGIONS.get(draw.below(3)).copied()?.to_owned()),
    ] {
        if !said(&context, key) {
            context.push((key.to_owned(), Value::Text(value)));
        }
    }
    let (owned_keys, expected) = (OwnedKeys::Refuse, Reason::ImplicitDeny);
    Some(Question {
        principal,
        action,
        resource,
        context,
        mfa: false,
        now: NOW_SECONDS,
        owned_keys,
        expected,
    })
}

fn concrete_action(
    draw: &mut Draw,
    pattern: &str,
    vocabulary: &BTreeMap<String, Vec<String>>,
) -> Option<String> {
    let (vendor, name) = pattern.split_once(':').unwrap_or(("s3", "*"));
    if !name.contains(['*', '?']) {
        return Some(pattern.to_owned());
    }
    let (start, _) = name.split_once(['*', '?'])?;
    let start = format!("{vendor}:{start}").to_ascii_lowercase();
    let known = vocabulary.get(&vendor.to_ascii_lowercase()).into_iter().flatten();
    let fitting: Vec<&String> =
        known.filter(|action| action.to_ascii_lowercase().starts_with(&start)).collect();
    match fitting.get(draw.below(fitting.len())) {
        Some(action) => Some((*action).clone()),
        None => Some(format!("{vendor}:{}", name.replace('*', "Thing").replace('?', "x"))),
    }
}

/// A resource of the account that the pattern matches; `None` where more than the statements decides: a resource of
/// another account, one with a policy of its own (keys, roles being assumed), and roles that only AWS changes (E-41).
fn concrete_resource(draw: &mut Draw, pattern: &str, action: &str) -> Option<String> {
    let vendor = action.split(':').next()?.to_ascii_lowercase();
    if vendor == "sts" || vendor == "kms" {
        return None;
    }
    if pattern == "*" {
        return Some(format!("arn:aws:{vendor}:us-east-1:{ACCOUNT}:thing/{}", draw.below(1_000)));
    }
    let pattern = pattern.replace("${aws:PrincipalAccount}", ACCOUNT).replace("${", "*").replace('}', "");
    let mut parts: Vec<String> = pattern.splitn(6, ':').map(str::to_owned).collect();
    let wildcards = ["arn", "aws", &vendor, REGIONS.get(draw.below(3)).copied()?, ACCOUNT];
    for (part, real) in parts.iter_mut().zip(wildcards) {
        *part = part.replace('*', real);
    }
    let last = parts.get_mut(5)?;
    while let Some((before, after)) = last.clone().split_once(['*', '?']) {
        *last = format!("{before}{}{after}", FILLERS.get(draw.below(FILLERS.len())).copied()?);
    }
    if last.starts_with("role/aws-reserved/") {
        return None;
    }
    let owner = parts.get(4)?;
    (owner.is_empty() || owner == ACCOUNT).then(|| parts.join(":"))
}

fn said(context: &[(String, Value)], key: &str) -> bool {
    context.iter().any(|(said, _)| said.eq_ignore_ascii_case(key))
}

/// A context entry with which a condition may hold.
fn say(draw: &mut Draw, condition: &Condition, context: &mut Vec<(String, Value)>) {
    let facts = facts(&condition.key.to_ascii_lowercase());
    if said(context, &condition.key) || facts.is_some_and(|facts| facts.engine_owned) {
        return;
    }
    let Some(wanted) = condition.values.get(draw.below(condition.values.len())) else { return };
    let value = match condition.test {
        Test::Null if wanted == "true" || facts.is_some_and(|facts| facts.kind != KeyType::String) => return,
        Test::Null => "present".to_owned(),
        _ if condition.negated => "other".to_owned(),
        Test::Like | Test::Arn => wanted.replace('*', "x7").replace('?', "z"),
        _ => wanted.clone(),
    };
    let value = value.replace("${aws:PrincipalAccount}", ACCOUNT);
    let many = facts.map_or(condition.quantifier.is_some(), |facts| facts.multi_valued);
    let value = if many { Value::List(vec![value]) } else { Value::Text(value) };
    context.push((condition.key.clone(), value));
}
