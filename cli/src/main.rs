//! `portcullis`: serve, check, ask, explain and simulate IAM policies.
//!
//! Reads like a procedure: take the arguments, run one command, turn its outcome into an exit code.

mod args;
mod command;
mod configuration;
mod exit;
mod log;
mod render;
mod request;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Arguments;
use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return exit::of_clap(&answer).into(),
    };
    match command::run(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => exit::of_error(&error).into(),
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
