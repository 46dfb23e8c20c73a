//! What is wrong with a configuration, with the places to mend.

use std::fmt;

use super::origin::Origin;
use crate::args::Output;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// One lower-case sentence.
    pub(crate) message: String,
    /// Where to mend it; none when something was given nowhere.
    pub(crate) origin: Option<Origin>,
    /// Other settings that belong to it, and where they were given.
    pub(crate) related: Vec<(String, Origin)>,
    pub(crate) help: Option<String>,
}

impl Finding {
    pub(crate) fn new(message: impl Into<String>, origin: Option<Origin>) -> Self {
        Self { message: message.into(), origin, related: Vec::new(), help: None }
    }

    pub(crate) fn with_help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used: everything that is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    pub(crate) findings: Vec<Finding>,
    /// The text of the configuration file, for excerpts.
    pub(crate) text: String,
    /// How it is told.
    pub(crate) output: Output,
}

impl Rejected {
    /// By source: the file from its beginning, then variables, then flags, then what was given nowhere.
    pub(super) fn in_order(mut self) -> Self {
        self.findings.sort_by_key(|finding| (finding.origin.is_none(), finding.origin.clone()));
        self
    }

    /// The same, told in another way.
    pub(crate) fn told_as(self, output: Output) -> Self {
        Self { output, ..self }
    }
}

/// On one line, for the log.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.findings.iter().enumerate() {
            let between = if at > 0 { "; " } else { "" };
            write!(f, "{between}{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}
