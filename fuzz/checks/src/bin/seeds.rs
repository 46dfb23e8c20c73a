//! Writes the seeds of every target where libFuzzer looks for them: `corpus/TARGET/` of the given folder.

use std::path::PathBuf;
use std::process::ExitCode;

use portcullis_fuzz_checks::TARGETS;

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("corpus"), PathBuf::from);
    for target in TARGETS {
        let seeds = (target.seeds)();
        let own = folder.join(target.name);
        let written = std::fs::create_dir_all(&own).and_then(|()| {
            let mut numbered = seeds.iter().enumerate();
            numbered.try_for_each(|(at, seed)| std::fs::write(own.join(format!("seed-{at:05}")), seed))
        });
        if let Err(error) = written {
            eprintln!("{}: {error}", own.display());
            return ExitCode::from(73);
        }
        println!("{:<22} {:>5} seeds", target.name, seeds.len());
    }
    ExitCode::SUCCESS
}
