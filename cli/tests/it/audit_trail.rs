//! `serve` with an audit file: killed in the middle of work, writing to standard output, refusing what cannot be.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_client::{Client, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{ALICE, GOOD, directory, program, run, text};

/// Often enough to hit the writer at any step. The variable of the same name makes a longer campaign of it.
const AUDIT_KILLS: u64 = 20;
const CALLERS: usize = 16;
/// Beyond any wait that is not for ever.
const NEVER: Duration = Duration::from_secs(60);

fn serve(policies: &Path, file: &str, mode: &str) -> Command {
    let mut command = program();
    command.args(["serve", text(policies), "--listen", "127.0.0.1:0", "--http-listen", ""]);
    command.args(["--audit-file", file, "--audit-mode", mode, "--log", "error"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The address, from the line that says it; what follows is read by nobody.
fn address(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    first.strip_prefix("gRPC listens on ").unwrap().to_owned()
}

async fn ask(client: &Client) -> Option<String> {
    let request = Request::new(ALICE, "s3:GetObject", "arn:aws:s3:::reports/2026.csv");
    client.decide(request).await.ok().map(|decision| decision.answer().request_id().to_owned())
}

/// Asks until the sidecar is killed, and gives the ids of all answers that came.
async fn answered_until_killed(child: &mut Child, address: &str, time: Duration) -> BTreeSet<String> {
    let client = Client::builder(address).connect().await.unwrap();
    while ask(&client).await.is_none() {
        // The policies are not loaded yet.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut told = Vec::new();
                while let Some(id) = ask(&client).await {
                    told.push(id);
                }
                told
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    child.kill().unwrap();
    let mut told = BTreeSet::new();
    for caller in callers {
        told.extend(caller.await.unwrap());
    }
    child.wait().unwrap();
    told
}

#[tokio::test]
async fn in_mode_sync_no_answer_is_lost_to_a_kill() {
    let policies = directory(GOOD);
    let files = TempDir::new().unwrap();
    let file = files.path().join("audit.jsonl");
    let kills = std::env::var("AUDIT_KILLS").map_or(AUDIT_KILLS, |kills| kills.parse().unwrap());
    let mut all = 0;
    for round in 0..kills {
        let mut child = serve(policies.path(), text(&file), "sync").spawn().unwrap();
        let address = address(&mut child);
        // Another moment each time, the same in every run.
        let time = Duration::from_millis(5 + (round * 37) % 60);
        let told = answered_until_killed(&mut child, &address, time).await;
        let written = fs::read_to_string(&file).unwrap();
        for id in &told {
            assert!(written.contains(id.as_str()), "round {round}: the answer {id} has no record");
        }
        all += told.len();
    }
    assert!(all > 20, "{all}");
    let report = run(&["audit", "verify", "--output", "json", text(&file)]);
    let report: Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(report["Processes"].as_array().unwrap().len() as u64, kills);
    assert_eq!((&report["Missing"], &report["DeclaredLost"]), (&0.into(), &0.into()), "{report}");
    let kinds = report["Findings"].as_array().unwrap().iter().map(|finding| &finding["Kind"]);
    assert!(kinds.into_iter().all(|kind| kind == "Torn"), "{report}");
}

#[tokio::test]
async fn standard_output_is_the_trail_s_alone() {
    let policies = directory(GOOD);
    let mut child = serve(policies.path(), "-", "block").spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap().strip_prefix("gRPC listens on ").unwrap().to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    let client = Client::builder(&address).connect().await.unwrap();
    let id = loop {
        if let Some(id) = ask(&client).await {
            break id;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let out = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.first().unwrap()["eventName"], "StartServer");
    assert_eq!(records.last().unwrap()["eventName"], "StopServer");
    assert!(records.iter().any(|record| record["requestID"] == id.as_str()));
}

#[test]
fn an_audit_file_that_cannot_be_stops_the_start() {
    let policies = directory(GOOD);
    let refused = |file: &str, mode: &str| {
        let output = serve(policies.path(), file, mode).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = refused("/nowhere/audit.jsonl", "block");
    assert!(
        code == 64 && err.contains("`audit_file` is `/nowhere/audit.jsonl`: No such file"),
        "{code} {err}"
    );
    let (code, err) = refused("-", "sync");
    assert!(code == 64 && err.contains("standard output cannot be put on a disk"), "{code} {err}");
    let (code, err) = refused("", "sync");
    assert!(code == 64 && err.contains("`audit_file` is not set"), "{code} {err}");
    let (code, err) = refused("audit.jsonl", "sometimes");
    assert!(code == 64 && err.contains("`audit_mode` is \"sometimes\""), "{code} {err}");
}

/// A process that ends with the value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_rotation_without_descriptors_replaces_no_older_file() {
    let (policies, files) = (directory(GOOD), TempDir::new().unwrap());
    let (file, older) = (files.path().join("audit.jsonl"), files.path().join("audit.jsonl.000001"));
    fs::write(&older, "older\n").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_portcullis")]);
    command.args(["serve", text(policies.path()), "--listen", "127.0.0.1:0", "--http-listen", ""]);
    command.args(["--audit-file", text(&file), "--log", "warn", "--poll-interval-ms", "3600000"]);
    command.env_clear().env("PORTCULLIS_AUDIT_ROTATE_BYTES", "4000");
    command.env("PORTCULLIS_WORKER_THREADS", "1").env("PORTCULLIS_FIRST_BYTE_MS", "3600000");
    let mut child = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let address = address(&mut child.0);
    let (send, log) = std::sync::mpsc::channel();
    let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    let client = Client::builder(&address).connect().await.unwrap();
    while ask(&client).await.is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // More than it has descriptors for.
    let _silent: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    let end = Instant::now() + NEVER;
    let logged = |wanted: &str| log.try_iter().any(|line| line.contains(wanted));
    while !logged("cannot accept a connection") {
        assert!(Instant::now() < end, "descriptors are left");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    while !logged("the audit file cannot be rotated and grows on") {
        assert!(Instant::now() < end, "it never tries");
        assert_eq!(fs::read_to_string(&older).unwrap(), "older\n", "records are gone");
        ask(&client).await.unwrap();
    }
    assert_eq!(fs::read_to_string(&older).unwrap(), "older\n");
    assert!(fs::metadata(&file).unwrap().len() > 0);
}

/// Sends a signal, and waits for the record that comes of it.
fn told(child: &Child, signal: &str, file: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let before = fs::read_to_string(file).unwrap_or_default().lines().count();
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let end = Instant::now() + NEVER;
    loop {
        let written = fs::read_to_string(file).unwrap_or_default();
        // The last line may be under way.
        let whole = written.split_inclusive('\n').filter(|line| line.ends_with('\n')).skip(before);
        if let Some(record) =
            whole.map(|line| serde_json::from_str(line).unwrap()).find(|record| wanted(record))
        {
            return record;
        }
        assert!(Instant::now() < end, "no record comes of {signal}:\n{written}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_the_service_nor_its_end() {
    let (policies, files) = (directory(GOOD), TempDir::new().unwrap());
    let (file, log) = (files.path().join("audit.jsonl"), files.path().join("log"));
    let without_waiting = |options: &mut fs::OpenOptions| {
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(&log).unwrap()
    };
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    let _reader = without_waiting(fs::OpenOptions::new().read(true));
    let mut command = serve(policies.path(), text(&file), "block");
    command.stderr(fs::OpenOptions::new().write(true).open(&log).unwrap());
    let mut child = Ended(command.spawn().unwrap());
    let address = address(&mut child.0);
    let healthy = || run(&["healthcheck", "--server", &address]).code == 0;
    let end = Instant::now() + NEVER;
    while !healthy() {
        assert!(Instant::now() < end, "it never serves");
    }
    let mut filler = without_waiting(fs::OpenOptions::new().write(true));
    while filler.write(&[b'\n'; 512]).is_ok() {}
    while filler.write(b"\n").is_ok() {}

    // The record comes after the line of the log.
    let named = |record: &Value| record["eventName"] == "ChangeConfiguration";
    for _ in 0..3 {
        told(&child.0, "-USR2", &file, named);
    }
    assert!(healthy());
    told(&child.0, "-TERM", &file, |record| record["eventName"] == "StopServer");
    let end = Instant::now() + NEVER;
    while child.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it waits for the reader of its log");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_change_of_the_configuration_is_recorded() {
    let (policies, files) = (directory(GOOD), TempDir::new().unwrap());
    let (file, settings) = (files.path().join("audit.jsonl"), files.path().join("portcullis.toml"));
    let put = |text: &str| fs::write(&settings, text).unwrap();
    put("log = 'error'");
    let mut command = program();
    command.args(["serve", text(policies.path()), "--listen", "127.0.0.1:0", "--http-listen", ""]);
    command.args(["--config", text(&settings), "--audit-file", text(&file)]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    address(&mut child);
    let named = |name: &'static str| move |record: &Value| record["eventName"] == name;
    // Signal 0 is none: it only waits for the start.
    let start = told(&child, "-0", &file, named("StartServer"));
    let details = &start["serviceEventDetails"];
    assert_eq!(details["configurationDigest"].as_str().unwrap().len(), 64, "{start}");
    assert!(details["settings"].as_array().unwrap().contains(&"listen = \"127.0.0.1:0\"".into()), "{start}");

    let change = |from: &str, to: &str, cause: &str| json!({ "setting": "log", "from": from, "to": to, "cause": cause });
    put("log = 'warn'");
    let changed = told(&child, "-HUP", &file, named("ChangeConfiguration"));
    assert_eq!(changed["serviceEventDetails"], change("error", "warn", "SIGHUP"));
    assert_eq!(changed["eventType"], "AwsServiceEvent");
    let changed = told(&child, "-USR2", &file, named("ChangeConfiguration"));
    assert_eq!(changed["serviceEventDetails"], change("warn", "debug", "SIGUSR2"));
    put("log = 'warn'\nbatch_items_max = 0");
    let rejected = told(&child, "-HUP", &file, named("RejectConfiguration"));
    assert_eq!(rejected["errorCode"], "ConfigurationRejected");
    let message = rejected["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("`batch_items_max` is 0, and must be at least 1 (file "), "{message}");
    let changed = told(&child, "-USR2", &file, named("ChangeConfiguration"));
    assert_eq!(changed["serviceEventDetails"], change("debug", "warn", "SIGUSR2"));
    // What changes nothing is no change, and the end comes after all that was asked for before it.
    put("log = 'warn'");
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(200));
    told(&child, "-TERM", &file, named("StopServer"));
    assert!(child.wait().unwrap().success());
    let names = fs::read_to_string(&file).unwrap();
    assert_eq!(names.matches("ChangeConfiguration").count(), 3, "{names}");
}
