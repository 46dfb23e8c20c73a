//! An answer in the caller's terms.

use std::fmt;

/// Why a decision is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Every layer that had to allow did.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// Nothing allows it.
    ImplicitDeny,
    /// It cost too much to find out.
    EvaluationLimit,
    /// One that this version does not know; always of a deny.
    Unknown,
}

/// The policy type that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// Policies of the principal and its groups.
    Identity,
    /// The policy of the resource.
    Resource,
    /// The permissions boundary.
    Boundary,
    /// Session policies.
    Session,
    /// Service control policies.
    Scp,
    /// Resource control policies.
    Rcp,
    /// The endpoint policy.
    Endpoint,
    /// The trust policy of a role.
    Trust,
    /// One that this version does not know.
    Unknown,
}

impl Reason {
    /// `Allowed`, `ExplicitDeny`, `ImplicitDeny`, `EvaluationLimit` or `Unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "Allowed",
            Self::ExplicitDeny => "ExplicitDeny",
            Self::ImplicitDeny => "ImplicitDeny",
            Self::EvaluationLimit => "EvaluationLimit",
            Self::Unknown => "Unknown",
        }
    }
}

impl Layer {
    /// `identity`, `resource`, `boundary`, `session`, `scp`, `rcp`, `endpoint`, `trust` or `unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Resource => "resource",
            Self::Boundary => "boundary",
            Self::Session => "session",
            Self::Scp => "scp",
            Self::Rcp => "rcp",
            Self::Endpoint => "endpoint",
            Self::Trust => "trust",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A statement and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Which policy.
    pub policy_id: String,
    /// Its Sid; empty when it has none.
    pub sid: String,
    /// Position in its document, from 0.
    pub index: u32,
    /// Source file; empty for built-in and session policies.
    pub file: String,
    /// Line, from 1; 0 when unknown.
    pub line: u32,
    /// Column, from 1; 0 when unknown.
    pub column: u32,
    /// The layer it was evaluated in.
    pub layer: Layer,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub(crate) allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The policy type that decided.
    pub layer: Layer,
    /// Who is or is not authorized to perform what on which resource.
    pub message: String,
    /// The statements that decided, when asked for.
    pub statements: Vec<Statement>,
    /// Condition keys that the request lacks.
    pub missing_context_keys: Vec<String>,
    /// Content hash of the policy set that answered.
    pub revision: String,
    /// Its generation.
    pub generation: u64,
    /// Names this answer in the sidecar's logs.
    pub request_id: String,
}

impl Decision {
    /// Whether the action may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }
}
