//! `image/commit`: what a binary says that it was built from.

use std::path::Path;
use std::process::Command;

/// What a program says in a folder, without the settings of this machine.
fn says(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_remove("PORTCULLIS_COMMIT")
        .env_remove("GIT_DIR")
        .envs(["GIT_AUTHOR", "GIT_COMMITTER"].map(|who| (format!("{who}_NAME"), "a")))
        .envs(["GIT_AUTHOR", "GIT_COMMITTER"].map(|who| (format!("{who}_EMAIL"), "a@example.com")))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn the_commit_is_that_of_the_files() {
    if Command::new("git").arg("--version").output().is_err() {
        println!("skipped: no git on this machine");
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("a/b");
    std::fs::create_dir_all(folder.join("image")).unwrap();
    let script = folder.join("image/commit");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/commit"), &script).unwrap();
    let git = |folder: &Path, arguments: &[&str]| says(folder, "git", arguments);
    // Read by the shell: a file that was just written may be busy for whoever runs it.
    let commit = || says(outer.path(), "bash", &[script.to_str().unwrap()]);

    assert_eq!(commit(), "unknown", "no repository");
    git(outer.path(), &["init", "--quiet"]);
    git(outer.path(), &["commit", "--quiet", "--allow-empty", "--message", "another's"]);
    assert_eq!(commit(), "unknown", "the repository of something else");

    git(&folder, &["init", "--quiet"]);
    git(&folder, &["add", "image"]);
    git(&folder, &["commit", "--quiet", "--message", "first"]);
    let head = git(&folder, &["rev-parse", "HEAD"]);
    assert_eq!(head.len(), 40);
    assert_eq!(commit(), head);
    // Such as what was built.
    std::fs::write(folder.join("out"), "").unwrap();
    assert_eq!(commit(), head, "a file that git does not follow");
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, text + "# changed\n").unwrap();
    assert_eq!(commit(), format!("{head}-dirty"));
    let told = Command::new("bash").arg(&script).env("PORTCULLIS_COMMIT", "told").output().unwrap();
    assert_eq!(told.stdout, b"told\n");
}
