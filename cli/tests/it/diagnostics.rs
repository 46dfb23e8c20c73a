//! Every kind of finding, with the exact text that a user sees.
//!
//! `corpus/diagnostics/NAME.json` is a policy directory of one file that has the finding `NAME`; `NAME.txt` is what
//! `check` prints about it. `PORTCULLIS_BLESS=1 cargo test -p portcullis diagnostics` writes the texts anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_engine::Code;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/diagnostics")
}

/// What `check` prints about a directory that holds just this file.
fn printed(file: &Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(file, directory.path().join("policies.json")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["check", "."])
        .current_dir(directory.path())
        .env("NO_COLOR", "1")
        .env("COLUMNS", "120")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

fn names(extension: &str) -> BTreeSet<String> {
    let files = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|found| found == extension));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn each_finding_reads_as_recorded() {
    let bless = std::env::var_os("PORTCULLIS_BLESS").is_some();
    let mut wrong = Vec::new();
    for name in names("json") {
        let text = printed(&corpus().join(format!("{name}.json")));
        assert!(text.contains(&format!("[{name}]")), "{name}.json does not have its finding:\n{text}");
        let recorded = corpus().join(format!("{name}.txt"));
        if bless {
            fs::write(recorded, text).unwrap();
        } else if fs::read_to_string(&recorded).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if !bless {
        assert_eq!(names("json"), names("txt"), "a document without a text, or a text without a document");
    }
}

/// Findings about more than one file, about what is no regular file, or about sizes that no example should have.
const WITHOUT_DOCUMENT: &[&str] = &[
    "unreadable-file",
    "file-too-large",
    "too-many-files",
    "too-many-bytes",
    "not-a-regular-file",
    "symlink-outside",
    "symlink-loop",
    "loose-permissions",
    "empty-directory",
    "too-many-findings",
    "duplicate-organization",
    "session-policy-principal",
];

#[test]
fn each_code_has_a_document() {
    let documented = names("json");
    for code in Code::ALL {
        let name = code.as_str();
        let excused = WITHOUT_DOCUMENT.contains(&name);
        assert_ne!(
            documented.contains(name),
            excused,
            "{name}: a document, or a reason to have none, and not both"
        );
    }
}
