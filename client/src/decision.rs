//! An answer in the caller's terms.
//!
//! Invariant: only this crate makes an [`Answer`], so that a [`Permit`] proves that an allow was given.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::request::Request;

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
    /// Nobody decided: there was no answer, and the caller had named this action as one to let through then. See
    /// [`Builder::fail_open`](crate::Builder::fail_open).
    FailOpen,
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
    /// `Allowed`, `ExplicitDeny`, `ImplicitDeny`, `EvaluationLimit`, `FailOpen` or `Unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "Allowed",
            Self::ExplicitDeny => "ExplicitDeny",
            Self::ImplicitDeny => "ImplicitDeny",
            Self::EvaluationLimit => "EvaluationLimit",
            Self::FailOpen => "FailOpen",
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

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a decision that is not looked at protects nothing"]
pub enum Decision {
    /// It may be done.
    Allow(Answer),
    /// It may not be done.
    Deny(Answer),
}

impl Decision {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// What was asked and everything that was said.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        match self {
            Self::Allow(answer) | Self::Deny(answer) => answer,
        }
    }

    /// Why; short for `answer().reason()`.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.answer().reason()
    }

    /// Who is or is not authorized to perform what on which resource; short for `answer().message()`.
    #[must_use]
    pub fn message(&self) -> Cow<'_, str> {
        self.answer().message()
    }

    /// Goes on only when it may be done.
    ///
    /// # Errors
    /// When it may not be done.
    pub fn require(self) -> Result<Permit, Denied> {
        match self {
            Self::Allow(answer) => Ok(Permit(answer)),
            Self::Deny(answer) => Err(Denied(Box::new(answer))),
        }
    }
}

/// Proof that an allow was given: a function that takes one cannot be reached without a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Permit(Answer);

impl Permit {
    /// What was asked and everything that was said.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.0
    }

    /// What was allowed.
    #[must_use]
    pub fn request(&self) -> &Request {
        self.0.request()
    }
}

/// A deny as an error. Its text names principal, action and resource and the policy type; think before you show it to
/// the denied.
#[derive(Debug, Clone, PartialEq)]
pub struct Denied(Box<Answer>);

impl Denied {
    /// What was asked and everything that was said.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.0
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message())
    }
}

impl std::error::Error for Denied {}

/// A question and everything that was said to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub(crate) request: Request,
    pub(crate) said: Arc<Said>,
}

/// What was said; shared, because a cache says it often.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) allowed: bool,
    pub(crate) reason: Reason,
    pub(crate) layer: Layer,
    pub(crate) message: Message,
    pub(crate) statements: Vec<Statement>,
    pub(crate) missing_context_keys: Vec<String>,
    pub(crate) depends_on_time: bool,
    pub(crate) revision: Arc<str>,
    pub(crate) generation: u64,
    pub(crate) request_id: String,
}

/// The decision in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// As a sidecar worded it.
    Worded(String),
    /// The engine of this process words it when somebody wants to read it.
    #[cfg(feature = "embedded")]
    OfEngine(portcullis_engine::Reason, portcullis_engine::Layer),
}

impl Said {
    pub(crate) fn to(self: Arc<Self>, request: Request) -> Decision {
        let answer = Answer { request, said: self };
        if answer.said.allowed { Decision::Allow(answer) } else { Decision::Deny(answer) }
    }
}

impl Answer {
    /// What was asked.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.said.reason
    }

    /// The policy type that decided.
    #[must_use]
    pub fn layer(&self) -> Layer {
        self.said.layer
    }

    /// Who is or is not authorized to perform what on which resource, in AWS's wording.
    #[must_use]
    pub fn message(&self) -> Cow<'_, str> {
        match &self.said.message {
            Message::Worded(text) => Cow::Borrowed(text),
            #[cfg(feature = "embedded")]
            Message::OfEngine(reason, layer) => Cow::Owned(crate::embedded::worded(self, *reason, *layer)),
        }
    }

    /// The statements that decided, when [asked for](Request::with_statements).
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.said.statements
    }

    /// Condition keys that the statements in question mention and the request lacks.
    #[must_use]
    pub fn missing_context_keys(&self) -> &[String] {
        &self.said.missing_context_keys
    }

    /// Whether the same question may be answered otherwise later although no policy has changed.
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        self.said.depends_on_time
    }

    /// Content hash of the policy set that answered.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.said.revision
    }

    /// Its generation: counts up with every publication in one process.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.said.generation
    }

    /// Names this answer in the sidecar's logs and audit records; empty when no sidecar answered.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.said.request_id
    }
}
