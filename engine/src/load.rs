//! From source texts to a policy set: the one entrance for files, simulations and the embedded library.

use crate::PolicySet;
use crate::diagnostic::Diagnostic;

/// How strict a load is (semantics.md 0.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadMode {
    /// What AWS may already hold loads; what strict mode refuses is a warning.
    #[default]
    Lenient,
    /// What AWS accepts in a create or put call today.
    Strict,
}

/// What a load makes of its sources.
#[derive(Debug)]
pub struct Loaded {
    /// The policy set, when no diagnostic is an error.
    pub policy_set: Option<PolicySet>,
    /// Everything found, in the order of files and positions.
    pub diagnostics: Vec<Diagnostic>,
}
