//! Where a value came from: a place in the file, a variable, a flag, or nowhere.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use portcullis_engine::Position;
use serde_json::{Value, json};

/// Where a value came from. Ordered as findings are told: by place in the file, then variables, then flags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    File(Place),
    Environment(String),
    Flag(String),
    Default,
}

/// A place in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// None for the file as a whole.
    pub(crate) at: Option<(Position, Range<usize>)>,
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |place: &Self| place.at.as_ref().map(|(_, span)| (span.start, span.end));
        (&self.path, key(self)).cmp(&(&other.path, key(other)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some((Position { line, column }, _)) => write!(f, "{}:{line}:{column}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => write!(f, "file {place}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    /// For programs: `Origin`, and what names it.
    pub(crate) fn object(&self) -> Value {
        match self {
            Self::File(Place { path, at: Some((Position { line, column }, _)) }) => {
                json!({ "Origin": "file", "File": path.to_string_lossy(), "Line": line, "Column": column })
            }
            Self::File(Place { path, at: None }) => {
                json!({ "Origin": "file", "File": path.to_string_lossy() })
            }
            Self::Environment(variable) => json!({ "Origin": "environment", "Variable": variable }),
            Self::Flag(flag) => json!({ "Origin": "flag", "Flag": flag }),
            Self::Default => json!({ "Origin": "default" }),
        }
    }
}
