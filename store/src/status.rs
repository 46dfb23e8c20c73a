//! What the store is doing, for health, metrics and people.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use portcullis_engine::{Counts, Diagnostic, Severity};

use crate::change::Change;
use crate::snapshot::Revision;

/// Why the directory as it is now is not what is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// When it was refused.
    pub at: SystemTime,
    /// The digest of what was refused.
    pub revision: Revision,
    /// Everything found, warnings included.
    pub diagnostics: Vec<Diagnostic>,
}

/// One sentence with the first error.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policies do not load")?;
        let errors = || self.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let Some(found) = errors().next() else { return Ok(()) };
        let Diagnostic { code, file, position, .. } = found;
        let message = found.message_with_places();
        write!(f, ": {file}:{}:{}: {message} [{}]", position.line, position.column, code.as_str())?;
        match errors().count() {
            0 | 1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}

/// Where the served policy set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// From the policy directory, in this process.
    #[default]
    Directory,
    /// From whoever holds the feed.
    Feed,
    /// From the state directory, because the policy directory did not load at the start.
    LastGood {
        /// When the policy directory was last known to hold it.
        saved_at: SystemTime,
    },
}

/// Is the last good policy set kept on disk?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keeping {
    /// No state directory is configured.
    #[default]
    Off,
    /// What is served is on disk, or nothing is served yet.
    Healthy,
    /// The state directory cannot be used, or another process uses it.
    Failing,
}

/// What the reload task has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reloads {
    /// Policy sets published from the directory or the feed.
    pub published: u64,
    /// States of the directory, or policy sets of the feed, that were refused.
    pub rejected: u64,
    /// Policy sets published from the state directory: 0 or 1.
    pub restored: u64,
    /// Steps on the disk that took longer than thirty seconds.
    pub slow_steps: u64,
    /// How often the task ended and was started again.
    pub restarts: u64,
    /// The task has ended and has not finished a scan since.
    pub interrupted: bool,
}

/// The state of a store. Before the first publication the generation is 0 and nothing is loaded.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Counts publications in this process.
    pub generation: u64,
    /// The digest of what is served.
    pub revision: Option<Revision>,
    /// When it was published.
    pub loaded_at: Option<SystemTime>,
    /// What it holds.
    pub counts: Option<Counts>,
    /// How it differs from what was served before; none for the first.
    pub change: Option<Arc<Change>>,
    /// Present while the directory holds something that was refused; what was served before still is.
    pub rejection: Option<Rejection>,
    /// Changes are noticed by events. When not, only the poll notices them.
    pub watching: bool,
    /// How often the directory has been read to the end.
    pub scans: u64,
    /// Where what is served comes from.
    pub origin: Origin,
    /// Since when what is served is not what the directory holds; the state directory's age counts.
    pub stale_since: Option<Instant>,
    /// Is the last good policy set kept on disk?
    pub keeping: Keeping,
    /// What the reload task has done.
    pub reloads: Reloads,
}

impl Status {
    /// For how long what is served has not been what the directory holds; zero while it is.
    #[must_use]
    pub fn stale(&self) -> Duration {
        self.stale_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Serving, but not as it should be: the directory is refused, what is served comes from the state directory, or the
    /// reload task had to be started again.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        let Self { rejection, origin, reloads, keeping, .. } = self;
        rejection.is_some()
            || matches!(origin, Origin::LastGood { .. })
            || reloads.interrupted
            || *keeping == Keeping::Failing
    }
}
