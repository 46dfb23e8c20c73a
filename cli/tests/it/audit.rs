//! `audit`: files that were written, searched, followed and held against their numbers.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::program::{program, run, run_with_input, text};

fn record(sequence: u64, user: &str, name: &str, decision: &str) -> String {
    let reason = if decision == "Allow" { "Allowed" } else { "ImplicitDeny" };
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/{user}"}},"eventTime":"2025-11-25T07:{sequence:02}:00Z","eventSource":"orders.amazonaws.com","eventName":"{name}","resources":[{{"ARN":"arn:acme:orders:eu-1:111122223333:order/{sequence}"}}],"requestID":"r{sequence}","eventType":"AwsApiCall","additionalEventData":{{"decision":"{decision}","reason":"{reason}","layer":"identity","bootId":"boot","sequence":{sequence}}}}}"#
    )
}

fn happening(sequence: u64, name: &str) -> String {
    format!(
        r#"{{"userIdentity":{{"type":"AWSService","invokedBy":"portcullis"}},"eventTime":"2025-11-25T07:{sequence:02}:00Z","eventSource":"portcullis","eventName":"{name}","eventType":"AwsServiceEvent","serviceEventDetails":{{"generation":2}},"additionalEventData":{{"bootId":"boot","sequence":{sequence}}}}}"#
    )
}

fn records() -> Vec<String> {
    vec![
        happening(1, "StartServer"),
        record(2, "alice", "GetOrder", "Allow"),
        record(3, "alice", "DeleteOrder", "Deny"),
        record(4, "bob", "GetOrder", "Deny"),
        happening(5, "ReloadPolicies"),
        record(6, "bob", "DeleteOrder", "Allow"),
        happening(7, "StopServer"),
    ]
}

fn written(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    })
}

/// A directory with the records in three files.
fn rotated() -> TempDir {
    let directory = TempDir::new().unwrap();
    let records = records();
    let write = |name: &str, lines: &[String]| {
        fs::write(directory.path().join(name), written(lines)).unwrap();
    };
    write("audit.jsonl.000001", &records[..2]);
    write("audit.jsonl.000002", &records[2..5]);
    write("audit.jsonl", &records[5..]);
    directory
}

/// The request ids of what a query prints.
fn ids(filter: &[&str]) -> Vec<String> {
    let mut arguments = vec!["audit", "query", "--output", "json"];
    arguments.extend(filter);
    let run = run_with_input(&arguments, &written(&records()));
    assert_eq!(run.code, 0, "{}", run.err);
    let id = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["requestID"].as_str().or(record["eventName"].as_str()).unwrap().to_owned()
    };
    run.out.lines().map(id).collect()
}

#[test]
fn a_query_filters_by_everything_at_once() {
    assert_eq!(ids(&[]).len(), 7);
    assert_eq!(ids(&["--decision", "deny"]), ["r3", "r4"]);
    assert_eq!(ids(&["--principal", "*:user/alice"]), ["r2", "r3"]);
    assert_eq!(ids(&["--principal", "*:user/alice", "--decision", "deny"]), ["r3"]);
    assert_eq!(ids(&["--action", "ORDERS:delete*"]), ["r3", "r6"]);
    assert_eq!(ids(&["--action", "GetOrder"]), ["r2", "r4"]);
    assert_eq!(ids(&["--resource", "*order/?"]), ["r2", "r3", "r4", "r6"]);
    assert_eq!(ids(&["--reason", "implicitdeny"]), ["r3", "r4"]);
    assert_eq!(ids(&["--request-id", "r6"]), ["r6"]);
    assert_eq!(ids(&["--service"]), ["StartServer", "ReloadPolicies", "StopServer"]);
    assert_eq!(
        ids(&["--since", "2025-11-25T07:03:00Z", "--until", "2025-11-25T08:04:00+01:00"]),
        ["r3", "r4"]
    );
    assert!(ids(&["--since", "1h"]).is_empty());
    assert_eq!(ids(&["--limit", "2"]).len(), 2);
}

#[test]
fn a_query_prints_what_stands_in_the_file() {
    let all = written(&records());
    assert_eq!(run_with_input(&["audit", "query", "--output", "json"], &all).out, all);
}

#[test]
fn a_table_is_aligned_and_obeys_no_control_character() {
    let mut lines = records();
    lines.push(record(8, "mallory", "Get\\u001b[31m\\u202eOrder", "Deny"));
    lines.push("not a record".to_owned());
    let run = run_with_input(&["audit", "query"], &written(&lines));
    let rows: Vec<_> = run.out.lines().collect();
    assert_eq!(rows.len(), 9);
    let column = rows[0].find("ACTION").unwrap();
    assert_eq!(rows[2].find("orders:GetOrder"), Some(column), "{}", run.out);
    assert!(rows[3].contains("ImplicitDeny (identity)"));
    assert!(rows[5].contains("ReloadPolicies") && rows[5].contains("generation=2"));
    assert!(!run.out.contains(['\u{1b}', '\u{202e}']));
    assert!(run.err.contains("1 line is not a record"), "{}", run.err);
}

#[test]
fn a_time_that_is_none_is_a_usage_error() {
    let run = run_with_input(&["audit", "query", "--since", "yesterday"], "");
    assert_eq!(run.code, 64);
    assert!(run.err.contains("--since yesterday: not a time"));
    assert_eq!(run_with_input(&["audit", "query", "--service", "--decision", "deny"], "").code, 64);
}

#[test]
fn older_files_are_read_first() {
    let directory = rotated();
    let file = directory.path().join("audit.jsonl");
    let one = run(&["audit", "query", "--output", "json", text(&file)]);
    assert_eq!(one.out.lines().count(), 2);
    let all = run(&["audit", "query", "--output", "json", "--rotated", text(&file)]);
    assert_eq!(all.out, written(&records()));
    assert_eq!(run(&["audit", "query", "/nowhere/audit.jsonl"]).code, 1);
}

#[test]
fn sound_files_verify_and_others_do_not() {
    let directory = rotated();
    let file = directory.path().join("audit.jsonl");
    let sound = run(&["audit", "verify", "--rotated", text(&file)]);
    assert_eq!(sound.code, 0, "{}{}", sound.out, sound.err);
    assert!(sound.out.contains("process boot: records 1 to 7, ended"));
    assert!(sound.out.contains("sound: 7 records, not chained"));

    fs::remove_file(directory.path().join("audit.jsonl.000002")).unwrap();
    let broken = run(&["audit", "verify", "--rotated", "--output", "json", text(&file)]);
    assert_eq!(broken.code, 4);
    let report: serde_json::Value = serde_json::from_str(&broken.out).unwrap();
    assert_eq!((&report["Missing"], &report["FindingsCount"]), (&3.into(), &1.into()));
    assert_eq!(report["Findings"][0]["Kind"], "Missing");

    fs::write(&file, "{\"torn\":").unwrap();
    let torn = run(&["audit", "verify", text(&file)]);
    assert_eq!(torn.code, 4);
    assert!(torn.out.contains("torn: ") && torn.out.contains("audit.jsonl:1"), "{}", torn.out);
}

#[test]
fn the_last_records_are_shown() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("audit.jsonl");
    fs::write(&file, written(&records())).unwrap();
    let run_tail = |arguments: &[&str]| {
        let mut all = vec!["audit", "tail", "--output", "json", text(&file)];
        all.extend(arguments);
        run(&all).out
    };
    assert_eq!(run_tail(&["-n", "2"]), written(&records()[5..]));
    assert_eq!(run_tail(&["-n", "1", "--decision", "deny"]), written(&records()[3..4]));
    assert_eq!(run_tail(&[]).lines().count(), 7);
    assert!(run_tail(&["-n", "0"]).is_empty());
}

#[test]
fn a_file_is_followed_across_a_rotation() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("audit.jsonl");
    let append = |path: &Path, text: &str| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append(&file, &written(&records()[..1]));
    let mut command = program();
    command.args(["audit", "tail", "--follow", "--output", "json", text(&file)]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let records = records();
    assert_eq!(next(), records[0]);
    // Half a record is none yet.
    let (half, rest) = records[1].split_at(50);
    append(&file, half);
    append(&file, &format!("{rest}\n"));
    assert_eq!(next(), records[1]);
    append(&file, &written(&records[2..3]));
    fs::rename(&file, directory.path().join("audit.jsonl.000001")).unwrap();
    append(&file, &written(&records[3..4]));
    assert_eq!((next(), next()), (records[2].clone(), records[3].clone()));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Sends SIGTERM to a child, as a kubelet does.
fn terminate(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn what_is_followed_may_come_later_and_is_read_to_the_end_of_the_service() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("audit.jsonl");
    let mut command = program();
    command.args(["audit", "tail", "--follow", "--linger-ms", "600000", "--output", "json", text(&file)]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let append = |text: &str| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&file).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let records = records();
    append(&written(&records[..1]));
    assert_eq!(next(), records[0], "the file was not there at the start");
    terminate(&child);
    append(&written(&records[1..2]));
    assert_eq!(next(), records[1], "told to end, it goes on");
    append(&written(&[happening(9, "StopServer")]));
    assert_eq!(next(), happening(9, "StopServer"));
    assert_eq!((next().as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn without_time_to_linger_a_follower_ends_at_once() {
    let directory = TempDir::new().unwrap();
    let there = directory.path().join("audit.jsonl");
    fs::write(&there, written(&records()[..1])).unwrap();
    for file in [there, directory.path().join("missing.jsonl")] {
        let mut command = program();
        command.args(["audit", "tail", "--follow", "--output", "json", text(&file)]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // The handler stands before anything is printed; where nothing is, a signal before it ends the process as well.
        let mut out = BufReader::new(child.stdout.take().unwrap());
        if file.exists() {
            out.read_line(&mut String::new()).unwrap();
        }
        terminate(&child);
        let code = child.wait().unwrap().code();
        assert!(code == Some(0) || !file.exists(), "{code:?}");
    }
}
