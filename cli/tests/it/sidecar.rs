//! `serve` on free ports, and the commands that talk to it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::program::{ALICE, GOOD, Run, directory, program, run, text};

/// A running sidecar; ends with the value.
struct Sidecar {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
    socket: String,
    directory: TempDir,
}

impl Sidecar {
    fn start(policies: &str) -> Self {
        let directory = directory(policies);
        let socket = directory.path().join("pdp.sock").to_str().unwrap().to_owned();
        let mut command = program();
        command.args(["serve", text(directory.path()), "--uds", &socket, "--log", "warn"]);
        command.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--poll-interval-ms", "50"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let address = line(&mut out).strip_prefix("gRPC listens on ").unwrap().to_owned();
        assert_eq!(line(&mut out), format!("gRPC listens on unix:{socket}"));
        assert!(line(&mut out).starts_with("HTTP listens on 127.0.0.1:"));
        Self { child, out, address, socket, directory }
    }

    /// The line that says what was loaded.
    fn loaded(&mut self) -> String {
        line(&mut self.out)
    }

    fn ask(&self, command: &str, resource: &str) -> Run {
        ask(command, &["--server", &self.address], resource)
    }

    /// The same question without the sidecar.
    fn ask_its_directory(&self, command: &str, resource: &str) -> Run {
        ask(command, &["--at", text(self.directory.path())], resource)
    }

    /// The revision of the directory as it is now.
    fn checked_revision(&self) -> String {
        let run = run(&["check", "--output", "json", text(self.directory.path())]);
        let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
        report["Revision"].as_str().unwrap().to_owned()
    }
}

fn ask(command: &str, source: &[&str], resource: &str) -> Run {
    let mut arguments = vec![command, "--principal", ALICE, "--action", "s3:GetObject", "--output", "json"];
    arguments.extend(["--resource", resource]);
    // What a request may carry travels the same way as it is read here.
    arguments.extend(["--resource-account", "111122223333", "--context", "app:text=a"]);
    arguments.extend([
        "--context",
        "app:list:=[\"a\", 1]",
        "--context",
        "app:flag:=true",
        "--context",
        "app:number:=1.50",
    ]);
    arguments.extend(source);
    run(&arguments)
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(out: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn a_question_travels_to_the_sidecar_and_back() {
    let mut sidecar = Sidecar::start(GOOD);
    let loaded = sidecar.loaded();
    assert!(loaded.starts_with("loaded 1 user, 0 groups, 0 roles, "), "{loaded}");
    let revision = loaded.rsplit(' ').next().unwrap().to_owned();

    for (resource, code) in
        [("arn:aws:s3:::reports/1", 0), ("arn:aws:s3:::reports/secret/1", 2), ("arn:aws:s3:::other/1", 2)]
    {
        for command in ["authorize", "explain"] {
            let (remote, embedded) =
                (sidecar.ask(command, resource), sidecar.ask_its_directory(command, resource));
            assert_eq!((remote.code, remote.err.as_str()), (code, ""), "{resource}");
            assert_eq!(remote.out, embedded.out, "the sidecar and the library give one answer");
            assert_eq!((embedded.code, embedded.err.as_str()), (code, ""), "{resource}");
        }
    }
    let malformed = sidecar.ask("authorize", "nonsense");
    assert_eq!((malformed.code, malformed.out.as_str()), (64, ""));

    let health = run(&["healthcheck", "--uds", &sidecar.socket]);
    assert_eq!((health.code, health.out.as_str()), (0, "serving\n"), "{}", health.err);
    let status = run(&["status", "--server", &sidecar.address, "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((&status["Revision"], &status["Generation"]), (&revision.as_str().into(), &1.into()));
    assert_eq!(status["Counts"]["Users"], 1);
    let wait = run(&["wait", "--server", &sidecar.address, "--revision", &revision]);
    assert_eq!(wait.code, 0, "{}", wait.err);
}

#[test]
fn a_change_can_be_waited_for() {
    let mut sidecar = Sidecar::start(GOOD);
    assert!(sidecar.loaded().ends_with(&sidecar.checked_revision()));
    assert_eq!(sidecar.ask("authorize", "arn:aws:s3:::other/1").code, 2);
    let wider = GOOD.replace("arn:aws:s3:::reports/*", "*");
    std::fs::write(sidecar.directory.path().join("a.json"), wider).unwrap();
    let revision = sidecar.checked_revision();
    let wait = run(&["wait", "--server", &sidecar.address, "--revision", &revision]);
    assert_eq!((wait.code, wait.out), (0, format!("revision {revision}, generation 2\n")), "{}", wait.err);
    assert_eq!(sidecar.ask("authorize", "arn:aws:s3:::other/1").code, 0);

    std::fs::write(sidecar.directory.path().join("a.json"), "{").unwrap();
    let never =
        run(&["wait", "--server", &sidecar.address, "--revision", &"0".repeat(64), "--timeout-ms", "200"]);
    assert_eq!((never.code, never.out.as_str()), (1, ""));
}

#[test]
fn a_sidecar_without_a_policy_set_is_not_healthy() {
    let mut sidecar = Sidecar::start("{");
    assert!(sidecar.loaded().starts_with("the policies do not load"));
    let health = run(&["healthcheck", "--server", &sidecar.address]);
    assert_eq!((health.code, health.out.as_str()), (1, ""));
    let asked = sidecar.ask("authorize", "*");
    assert_eq!((asked.code, asked.out.as_str()), (1, ""));
}

#[test]
fn a_signal_ends_it_cleanly() {
    let mut sidecar = Sidecar::start(GOOD);
    sidecar.loaded();
    let pid = sidecar.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = sidecar.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn nobody_listening_is_no_answer() {
    // Port 1 is reserved; nothing listens on it.
    for command in ["status", "healthcheck"] {
        let run = run(&[command, "--server", "127.0.0.1:1"]);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{command}");
    }
    let missing = run(&["serve"]);
    assert_eq!(missing.code, 64, "{}", missing.err);
}

#[test]
fn a_sidecar_that_is_not_there_yet_is_waited_for() {
    let policies = directory(GOOD);
    let socket = policies.path().join("pdp.sock");
    let report = run(&["check", "--output", "json", text(policies.path())]).out;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let revision = report["Revision"].as_str().unwrap();
    let mut wait = program();
    wait.args(["wait", "--uds", text(&socket), "--revision", revision, "--output", "json"]);
    let wait = wait.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut serve = program();
    serve.args(["serve", text(policies.path()), "--uds", text(&socket), "--log", "warn"]);
    serve.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    let mut serve = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let waited = wait.wait_with_output().unwrap();
    let health = run(&["healthcheck", "--uds", text(&socket), "--output", "json"]);
    serve.kill().unwrap();
    serve.wait().unwrap();
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    let reached: serde_json::Value = serde_json::from_slice(&waited.stdout).unwrap();
    assert_eq!((&reached["Revision"], &reached["Generation"]), (&revision.into(), &1.into()));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&health.out).unwrap()["Serving"], true);

    let never = run(&["wait", "--uds", text(&socket), "--revision", revision, "--timeout-ms", "250"]);
    assert_eq!(never.code, 1);
    assert!(never.err.contains("pdp.sock: the sidecar cannot be reached"), "{}", never.err);
    let mistaken = run(&["wait", "--uds", text(&socket), "--revision", "null"]);
    assert_eq!(mistaken.code, 64, "no sidecar is waited for: {}", mistaken.err);
    assert!(mistaken.err.contains("a revision is 64 lower-case hexadecimal digits"), "{}", mistaken.err);
}
