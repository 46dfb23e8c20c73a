//! The shared conformance cases on the reference evaluator.

use serde_json::Value;

use crate::reference;

#[test]
fn reference_answers_every_conformance_case() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/semantics.jsonl"));
    let mut failures = Vec::new();
    let mut count = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).expect("a JSON line");
        let answer = reference::decide(&case["Policies"], &case["Request"]);
        let expected = &case["Expect"];
        if expected["Decision"] != answer.decision || expected["Reason"] != answer.reason {
            failures.push(format!("{} {}: expected {expected}, got {answer:?}", case["Id"], case["Rule"]));
        }
        count += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(count, 145);
}
