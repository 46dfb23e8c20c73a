//! Condition blocks and context values.

use serde_json::{Map, Value, json};

use super::{Dice, patterns};

/// What the values of a key look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Number,
    Date,
    Bool,
    Binary,
    Address,
    Arn,
}

/// Keys that a request may carry: a caller's own ones come as one value or as a list.
pub(crate) const GIVEN: [(&str, Form); 15] = [
    ("app:text", Form::Text),
    ("app:list", Form::Text),
    ("app:number", Form::Number),
    ("app:date", Form::Date),
    ("app:flag", Form::Bool),
    ("app:blob", Form::Binary),
    ("app:address", Form::Address),
    ("app:arn", Form::Arn),
    ("aws:SourceIp", Form::Address),
    ("aws:SourceArn", Form::Arn),
    ("aws:TagKeys", Form::Text),
    ("aws:RequestTag/team", Form::Text),
    ("aws:SecureTransport", Form::Bool),
    ("aws:SourceVpce", Form::Text),
    ("s3:prefix", Form::Text),
];

/// Keys that the engine derives.
pub(crate) const DERIVED: [(&str, Form); 22] = [
    ("aws:PrincipalArn", Form::Arn),
    ("aws:PrincipalAccount", Form::Text),
    ("aws:PrincipalType", Form::Text),
    ("aws:PrincipalTag/team", Form::Text),
    ("aws:PrincipalTag/Empty", Form::Text),
    ("aws:PrincipalOrgID", Form::Text),
    ("aws:PrincipalOrgPaths", Form::Text),
    ("aws:PrincipalIsAWSService", Form::Bool),
    ("aws:PrincipalServiceName", Form::Text),
    ("aws:username", Form::Text),
    ("aws:userid", Form::Text),
    ("aws:CurrentTime", Form::Date),
    ("aws:EpochTime", Form::Number),
    ("aws:EpochTime", Form::Date),
    ("aws:TokenIssueTime", Form::Date),
    ("aws:MultiFactorAuthPresent", Form::Bool),
    ("aws:MultiFactorAuthAge", Form::Number),
    ("aws:SourceIdentity", Form::Text),
    ("aws:ResourceAccount", Form::Text),
    ("aws:ResourceOrgID", Form::Text),
    ("aws:ResourceTag/team", Form::Text),
    ("aws:ViaAWSService", Form::Bool),
];

const TEXT_OPERATORS: [&str; 6] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
];
const NUMBER_OPERATORS: [&str; 6] = [
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
];
const DATE_OPERATORS: [&str; 6] = [
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
];
const ARN_OPERATORS: [&str; 4] = ["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"];

/// Every operator without prefix and suffix.
pub(crate) fn operators(form: Form) -> &'static [&'static str] {
    match form {
        Form::Text => &TEXT_OPERATORS,
        Form::Number => &NUMBER_OPERATORS,
        Form::Date => &DATE_OPERATORS,
        Form::Bool => &["Bool"],
        Form::Binary => &["BinaryEquals"],
        Form::Address => &["IpAddress", "NotIpAddress"],
        Form::Arn => &ARN_OPERATORS,
    }
}

/// Well-typed values of a form that both sides use.
pub(crate) fn pool(form: Form) -> &'static [&'static str] {
    match form {
        Form::Text => &[
            "alice",
            "eng",
            "Eng",
            "ops",
            "team",
            "home/alice",
            "111111111111",
            "222222222222",
            "o-aaaa000000",
            "o-aaaa000000/r-root/ou-root-one/",
            "User",
            "AssumedRole",
            "vpce-1",
            "Straße",
            "ec2.amazonaws.com",
            "AIDAALICE",
            "AROAROLER:s1",
            "a*c",
        ],
        Form::Number => &["10", "10.0", "010", "9.5", "-3", "+7", "300", "1781524800", "0.1000000001"],
        Form::Date => &[
            "2026-06-15T12:00:00Z",
            "2026-06-15T14:00:00+02:00",
            "2026-06-15",
            "2026-06",
            "1781524800",
            "2030",
            "2026-06-15T11:59:59.999999999Z",
            "2026-06-15t07:00:00-05",
            "2026-06-15T12:00",
            "-5",
        ],
        Form::Bool => &["true", "false", "TRUE", "False"],
        Form::Binary => &["YWJj", "YWJjZA==", "YQ==", "/+8="],
        Form::Address => &["203.0.113.7", "203.0.113.77", "10.1.2.3", "2001:db8::1", "2001:0DB8:0:0:0:0:0:1"],
        Form::Arn => &[
            "arn:aws:sns:eu-west-1:111111111111:topic",
            "arn:aws:s3:::b",
            "arn:aws:s3:::b/k",
            "arn:aws:iam::111111111111:user/alice",
            "arn:aws:iam::111111111111:role/R",
            "arn:aws:sns:eu-west-1:111111111111:a:b:c",
        ],
    }
}

fn ill_typed(form: Form) -> &'static [&'static str] {
    match form {
        Form::Text => &["", "\u{1f512}"],
        Form::Number => &["10abc", "0x1F", "1e3", "ten", " 10", "."],
        Form::Date => {
            &["yesterday", "2026-02-30", "2026-13-01", "2026-06-15T25:00:00Z", "2026-06-15T12:00:60Z"]
        }
        Form::Bool => &["1", "yes", ""],
        Form::Binary => &["YWJ", "!!!!", "Y=Jj"],
        Form::Address => &["garbage", "203.0.113.007", "203.0.113.7:80", "fe80::1%eth0", "203.0.113.0/24"],
        Form::Arn => &["foo", "arn:aws:sns:t", "alice", "*"],
    }
}

/// A value for the request side.
pub(crate) fn given_value(dice: &mut Dice, form: Form) -> String {
    let from = if dice.chance(12) { ill_typed(form) } else { pool(form) };
    (*dice.pick(from)).to_owned()
}

/// The value of a context key: a scalar or a list of none, one or many.
pub(crate) fn given(dice: &mut Dice, key: &str, form: Form) -> Value {
    let single = key.starts_with("aws:") && key != "aws:TagKeys";
    if key == "aws:SourceVpce" {
        return json!(dice.pick(&["vpce-1", "vpce-2", "vpce-3"]));
    }
    let kind = if key == "app:list" { 4 + dice.below(4) } else { dice.below(8) };
    match kind {
        0..=3 if form == Form::Bool && dice.chance(40) => json!(dice.chance(50)),
        0..=3 if form == Form::Number && dice.chance(30) => json!(*dice.pick(&[10, 9, -3, 300])),
        0..=3 => json!(given_value(dice, form)),
        4 => json!([]),
        5 => json!([given_value(dice, form)]),
        _ if single => json!([given_value(dice, form)]),
        _ => (0..2 + dice.below(2)).map(|_| given_value(dice, form)).collect(),
    }
}

fn policy_value(dice: &mut Dice, form: Form, key: &str) -> Value {
    if dice.chance(6) && form != Form::Text {
        return json!(dice.pick(ill_typed(form)));
    }
    let text = *dice.pick(match key {
        "aws:PrincipalType" => &["User", "AssumedRole", "Anonymous", "Account", "FederatedUser"],
        "aws:PrincipalAccount" | "aws:ResourceAccount" => &["111111111111", "222222222222"],
        "aws:PrincipalOrgID" | "aws:ResourceOrgID" => &["o-aaaa000000", "o-bbbb000000"],
        _ => pool(form),
    });
    match form {
        Form::Text if dice.chance(5) => json!(*dice.pick(&["", "${aws:username}"])),
        Form::Text => {
            let near_miss = dice.chance(25);
            json!(patterns::value(dice, text, near_miss))
        }
        Form::Arn if dice.chance(60) => {
            let near_miss = dice.chance(25);
            let pattern = patterns::resource(dice, text, near_miss);
            if dice.chance(20) {
                let variable =
                    *dice.pick(&["${aws:PrincipalAccount}", "${app:none, '111111111111'}", "${app:text}"]);
                return json!(pattern.replacen("111111111111", variable, 1));
            }
            json!(pattern)
        }
        Form::Address if dice.chance(50) => {
            json!(*dice.pick(&[
                "203.0.113.0/24",
                "203.0.113.77/24",
                "0.0.0.0/0",
                "2001:db8::/32",
                "::/0",
                "10.0.0.0/8"
            ]))
        }
        Form::Number if dice.chance(20) => json!(*dice.pick(&[10, 9, 300])),
        Form::Bool if dice.chance(30) => json!(dice.chance(50)),
        Form::Bool if dice.chance(10) => {
            json!(*dice.pick(&["${app:flag}", "${app:none, 'true'}", "${app:none}"]))
        }
        _ => json!(text),
    }
}

/// A condition block, or nothing.
pub(crate) fn block(dice: &mut Dice) -> Option<Value> {
    let count = match dice.below(100) {
        0..=59 => return None,
        60..=87 => 1,
        _ => 2,
    };
    let mut block = Map::new();
    for _ in 0..count {
        let (key, form) = if dice.chance(55) { *dice.pick(&GIVEN) } else { *dice.pick(&DERIVED) };
        let (operator, values) = test(dice, key, form);
        let key = match dice.below(6) {
            0 => key.to_ascii_lowercase(),
            1 => key.to_ascii_uppercase(),
            _ => key.to_owned(),
        };
        let keys = block.entry(operator).or_insert_with(|| json!({}));
        let clash =
            keys.as_object().is_some_and(|keys| keys.keys().any(|held| held.eq_ignore_ascii_case(&key)));
        if !clash {
            keys[key] = values;
        }
    }
    Some(Value::Object(block))
}

fn test(dice: &mut Dice, key: &str, form: Form) -> (String, Value) {
    if dice.chance(6) {
        let prefix = *dice.pick(&["", "", "", "ForAllValues:", "ForAnyValue:"]);
        let wanted = *dice.pick(&["true", "false"]);
        return (format!("{prefix}Null"), json!(wanted));
    }
    // now and then an operator of another family
    let form = if dice.chance(8) {
        *dice.pick(&[Form::Text, Form::Number, Form::Date, Form::Bool, Form::Address, Form::Arn])
    } else {
        form
    };
    let base = *dice.pick(operators(form));
    let multi = ["aws:TagKeys", "app:list", "aws:PrincipalOrgPaths"].contains(&key);
    let prefix = match dice.below(if multi { 10 } else { 16 }) {
        0..=3 => "ForAllValues:",
        4..=7 => "ForAnyValue:",
        _ => "",
    };
    let suffix = if dice.chance(25) { "IfExists" } else { "" };
    let name = format!("{prefix}{base}{suffix}");
    let name = if dice.chance(4) { name.to_ascii_lowercase() } else { name };
    let values = match dice.below(20) {
        0 => json!([]),
        1..=10 => policy_value(dice, form, key),
        11..=13 => json!([policy_value(dice, form, key)]),
        _ => (0..2 + dice.below(2)).map(|_| policy_value(dice, form, key)).collect(),
    };
    (name, values)
}
