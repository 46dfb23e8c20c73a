//! Policies of hundreds of statements, where the engine searches instead of scanning, against the reference evaluator.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::differential::compiled;
use crate::generator::Dice;
use crate::{reference, simulate};

const WORLDS: u64 = 12;
const STATEMENTS: usize = 300;
const REQUESTS: usize = 400;
const USER: &str = "arn:aws:iam::111111111111:user/large";

const SEGMENTS: [&str; 8] = ["app", "app1", "app10", "data", "prod", "x", "é", "0123456789abcdef"];
const DELIMITERS: [&str; 7] = ["/", "-", ":", ".", "_", "", "+"];
const ACTIONS: [&str; 6] = ["s3:GetObject", "s3:Get*", "s3:*Object", "s3:*", "*", "s3:PutObject"];
const PREFIXES: [&str; 5] = [
    "arn:aws:s3:::",
    "arn:aws:s3:eu-west-1:111111111111:",
    "arn:aws:s3:*:*:",
    "arn:aws:s3*:",
    "arn:aws:S3:::",
];

/// A resource part of up to twenty segments: more delimiters and bytes than the index looks at.
fn name(dice: &mut Dice) -> String {
    let mut name = String::new();
    let segments = if dice.chance(12) { 20 } else { 4 };
    for _ in 0..=dice.below(segments) {
        name.push_str(dice.pick::<&str>(&SEGMENTS));
        name.push_str(dice.pick::<&str>(&DELIMITERS));
    }
    name
}

/// A pattern that covers the name, or nearly.
fn pattern(dice: &mut Dice, name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let at = dice.below(characters.len() + 1);
    let start: String = characters[..at].iter().collect();
    let rest = characters.get(at + 1..).unwrap_or_default().iter();
    match dice.below(10) {
        0 => name.to_owned(),
        // Most patterns say how a name starts, or a few would answer every question.
        1..=6 if at > 3 => format!("{start}*"),
        7 | 8 => format!("{start}?{}", rest.collect::<String>()),
        9 => format!(
            "{start}*{}",
            rest.rev().take(2).collect::<Vec<_>>().into_iter().rev().collect::<String>()
        ),
        _ => format!("{name}*"),
    }
}

fn directory(dice: &mut Dice, names: &[String]) -> Value {
    let statements: Vec<Value> = (0..STATEMENTS)
        .map(|index| {
            let resources: Vec<String> = (0..=dice.below(2))
                .map(|_| {
                    let name = dice.pick(names).clone();
                    format!("{}{}", dice.pick(&PREFIXES), pattern(dice, &name))
                })
                .collect();
            let element = if index % 40 == 39 { "NotResource" } else { "Resource" };
            let effect = if dice.chance(6) { "Deny" } else { "Allow" };
            // A sweeping statement would answer every question alone.
            let action = if element == "NotResource" || effect == "Deny" { ACTIONS[dice.below(3) * 5 % 6] } else { dice.pick(&ACTIONS) };
            json!({"Effect": effect, "Action": action, element: resources,
                   "Condition": {"StringEquals": {"shop:stage": if element == "NotResource" { "never" } else { "now" }}}})
        })
        .collect();
    json!({"UserDetailList": [{"UserName": "large", "Arn": USER, "UserPolicyList": [
        {"PolicyName": "all", "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}]}]})
}

#[test]
fn a_search_finds_what_the_reference_finds() {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for number in 0..WORLDS {
        let mut dice = Dice::new(0x1a26e + number);
        let names: Vec<String> = (0..120).map(|_| name(&mut dice)).collect();
        let directory = directory(&mut dice, &names);
        let policy_set = simulate::load(&directory).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"));
        for _ in 0..REQUESTS {
            let name = if dice.below(3) == 0 { name(&mut dice) } else { dice.pick(&names).clone() };
            let request = json!({
                "Principal": USER, "Action": dice.pick(&["s3:GetObject", "s3:PutObject", "s3:ListObject"]),
                "Resource": format!("{}{name}", dice.pick(&PREFIXES[..2])), "Context": {"shop:stage": "now"},
            });
            let expected = reference::decide(&directory, &request);
            let got = compiled(&policy_set, &request, true).expect("a request without a mistake");
            assert!(got.agrees(&expected), "world {number}: {got:?}, not {expected:?}\n{request}");
            *reasons.entry(expected.reason).or_default() += 1;
        }
    }
    let least = reasons.values().copied().min().unwrap_or_default();
    assert!(reasons.len() == 3 && least > 200, "one-sided questions: {reasons:?}");
}
