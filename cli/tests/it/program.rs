//! Running the program, and the policy directories that the tests run it on.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub(crate) const ALICE: &str = "arn:aws:iam::111122223333:user/alice";

/// A directory that loads: alice may read, except what is secret.
pub(crate) const GOOD: &str = r#"{
  "UserDetailList": [
    {
      "UserName": "alice",
      "Arn": "arn:aws:iam::111122223333:user/alice",
      "UserPolicyList": [
        {
          "PolicyName": "reading",
          "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
              {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*"},
              {"Sid": "Secret", "Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::reports/secret/*"}
            ]
          }
        }
      ]
    }
  ]
}
"#;

/// A program run that has ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program with an environment of its own.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().env("NO_COLOR", "1");
    command
}

pub(crate) fn run(arguments: &[&str]) -> Run {
    run_with_input(arguments, "")
}

pub(crate) fn run_with_input(arguments: &[&str], input: &str) -> Run {
    let mut command = program();
    command.args(arguments);
    finish(command, input)
}

pub(crate) fn finish(mut command: Command, input: &str) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A program that does not read its input has closed the pipe.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A policy directory with one file, `a.json`.
pub(crate) fn directory(text: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("a.json"), text).unwrap();
    directory
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/semantics.jsonl")
}
