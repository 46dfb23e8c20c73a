//! Inputs to start from, out of the repository's cases and examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

/// The folder of the repository that this was built in.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below, by its ending, in a fixed order.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

fn read(ending: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for folder in ["corpus", "examples"] {
        files(&root().join(folder), ending, &mut found);
    }
    assert!(!found.is_empty(), "no .{ending} files in the repository");
    found.iter().flat_map(fs::read).collect()
}

/// Lines of `simulate`.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let files = read("jsonl");
    let lines = files.iter().flat_map(|file| file.split(|byte| *byte == b'\n'));
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The same as JSON.
pub(crate) fn cases() -> &'static [Value] {
    static CASES: OnceLock<Vec<Value>> = OnceLock::new();
    CASES.get_or_init(|| lines().iter().filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Files of a policy directory.
pub(crate) fn directories() -> Vec<Vec<u8>> {
    let of_cases =
        cases().iter().filter_map(|case| case.get("Policies")).map(|it| it.to_string().into_bytes());
    distinct(read("json").into_iter().chain(of_cases))
}

/// Policy documents.
pub(crate) fn documents() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let files = read("json");
    let parsed = files.iter().filter_map(|file| serde_json::from_slice(file).ok());
    for value in cases().iter().cloned().chain(parsed) {
        collect_documents(&value, &mut found);
    }
    distinct(found.into_iter())
}

fn collect_documents(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::Object(members) if members.contains_key("Statement") => {
            found.push(value.to_string().into_bytes())
        }
        Value::Object(members) => members.values().for_each(|member| collect_documents(member, found)),
        Value::Array(elements) => elements.iter().for_each(|element| collect_documents(element, found)),
        _ => {}
    }
}

pub(crate) fn distinct(inputs: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    inputs.collect::<BTreeSet<_>>().into_iter().collect()
}
