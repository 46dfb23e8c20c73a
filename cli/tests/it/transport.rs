//! A sidecar with TLS and tokens, as its operator and its callers meet it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::program::{ALICE, GOOD, Run, directory, program, run, text};

/// Far longer than anything takes.
const NEVER: Duration = Duration::from_secs(60);
const TOKEN: &str = "canary-0123456789012345678901234567890123";
const OTHER: &str = "canary-other-01234567890123456789012345678";

struct Operator {
    files: TempDir,
}

impl Operator {
    /// An authority, a certificate of it for a server and one for a client, and tokens.
    fn new() -> Self {
        let operator = Self { files: tempfile::tempdir().unwrap() };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        operator.put("ca", &params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        for (name, usage) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            operator.put(name, &params.signed_by(&key, &issuer).unwrap().pem());
            operator.put(&format!("{name}.key"), &key.serialize_pem());
        }
        operator.put("tokens", &format!("# callers\napp {TOKEN}\n"));
        operator.put("token", &format!("{TOKEN}\n"));
        operator.put("other", &format!("{OTHER}\n"));
        operator
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn put(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The flags with their files.
    fn flags(&self, flags: &[(&str, &str)]) -> Vec<String> {
        flags
            .iter()
            .flat_map(|(flag, file)| [(*flag).to_owned(), text(&self.path(file)).to_owned()])
            .collect()
    }
}

struct Serving {
    child: Child,
    _out: BufReader<ChildStdout>,
    grpc: String,
    http: String,
}

impl Serving {
    fn start(operator: &Operator, policies: &TempDir) -> Self {
        let mut command = program();
        command.args([
            "serve",
            text(policies.path()),
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ]);
        command.args(operator.flags(&[
            ("--tls-certificate", "server"),
            ("--tls-key", "server.key"),
            ("--tls-client-ca", "ca"),
            ("--token-file", "tokens"),
            ("--audit-file", "audit"),
        ]));
        // Everything is logged, and the files are looked at when a signal says so.
        command.args(["--log", "trace"]).env("PORTCULLIS_CREDENTIALS_POLL_MS", "3600000");
        let log = fs::File::create(operator.path("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let grpc = line().strip_prefix("gRPC listens on ").unwrap().to_owned();
        let http = line().strip_prefix("HTTP listens on ").unwrap().to_owned();
        assert!(line().starts_with("loaded "));
        Self { child, _out: out, grpc: format!("https://{grpc}"), http }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    fn ask(&self, flags: &[String]) -> Run {
        let mut arguments = vec!["authorize", "--server", &self.grpc];
        arguments.extend(flags.iter().map(String::as_str));
        arguments.extend(["--principal", ALICE, "--action", "s3:GetObject"]);
        arguments.extend(["--resource", "arn:aws:s3:::reports/2026.csv"]);
        run(&arguments)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CERTIFIED: [(&str, &str); 3] =
    [("--tls-ca", "ca"), ("--tls-certificate", "client"), ("--tls-key", "client.key")];

#[test]
fn a_caller_needs_its_certificate_and_its_token_and_the_token_is_nowhere() {
    let (operator, policies) = (Operator::new(), directory(GOOD));
    let mut serving = Serving::start(&operator, &policies);
    let with = |more: &[(&str, &str)]| operator.flags(&[&CERTIFIED[..], more].concat());
    let good = with(&[("--token-file", "token")]);
    let answered = serving.ask(&good);
    assert_eq!(answered.code, 0, "{}", answered.err);

    for (flags, says) in [
        (with(&[]), "the call has no bearer token that is in use"),
        (with(&[("--token-file", "other")]), "the call has no bearer token that is in use"),
        (operator.flags(&[("--tls-ca", "ca"), ("--token-file", "token")]), "cannot be reached"),
        (operator.flags(&[("--tls-ca", "client"), ("--token-file", "token")]), "cannot be reached"),
    ] {
        let refused = serving.ask(&flags);
        assert_eq!(refused.code, 1, "{flags:?}");
        assert!(refused.err.contains(says), "{flags:?}: {}", refused.err);
    }
    let command = |name: &'static str, flags: &[String]| {
        let mut arguments = vec![name, "--server", &serving.grpc];
        arguments.extend(flags.iter().map(String::as_str));
        run(&arguments)
    };
    let status = command("status", &good);
    assert_eq!(status.code, 1);
    assert!(status.err.contains("the bearer token is not for this method"), "{}", status.err);
    assert_eq!(command("healthcheck", &with(&[])).code, 0, "health is asked without a token");

    // The token is replaced while the process runs.
    operator.put("tokens", &format!("app {OTHER} methods=Authorize,GetStatus\n"));
    serving.signal("-HUP");
    let other = with(&[("--token-file", "other")]);
    let end = Instant::now() + NEVER;
    while serving.ask(&other).code != 0 {
        assert!(Instant::now() < end, "the new token is never taken");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(serving.ask(&good).code, 1, "the old one is gone");
    assert_eq!(command("status", &other).code, 0);

    serving.signal("-USR1");
    let pages = ["/metrics", "/status", "/readyz"].map(|path| serving.page(path)).join("\n");
    serving.signal("-TERM");
    assert!(serving.child.wait().unwrap().success());
    let (log, audit) = ["log", "audit"].map(|name| fs::read_to_string(operator.path(name)).unwrap()).into();
    assert!(log.contains("\"TRACE\"") && log.contains("state of the process"));
    assert!(audit.contains("ChangeTokens") && audit.contains("token:app"), "{audit}");
    for (name, text) in [("log", &log), ("audit", &audit), ("pages", &pages), ("answer", &answered.out)] {
        assert!(!text.contains("canary"), "the {name} has a token");
    }
}

#[test]
fn credentials_that_cannot_be_used_stop_the_start_all_at_once() {
    let (operator, policies) = (Operator::new(), directory(GOOD));
    fs::set_permissions(operator.path("tokens"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut arguments = vec!["serve", text(policies.path()), "--listen", "127.0.0.1:0", "--http-listen", ""];
    let flags = operator.flags(&[
        ("--tls-certificate", "none"),
        ("--tls-key", "token"),
        ("--tls-client-ca", "server.key"),
        ("--token-file", "tokens"),
    ]);
    arguments.extend(flags.iter().map(String::as_str));
    let refused = run(&arguments);
    assert_eq!(refused.code, 64);
    for part in ["`tls_certificate` is", "`tls_key` is", "`tls_client_ca` is", "`token_file` is", "0644"] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    assert!(!refused.err.contains("canary") && refused.out.is_empty());

    let exposed = run(&["serve", text(policies.path()), "--listen", "0.0.0.0:0", "--http-listen", ""]);
    assert_eq!(exposed.code, 64);
    assert!(exposed.err.contains("which other machines reach without a credential"), "{}", exposed.err);
}

#[test]
fn a_token_is_not_sent_in_plain_text() {
    let operator = Operator::new();
    let mut arguments = vec!["status", "--server", "192.0.2.1:8180"];
    let flags = operator.flags(&[("--token-file", "token")]);
    arguments.extend(flags.iter().map(String::as_str));
    let refused = run(&arguments);
    assert_eq!(refused.code, 64);
    assert!(refused.err.contains("use https") && !refused.err.contains("canary"), "{}", refused.err);
}

/// Who is at the other end is the kernel's word: needs root, to be somebody else.
#[test]
fn another_user_is_closed_before_it_is_read() {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        eprintln!("SKIPPED: only root can connect as another user");
        return;
    }
    const NOBODY: &str = "65534";
    let policies = directory(GOOD);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("socket");
    // The tests' own program may stand where nobody can reach it.
    let copy = folder.path().join("portcullis");
    fs::copy(env!("CARGO_BIN_EXE_portcullis"), &copy).unwrap();
    for (allowed, serves) in [("0", false), (NOBODY, true)] {
        let mut command = program();
        command.args(["serve", text(policies.path()), "--uds", text(&socket)]);
        command.args(["--listen", "", "--http-listen", ""]).env("PORTCULLIS_UDS_ALLOWED_UIDS", allowed);
        let mut serving = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(serving.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("loaded ") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "it serves");
        }
        // The permissions of the socket are not what keeps it out here.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let asked = Command::new("setpriv")
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
            .args([text(&copy), "healthcheck", "--uds", text(&socket)])
            .output()
            .unwrap();
        assert_eq!(asked.status.success(), serves, "{}", String::from_utf8_lossy(&asked.stderr));
        let pid = serving.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(serving.wait().unwrap().success());
    }
}
