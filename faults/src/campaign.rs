//! Named faults, each injected into the real process, each with its required outcome.
//!
//! Runs several at a time, each on a thread and a runtime of its own, each bounded in time. Prints a table and ends with 1
//! when any outcome is not the required one. What cannot be injected here is shown as skipped with its reason and never
//! counted as passed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::fault::{Fault, Finding, Verdict};
use crate::lab::{self, Lab};
use crate::{catalogue, report};

/// Injects named faults into the real process and checks each outcome.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  cargo build -p portcullis && cargo run -p portcullis-faults
  cargo run -p portcullis-faults -- --only F21,F22
  cargo run -p portcullis-faults -- --ci

Exit codes: 0 no fault had another outcome than the required one, 1 one had, 64 usage.")]
struct Arguments {
    /// Only these faults, as `F21,F22`.
    #[arg(long, value_delimiter = ',', value_name = "FAULTS")]
    only: Vec<String>,
    /// Only what needs no rights, no packages and little time.
    #[arg(long)]
    ci: bool,
    /// Lists the faults and ends.
    #[arg(long)]
    list: bool,
    /// Writes one JSON value instead of a table.
    #[arg(long)]
    json: bool,
    /// The program under test [default: `portcullis` beside this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Faults injected at the same time [default: the number of processors]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How often the process is killed in the faults that kill it.
    #[arg(long, value_name = "N", default_value_t = 20)]
    kills: u32,
}

/// Reads the command line, runs the campaign and prints what came of it.
#[must_use]
pub fn main() -> ExitCode {
    match begin(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            report::complain(&error);
            ExitCode::from(64)
        }
    }
}

fn begin(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let faults = catalogue::select(&arguments.only, arguments.ci)?;
    if arguments.list {
        report::list(&faults)?;
        return Ok(ExitCode::SUCCESS);
    }
    lab::leave_the_mounts_alone()?;
    let lab = Lab::open(arguments.program.clone(), arguments.kills)?;
    let jobs = arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(2, usize::from));
    let (findings, took) = run(&lab, &faults, jobs);
    report::write(&findings, took, arguments.json)?;
    let failed = findings.iter().any(|finding| matches!(finding.verdict, Verdict::Fail(_)));
    Ok(ExitCode::from(u8::from(failed)))
}

/// All verdicts in the order of the faults, and the time that they took together.
fn run<'a>(lab: &Lab, faults: &'a [Fault], jobs: usize) -> (Vec<Finding<'a>>, Duration) {
    let begun = Instant::now();
    let (alone, together): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| fault.alone);
    // The long ones first, so that the end is not one long one.
    let (quick, slow): (Vec<_>, Vec<_>) = together.into_iter().partition(|fault| fault.quick);
    let waiting = Mutex::new(slow.into_iter().chain(quick).collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(fault) = next else { return };
                    let finding = examine(lab, fault);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
                }
            });
        }
    });
    let mut findings = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.extend(alone.into_iter().map(|fault| examine(lab, fault)));
    findings.sort_by_key(|finding| finding.fault.id);
    (findings, begun.elapsed())
}

fn examine<'a>(lab: &Lab, fault: &'a Fault) -> Finding<'a> {
    let begun = Instant::now();
    let verdict = match fault.needs.iter().find_map(|need| lab.lacks(*need)) {
        Some(lack) => Verdict::Skip(lack),
        None => {
            // More kills take more time.
            let limit = fault.limit + Duration::from_secs(2) * lab.kills();
            bounded(limit, || (fault.run)(lab.clone()))
        }
    };
    Finding { fault, verdict, took: begun.elapsed() }
}

fn bounded<F>(limit: Duration, run: impl FnOnce() -> F) -> Verdict
where
    F: Future<Output = anyhow::Result<String>>,
{
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Verdict::Fail(format!("no runtime: {error}")),
    };
    match runtime.block_on(async { tokio::time::timeout(limit, run()).await }) {
        Ok(Ok(observed)) => Verdict::Pass(observed),
        Ok(Err(error)) => Verdict::Fail(format!("{error:#}")),
        Err(_) => Verdict::Fail(format!("not done within {} s", limit.as_secs())),
    }
}
