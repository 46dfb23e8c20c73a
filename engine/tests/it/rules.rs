//! Keeps `corpus/rules.txt` true: every rule of the semantics has a case or a diagnostic, or says why it has none.

#![expect(clippy::disallowed_methods, reason = "the corpus is files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_engine::Code;
use serde_json::Value;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

fn split(rules: &str) -> impl Iterator<Item = String> + '_ {
    rules.split([',', ' ']).filter(|rule| !rule.is_empty()).map(str::to_owned)
}

/// The rules that cases cite.
fn cited() -> BTreeSet<String> {
    let mut files = vec![corpus().join("semantics.jsonl")];
    files.extend(fs::read_dir(corpus().join("rules")).unwrap().map(|entry| entry.unwrap().path()));
    let mut rules = BTreeSet::new();
    for file in files {
        for line in fs::read_to_string(file).unwrap().lines().filter(|line| !line.trim().is_empty()) {
            let case: Value = serde_json::from_str(line).unwrap();
            rules.extend(split(case["Rule"].as_str().unwrap()));
        }
    }
    rules
}

#[test]
fn every_rule_has_a_case_or_says_why_not() {
    let cited = cited();
    let diagnosed: BTreeSet<String> = Code::ALL.iter().flat_map(|code| split(code.rule())).collect();
    let list = fs::read_to_string(corpus().join("rules.txt")).unwrap();
    let mut listed = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in list.lines() {
        let (rule, proof) = line.split_once(' ').unwrap();
        assert!(listed.insert(rule.to_owned()), "{rule} is listed twice");
        let holds = match proof {
            "case" => cited.contains(rule),
            "diagnostic" => diagnosed.contains(rule),
            reason => reason.starts_with("none: ") && !cited.contains(rule),
        };
        if !holds {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "these lines are not true:\n{}", wrong.join("\n"));
    let unknown: Vec<_> = cited.difference(&listed).collect();
    assert!(unknown.is_empty(), "cases cite rules that are not listed: {unknown:?}");
}
