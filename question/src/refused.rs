//! Why a question gets no answer, and how that is worded.

use portcullis_engine::Violation;

/// Violations that one refusal names; its message says how many there are.
pub(crate) const VIOLATIONS_MAX: usize = 16;
/// Characters of one field path or description.
const TEXT_CHARS_MAX: usize = 200;

/// Why a question gets no answer from a policy set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The question is malformed.
    Malformed(Vec<Violation>),
    /// No policy set has been loaded yet.
    NotReady,
    /// The generation asked for is not active yet.
    Generation {
        /// The one that was asked for.
        asked: u64,
        /// The one that is active.
        active: u64,
    },
}

impl Refused {
    /// A malformed question with one violation.
    #[must_use]
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Malformed(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// `MALFORMED_REQUEST`, `NO_POLICY_SET` or `GENERATION_NOT_ACTIVE`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MALFORMED_REQUEST",
            Self::NotReady => "NO_POLICY_SET",
            Self::Generation { .. } => "GENERATION_NOT_ACTIVE",
        }
    }

    /// The number of the gRPC status that says it: INVALID_ARGUMENT, UNAVAILABLE or FAILED_PRECONDITION.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Malformed(_) => 3,
            Self::NotReady => 14,
            Self::Generation { .. } => 9,
        }
    }

    /// One sentence.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Malformed(violations) => {
                summary("the request is malformed", violations.iter().map(ToString::to_string))
            }
            Self::NotReady => "no policy set has been loaded yet".to_owned(),
            Self::Generation { asked, active } => {
                format!("generation {asked} is not active yet; the active one is {active}")
            }
        }
    }

    /// What is wrong with which field; the first few.
    #[must_use]
    pub fn into_violations(self) -> Vec<Violation> {
        match self {
            Self::Malformed(violations) => shortened(violations),
            Self::NotReady | Self::Generation { .. } => Vec::new(),
        }
    }
}

/// A sentence that names the first finding and counts the rest.
pub fn summary(lead: &str, findings: impl ExactSizeIterator<Item = String>) -> String {
    let count = findings.len();
    let mut findings = findings;
    match (findings.next(), count) {
        (None, _) => lead.to_owned(),
        (Some(first), 1) => format!("{lead}: {}", short(&first)),
        (Some(first), _) => format!("{lead}: {} (and {} more)", short(&first), count - 1),
    }
}

/// As many findings, and as much of each, as one refusal tells: 16 of 200 characters.
#[must_use]
pub fn shortened(violations: Vec<Violation>) -> Vec<Violation> {
    violations
        .into_iter()
        .take(VIOLATIONS_MAX)
        .map(|Violation { field, description }| Violation {
            field: short(&field),
            description: short(&description),
        })
        .collect()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
