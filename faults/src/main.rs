//! Named faults, each injected into the real process, each with its required outcome.
//!
//! Starts `portcullis serve` again and again, breaks something around it, and asks it through its own interfaces: gRPC,
//! the pages, the audit file, the log. Prints a table and exits 1 when any outcome is not the required one. What cannot be
//! injected here is shown as skipped with its reason and never counted as passed.

mod attacks;
mod authority;
mod caller;
mod calls;
mod campaign;
mod catalogue;
mod content;
mod fault;
mod files;
mod frames;
mod identity;
mod lab;
mod neighbours;
mod page;
mod places;
mod policies;
mod process;
mod report;
mod sidecar;
mod trail;
mod trouble;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

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

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            report::complain(&error);
            ExitCode::from(64)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let faults = catalogue::select(&arguments.only, arguments.ci)?;
    if arguments.list {
        report::list(&faults)?;
        return Ok(ExitCode::SUCCESS);
    }
    lab::leave_the_mounts_alone()?;
    let lab = lab::Lab::open(arguments.program.clone(), arguments.kills)?;
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let (findings, took) = campaign::run(&lab, &faults, jobs);
    report::write(&findings, took, arguments.json)?;
    let failed = findings.iter().any(|finding| matches!(finding.verdict, fault::Verdict::Fail(_)));
    Ok(ExitCode::from(u8::from(failed)))
}
