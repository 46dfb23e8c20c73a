//! Each condition operator alone: one user, one statement, one condition that holds.

use std::hint::black_box;

use criterion::Criterion;
use portcullis_benches::measure::decide;
use portcullis_benches::question::{NOW_SECONDS, Value};
use portcullis_benches::{Question, World, stop};
use portcullis_engine::{OwnedKeys, Reason};
use serde_json::json;

const USER: &str = "arn:aws:iam::123456789012:user/ann";

/// Operator, key, the policy's value, the request's value.
const ONE: [(&str, &str, &str, &str); 30] = [
    ("StringEquals", "app:team", "blue", "blue"),
    ("StringNotEquals", "app:team", "blue", "red"),
    ("StringEqualsIgnoreCase", "app:team", "Blue", "bLUE"),
    ("StringNotEqualsIgnoreCase", "app:team", "Blue", "red"),
    ("StringLike", "app:path", "home/*/docs/?", "home/ann/2024/docs/x"),
    ("StringNotLike", "app:path", "home/*/docs/?", "tmp/ann"),
    ("StringEqualsIfExists", "app:team", "blue", "blue"),
    ("NumericEquals", "app:size", "100", "100.0"),
    ("NumericNotEquals", "app:size", "100", "99"),
    ("NumericLessThan", "app:size", "100", "99"),
    ("NumericLessThanEquals", "app:size", "100", "99"),
    ("NumericGreaterThan", "app:size", "100", "101"),
    ("NumericGreaterThanEquals", "app:size", "100", "101"),
    ("DateEquals", "app:when", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("DateNotEquals", "app:when", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ("DateLessThan", "app:when", "2024-01-01T00:00:00Z", "2023-01-01T00:00:00Z"),
    ("DateLessThanEquals", "app:when", "2024-01-01T00:00:00Z", "2023-01-01T00:00:00Z"),
    ("DateGreaterThan", "app:when", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ("DateGreaterThanEquals", "app:when", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ("Bool", "aws:SecureTransport", "true", "true"),
    ("BinaryEquals", "app:blob", "aGVsbG8=", "aGVsbG8="),
    ("IpAddress", "aws:SourceIp", "10.0.0.0/8", "10.1.2.3"),
    ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", "203.0.113.7"),
    (
        "ArnEquals",
        "aws:SourceArn",
        "arn:aws:sns:*:123456789012:t*",
        "arn:aws:sns:eu-west-1:123456789012:topic",
    ),
    ("ArnLike", "aws:SourceArn", "arn:aws:sns:*:123456789012:t*", "arn:aws:sns:eu-west-1:123456789012:topic"),
    ("ArnNotEquals", "aws:SourceArn", "arn:aws:sns:*:1:t*", "arn:aws:sns:eu-west-1:123456789012:topic"),
    ("ArnNotLike", "aws:SourceArn", "arn:aws:sns:*:1:t*", "arn:aws:sns:eu-west-1:123456789012:topic"),
    ("Null", "app:team", "false", "blue"),
    ("ForAnyValue:StringEquals", "aws:TagKeys", "team", "team"),
    ("ForAllValues:StringLike", "aws:TagKeys", "te*", "team"),
];

/// Benches the operators, and three of them with long lists.
pub(crate) fn bench(criterion: &mut Criterion) {
    for (operator, key, wanted, said) in ONE {
        let said = match key {
            "aws:TagKeys" => Value::List(vec![said.to_owned()]),
            _ => Value::Text(said.to_owned()),
        };
        operate(criterion, operator, operator, key, &[wanted.to_owned()], said);
    }
    let blocks: Vec<String> = (0..100).map(|number| format!("10.{number}.0.0/16")).collect();
    let inside = Value::Text("10.99.2.3".to_owned());
    operate(criterion, "IpAddress, 100 blocks", "IpAddress", "aws:SourceIp", &blocks, inside);
    let texts: Vec<String> = (0..100).map(|number| format!("team-{number}")).collect();
    let last = Value::Text("team-99".to_owned());
    operate(criterion, "StringEquals, 100 values", "StringEquals", "app:team", &texts, last);
    let twenty = Value::List(texts.iter().skip(80).cloned().collect());
    let name = "ForAllValues:StringEquals, 20 of 100";
    operate(criterion, name, "ForAllValues:StringEquals", "aws:TagKeys", &texts, twenty);
}

fn operate(criterion: &mut Criterion, name: &str, operator: &str, key: &str, wanted: &[String], said: Value) {
    let statement = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::files/*",
                           "Condition": {operator: {key: wanted}}});
    let document = json!({"Version": "2012-10-17", "Statement": statement});
    let user = json!({"UserName": "ann", "Arn": USER, "Path": "/",
                      "UserPolicyList": [{"PolicyName": "one", "PolicyDocument": document}]});
    let world = World {
        name: name.to_owned(),
        sources: vec![("users.json".to_owned(), json!({"UserDetailList": [user]}).to_string().into_bytes())],
        questions: vec![Question {
            principal: USER.to_owned(),
            action: "s3:GetObject".to_owned(),
            resource: "arn:aws:s3:::files/a/b".to_owned(),
            context: vec![(key.to_owned(), said)],
            mfa: false,
            now: NOW_SECONDS,
            owned_keys: OwnedKeys::Refuse,
            expected: Reason::Allowed,
        }],
    };
    let policy_set = world.checked();
    let Some(question) = world.questions.first().map(Question::borrow) else { stop("no question") };
    let input = question.input();
    criterion.bench_function(&format!("operator/{name}"), |bencher| {
        bencher.iter(|| decide(&policy_set, black_box(input)));
    });
}
