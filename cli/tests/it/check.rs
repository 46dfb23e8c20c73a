//! `check`, and the exit codes of a command line that is wrong.

use crate::program::{GOOD, directory, run, text};

/// The action's member is misspelled.
fn misspelled() -> String {
    GOOD.replacen("\"Action\"", "\"Actoin\"", 1)
}

#[test]
fn a_good_directory_is_ok() {
    let good = directory(GOOD);
    let run = run(&["check", text(good.path())]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    assert!(run.out.contains("1 user, 0 groups, 0 roles,"), "{}", run.out);
    assert!(run.out.ends_with("0 errors, 0 warnings\n"), "{}", run.out);
}

#[test]
fn a_bad_directory_is_shown_with_a_caret() {
    let bad = directory(&misspelled());
    let path = text(bad.path());
    let run = run(&["check", path]);
    assert_eq!(run.code, 3);
    let shown = concat!(
        "error[missing-action]: the statement has neither `Action` nor `NotAction`\n",
        "  --> DIR/a.json:12:15\n",
        "   |\n",
        "12 |               {\"Sid\": \"Read\", \"Effect\": \"Allow\", \"Actoin\": \"s3:GetObject\", ",
        "\"Resource\": \"arn:aws:s3:::reports/*\"},\n",
        "   |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n",
        "\n",
        "error[unknown-element]: `Actoin` is not a member of a statement\n",
        "  --> DIR/a.json:12:50\n",
        "   |\n",
        "12 |               {\"Sid\": \"Read\", \"Effect\": \"Allow\", \"Actoin\": \"s3:GetObject\", ",
        "\"Resource\": \"arn:aws:s3:::reports/*\"},\n",
        "   |                                                  ^^^^^^^^\n",
        "   |\n",
        "   = help: did you mean `Action`?\n",
        "\n",
        "2 errors, 0 warnings\n",
    );
    assert_eq!(run.out.replace(path, "DIR"), shown);
}

#[test]
fn findings_for_programs() {
    let bad = directory(&misspelled());
    let json = run(&["check", "--output", "json", text(bad.path())]);
    assert_eq!(json.code, 3);
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let found = &report["Diagnostics"][0];
    assert_eq!((&found["Line"], &found["Severity"]), (&12.into(), &"error".into()), "{report}");
    assert_eq!(report["Counts"], serde_json::Value::Null);

    let sarif = run(&["check", "--output", "sarif", text(bad.path())]);
    assert_eq!(sarif.code, 3);
    let log: serde_json::Value = serde_json::from_str(&sarif.out).unwrap();
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 12, "{log}");
    assert_eq!(result["ruleId"], log["runs"][0]["tool"]["driver"]["rules"][0]["id"]);
}

#[test]
fn a_missing_directory_is_a_rejection() {
    let run = run(&["check", "/nonexistent/policies"]);
    assert_eq!(run.code, 3, "{}{}", run.out, run.err);
    let shown = "the policy directory does not exist\n--> /nonexistent/policies\n\n1 error, 0 warnings\n";
    assert!(run.out.ends_with(shown), "{}", run.out);
}

#[test]
fn usage_errors_exit_64_and_help_exits_0() {
    for arguments in [
        &["check"] as &[_],
        &["frobnicate"],
        &["check", "--output", "xml", "."],
        &["authorize", "--principal", "p", "--action", "a:B", "--resource", "*"],
        &[],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, 64, "{arguments:?}: {}", run.err);
        assert_eq!(run.out, "");
    }
    for arguments in [&["--help"] as &[_], &["help", "simulate"], &["--version"], &["check", "--help"]] {
        let run = run(arguments);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{arguments:?}");
    }
    assert!(run(&["--version"]).out.starts_with("portcullis 0."));
}

#[test]
fn completions_and_man_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let run = run(&["completions", shell]);
        assert_eq!(run.code, 0);
        assert!(run.out.contains("healthcheck"), "{shell}");
    }
    let pages = tempfile::TempDir::new().unwrap();
    assert_eq!(run(&["man", text(&pages.path().join("man1"))]).code, 0);
    let page = std::fs::read_to_string(pages.path().join("man1/portcullis-simulate.1")).unwrap();
    assert!(page.contains("JSON Lines"));
}
