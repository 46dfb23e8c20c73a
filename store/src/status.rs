//! What the store is doing, for health, metrics and people.

use std::time::SystemTime;

use portcullis_engine::Counts;
use portcullis_engine::Diagnostic;

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
    /// Present while the directory holds something that was refused; what was served before still is.
    pub rejection: Option<Rejection>,
    /// Changes are noticed by events. When not, only the poll notices them.
    pub watching: bool,
    /// How often the directory has been read to the end.
    pub scans: u64,
}
