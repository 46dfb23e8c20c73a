//! The commands, one file each; this one picks.

mod audit;
mod authorize;
mod check;
mod config;
mod directory;
mod explain;
mod inject;
mod paper;
mod remote;
mod serve;
mod simulate;
mod status;

use crate::args::{Arguments, Command};
use crate::exit::Exit;

/// Runs what was asked for.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    match arguments.command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Check(check) => check::run(&check),
        Command::Authorize(authorize) => authorize::run(&authorize),
        Command::Explain(explain) => explain::run(&explain),
        Command::Simulate(simulate) => simulate::run(&simulate),
        Command::Status(status) => status::status(&status),
        Command::Wait(wait) => status::wait(&wait),
        Command::Healthcheck(healthcheck) => status::healthcheck(&healthcheck),
        Command::Audit(audit) => audit::run(&audit),
        Command::Inject(inject) => inject::run(&inject),
        Command::Config(config) => config::run(&config),
        Command::Completions { shell } => paper::completions(shell),
        Command::Man { directory } => paper::man(&directory),
    }
}
