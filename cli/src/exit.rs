//! Every exit code of the program, and the one place that turns a failure into one.

use std::fmt;
use std::io::Write as _;

use crate::configuration::Rejected;
use crate::render::configuration::write_rejected;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Yes, allowed, in order.
    Ok,
    /// The command could not do its work (a file, a socket, a sidecar that does not answer).
    CouldNotRun,
    /// The answer is Deny.
    Denied,
    /// The policies do not load.
    PoliciesRejected,
    /// An expectation was not met.
    ExpectationsFailed,
    /// The command line or the configuration is wrong.
    Usage,
    /// The command that `serve` ran beside the sidecar ended so.
    OfCommand(u8),
}

impl Exit {
    /// The number that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::CouldNotRun => 1,
            Self::Denied => 2,
            Self::PoliciesRejected => 3,
            Self::ExpectationsFailed => 4,
            Self::Usage => 64,
            Self::OfCommand(code) => code,
        }
    }
}

/// A mistake in what the user wrote on the command line or in the configuration.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A usage error as an error of the command.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(UsageError(message.into()))
}

/// Prints clap's answer; help and version are no errors.
pub(crate) fn of_clap(answer: &clap::Error) -> Exit {
    // A closed pipe leaves nobody to tell.
    let _ = answer.print();
    if answer.use_stderr() { Exit::Usage } else { Exit::Ok }
}

/// Prints why the command failed, the causes behind it included.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    if let Some(rejected) = error.downcast_ref::<Rejected>() {
        // Nobody is left to tell when standard error is closed.
        let _ = write_rejected(&mut anstream::stderr().lock(), rejected);
        return Exit::Usage;
    }
    let closed_pipe = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
    if !closed_pipe {
        let _ = writeln!(anstream::stderr(), "error: {error:#}");
    }
    if error.downcast_ref::<UsageError>().is_some() { Exit::Usage } else { Exit::CouldNotRun }
}
