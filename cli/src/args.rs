//! The command line: names, help texts and examples. Nothing is decided here.

mod audit;
mod inject;
mod question;
mod transport;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use portcullis_store::Revision;

pub(crate) use audit::{
    Audit, AuditCommand, AuditFiles, AuditFilter, AuditQuery, AuditTail, AuditVerify, DecisionName,
};
pub(crate) use inject::{Inject, InjectAudit};
pub(crate) use question::Question;
pub(crate) use transport::Transport;

/// The version with the commit it was built from, when the build was told: `0.1.0 (commit abc)`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("PORTCULLIS_COMMIT").unwrap_or("unknown");
    format!("{} (commit {commit})", env!("CARGO_PKG_VERSION"))
});

const EXIT_CODES: &str = "Exit codes: 0 yes or ok, 1 could not run, 2 denied, 3 policies rejected, \
4 expectations not met, 64 usage.

Examples:
  aws iam get-account-authorization-details > policies/account.json
  portcullis check policies/
  portcullis serve policies/
  portcullis authorize --at policies/ --principal arn:aws:iam::111122223333:user/alice \\
      --action s3:GetObject --resource arn:aws:s3:::reports/2026.csv";

/// An authorization sidecar with the exact semantics of AWS IAM.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version = VERSION.as_str(), after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the sidecar on a policy directory.
    Serve(Serve),
    /// Load a policy directory as the sidecar would and report every problem.
    Check(Check),
    /// Ask one question: may this principal do this action on this resource?
    Authorize(Authorize),
    /// Show the whole walk of one question, layer by layer.
    Explain(Explain),
    /// Answer JSON Lines of requests, each with its own policies or all on one directory.
    Simulate(Simulate),
    /// Show what a running sidecar has loaded.
    Status(Status),
    /// Wait until a running sidecar serves a revision.
    Wait(Wait),
    /// Exit 0 when a sidecar is serving; for probes in an image without a shell.
    Healthcheck(Healthcheck),
    /// Search, follow and verify audit files.
    Audit(Audit),
    /// Put the sidecar into plain Kubernetes manifests, or take it out.
    Inject(Inject),
    /// Show the configuration.
    Config(Config),
    /// Print a completion script.
    #[command(after_help = "Example:\n  portcullis completions bash > /etc/bash_completion.d/portcullis")]
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for each command.
    #[command(after_help = "Example:\n  portcullis man /usr/local/share/man/man1")]
    Man {
        /// The directory to write them to; made when missing.
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Human,
    /// One JSON value.
    Json,
}

/// How `check` writes its findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum CheckOutput {
    /// Source lines with carets.
    #[default]
    Human,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code-scanning services.
    Sarif,
}

/// How strict a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Mode {
    /// What AWS may already hold loads.
    #[default]
    Lenient,
    /// What AWS accepts in a create or put call today.
    Strict,
}

/// Settings that file, environment and flags may all give.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Settings {
    /// Configuration file (TOML) [env: PORTCULLIS_CONFIG]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Where gRPC listens; port 0 is any free port [default: 127.0.0.1:8180]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Where health and metrics listen over HTTP [default: 127.0.0.1:8181]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http_listen: Option<String>,
    /// Unix socket on which gRPC listens as well
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) uds: Option<String>,
    /// Certificate chain (PEM) with which gRPC is spoken over TLS
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) tls_certificate: Option<String>,
    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) tls_key: Option<String>,
    /// Authorities (PEM) of which every caller over TLS must show a certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) tls_client_ca: Option<String>,
    /// Bearer tokens that calls need, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<String>,
    /// How strict to load: lenient or strict [default: lenient]
    #[arg(long, value_name = "MODE")]
    pub(crate) load_mode: Option<String>,
    /// When the policies do not load at the start: wait or exit [default: wait]
    #[arg(long, value_name = "WHAT")]
    pub(crate) startup: Option<String>,
    /// How often the directory is read whether or not an event came [default: 5000]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub(crate) poll_interval_ms: Option<String>,
    /// The file that gets a record of every decision; `-` is standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) audit_file: Option<String>,
    /// When an answer waits for its record: off, drop, block or sync [default: block]
    #[arg(long, value_name = "MODE")]
    pub(crate) audit_mode: Option<String>,
    /// What is logged, in the words of tracing's filter [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How it is logged: human, json, or auto for human on a terminal and json elsewhere [default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Settings come from defaults, then the file, then PORTCULLIS_* variables, then flags.

Examples:
  portcullis serve policies/
  portcullis serve policies/ --uds /run/portcullis/pdp.sock
  PORTCULLIS_LISTEN=127.0.0.1:0 portcullis serve policies/
  portcullis serve policies/ --listen 0.0.0.0:8180 --tls-certificate tls.crt --tls-key tls.key \
      --tls-client-ca clients.pem
  portcullis serve policies/ --listen 127.0.0.1:0 -- pytest tests/

A command after -- starts when the policies are loaded, finds the sidecar in PORTCULLIS_ADDRESS,
PORTCULLIS_SOCKET and PORTCULLIS_HTTP_ADDRESS, gets SIGTERM and SIGINT, and gives serve its exit code.

Signals: SIGTERM drains and ends, a second one cuts; SIGHUP reads policies, certificates, tokens, the audit
file and the log's filter again; SIGUSR1 logs the state; SIGUSR2 logs everything, or again what is configured.")]
pub(crate) struct Serve {
    /// The policy directory; may come from the configuration instead.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// How the start-up lines are written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// A command to run beside the sidecar.
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// `check`.
#[derive(Debug, Args)]
#[command(after_help = "Exits 3 when a problem is an error.

Examples:
  portcullis check policies/
  portcullis check --deny-warnings --output sarif policies/ > portcullis.sarif")]
pub(crate) struct Check {
    /// The policy directory.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
    /// Exit 3 on warnings too.
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// How strict to load.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) load_mode: Mode,
    /// How findings are written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: CheckOutput,
}

/// `authorize`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits 0 on Allow and 2 on Deny; with --expect 0 when the answer is that and 4 when it is the other.

Examples:
  portcullis authorize --at policies/ --principal arn:aws:iam::111122223333:user/alice \\
      --action orders:GetOrder --resource arn:acme:orders:eu-1:111122223333:order/42 \\
      --context aws:SourceIp=10.1.2.3 --context 'aws:TagKeys:=[\"team\"]'
  portcullis authorize --server 127.0.0.1:8180 --principal ec2.amazonaws.com \\
      --action sts:AssumeRole --resource arn:aws:iam::111122223333:role/worker"
)]
pub(crate) struct Authorize {
    #[command(flatten)]
    pub(crate) question: Question,
    #[command(flatten)]
    pub(crate) source: PolicySource,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// The decision that is right.
    #[arg(long, value_enum, value_name = "DECISION")]
    pub(crate) expect: Option<DecisionName>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --at, --context may also give keys that the engine owns: they override what it derives.

Example:
  portcullis explain --at policies/ --principal arn:aws:iam::111122223333:user/alice \\
      --action s3:GetObject --resource arn:aws:s3:::reports/2026.csv --context aws:MultiFactorAuthPresent=false"
)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) question: Question,
    #[command(flatten)]
    pub(crate) source: PolicySource,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Where the policies are.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PolicySource {
    /// Load this policy directory and decide here.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) at: Option<PathBuf>,
    /// Ask a running sidecar.
    #[arg(long, value_name = "ADDR")]
    pub(crate) server: Option<String>,
    /// Ask a running sidecar on its Unix socket.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) uds: Option<PathBuf>,
}

/// Which sidecar to talk to.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Sidecar {
    /// Its address [default: 127.0.0.1:8180]
    #[arg(long, value_name = "ADDR")]
    pub(crate) server: Option<String>,
    /// Its Unix socket.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) uds: Option<PathBuf>,
}

/// `simulate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each line is {\"Policies\": {..}, \"Request\": {..}}, or with --at a request alone or {\"Request\": {..}}.
Each answer is one line, in order; blank lines are skipped. With --expect only the lines whose answer
differs from their \"Expect\" are printed, then a count, and the exit code is 4 when any differs.

Examples:
  portcullis simulate cases.jsonl
  portcullis simulate --expect < corpus/semantics.jsonl
  echo '{\"Principal\": \"arn:aws:iam::111122223333:user/alice\", \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::b/k\"}' |
      portcullis simulate --at policies/"
)]
pub(crate) struct Simulate {
    /// The file to read; `-` is standard input.
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Decide every line on this policy directory.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) at: Option<PathBuf>,
    /// Compare each answer with the line's `Expect`.
    #[arg(long)]
    pub(crate) expect: bool,
    /// How strict policies are loaded.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) load_mode: Mode,
    /// How the count of --expect is written; answers are always JSON.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis status --server 127.0.0.1:8180 --output json
  portcullis status --server https://pdp.example:8180 --tls-ca ca.pem --token-file token")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) sidecar: Sidecar,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `wait`.
#[derive(Debug, Args)]
#[command(after_help = "Exits 0 when the sidecar serves the revision, 1 when it does not in time.

Example:
  portcullis wait --revision \"$(portcullis check --output json policies/ | jq -r .Revision)\"")]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) sidecar: Sidecar,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// The revision to wait for, in full.
    #[arg(long)]
    pub(crate) revision: Revision,
    /// How long to wait, also for a sidecar that is not there yet.
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub(crate) timeout_ms: u64,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `healthcheck`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  portcullis healthcheck --uds /run/portcullis/pdp.sock")]
pub(crate) struct Healthcheck {
    #[command(flatten)]
    pub(crate) sidecar: Sidecar,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// How long to wait for an answer.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    pub(crate) timeout_ms: u64,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  PORTCULLIS_LOG=debug portcullis config --effective --config portcullis.toml"
)]
pub(crate) struct Config {
    /// Print each value and where it came from, instead of a file with the defaults.
    #[arg(long)]
    pub(crate) effective: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// How the values are written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}
