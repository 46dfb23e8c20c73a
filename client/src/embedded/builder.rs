//! Where the policies are and how they are followed.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_store::{StateOptions, Store, StoreOptions};

use super::{Decider, Embedded, LoadError, LoadMode};

/// Longest wait for the first load unless told otherwise.
const WAIT: Duration = Duration::from_secs(30);

/// Settings of an [`Embedded`] that follows a directory.
#[derive(Debug, Clone)]
pub struct Builder {
    options: StoreOptions,
    wait: Duration,
}

impl Builder {
    pub(super) fn new(directory: impl Into<PathBuf>) -> Self {
        Self { options: StoreOptions::new(directory), wait: WAIT }
    }

    /// How strict a load is. Default: lenient, as a sidecar's.
    #[must_use]
    pub fn load_mode(mut self, mode: LoadMode) -> Self {
        self.options.load_mode = mode;
        self
    }

    /// How often the directory is read when no event says that it changed. Default 5 s.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.options.poll_interval = interval;
        self
    }

    /// How long the directory must be quiet after an event before it is read. Default 100 ms.
    #[must_use]
    pub fn settle(mut self, quiet: Duration) -> Self {
        self.options.settle = quiet;
        self
    }

    /// Takes a directory without any policy file at the start for a policy set that allows nothing. Default: it is a
    /// mistake.
    #[must_use]
    pub fn allow_empty(mut self) -> Self {
        self.options.allow_empty = true;
        self
    }

    /// Keeps the last good policy set in a directory of this process alone, for a start with policies that do not load.
    /// One that was confirmed longer ago than `age_max` is not used. Default: it is not kept.
    #[must_use]
    pub fn last_good(mut self, directory: impl Into<PathBuf>, age_max: Duration) -> Self {
        self.options.state = Some(StateOptions { directory: directory.into(), age_max });
        self
    }

    /// Longest wait of [`Builder::open`] for the first load. Default 30 s.
    #[must_use]
    pub fn wait(mut self, timeout: Duration) -> Self {
        self.wait = timeout;
        self
    }

    /// Follows the directory and waits for the first load.
    ///
    /// # Errors
    /// When the policies do not load, at once; when nothing is loaded in time.
    pub async fn open(self) -> Result<Embedded, LoadError> {
        let wait = self.wait;
        let embedded = self.open_lazy();
        embedded.ready(wait).await?;
        Ok(embedded)
    }

    /// Follows the directory and waits for nothing: until something is loaded, questions end in an error.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    #[must_use]
    pub fn open_lazy(self) -> Embedded {
        let load_mode = self.options.load_mode;
        Embedded { decider: Decider::new(Store::open(self.options), load_mode) }
    }
}
