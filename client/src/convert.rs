//! Wire messages -> answers.
//!
//! Invariant: messages that come in are taken apart by full destructuring, and an allow is made in one place only.

use std::sync::Arc;

use portcullis_proto::v1;

use crate::decision::{Layer, Message, Reason, Said, Statement};
use crate::error::{Error, Violation};

/// The one place where an answer becomes an allow.
pub(crate) fn said(response: v1::AuthorizeResponse) -> Result<Arc<Said>, Error> {
    let v1::AuthorizeResponse {
        decision,
        reason,
        layer: decided_by,
        message,
        determining_statements,
        missing_context_keys,
        trace: _,
        revision,
        generation,
        request_id,
        depends_on_time,
    } = response;
    let reason = match v1::Reason::try_from(reason) {
        Ok(v1::Reason::Allowed) => Reason::Allowed,
        Ok(v1::Reason::ExplicitDeny) => Reason::ExplicitDeny,
        Ok(v1::Reason::ImplicitDeny) => Reason::ImplicitDeny,
        Ok(v1::Reason::EvaluationLimit) => Reason::EvaluationLimit,
        Ok(v1::Reason::Unspecified) | Err(_) => Reason::Unknown,
    };
    let allowed = match v1::Decision::try_from(decision) {
        Ok(v1::Decision::Allow) if reason == Reason::Allowed => true,
        Ok(v1::Decision::Deny) if reason != Reason::Allowed => false,
        Ok(v1::Decision::Allow | v1::Decision::Deny) => {
            return Err(Error::Answer("decision and reason contradict each other"));
        }
        Ok(v1::Decision::Unspecified) | Err(_) => return Err(Error::Answer("it holds no known decision")),
    };
    Ok(Arc::new(Said {
        allowed,
        reason,
        layer: layer(decided_by),
        message: Message::Worded(message),
        statements: determining_statements.into_iter().map(statement).collect(),
        missing_context_keys,
        depends_on_time,
        revision: revision.into(),
        generation,
        request_id,
    }))
}

/// One answer of several.
pub(crate) fn result(result: v1::AuthorizeResult) -> Result<Arc<Said>, Error> {
    let v1::AuthorizeResult { result } = result;
    match result {
        Some(v1::authorize_result::Result::Response(response)) => said(response),
        Some(v1::authorize_result::Result::Error(v1::AuthorizeError {
            code,
            message,
            reason,
            field_violations,
        })) => Err(Error::Refused {
            code: code.into(),
            reason,
            message,
            violations: field_violations
                .into_iter()
                .map(|v1::FieldViolation { field, description }| Violation { field, description })
                .collect(),
        }),
        None => Err(Error::Answer("one of several answers is missing")),
    }
}

fn layer(number: i32) -> Layer {
    match v1::Layer::try_from(number) {
        Ok(v1::Layer::Identity) => Layer::Identity,
        Ok(v1::Layer::Resource) => Layer::Resource,
        Ok(v1::Layer::Boundary) => Layer::Boundary,
        Ok(v1::Layer::Session) => Layer::Session,
        Ok(v1::Layer::Scp) => Layer::Scp,
        Ok(v1::Layer::Rcp) => Layer::Rcp,
        Ok(v1::Layer::Endpoint) => Layer::Endpoint,
        Ok(v1::Layer::Trust) => Layer::Trust,
        Ok(v1::Layer::Unspecified) | Err(_) => Layer::Unknown,
    }
}

fn statement(statement: v1::DeterminingStatement) -> Statement {
    let v1::DeterminingStatement { policy_id, sid, index, file, line, column, layer: found_in } = statement;
    Statement { policy_id, sid, index, file, line, column, layer: layer(found_in) }
}

#[cfg(test)]
mod tests;
