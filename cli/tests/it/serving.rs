//! `serve` as a process: signals, the log, the command beside it, the service manager, the state directory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{GOOD, directory, finish, program, run, text};

/// Far longer than anything takes; only what never happens lasts so long.
const NEVER: Duration = Duration::from_secs(60);

/// A running sidecar with its log; ends with the value.
struct Serving {
    child: Child,
    out: BufReader<ChildStdout>,
    log: Receiver<String>,
    address: String,
}

impl Serving {
    fn start(policies: &Path, adjust: impl FnOnce(&mut Command)) -> Self {
        let mut command = program();
        command.args(["serve", text(policies), "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        command.args(["--poll-interval-ms", "50"]);
        adjust(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        let address = line(&mut out).strip_prefix("gRPC listens on ").unwrap().to_owned();
        assert!(line(&mut out).starts_with("HTTP listens on 127.0.0.1:"));
        Self { child, out, log, address }
    }

    /// One that has loaded, with a configuration file in `folder`.
    fn with_a_file(policies: &Path, folder: &Path) -> (Self, PathBuf) {
        let file = folder.join("portcullis.toml");
        std::fs::write(&file, "log = 'info'\n").unwrap();
        let mut serving = Self::start(policies, |command| {
            command.args(["--config", text(&file)]);
        });
        serving.loaded();
        (serving, file)
    }

    fn loaded(&mut self) -> String {
        line(&mut self.out)
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The next event of the log with this message.
    fn event(&mut self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(NEVER).unwrap_or_else(|_| panic!("never logged: {message}"));
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if event["message"] == message {
                return event;
            }
        }
    }

    fn exit_code(mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        let rest: Vec<_> = self.log.iter().collect();
        assert!(!rest.iter().any(|line| line.contains("panicked")), "{rest:?}");
        code
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn line(out: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// The lines of a stream as they come, read whether or not anybody waits for them.
fn lines(stream: ChildStderr) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + NEVER;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_log_is_json_where_nobody_watches_and_for_people_when_asked() {
    let policies = directory(GOOD);
    let mut serving = Serving::start(policies.path(), |_| {});
    serving.loaded();
    let event = serving.event("policy set published");
    assert_eq!((&event["level"], &event["generation"]), (&"INFO".into(), &1.into()));
    let mut human = Serving::start(policies.path(), |command| {
        command.args(["--log-format", "human"]);
    });
    human.loaded();
    let first = human.log.recv_timeout(NEVER).unwrap();
    assert!(first.contains(" INFO ") && !first.contains('\u{1b}') && !first.starts_with('{'), "{first}");
    let wrong = run(&["serve", text(policies.path()), "--log-format", "xml"]);
    assert_eq!(wrong.code, 64);
    assert!(
        wrong.err.contains("`log_format` is \"xml\", and must be `auto`, `human` or `json`"),
        "{}",
        wrong.err
    );
}

/// Where nothing can be served; what is kept counts as something.
#[test]
fn a_start_that_finds_nothing_to_serve_ends_when_that_is_asked_for() {
    const REFUSED: &str =
        "policy directory refused: expected a member name in double quotes, found the end of the text";
    let (policies, state) = (directory("{"), tempfile::tempdir().unwrap());
    let exits = |command: &mut Command| {
        command.args(["--startup", "exit"]).env("PORTCULLIS_STATE_DIRECTORY", state.path().join("state"));
    };
    let mut serving = Serving::start(policies.path(), exits);
    assert_eq!(serving.loaded(), "the policies do not load (see `portcullis check`)");
    serving.event(REFUSED);
    assert_eq!(serving.exit_code(), Some(3));

    std::fs::write(policies.path().join("a.json"), GOOD).unwrap();
    let mut serving = Serving::start(policies.path(), exits);
    assert!(serving.loaded().starts_with("loaded "));
    until("kept", || state.path().join("state/last-good").exists());
    // Later it is as ever: what was served still is.
    std::fs::write(policies.path().join("a.json"), "{").unwrap();
    serving.event(REFUSED);
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));

    let mut serving = Serving::start(policies.path(), exits);
    assert!(serving.loaded().starts_with("the policies do not load; serving the last good ones"));
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));

    let wrong = run(&["serve", text(policies.path()), "--startup", "die"]);
    assert_eq!(wrong.code, 64);
    assert!(wrong.err.contains("`startup` is \"die\", and must be `wait` or `exit`"), "{}", wrong.err);
}

#[test]
fn the_state_is_one_line_of_the_log_without_what_files_say() {
    let policies = directory(GOOD);
    let mut serving = Serving::start(policies.path(), |_| {});
    serving.loaded();
    std::fs::write(policies.path().join("bad.json"), r#"{"canary-of-a-file": 1}"#).unwrap();
    serving.event("policy directory refused: `canary-of-a-file` is not a member of a policy file");
    serving.signal("-USR1");
    let event = serving.event("state of the process");
    let state: Value = serde_json::from_str(event["state"].as_str().unwrap()).unwrap();
    assert_eq!((&state["readiness"], &state["generation"]), (&"degraded".into(), &1.into()));
    assert_eq!(state["rejection"]["diagnostics_total"], 1);
    assert!(!event.to_string().contains("canary"), "{event}");
}

#[test]
fn what_is_logged_changes_while_it_runs() {
    let policies = directory(GOOD);
    let folder = TempDir::new().unwrap();
    let (mut serving, file) = Serving::with_a_file(policies.path(), folder.path());
    serving.event("policy set published");
    for filter in ["debug", "info"] {
        serving.signal("-USR2");
        assert_eq!(serving.event("the filter of the log was changed")["filter"], filter);
    }
    std::fs::write(&file, "log = 'portcullis_store=trace,error'\n").unwrap();
    serving.signal("-HUP");
    assert_eq!(serving.event("the filter of the log was changed")["filter"], "portcullis_store=trace,error");
    std::fs::write(&file, "log = '=='\n").unwrap();
    serving.signal("-HUP");
    serving.event("the configuration cannot be read again; the old one stays");
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn a_configuration_that_cannot_be_read_to_its_end_holds_nothing_else() {
    let policies = directory(GOOD);
    let folder = TempDir::new().unwrap();
    let (mut serving, file) = Serving::with_a_file(policies.path(), folder.path());
    // Whoever reads a pipe waits for its writer, as for a file system that hangs.
    std::fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let pid = serving.child.id();
    let read_by_now = || {
        signal(pid, "-HUP");
        std::fs::OpenOptions::new().write(true).open(&file).unwrap()
    };
    let mut writer = read_by_now();
    let health = run(&["healthcheck", "--server", &serving.address]);
    assert_eq!(health.code, 0, "{}", health.err);
    serving.event("the configuration is not read yet; until it is, the old one stays");
    writer.write_all(b"log = 'debug'\n").unwrap();
    drop(writer);
    assert_eq!(serving.event("the filter of the log was changed")["filter"], "debug");

    let _writer = read_by_now();
    serving.signal("-TERM");
    until("it ends", || serving.child.try_wait().unwrap().is_some());
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn a_storm_of_hang_ups_is_borne() {
    let policies = directory(GOOD);
    let mut serving = Serving::start(policies.path(), |command| {
        command.args(["--log", "warn"]);
    });
    serving.loaded();
    let pid = serving.child.id().to_string();
    let storm = "i=0; while [ $i -lt 1000 ]; do kill -HUP $0; i=$((i+1)); done";
    assert!(Command::new("sh").args(["-c", storm, &pid]).status().unwrap().success());
    let wider = GOOD.replace("arn:aws:s3:::reports/*", "*");
    std::fs::write(policies.path().join("a.json"), wider).unwrap();
    serving.signal("-HUP");
    let check = run(&["check", "--output", "json", text(policies.path())]);
    let report: Value = serde_json::from_str(&check.out).unwrap();
    let revision = report["Revision"].as_str().unwrap().to_owned();
    let wait = run(&["wait", "--server", &serving.address, "--revision", &revision]);
    assert_eq!(wait.out, format!("revision {revision}, generation 2\n"), "{}", wait.err);
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn a_closed_pipe_ends_nothing() {
    let policies = directory(GOOD);
    let mut serving = Serving::start(policies.path(), |_| {});
    serving.loaded();
    serving.signal("-PIPE");
    // Neither does a peer that goes away in the middle.
    drop(std::net::TcpStream::connect(&serving.address).unwrap());
    let health = run(&["healthcheck", "--server", &serving.address]);
    assert_eq!(health.code, 0, "{}", health.err);
}

#[test]
fn a_second_signal_cuts_a_drain_that_a_peer_holds() {
    let policies = directory(GOOD);
    let mut serving = Serving::start(policies.path(), |command| {
        command.env("PORTCULLIS_DRAIN_MS", "3600000");
    });
    serving.loaded();
    let mut held = std::net::TcpStream::connect(&serving.address).unwrap();
    held.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    held.read_exact(&mut [0; 9]).unwrap();
    serving.signal("-TERM");
    serving.event("draining");
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));
}

/// `serve -- sh -c SCRIPT`, to its end.
fn beside(policies: &Path, script: &str) -> crate::program::Run {
    let mut command = program();
    command.args(["serve", text(policies), "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.args(["--log", "error", "--", "sh", "-c", script]);
    finish(command, "")
}

#[test]
fn a_command_runs_beside_it_and_gives_it_its_exit_code() {
    let policies = directory(GOOD);
    let program = env!("CARGO_BIN_EXE_portcullis");
    let ended =
        beside(policies.path(), &format!("{program} healthcheck && {program} status | head -1; exit 7"));
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert!(ended.out.starts_with("serving\nrevision "), "its output is the command's: {}", ended.out);
    assert!(ended.err.starts_with("gRPC listens on 127.0.0.1:"), "{}", ended.err);
    assert_eq!(beside(policies.path(), "exit 0").code, 0);
    assert_eq!(beside(policies.path(), "kill -KILL $$").code, 128 + 9);

    let mut missing = self::program();
    missing.args(["serve", text(policies.path()), "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    missing.args(["--log", "error", "--", "/nonexistent/command"]);
    let missing = finish(missing, "");
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("cannot run `/nonexistent/command`"), "{}", missing.err);
}

#[test]
fn the_command_is_asked_to_end_and_still_answered_at_its_end() {
    let policies = directory(GOOD);
    let started = policies.path().join("started");
    let program = env!("CARGO_BIN_EXE_portcullis");
    let script = format!(
        "trap '{program} healthcheck && exit 5' TERM; : > '{}'; while :; do sleep 0.05; done",
        text(&started)
    );
    let mut serving = Serving::start_beside(policies.path(), &script);
    until("the command starts", || started.exists());
    signal(serving.id(), "-TERM");
    assert_eq!(serving.wait().unwrap().code(), Some(5));
}

#[test]
fn a_command_that_does_not_end_is_killed_with_the_second_signal() {
    let policies = directory(GOOD);
    let started = policies.path().join("started");
    let script = format!("trap '' TERM; : > '{}'; while :; do sleep 0.05; done", text(&started));
    let mut serving = Serving::start_beside(policies.path(), &script);
    until("the command starts", || started.exists());
    signal(serving.id(), "-TERM");
    std::thread::sleep(Duration::from_millis(100));
    assert!(serving.try_wait().unwrap().is_none(), "it waits for the command");
    signal(serving.id(), "-TERM");
    assert_eq!(serving.wait().unwrap().code(), Some(128 + 9));
}

impl Serving {
    fn start_beside(policies: &Path, script: &str) -> Child {
        let mut command = program();
        command.args(["serve", text(policies), "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.args(["--", "sh", "-c", script]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

#[test]
fn a_service_manager_is_told() {
    let policies = directory(GOOD);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(NEVER)).unwrap();
    let mut serving = Serving::start(policies.path(), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
        // A manager waits for the end of a reload, and not for as long as a poll may take.
        command.env("PORTCULLIS_POLL_INTERVAL_MS", "3600000");
    });
    let next = || {
        let mut message = [0; 4096];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut seen_watchdog = false;
    let mut until_told = |wanted: &str| loop {
        let message = next();
        seen_watchdog |= message.contains("WATCHDOG=1");
        if message.contains(wanted) {
            return message;
        }
    };
    assert!(until_told("READY=1").contains("STATUS=serving generation 1"));
    until_told("WATCHDOG=1");
    serving.loaded();
    serving.signal("-HUP");
    assert!(until_told("RELOADING=1").contains("MONOTONIC_USEC="));
    until_told("READY=1");
    serving.signal("-TERM");
    until_told("STOPPING=1");
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn a_killed_process_leaves_a_record_that_the_next_one_serves() {
    let policies = directory(GOOD);
    let state = TempDir::new().unwrap();
    let record: PathBuf = state.path().join("state/last-good");
    let start = || {
        Serving::start(policies.path(), |command| {
            command.env("PORTCULLIS_STATE_DIRECTORY", state.path().join("state"));
        })
    };
    let mut first = start();
    first.loaded();
    until("the record", || record.exists());
    first.signal("-KILL");
    drop(first);
    std::fs::write(policies.path().join("a.json"), "{").unwrap();
    // Half of another record beside it, as a process killed in the middle leaves one.
    std::fs::write(state.path().join("state/last-good.next"), "portcullis last good pol").unwrap();

    let mut second = start();
    assert!(second.loaded().starts_with("the policies do not load; serving the last good ones"));
    assert!(second.loaded().starts_with("loaded 1 user, "));
    let health = run(&["healthcheck", "--server", &second.address]);
    assert_eq!(health.code, 0, "{}", health.err);
    let status = run(&["status", "--server", &second.address]);
    assert!(status.out.contains("\nDEGRADED\n"), "{}", status.out);
    assert!(
        status.out.contains("\nkept by an earlier process; the directory last held it at "),
        "{}",
        status.out
    );
    let status = run(&["status", "--server", &second.address, "--output", "json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((&status["Degraded"], &status["Generation"]), (&true.into(), &1.into()));
    assert!(status["StaleSeconds"].is_u64() && status["LastGoodSavedAt"].is_string(), "{status}");
    second.signal("-KILL");
    drop(second);

    let whole = std::fs::read(&record).unwrap();
    std::fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    let mut third = start();
    assert!(third.loaded().starts_with("the policies do not load; not serving until they do"));
    third.event("the last good policy set cannot be used");
    let health = run(&["healthcheck", "--server", &third.address]);
    assert_eq!(health.code, 1);
}
