//! How a refusal is worded: for the client with an id and nothing else, for the service's log with the rest.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::Full;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

use super::mapper::Unmapped;
use crate::decision::Denied;
use crate::error::Error;

/// Longest id that is passed on.
const ID_CHARS_MAX: usize = 64;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// The caller may not do it.
    Denied(Denied),
    /// Nobody decided.
    NoDecision(Error),
    /// Nobody said who calls.
    NoCaller,
    /// The request is none that the mapper knows.
    Unmapped(Unmapped),
}

/// A request that was refused; in the extensions of the response.
///
/// A handler that asks itself refuses in the same words with it, and with an id and an event of its own:
/// `pdp.authorize(..).await?.require()?` in a function whose error is `Refusal` (it is a response of axum's, with the
/// feature `axum`) or [`tonic::Status`].
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    why: Why,
    id: String,
}

impl Refusal {
    pub(super) fn new(why: Why) -> Self {
        let refusal = Self { id: id(&why), why };
        refusal.log();
        refusal
    }

    /// Why. Of policies it may say more than the client should read.
    #[must_use]
    pub fn why(&self) -> &Why {
        &self.why
    }

    /// The id that the client was given.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.id
    }

    fn log(&self) {
        let id = self.id.as_str();
        match &self.why {
            Why::Denied(denied) => {
                let asked = denied.answer().request();
                let (principal, action, resource) = (asked.principal(), asked.action(), asked.resource());
                let reason = denied.answer().reason().as_str();
                tracing::info!(request_id = id, principal, action, resource, reason, "denied");
            }
            Why::NoDecision(error) => tracing::warn!(request_id = id, %error, "refused without a decision"),
            Why::NoCaller => tracing::info!(request_id = id, "refused, because nobody said who calls"),
            Why::Unmapped(reason) => tracing::info!(request_id = id, %reason, "refused without a mapping"),
        }
    }

    fn words(&self) -> (StatusCode, Code, &'static str) {
        match &self.why {
            Why::NoDecision(error) if !is_of_the_question(error) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "no decision could be made")
            }
            Why::NoCaller => (StatusCode::FORBIDDEN, Code::Unauthenticated, "the caller is not known"),
            Why::Denied(_) | Why::NoDecision(_) | Why::Unmapped(_) => {
                (StatusCode::FORBIDDEN, Code::PermissionDenied, "access denied")
            }
        }
    }

    /// A problem document (RFC 9457).
    #[must_use]
    pub fn into_problem(self) -> Response<Full<Bytes>> {
        let (status, _, detail) = self.words();
        let mut response = problem(status, detail, &self.id);
        response.extensions_mut().insert(self);
        response
    }

    pub(super) fn into_response(self, is_grpc: bool) -> Response<Full<Bytes>> {
        if !is_grpc {
            return self.into_problem();
        }
        // Without a body the status goes into the headers: a gRPC answer of trailers only.
        let mut response = self.status().into_http();
        response.extensions_mut().insert(self);
        response
    }

    fn status(&self) -> Status {
        let (_, code, detail) = self.words();
        let details = ErrorDetails::with_request_info(self.id.as_str(), "");
        Status::with_error_details(code, format!("{detail} (request {})", self.id), details)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::new(Why::Denied(denied))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(Why::NoDecision(error))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.status()
    }
}

/// As a [`Refusal`].
impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        Refusal::from(denied).into()
    }
}

/// As a [`Refusal`].
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}

/// A problem document (RFC 9457). The texts have nothing in them that JSON escapes.
pub(super) fn problem(status: StatusCode, detail: &str, id: &str) -> Response<Full<Bytes>> {
    let (title, number) = (status.canonical_reason().unwrap_or_default(), status.as_u16());
    let body = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{number},"detail":"{detail}","request_id":"{id}"}}"#
    );
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// Whether the caller awaits a gRPC answer. gRPC-Web is HTTP here: its clients read the HTTP status.
pub(super) fn is_grpc(head: &Parts) -> bool {
    let value = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match value.and_then(|value| value.strip_prefix(b"application/grpc")) {
        Some(rest) => matches!(rest, [] | [b'+' | b';' | b' ', ..]),
        None => false,
    }
}

/// The sidecar could not even read the question: the client asks for something that no policy can be about, such as a name
/// that is too long. Another try would be refused again.
fn is_of_the_question(error: &Error) -> bool {
    matches!(error, Error::Refused { code: Code::InvalidArgument, .. })
}

fn id(why: &Why) -> String {
    match why {
        Why::Denied(denied) if is_plain(denied.answer().request_id()) => {
            denied.answer().request_id().to_owned()
        }
        _ => new_id(),
    }
}

pub(super) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

fn is_plain(id: &str) -> bool {
    let is_short = (1..=ID_CHARS_MAX).contains(&id.len());
    is_short && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
