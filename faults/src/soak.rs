//! Load on the real process for a long time, while its policies change under it.
//!
//! First in quiet, then in a storm: policy sets are swapped, some of them broken, SIGHUP comes, connections come and go.
//! Of everything that is answered it is known what is right, and every answer must have its record. Prints a line now and
//! then and a table at the end; what has a bound and breaks it ends the process with 1. Waiting times have none: caller and
//! service share the processors.

mod harvest;
mod ledger;
mod load;
mod meter;
mod questions;
mod sample;
mod storm;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use rustix::process::Signal;

use self::harvest::Harvest;
use self::load::Load;
use self::sample::Samples;
use self::storm::Storm;
use self::table::{Found, Row};
use crate::config_map::ConfigMap;
use crate::lab::Lab;
use crate::report::complain;
use crate::sidecar::{NEVER, Plan, Sidecar};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Between two looks at the process.
const LOOK: Duration = Duration::from_millis(500);
/// The audit file is rotated often, so that rotation is part of the load.
const AUDIT_FILE_BYTES: u64 = 16 << 20;

/// Holds load on a sidecar while its policies change, and checks every answer and every record.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  cargo build -p portcullis && cargo run -p portcullis-faults --bin soak -- --minutes 1
  cargo build --release -p portcullis && cargo run --release -p portcullis-faults --bin soak -- --minutes 120 --share 70

Exit codes: 0 every bound holds, 1 one is broken, 64 usage.")]
pub(crate) struct Arguments {
    /// How long, the quiet part included.
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// Load in percent of what the same callers reach without a pause.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    share: u32,
    /// Connections at a time: half over TCP, half over the socket; of four, two make single calls, one batches, one streams.
    #[arg(long, value_name = "N", default_value_t = 16)]
    connections: usize,
    /// Swaps of the policy set each second; every tenth second ten times as many.
    #[arg(long, value_name = "N", default_value_t = 4.0)]
    swaps: f64,
    /// By how many MiB resident memory may grow after warming up, as its slope has it.
    #[arg(long, value_name = "MIB", default_value_t = 8.0)]
    growth_max: f64,
    /// A table or one JSON value.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// The program under test [default: `portcullis` beside this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

/// Reads the command line, holds the load and prints what came of it.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = || -> anyhow::Result<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let rows = runtime.block_on(soak(&arguments))?;
        match arguments.output {
            Output::Table => table::write(&rows)?,
            Output::Json => table::write_json(&rows)?,
        }
        Ok(rows.iter().all(Row::holds))
    };
    match run() {
        Ok(holds) => ExitCode::from(u8::from(!holds)),
        Err(error) => {
            complain(&error);
            ExitCode::from(64)
        }
    }
}

/// How long each part lasts.
struct Parts {
    /// At full speed, to learn what that is.
    full: Duration,
    /// At its share, without a storm.
    quiet: Duration,
    storm: Duration,
    /// Of the storm: memory may still grow.
    warm_up: Duration,
}

impl Parts {
    fn of(minutes: f64) -> anyhow::Result<Self> {
        ensure!(minutes.is_finite() && (0.1..=100_000.0).contains(&minutes), "--minutes is at least 0.1");
        let whole = Duration::from_secs_f64(minutes * 60.0);
        let (full, quiet) =
            ((whole / 10).min(Duration::from_secs(10)), (whole / 5).min(Duration::from_secs(60)));
        let storm = whole.saturating_sub(full + quiet);
        Ok(Self { full, quiet, storm, warm_up: (storm / 5).min(Duration::from_secs(180)) })
    }
}

async fn soak(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let parts = Parts::of(arguments.minutes)?;
    let lab = Lab::open(arguments.program.clone(), 0)?;
    let folder = lab.folder("policies")?;
    let mut map = ConfigMap::new(&folder);
    map.publish(0, &questions::policies(0))?;
    let (audit, socket) = (lab.folder("audit")?.join("audit.jsonl"), lab.folder("socket")?.join("s"));
    let mut sidecar = plan(&lab, &folder, &audit, &socket).serving().await?;
    let rest = Samples::one(&sidecar)?;
    let load = Load::start(&sidecar.address, &socket, arguments.connections);
    let harvest = Harvest::start(&lab, &audit);

    tokio::time::sleep(parts.full).await;
    let full = load.next_part().per_second();
    load.pace(full * f64::from(arguments.share) / 100.0);
    // What was under way at full speed is no part of the quiet one.
    tokio::time::sleep(LOOK).await;
    load.next_part();
    tokio::time::sleep(parts.quiet).await;
    let quiet = load.next_part();

    let storm = Storm::start(map, sidecar.process()?, arguments.swaps, load.written());
    load.churn(true);
    let samples = weather(&sidecar, &load, &parts).await?;
    let written = storm.end()?;
    let stormy = load.next_part();
    let reloads = Reloads::of(&sidecar).await?;
    let all = load.end().await?;
    let after = at_rest(&sidecar, &rest).await?;
    let lost = sidecar.metric("portcullis_audit_lost_total", "").await?;
    let panics = sidecar.metric("portcullis_panics_total", "").await?;
    sidecar.signal(Signal::TERM)?;
    let status = sidecar.ended(NEVER).await?;
    let trail = harvest.end().context("the audit trail")?;
    Ok(table::rows(&Found {
        arguments,
        full,
        quiet,
        stormy,
        all,
        samples,
        rest,
        after,
        written,
        reloads,
        trail,
        lost,
        panics,
        status,
    }))
}

fn plan(lab: &Lab, policies: &Path, audit: &Path, socket: &Path) -> Plan {
    Plan::new(lab, policies)
        .set("poll_interval_ms", 1_000)
        .set("uds", socket.display())
        .set("audit_file", audit.display())
        .set("audit_chain", true)
        .set("audit_rotate_bytes", AUDIT_FILE_BYTES)
        // What was verified is deleted here, and by nobody else.
        .set("audit_files_max", 0)
        .set("audit_total_bytes_max", 0)
}

/// Looks at the process until the storm is over.
async fn weather(sidecar: &Sidecar, load: &Load, parts: &Parts) -> anyhow::Result<Samples> {
    let (begun, mut told) = (Instant::now(), Instant::now());
    let mut samples = Samples::new(parts.warm_up);
    while begun.elapsed() < parts.storm {
        tokio::time::sleep(LOOK).await;
        samples.take(begun.elapsed(), sidecar)?;
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let reloads = Reloads::of(sidecar).await?;
            table::progress(begun.elapsed(), &load.since_last_look(), &samples, reloads)?;
        }
    }
    Ok(samples)
}

/// Reloads so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reloads {
    published: f64,
    rejected: f64,
}

impl Reloads {
    async fn of(sidecar: &Sidecar) -> anyhow::Result<Self> {
        let (_, page) = sidecar.page("/metrics").await?;
        let of = |result| crate::page::metric(&page, "portcullis_policy_reloads_total", result);
        Ok(Self { published: of("published"), rejected: of("rejected") })
    }
}

/// Without callers again: waits until it holds no more than before, and tells what it holds.
async fn at_rest(sidecar: &Sidecar, before: &Samples) -> anyhow::Result<Samples> {
    let begun = Instant::now();
    loop {
        let now = Samples::one(sidecar)?;
        if now.is_within(before) || begun.elapsed() > NEVER {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}
