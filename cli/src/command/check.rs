//! `check`: every problem of a policy directory, by the functions that the sidecar loads with.

use std::io::Write as _;
use std::path::Path;

use portcullis_engine::Diagnostic;
use serde_json::json;

use super::directory;
use crate::args::{Check, CheckOutput};
use crate::exit::Exit;
use crate::render::diagnostic::{DiagnosticObject, Tally, write_diagnostics};
use crate::render::{counts_object, counts_phrase, sarif, write_json_pretty};

pub(super) fn run(check: &Check) -> anyhow::Result<Exit> {
    let mut loaded = directory::load(&check.directory, check.load_mode.into());
    for diagnostic in &mut loaded.diagnostics {
        name_from_here(diagnostic, &check.directory);
    }
    let tally = Tally::of(&loaded.diagnostics);
    let mut out = anstream::stdout().lock();
    match check.output {
        CheckOutput::Human => {
            if let Some(policy_set) = &loaded.policy_set {
                writeln!(out, "{}\n", counts_phrase(policy_set.counts()))?;
            }
            write_diagnostics(&mut out, &loaded.diagnostics)?;
        }
        CheckOutput::Json => {
            let diagnostics: Vec<_> = loaded.diagnostics.iter().map(DiagnosticObject::of).collect();
            let counts = loaded.policy_set.as_ref().map(|policy_set| counts_object(policy_set.counts()));
            let report = json!({
                "Revision": loaded.revision,
                "Counts": counts,
                "Errors": tally.errors,
                "Warnings": tally.warnings,
                "Diagnostics": diagnostics,
            });
            write_json_pretty(&mut out, &report)?;
        }
        CheckOutput::Sarif => write_json_pretty(&mut out, &sarif(&loaded.diagnostics))?,
    }
    let rejected =
        loaded.policy_set.is_none() || tally.errors > 0 || (check.deny_warnings && tally.warnings > 0);
    Ok(if rejected { Exit::PoliciesRejected } else { Exit::Ok })
}

/// Files are named below the directory; an editor opens them by the path from here.
fn name_from_here(diagnostic: &mut Diagnostic, directory: &Path) {
    let rename = |file: &mut String| {
        let joined = directory.join(&*file);
        if joined.is_file() {
            *file = joined.to_string_lossy().into_owned();
        }
    };
    rename(&mut diagnostic.file);
    for related in &mut diagnostic.related {
        rename(&mut related.file);
    }
}
