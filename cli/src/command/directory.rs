//! A policy directory for one command: loaded once, as the sidecar would.

use std::path::Path;

use portcullis_engine::{Diagnostic, LoadMode, PolicySet};
use portcullis_store::{StoreOptions, load_directory};

use crate::args::Mode;
use crate::render::diagnostic::write_diagnostics;

/// What a directory holds, or why it does not load.
pub(super) struct Directory {
    pub(super) policy_set: Option<PolicySet>,
    pub(super) revision: String,
    pub(super) diagnostics: Vec<Diagnostic>,
}

pub(super) fn load(directory: &Path, mode: LoadMode) -> Directory {
    let mut options = StoreOptions::new(directory);
    options.load_mode = mode;
    let loaded = load_directory(&options);
    Directory {
        policy_set: loaded.policy_set,
        revision: loaded.revision.to_string(),
        diagnostics: loaded.diagnostics,
    }
}

/// The policy set, or its diagnostics on standard error.
pub(super) fn load_or_report(directory: &Path, mode: LoadMode) -> anyhow::Result<Option<PolicySet>> {
    let loaded = load(directory, mode);
    if loaded.policy_set.is_none() {
        write_diagnostics(&mut anstream::stderr().lock(), &loaded.diagnostics)?;
    }
    Ok(loaded.policy_set)
}

impl From<Mode> for LoadMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Lenient => Self::Lenient,
            Mode::Strict => Self::Strict,
        }
    }
}
