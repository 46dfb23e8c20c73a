//! The flags of `audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::Output;

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// What is done with audit files.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the records that match.
    Query(AuditQuery),
    /// Find what is missing, changed, doubled or torn.
    Verify(AuditVerify),
    /// Print the last records, and with --follow those to come.
    Tail(AuditTail),
}

/// Which files are read.
#[derive(Debug, Args)]
pub(crate) struct AuditFiles {
    /// Audit files, oldest first; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Before each file, read the older ones that were set aside from it: FILE.000001, FILE.000002 and so on.
    #[arg(long)]
    pub(crate) rotated: bool,
}

/// Which records are meant. All that is given must hold.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filter")]
pub(crate) struct AuditFilter {
    /// The principal's ARN, with `*` for any run of characters and `?` for any one.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) principal: Option<String>,
    /// The action, in any case, such as `orders:Delete*`; a pattern without `:` is of the name alone.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) action: Option<String>,
    /// The resource's ARN.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) resource: Option<String>,
    /// What was decided.
    #[arg(long, value_enum)]
    pub(crate) decision: Option<DecisionName>,
    /// Why: Allowed, ExplicitDeny, ImplicitDeny or EvaluationLimit.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Not before this time: RFC 3339, or how long ago such as 90s, 15m, 2h, 7d.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Not after this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The request id that an answer carried.
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// Only what happened to the service itself: starts, reloads, losses.
    #[arg(long, conflicts_with_all = ["principal", "action", "resource", "decision", "reason", "request_id"])]
    pub(crate) service: bool,
}

/// A decision to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecisionName {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
}

/// `audit query`.
#[derive(Debug, Args)]
#[command(after_help = "Json prints each record as it stands in the file.

Examples:
  portcullis audit query --decision deny --since 1h audit.jsonl
  portcullis audit query --rotated --principal '*:user/alice' --action 'orders:Delete*' audit.jsonl
  kubectl logs pod -c portcullis | portcullis audit query --output json --reason ExplicitDeny")]
pub(crate) struct AuditQuery {
    #[command(flatten)]
    pub(crate) files: AuditFiles,
    #[command(flatten)]
    pub(crate) filter: AuditFilter,
    /// Stop after this many.
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// How records are written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `audit verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits 4 when anything is found. Records are numbered by process, so gaps and doubles show in any
file; with audit_chain on, a changed record shows too. Losses that the service told of are findings as well.

Examples:
  portcullis audit verify --rotated /var/log/portcullis/audit.jsonl
  portcullis audit verify --output json audit.jsonl.000001 audit.jsonl"
)]
pub(crate) struct AuditVerify {
    #[command(flatten)]
    pub(crate) files: AuditFiles,
    /// How the report is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `audit tail`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis audit tail --follow --decision deny audit.jsonl
  portcullis audit tail --lines 100 --output json audit.jsonl")]
pub(crate) struct AuditTail {
    /// The audit file.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// How many of the last records.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
    pub(crate) lines: usize,
    /// Wait for more, across rotations, until interrupted; also for a file that is not there yet.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Milliseconds to go on after SIGTERM, or until the service has recorded its own end.
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "follow")]
    pub(crate) linger_ms: u64,
    #[command(flatten)]
    pub(crate) filter: AuditFilter,
    /// How records are written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}
