//! Word that the process is to end: SIGTERM, which a container's first process would not even notice without a handler.
//!
//! Only asks; whoever follows a file decides when it has seen enough.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Whether SIGTERM came, and how long after it there is.
pub(super) struct Ending {
    told: Arc<OnceLock<Instant>>,
    linger: Duration,
}

impl Ending {
    /// Takes SIGTERM over from the system.
    pub(super) fn listen(linger_ms: u64) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut terminate = {
            let _inside = runtime.enter();
            signal(SignalKind::terminate()).context("cannot handle SIGTERM")?
        };
        let told = Arc::new(OnceLock::new());
        let tell = Arc::clone(&told);
        std::thread::spawn(move || {
            runtime.block_on(terminate.recv());
            let _ = tell.set(Instant::now());
        });
        Ok(Self { told, linger: Duration::from_millis(linger_ms) })
    }

    /// Did SIGTERM come?
    pub(super) fn is_near(&self) -> bool {
        self.told.get().is_some()
    }

    /// Did it come, and is what was left of the time over?
    pub(super) fn is_now(&self) -> bool {
        self.told.get().is_some_and(|told| told.elapsed() >= self.linger)
    }
}
