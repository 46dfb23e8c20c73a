//! Why there is no decision. Every value of this type must be read as a refusal.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::call::Fate;
use crate::transport::Failure;

/// The reason of a sidecar that has too much under way.
const OVERLOADED: &str = "OVERLOADED";

/// The reason of a sidecar that has decided and must not say so without a record.
const NOT_RECORDED: &str = "NOT_RECORDED";

/// One thing wrong with one field of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field.
    pub field: String,
    /// One sentence.
    pub description: String,
}

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What the client is to prove itself with, or to know the sidecar by, cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// Not `http://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.
    #[error("`{0}` is not an endpoint such as `http://127.0.0.1:8180` or `unix:/run/portcullis/socket`")]
    Endpoint(String),
    /// Nobody listens there.
    #[error("the sidecar cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The sidecar refused to answer.
    #[error("{message}")]
    Refused {
        /// Which kind of refusal.
        code: Code,
        /// Machine-readable reason, such as `NO_POLICY_SET`; empty when there is none.
        reason: String,
        /// One sentence.
        message: String,
        /// What is wrong with which field.
        violations: Vec<Violation>,
    },
    /// The policies held here are no longer known to be the sidecar's.
    #[error("no sidecar has confirmed the policies for {} s, and they are good for {} s", age.as_secs(), max_age.as_secs())]
    Stale {
        /// How long ago a sidecar last said that they are active.
        age: Duration,
        /// How long they are good without that.
        max_age: Duration,
    },
    /// An answer that this version does not understand.
    #[error("the answer is not understood: {0}")]
    Answer(&'static str),
}

impl Error {
    /// Whether asking the same again later can succeed: the sidecar is starting, busy, ending or away.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::Stale { .. } => true,
            // A question that is too large has the same code as too many, and whoever asks it chooses its size.
            Self::Refused { code: Code::ResourceExhausted, reason, .. } => reason == OVERLOADED,
            Self::Refused { code, .. } => *code == Code::Unavailable,
            Self::Endpoint(_) | Self::Credentials(_) | Self::Answer(_) => false,
        }
    }

    /// Whether an action that fails open is let through: nobody has decided, and it is not for want of a record, which the
    /// sidecar was told to refuse for.
    pub(crate) fn leaves_open(&self) -> bool {
        self.is_transient() && !matches!(self, Self::Refused { reason, .. } if reason == NOT_RECORDED)
    }

    /// With the causes, which tell more than the outermost text.
    pub(crate) fn unreachable(error: &dyn std::error::Error) -> Self {
        Self::unreachable_because(error.to_string(), error.source())
    }

    fn unreachable_because(mut text: String, mut cause: Option<&(dyn std::error::Error + 'static)>) -> Self {
        while let Some(next) = cause {
            let next_text = next.to_string();
            if !text.contains(&next_text) {
                text.push_str(": ");
                text.push_str(&next_text);
            }
            cause = next.source();
        }
        Self::Unreachable(text)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
        let of_transport = |error: &(dyn std::error::Error + 'static)| error.is::<Failure>();
        let broken = std::error::Error::source(&status).is_some_and(of_transport);
        // Where the connection broke is no matter: in the middle of an answer no transport's error is the outermost.
        if reason.is_empty() && (broken || Fate::of(&status) != Fate::Ended) {
            // The transport's own word, not the sidecar's.
            return Self::unreachable_because(
                status.message().to_owned(),
                std::error::Error::source(&status),
            );
        }
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        Self::Refused {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            violations: violations
                .into_iter()
                .map(|violation| Violation { field: violation.field, description: violation.description })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
