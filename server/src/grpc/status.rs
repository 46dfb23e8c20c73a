//! Every way not to answer, and how the wire says it.
//!
//! Invariant: each status carries one `ErrorInfo` of domain `portcullis`, is small enough for a client's header limit,
//! and says nothing about the inside of the process.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use portcullis_engine::{Diagnostic, Violation};
use portcullis_proto::v1;
use portcullis_question::{Refused, shortened, summary};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

const DOMAIN: &str = "portcullis";
/// When a call that was turned away may be tried again: many answers later.
const SHED_RETRY: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The question gets no answer from the policy set.
    Question(Refused),
    /// The revision asked for did not become active in time.
    Revision,
    /// The policies given in the call do not load.
    Policies(Vec<Diagnostic>),
    /// Too many requests are under way.
    Shed,
    /// The request took too long.
    Late,
    /// The process is ending.
    Draining,
    /// The decision could not be recorded, and without a record there is no answer.
    Unrecorded,
    /// The caller of the service has no credential, or none that is in use.
    Unauthenticated,
    /// The caller's credential is not for this call.
    NotPermitted,
    /// The policy set is not handed out.
    NotShared,
    /// A panic.
    Broken,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Question(refused)
    }
}

impl Refusal {
    /// A malformed question with one violation.
    pub(crate) fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Refused::field(field, description).into()
    }

    /// The reason that the wire gives; also the name it is counted under.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Question(refused) => refused.reason(),
            Self::Policies(_) => "POLICIES_REJECTED",
            Self::Revision => "REVISION_NOT_ACTIVE",
            Self::Shed => "OVERLOADED",
            Self::Late => "TIMEOUT",
            Self::Draining => "DRAINING",
            Self::Unrecorded => "NOT_RECORDED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::NotPermitted => "METHOD_NOT_PERMITTED",
            Self::NotShared => "POLICY_SET_NOT_SHARED",
            Self::Broken => "INTERNAL",
        }
    }

    /// The status of a whole call.
    pub(crate) fn into_status(self) -> Status {
        let again = (self == Self::Shed).then_some(SHED_RETRY);
        let Parts { code, reason, message, violations } = self.parts();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        if !violations.is_empty() {
            let fields = violations
                .into_iter()
                .map(|Violation { field, description }| FieldViolation::new(field, description));
            details.set_bad_request(fields.collect::<Vec<_>>());
        }
        if again.is_some() {
            details.set_retry_info(again);
        }
        Status::with_error_details(code, message, details)
    }

    /// The same for one question of several.
    pub(crate) fn into_item(self) -> v1::AuthorizeError {
        let Parts { code, reason, message, violations } = self.parts();
        let field_violations = violations
            .into_iter()
            .map(|Violation { field, description }| v1::FieldViolation { field, description })
            .collect();
        v1::AuthorizeError { code: code.into(), message, reason: reason.to_owned(), field_violations }
    }

    fn parts(self) -> Parts {
        let reason = self.reason();
        let plain =
            |code, message: &str| Parts { code, reason, message: message.to_owned(), violations: Vec::new() };
        match self {
            Self::Question(refused) => Parts {
                code: refused.code().into(),
                reason,
                message: refused.message(),
                violations: refused.into_violations(),
            },
            Self::Policies(diagnostics) => {
                let violations: Vec<Violation> = diagnostics.iter().map(violation).collect();
                Parts {
                    code: Code::InvalidArgument,
                    reason,
                    message: summary(
                        "the policies do not load",
                        violations.iter().map(|found| found.description.clone()),
                    ),
                    violations: shortened(violations),
                }
            }
            Self::Revision => {
                plain(Code::FailedPrecondition, "what was waited for did not become active in time")
            }
            Self::Shed => plain(Code::ResourceExhausted, "too many requests are under way"),
            Self::Late => plain(Code::DeadlineExceeded, "the request took too long"),
            Self::Draining => plain(Code::Unavailable, "the service is ending"),
            Self::Unrecorded => plain(Code::Unavailable, "the decision could not be recorded"),
            Self::Unauthenticated => {
                plain(Code::Unauthenticated, "the call has no bearer token that is in use")
            }
            Self::NotPermitted => plain(Code::PermissionDenied, "the bearer token is not for this method"),
            Self::NotShared => plain(Code::PermissionDenied, "the policy set is not handed out here"),
            Self::Broken => plain(Code::Internal, "the request could not be answered"),
        }
    }
}

/// A status that gRPC's own machinery made, with the `ErrorInfo` that every error carries.
pub(crate) fn explained(status: &Status) -> Status {
    // A message that is no protobuf is the caller's mistake; the codec calls it an internal error.
    let (code, reason) = match status.code() {
        Code::Internal => (Code::InvalidArgument, "MALFORMED_MESSAGE"),
        Code::OutOfRange | Code::ResourceExhausted => (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        Code::Unimplemented => (Code::Unimplemented, "UNIMPLEMENTED"),
        Code::Cancelled | Code::DeadlineExceeded => (status.code(), "TIMEOUT"),
        Code::NotFound => (Code::NotFound, "NOT_FOUND"),
        other => (other, "REFUSED"),
    };
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, status.message(), details)
}

/// The trailers that end an answer which has begun.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = status.clone().into_http::<()>().into_parts().0.headers;
    trailers.remove(CONTENT_TYPE);
    trailers
}

/// The status of an answer that is longer than answers may be.
pub(crate) fn too_long(bytes: usize, bytes_max: usize) -> Status {
    explained(&Status::out_of_range(format!(
        "the answer has {bytes} bytes, more than the {bytes_max} of one answer"
    )))
}

struct Parts {
    code: Code,
    reason: &'static str,
    message: String,
    violations: Vec<Violation>,
}

fn violation(diagnostic: &Diagnostic) -> Violation {
    let Diagnostic { code, file, position, message, .. } = diagnostic;
    Violation {
        field: "directory_json".to_owned(),
        description: format!("{file}:{}:{}: {message} [{}]", position.line, position.column, code.as_str()),
    }
}

#[cfg(test)]
mod tests;
