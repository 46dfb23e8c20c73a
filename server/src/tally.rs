//! Counts of what was answered, for the status page.
//!
//! Only numbers whose names are fixed here; nothing a caller sends becomes a label.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_engine::Effect;

/// What the process has answered so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    allowed: AtomicU64,
    denied: AtomicU64,
    refused: AtomicU64,
    shed: AtomicU64,
    panicked: AtomicU64,
}

/// One reading of a [`Tally`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counts {
    /// Questions answered with allow.
    pub(crate) allowed: u64,
    /// Questions answered with deny.
    pub(crate) denied: u64,
    /// Questions that had no answer: malformed, too early, a generation not active.
    pub(crate) refused: u64,
    /// Requests turned away because too many were under way.
    pub(crate) shed: u64,
    /// Requests that ended in a panic.
    pub(crate) panicked: u64,
}

impl Tally {
    pub(crate) fn decision(&self, effect: Effect) {
        match effect {
            Effect::Allow => &self.allowed,
            Effect::Deny => &self.denied,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panic(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let Self { allowed, denied, refused, shed, panicked } = self;
        Counts {
            allowed: allowed.load(Ordering::Relaxed),
            denied: denied.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            shed: shed.load(Ordering::Relaxed),
            panicked: panicked.load(Ordering::Relaxed),
        }
    }
}
