//! Every case of `corpus/` on the compiled engine and on the reference evaluator.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::reference::{self, Answer};
use crate::simulate::{self, Decoded};
use portcullis_engine::Effect;

/// All `*.jsonl` files below a folder, in order of their paths.
fn case_files(folder: &Path, files: &mut Vec<PathBuf>) {
    #[expect(clippy::disallowed_methods, reason = "the corpus is read from disk")]
    let entries = std::fs::read_dir(folder).expect("the corpus");
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            case_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
}

/// Each case with its file and id.
fn cases() -> Vec<(String, Value)> {
    let mut files = Vec::new();
    case_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus"), &mut files);
    assert!(!files.is_empty());
    let mut cases = Vec::new();
    for file in files {
        #[expect(clippy::disallowed_methods, reason = "the corpus is read from disk")]
        let text = std::fs::read_to_string(&file).expect("a file of the corpus");
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let case: Value = serde_json::from_str(line).expect("a JSON line");
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            cases.push((
                format!("{name} {} ({})", case["Id"], case["Name"].as_str().unwrap_or_default()),
                case,
            ));
        }
    }
    cases
}

/// Whether an answer is the expected one.
fn meets(expected: &Value, decision: &str, reason: &str, layers: &[&str]) -> bool {
    let layer = expected["Layer"].as_str();
    expected["Decision"] == decision
        && expected["Reason"] == reason
        && layer.is_none_or(|layer| layers.contains(&layer))
}

/// The error code that a case expects instead of a decision.
fn expected_error(expected: &Value) -> Option<&str> {
    let error = expected.get("Error")?;
    error.as_str().or_else(|| error["Code"].as_str())
}

#[test]
fn reference_answers_the_corpus() {
    let mut failures = Vec::new();
    for (name, case) in cases() {
        let expected = &case["Expect"];
        if expected_error(expected).is_some() {
            continue; // the reference supposes well-formed input
        }
        let answer: Answer = reference::decide(&case["Policies"], &case["Request"]);
        if !meets(expected, answer.decision, answer.reason, &answer.layers) {
            failures.push(format!("{name}: expected {expected}, got {answer:?}"));
        }
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

/// What the compiled engine says about a case, or why it is wrong.
fn compiled_failure(case: &Value) -> Option<String> {
    let expected = &case["Expect"];
    let error = expected_error(expected);
    let refused = |codes: Vec<String>, text: String| match error {
        Some(code) if codes.iter().any(|found| found == code) => None,
        _ => Some(format!("expected {expected}, got {text}")),
    };
    let policy_set = match simulate::load(&case["Policies"]) {
        Ok(policy_set) => policy_set,
        Err(diagnostics) => {
            let codes = diagnostics.iter().map(|diagnostic| diagnostic.code.as_str().to_owned()).collect();
            return refused(codes, format!("{diagnostics:?}"));
        }
    };
    let decoded = match Decoded::of(&case["Request"]) {
        Ok(decoded) => decoded,
        Err(diagnostics) => {
            let codes = diagnostics.iter().map(|diagnostic| diagnostic.code.as_str().to_owned()).collect();
            return refused(codes, format!("{diagnostics:?}"));
        }
    };
    let answered = decoded.ask(|request| {
        let decision = policy_set.authorize(request);
        let name = if decision.effect == Effect::Allow { "Allow" } else { "Deny" };
        let met =
            error.is_none() && meets(expected, name, decision.reason.as_str(), &[decision.layer.as_str()]);
        let explained = policy_set.explain(request).decision == decision;
        (!met || !explained)
            .then(|| format!("expected {expected}, got {decision:?}, explained alike: {explained}"))
    });
    answered.unwrap_or_else(|violations| refused(vec!["invalid-request".to_owned()], violations))
}

#[test]
fn compiled_engine_answers_the_corpus() {
    let mut failures = Vec::new();
    for (name, case) in cases() {
        if let Some(failure) = compiled_failure(&case) {
            failures.push(format!("{name}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}
