//! Sources -> a policy set or diagnostics.
//!
//! Pure apart from [`load_directory`], which reads first. The running sidecar and `check` call the same [`build`], so
//! their verdicts agree. Invariant *whole or nothing*: with any error, a reader's fault included, there is no policy set;
//! leaving out what cannot be read would drop the denials in it.

use portcullis_engine::{Code, Counts, Diagnostic, LoadMode, Loaded, PolicySet, PolicySetBuilder, Severity};

use crate::read::{Fault, Reading, Source, read_directory};
use crate::snapshot::Revision;
use crate::store::StoreOptions;

const LOCK_OUT: &str = "to lock everyone out on purpose, load a policy that denies everything";

/// What one look at a directory makes of it.
#[derive(Debug)]
pub struct DirectoryLoad {
    /// The policy set, when no diagnostic is an error.
    pub policy_set: Option<PolicySet>,
    /// The digest of what was read.
    pub revision: Revision,
    /// Everything found.
    pub diagnostics: Vec<Diagnostic>,
    /// How many files were read.
    pub files: usize,
}

/// Reads and builds the directory once, on the calling thread.
#[must_use]
pub fn load_directory(options: &StoreOptions) -> DirectoryLoad {
    let reading = read_directory(&options.directory, &options.rules());
    let remarks = remarks(&reading, 0, options.allow_empty);
    let Reading { sources, faults, exposure: _, revision } = reading;
    let files = sources.len();
    let Loaded { policy_set, diagnostics } = build(sources, &faults, remarks, options.load_mode);
    DirectoryLoad { policy_set, revision, diagnostics, files }
}

/// Parses, validates and compiles everything; all problems, not the first.
pub(crate) fn build(
    sources: Vec<Source>,
    faults: &[Fault],
    remarks: Vec<Diagnostic>,
    mode: LoadMode,
) -> Loaded {
    let mut builder = PolicySetBuilder::new(mode);
    for finding in faults.iter().map(Fault::diagnostic).chain(remarks) {
        builder.report(finding);
    }
    for source in sources {
        builder.add(&source.name, source.bytes);
    }
    let Loaded { policy_set, diagnostics } = builder.finish();
    let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
    Loaded { policy_set: policy_set.filter(|_| !refused), diagnostics }
}

/// What is to be said about a reading as a whole.
pub(crate) fn remarks(reading: &Reading, files_before: usize, allow_empty: bool) -> Vec<Diagnostic> {
    let Reading { exposure, .. } = reading;
    let exposed = exposure.faults().map(|fault| fault.graded(Severity::Warning));
    emptiness(reading, files_before, allow_empty).into_iter().chain(exposed).collect()
}

/// The rule for a directory without any policy file: a directory that had files and has none looks like a half-finished
/// sync, and a first look that finds none is only a policy set when that was asked for.
fn emptiness(reading: &Reading, files_before: usize, allow_empty: bool) -> Option<Diagnostic> {
    if !reading.sources.is_empty() || !reading.faults.is_empty() {
        return None;
    }
    let empty =
        |message: &str| Diagnostic::of_file(Code::EmptyDirectory, Severity::Error, ".", message.to_owned());
    if files_before > 0 {
        let found = empty("the policy directory holds no `*.json` file any more");
        return Some(found.with_help(LOCK_OUT));
    }
    let found = empty("the policy directory holds no `*.json` file");
    (!allow_empty).then(|| found.with_help("add a policy file, or allow an empty directory"))
}

/// The same rule for files that are there and define nothing: a policy set that held something does not become one that
/// holds nothing.
pub(crate) fn refuse_emptied(loaded: Loaded, before: Counts) -> Loaded {
    let Loaded { policy_set: Some(policy_set), mut diagnostics } = loaded else { return loaded };
    if before == Counts::default() || policy_set.counts() != Counts::default() {
        return Loaded { policy_set: Some(policy_set), diagnostics };
    }
    let message = "the policy files define nothing any more".to_owned();
    diagnostics
        .push(Diagnostic::of_file(Code::EmptyDirectory, Severity::Error, ".", message).with_help(LOCK_OUT));
    Loaded { policy_set: None, diagnostics }
}
