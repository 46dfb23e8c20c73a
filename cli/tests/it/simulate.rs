//! `simulate`: order, errors that keep their line, expectations, exit codes.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{ALICE, GOOD, corpus, directory, run, run_with_input, text};

fn request(resource: &str) -> Value {
    json!({ "Principal": ALICE, "Action": "s3:GetObject", "Resource": resource })
}

fn policies() -> Value {
    serde_json::from_str(GOOD).unwrap()
}

fn answers(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_corpus_is_as_expected() {
    let corpus = corpus();
    let run = run(&["simulate", "--expect", text(&corpus)]);
    let total =
        std::fs::read_to_string(&corpus).unwrap().lines().filter(|line| !line.trim().is_empty()).count();
    assert_eq!(run.out, format!("{total} of {total} as expected\n"));
    assert_eq!((run.code, run.err.as_str()), (0, ""));
}

#[test]
fn the_rules_and_the_examples_are_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for rules in std::fs::read_dir(root.join("corpus/rules")).unwrap() {
        let run = run(&["simulate", "--expect", text(&rules.unwrap().path())]);
        assert_eq!(run.code, 0, "{}", run.out);
    }
    for name in ["quickstart", "orders-service"] {
        let example = root.join("examples").join(name);
        let requests = example.join("requests.jsonl");
        let run = run(&["simulate", "--expect", "--at", text(&example), text(&requests)]);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    }
}

#[test]
fn one_answer_a_line_in_order() {
    let lines = [
        json!({ "Policies": policies(), "Request": request("arn:aws:s3:::reports/1") }).to_string(),
        String::new(),
        "not json".to_owned(),
        json!({ "Policies": { "Polices": [] }, "Request": request("*") }).to_string(),
        json!({ "Policies": policies(), "Request": { "Principal": ALICE } }).to_string(),
        json!({ "Policies": policies(), "Request": request("nonsense") }).to_string(),
        json!({ "Request": request("*") }).to_string(),
        json!({ "Policies": policies(), "Request": request("arn:aws:s3:::reports/secret/1") }).to_string(),
    ];
    let run = run_with_input(&["simulate"], &lines.join("\n"));
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let answers = answers(&run.out);
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| answer["Error"]["Code"].as_str().or(answer["Decision"].as_str()).unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "Allow",
            "InvalidLine",
            "InvalidPolicies",
            "InvalidRequest",
            "InvalidRequest",
            "InvalidLine",
            "Deny"
        ]
    );
    let diagnostic = &answers[2]["Error"]["Diagnostics"][0];
    assert_eq!((&diagnostic["File"], &diagnostic["Line"]), (&"<stdin>".into(), &4.into()));
    // The column is that of the whole line, not of the policies within it.
    let column = lines[3].find("\"Polices\"").unwrap() + 1;
    assert_eq!(diagnostic["Column"], column);
    let statement = &answers[6]["DeterminingStatements"][0];
    assert_eq!((&statement["Sid"], &statement["Line"]), (&"Secret".into(), &8.into()));
}

#[test]
fn one_request_alone_exits_with_its_decision() {
    let good = directory(GOOD);
    for (resource, code) in [("arn:aws:s3:::reports/1", 0), ("arn:aws:s3:::other/1", 2)] {
        let alone = request(resource).to_string();
        assert_eq!(run_with_input(&["simulate", "--at", text(good.path())], &alone).code, code);
        let wrapped = json!({ "Request": request(resource) }).to_string();
        assert_eq!(run_with_input(&["simulate", "--at", text(good.path()), "-"], &wrapped).code, code);
        let both = format!("{alone}\n{wrapped}\n");
        assert_eq!(run_with_input(&["simulate", "--at", text(good.path())], &both).code, 0);
    }
    let rejected = json!({ "Policies": { "Polices": [] }, "Request": request("*") }).to_string();
    assert_eq!(run_with_input(&["simulate"], &rejected).code, 3);
}

#[test]
fn what_differs_is_printed() {
    let line = |id: u32, expect: Value| json!({ "Id": id, "Policies": policies(), "Request": request("arn:aws:s3:::reports/1"), "Expect": expect });
    let right = json!({ "Decision": "Allow", "Reason": "Allowed", "Layer": "identity" });
    let wrong = json!({ "Decision": "Deny", "Reason": "ImplicitDeny" });
    let input = format!("{}\n{}\n", line(1, right), line(2, wrong));
    let run = run_with_input(&["simulate", "--expect"], &input);
    assert_eq!(run.code, 4);
    let lines: Vec<_> = run.out.lines().collect();
    assert_eq!((lines.len(), lines[1]), (2, "1 of 2 as expected"));
    let difference: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((&difference["Line"], &difference["Id"]), (&2.into(), &2.into()));
    assert_eq!(difference["Answer"]["Decision"], "Allow");
}

#[test]
fn the_clock_and_owned_keys_can_be_set() {
    let policies = json!({ "UserDetailList": [{ "UserName": "alice", "Arn": ALICE, "UserPolicyList": [{
        "PolicyName": "p",
        "PolicyDocument": { "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {
                "DateLessThan": { "aws:CurrentTime": "2026-01-01T00:00:00Z" },
                "StringEquals": { "aws:userid": "AIDAEXAMPLE" },
            },
        }] },
    }] }] });
    let ask = |time: &str, id: &str| {
        let mut request = request("arn:aws:s3:::reports/1");
        request["CurrentTime"] = time.into();
        request["Context"] = json!({ "aws:userid": id });
        let run =
            run_with_input(&["simulate"], &json!({ "Policies": policies, "Request": request }).to_string());
        answers(&run.out).remove(0)
    };
    let answer = ask("2025-12-31T23:59:59Z", "AIDAEXAMPLE");
    assert_eq!(answer["Decision"], "Allow", "{answer}");
    assert_eq!(answer["OverriddenKeys"], json!(["aws:userid"]));
    assert_eq!(ask("2026-01-01T00:00:00Z", "AIDAEXAMPLE")["Decision"], "Deny");
    assert_eq!(ask("2025-12-31T23:59:59Z", "AIDAOTHER")["Decision"], "Deny");
    assert_eq!(ask("soon", "AIDAEXAMPLE")["Error"]["Code"], "InvalidRequest");
}
