//! Tries every target for a while: its seeds, its hostile inputs, then changed seeds. Needs no nightly compiler.
//!
//! Bounded in time and in count. A broken promise is reported with the input that broke it, cut down to the smallest that
//! still does, and the process ends with 1.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use portcullis_fuzz_checks::{Mutator, TARGETS, Target};

/// Processor time of one input; what takes longer grows faster than its length.
const INPUT_MAX: Duration = Duration::from_secs(10);

/// Processor time of one input that is worth a line.
const SLOW: Duration = Duration::from_secs(1);

/// Tries what must hold for any bytes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Targets to try; default: all.
    targets: Vec<String>,
    /// Seconds for all of them together, beside seeds and hostile inputs.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Changed inputs of one target.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Where the random numbers begin; default: the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Tries one file with one target and does nothing else.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where an input that breaks a promise is kept.
    #[arg(long, default_value = "artifacts")]
    artifacts: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let named = |target: &&Target| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|it| it == target.name)
    };
    let targets: Vec<&Target> = TARGETS.iter().filter(named).collect();
    if targets.is_empty() || (!arguments.targets.is_empty() && targets.len() != arguments.targets.len()) {
        let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("unknown target; there are {}", known.join(", "));
        return ExitCode::from(64);
    }
    if let Some(file) = &arguments.input {
        return match std::fs::read(file) {
            Ok(bytes) => {
                targets.iter().for_each(|target| (target.check)(&bytes));
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                ExitCode::from(66)
            }
        };
    }
    let number = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {number}");
    let share = Duration::from_secs(arguments.seconds) / u32::try_from(targets.len()).unwrap_or(1);
    let mut failed = false;
    for target in targets {
        failed |= !try_target(target, share, number, &arguments);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What a target was tried with.
#[derive(Default)]
struct Tried {
    seeds: u64,
    hostile: u64,
    changed: u64,
    slowest: Duration,
}

fn try_target(target: &Target, share: Duration, number: u64, arguments: &Arguments) -> bool {
    let begun = Instant::now();
    let mut tried = Tried::default();
    let seeds = (target.seeds)();
    let result = (|| {
        for seed in &seeds {
            tried.seeds += 1;
            try_input(target, seed, &mut tried.slowest)?;
        }
        let slowest_seed = tried.slowest;
        for input in (target.hostile)() {
            tried.hostile += 1;
            try_input(target, &input, &mut tried.slowest)?;
        }
        tried.slowest = tried.slowest.max(slowest_seed);
        let mut mutator = Mutator::new(target, seeds.clone(), number);
        let end = Instant::now() + share;
        while tried.changed < arguments.count && Instant::now() < end {
            tried.changed += 1;
            try_input(target, &mutator.next_input(), &mut tried.slowest)?;
        }
        Ok(())
    })();
    let Tried { seeds, hostile, changed, slowest } = tried;
    println!(
        "{:<22} {seeds:>5} seeds {hostile:>3} hostile {changed:>9} changed  slowest {:>7.1} ms  {:>5.1} s",
        target.name,
        slowest.as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64(),
    );
    let Err((input, why)) = result else { return true };
    let smallest = shrunk(target, input);
    let name = format!("{}-{number}-{changed}", target.name);
    let path = arguments.artifacts.join(&name);
    let kept = std::fs::create_dir_all(&arguments.artifacts).and_then(|()| std::fs::write(&path, &smallest));
    println!(
        "FAILED {}: {why}\n  input: {}",
        target.name,
        smallest[..smallest.len().min(500)].escape_ascii()
    );
    match kept {
        Ok(()) => {
            println!("  kept in {}; again: short {} --input {}", path.display(), target.name, path.display())
        }
        Err(error) => println!("  not kept: {error}"),
    }
    false
}

fn try_input(target: &Target, input: &[u8], slowest: &mut Duration) -> Result<(), (Vec<u8>, String)> {
    let begun = processor_time();
    let caught = catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    let took = processor_time().saturating_sub(begun);
    *slowest = took.max(*slowest);
    if took > SLOW {
        println!(
            "  slow: {took:.1?} for {} bytes: {}",
            input.len(),
            input[..input.len().min(200)].escape_ascii()
        );
    }
    match caught {
        Err(panic) => Err((input.to_vec(), text_of(&*panic))),
        Ok(()) if took > INPUT_MAX => Err((input.to_vec(), format!("took {took:?}"))),
        Ok(()) => Ok(()),
    }
}

/// Of this thread: a busy machine makes no input slow.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Leaves out what is not needed to break the promise: halves, then smaller parts, then single bytes.
fn shrunk(target: &Target, mut input: Vec<u8>) -> Vec<u8> {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let breaks = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.check)(input))).is_err();
    let end = Instant::now() + Duration::from_secs(10);
    let mut part = input.len() / 2;
    while part > 0 && Instant::now() < end {
        let mut place = 0;
        while place < input.len() && Instant::now() < end {
            let mut shorter = input.clone();
            shorter.drain(place..(place + part).min(input.len()));
            if breaks(&shorter) { input = shorter } else { place += part }
        }
        part /= 2;
    }
    std::panic::set_hook(quiet);
    input
}
