//! `authorize` and `explain` on a directory.

use crate::program::{ALICE, GOOD, Run, directory, run, text};

fn ask(command: &str, resource: &str, more: &[&str]) -> Run {
    let good = directory(GOOD);
    let mut arguments = vec![command, "--at", text(good.path()), "--principal", ALICE];
    arguments.extend(["--action", "s3:GetObject", "--resource", resource]);
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn the_exit_code_is_the_decision() {
    let allowed = ask("authorize", "arn:aws:s3:::reports/1", &[]);
    assert_eq!((allowed.code, allowed.err.as_str()), (0, ""));
    assert!(allowed.out.starts_with("Allow  Allowed (identity layer)\n"), "{}", allowed.out);
    assert!(allowed.out.contains("statement 0 `Read` of "), "{}", allowed.out);
    assert!(allowed.out.contains("a.json:12:15\n"), "{}", allowed.out);

    let denied = ask("authorize", "arn:aws:s3:::reports/secret/1", &[]);
    assert_eq!(denied.code, 2);
    assert!(denied.out.starts_with("Deny  ExplicitDeny (identity layer)\n"), "{}", denied.out);
    assert!(denied.out.contains("is not authorized to perform: s3:GetObject"), "{}", denied.out);

    assert_eq!(ask("authorize", "arn:aws:s3:::other/1", &[]).code, 2);
}

#[test]
fn an_expected_decision_exits_0_and_the_other_4() {
    for (resource, right, wrong) in [
        ("arn:aws:s3:::reports/1", "allow", "deny"),
        ("arn:aws:s3:::reports/secret/1", "deny", "allow"),
        ("arn:aws:s3:::other/1", "deny", "allow"),
    ] {
        assert_eq!(ask("authorize", resource, &["--expect", right]).code, 0, "{resource}");
        assert_eq!(ask("authorize", resource, &["--expect", wrong]).code, 4, "{resource}");
    }
    assert_eq!(
        ask("authorize", "not-an-arn", &["--expect", "deny"]).code,
        64,
        "no answer is no expected one"
    );
}

#[test]
fn the_answer_object() {
    let denied = ask("authorize", "arn:aws:s3:::reports/secret/1", &["--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&denied.out).unwrap();
    assert_eq!(answer["Decision"], "Deny");
    assert_eq!(answer["Reason"], "ExplicitDeny");
    assert_eq!(answer["Layer"], "identity");
    let statement = &answer["DeterminingStatements"][0];
    assert_eq!((&statement["Sid"], &statement["Index"]), (&"Secret".into(), &1.into()));
    assert_eq!((&statement["File"], &statement["Line"]), (&"a.json".into(), &13.into()));
    assert_eq!(statement["Column"], 15);
    assert!(statement["PolicyId"].as_str().unwrap().starts_with(ALICE));
    assert_eq!(answer["MissingContextKeys"], serde_json::json!([]));
}

#[test]
fn a_malformed_question_is_a_usage_error() {
    assert_eq!(ask("authorize", "not-an-arn", &[]).code, 64);
    assert_eq!(ask("authorize", "*", &["--context", "novalue"]).code, 64);
    assert_eq!(ask("authorize", "*", &["--context", "a:b=1", "--context", "a:b=2"]).code, 64);
    assert_eq!(ask("authorize", "*", &["--issued-at", "yesterday"]).code, 64);
    let owned = ask("authorize", "*", &["--context", "aws:userid=x"]);
    assert_eq!(owned.code, 64, "{}", owned.out);
    assert!(owned.err.contains("aws:userid"), "{}", owned.err);
}

#[test]
fn policies_that_do_not_load_exit_3() {
    let bad = directory("{");
    let arguments = ["--principal", ALICE, "--action", "s3:GetObject", "--resource", "*"];
    for command in ["authorize", "explain"] {
        let run = run(&[&[command, "--at", text(bad.path())] as &[_], &arguments].concat());
        assert_eq!((run.code, run.out.as_str()), (3, ""));
        assert!(run.err.ends_with("1 error, 0 warnings\n"), "{}", run.err);
    }
}

#[test]
fn an_explanation_is_a_tree() {
    let denied = ask("explain", "arn:aws:s3:::other/1", &[]);
    assert_eq!(denied.code, 2);
    for part in [
        "Deny  ImplicitDeny",
        "─ identity: implicit deny\n",
        "├─ Allow no match: statement 0 `Read` of ",
        "└─ resource did not match",
        "What would have to change:\n  - ",
    ] {
        assert!(denied.out.contains(part), "{part}\n{}", denied.out);
    }
    let json = ask("explain", "arn:aws:s3:::reports/1", &["--output", "json", "--context", "aws:userid=x"]);
    assert_eq!(json.code, 0);
    let explanation: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(explanation["OverriddenKeys"], serde_json::json!(["aws:userid"]));
    assert!(explanation["Layers"].as_array().is_some_and(|layers| !layers.is_empty()));
}
