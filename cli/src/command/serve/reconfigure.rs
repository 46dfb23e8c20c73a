//! The configuration, read again while the process runs.
//!
//! A file system that hangs holds one thread and nothing else: not the signals, not the accepting, not the pages.

use std::convert::Infallible;
use std::time::Duration;

use portcullis_server::{Config, Lifecycle, Reconfigured};
use tokio::sync::watch;
use tokio::time::sleep;

use super::signals::record;
use crate::args::Serve;
use crate::configuration::{Configuration, Purpose, Rejected};
use crate::log::Log;

/// A reading that takes longer is worth a log line, again and again.
const SLOW: Duration = Duration::from_secs(5);

/// What the process was started with.
#[derive(Debug)]
pub(super) struct Started<'s> {
    pub(super) serve: &'s Serve,
    pub(super) config: Config,
}

/// Reads it whenever `reloads` says so, until it is dropped; those that come while it is read are one more.
pub(super) async fn follow(
    started: &Started<'_>,
    lifecycle: &Lifecycle,
    log: &Log,
    mut reloads: watch::Receiver<u64>,
) -> Infallible {
    while reloads.changed().await.is_ok() {
        match read(started.serve).await {
            Some(Ok(configuration)) => take_up(&configuration, started, lifecycle, log),
            Some(Err(rejected)) => {
                let error = rejected.to_string();
                tracing::error!(error, "the configuration cannot be read again; the old one stays");
                lifecycle.reconfigured(Reconfigured::Rejected { error });
            }
            None => tracing::error!("reading the configuration broke; the old one stays"),
        }
    }
    std::future::pending().await
}

/// Waits as long as it takes, and says so: a second reading beside one that hangs would hang as well. None when it
/// panicked.
async fn read(serve: &Serve) -> Option<Result<Configuration, Rejected>> {
    let (settings, directory) = (serve.settings.clone(), serve.directory.clone());
    let read = move || Configuration::read(&settings, Purpose::Serve(directory.as_deref()));
    let mut reading = tokio::task::spawn_blocking(read);
    loop {
        tokio::select! {
            read = &mut reading => return read.ok(),
            () = sleep(SLOW) => {
                tracing::error!("the configuration is not read yet; until it is, the old one stays");
            }
        }
    }
}

/// The filter of the log is the one setting that a running process takes from a changed file.
fn take_up(configuration: &Configuration, started: &Started<'_>, lifecycle: &Lifecycle, log: &Log) {
    record(lifecycle, log.configure(&configuration.log), "SIGHUP");
    for (setting, value) in configuration.server.differing(&started.config) {
        tracing::warn!(setting, %value, "a setting was changed, and holds from the next start on");
    }
}
