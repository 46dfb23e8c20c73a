//! Writes a generated world to a directory: `world W4 --seed 7 --out DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use portcullis_benches::{Shape, World, generate::SHAPES, write};

/// Writes a generated world: DIR/policies/*.json and DIR/requests.jsonl, one question with its answer a line.
#[derive(Debug, Parser)]
struct Arguments {
    /// The name of the world.
    #[arg(value_parser = shape)]
    world: Shape,
    /// The same world and seed give the same files everywhere.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where the files go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn shape(name: &str) -> Result<Shape, String> {
    Shape::named(name).ok_or_else(|| {
        let known = SHAPES.iter().map(|shape| format!("\n  {:<7} {}", shape.name, shape.about));
        format!("one of{}", known.collect::<String>())
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let world = arguments.world.world(arguments.seed);
    match check(&world).and_then(|()| write(&world, &arguments.out).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprint(&problem);
            ExitCode::FAILURE
        }
    }
}

/// A world is only written when the engine agrees with its answers.
fn check(world: &World) -> Result<(), String> {
    world.check(&world.build()?)
}

fn eprint(problem: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{problem}");
}
