//! What may be asked of a running process from outside: stop, stop now, read everything again, say how it is; and what it
//! has to record of settings that were changed from outside.
//!
//! A set of switches without a signal in it: whoever starts the process decides what flips them. Invariant
//! (SINGLE-FLIGHT): any number of requests to reload while one is under way is one more reload, and nobody waits.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What became of the configuration while the process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconfigured {
    /// A setting has another value.
    Changed {
        /// Its name.
        setting: &'static str,
        /// Its value before.
        from: String,
        /// Its value now.
        to: String,
        /// What asked for it, such as `SIGHUP`.
        cause: &'static str,
    },
    /// It was read again and refused; what held before still holds.
    Rejected {
        /// What is wrong, on one line.
        error: String,
    },
}

/// The switches; all clones are one set.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    switches: Arc<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    stop: CancellationToken,
    cut: CancellationToken,
    reloads: watch::Sender<u64>,
    dumps: watch::Sender<u64>,
    reconfigured: Mutex<Vec<Reconfigured>>,
    reconfigurations: watch::Sender<u64>,
}

/// Changes of settings that wait to be recorded; who signals faster than the process reads is told of no more.
const RECONFIGURED_MAX: usize = 1_024;

impl Lifecycle {
    /// All switches off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the drain.
    pub fn stop(&self) {
        self.switches.stop.cancel();
    }

    /// Ends the drain: what is still open is cut. Begins it as well, if nobody did.
    pub fn cut(&self) {
        self.switches.cut.cancel();
        self.switches.stop.cancel();
    }

    /// Has the drain begun?
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.switches.stop.is_cancelled()
    }

    /// Comes when the drain begins.
    pub async fn stopping(&self) {
        self.switches.stop.cancelled().await;
    }

    /// Comes when the drain is to end at once.
    pub async fn cutting(&self) {
        self.switches.cut.cancelled().await;
    }

    /// Asks for everything that comes from files to be read again: policies, certificates, tokens, the audit file.
    pub fn reload(&self) {
        self.switches.reloads.send_modify(|count| *count += 1);
    }

    /// How often a reload was asked for, and every later time. A receiver that is busy sees several as one.
    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.switches.reloads.subscribe()
    }

    /// Asks for the state of the process as one line of the log.
    pub fn dump(&self) {
        self.switches.dumps.send_modify(|count| *count += 1);
    }

    /// Has a change of the configuration recorded.
    pub fn reconfigured(&self, what: Reconfigured) {
        let mut waiting = self.switches.reconfigured.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < RECONFIGURED_MAX {
            waiting.push(what);
        }
        drop(waiting);
        self.switches.reconfigurations.send_modify(|count| *count += 1);
    }

    /// How often a change was made, and every later time.
    pub(crate) fn reconfigurations(&self) -> watch::Receiver<u64> {
        self.switches.reconfigurations.subscribe()
    }

    /// The changes that were not taken yet.
    pub(crate) fn take_reconfigured(&self) -> Vec<Reconfigured> {
        std::mem::take(&mut *self.switches.reconfigured.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn dumps(&self) -> watch::Receiver<u64> {
        self.switches.dumps.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_storm_of_reloads_is_seen_as_one_by_whoever_is_busy() {
        let lifecycle = Lifecycle::new();
        let mut reloads = lifecycle.reloads();
        for _ in 0..1000 {
            lifecycle.reload();
        }
        assert!(reloads.changed().await.is_ok());
        assert_eq!(*reloads.borrow_and_update(), 1000);
        assert!(!reloads.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_cut_stops_as_well() {
        let lifecycle = Lifecycle::new();
        assert!(!lifecycle.is_stopping());
        lifecycle.clone().cut();
        lifecycle.stopping().await;
        lifecycle.cutting().await;
    }
}
