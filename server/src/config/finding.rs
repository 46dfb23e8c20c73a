//! One thing that is wrong with a configuration, and which settings it is about.
//!
//! Knows nothing of files, variables and flags: whoever merged them knows where a setting's value came from.

use std::fmt;

/// What is wrong, and where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The settings that it is about. One alone when its value cannot be, whatever the others are; else the one to mend
    /// first, and after it those that contradict it.
    pub settings: Vec<&'static str>,
    /// One lower-case sentence that names the first setting.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Findings on one line.
pub(crate) fn joined(findings: &[Finding]) -> String {
    let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
    messages.join("; ")
}

/// Findings as they are made.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// About one value, whatever the others are.
    pub(super) fn one(&mut self, setting: &'static str, message: impl Into<String>) {
        self.0.push(Finding { settings: vec![setting], message: message.into() });
    }

    /// About values that cannot be together.
    pub(super) fn between(&mut self, settings: &[&'static str], message: impl Into<String>) {
        self.0.push(Finding { settings: settings.to_vec(), message: message.into() });
    }
}
