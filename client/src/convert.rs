//! Between the caller's terms and wire messages.
//!
//! Invariant: messages that come in are taken apart by full destructuring, and an allow is made in one place only.

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_proto::v1;

use crate::decision::{Decision, Layer, Reason, Statement};
use crate::error::{Error, Violation};
use crate::request::{Request, Session, Value};

pub(crate) fn request(request: Request) -> v1::AuthorizeRequest {
    let Request {
        principal,
        action,
        resource,
        context,
        resource_account,
        session,
        min_generation,
        with_statements,
    } = request;
    let detail = if with_statements { v1::Detail::Statements } else { v1::Detail::None };
    v1::AuthorizeRequest {
        principal,
        action,
        resource,
        context: context.into_iter().map(|(key, value)| (key, context_value(value))).collect(),
        resource_account: resource_account.unwrap_or_default(),
        session: session.map(wire_session),
        min_generation,
        detail: detail.into(),
    }
}

fn context_value(value: Value) -> v1::ContextValue {
    use v1::context_value::Value as Sent;
    let sent = match value {
        Value::Text(text) => Sent::Text(text),
        Value::List(values) => Sent::List(v1::TextList { values }),
        Value::Bool(boolean) => Sent::Boolean(boolean),
        Value::Number(number) => Sent::Number(number),
    };
    v1::ContextValue { value: Some(sent) }
}

fn wire_session(session: Session) -> v1::Session {
    let Session {
        policies,
        policy_arns,
        tags,
        transitive_tag_keys,
        issued_at,
        mfa_authenticated_at,
        source_identity,
        federated_provider,
        issuer,
    } = session;
    v1::Session {
        policies,
        policy_arns,
        tags,
        transitive_tag_keys,
        issued_at: issued_at.map(timestamp),
        mfa_authenticated_at: mfa_authenticated_at.map(timestamp),
        source_identity: source_identity.unwrap_or_default(),
        federated_provider: federated_provider.unwrap_or_default(),
        issuer: issuer.unwrap_or_default(),
    }
}

fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => prost_types::Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos() as i32,
        },
        // Credentials from before 1970 do not exist; the earliest time makes them as old as can be.
        Err(_) => prost_types::Timestamp { seconds: 0, nanos: 0 },
    }
}

/// The one place where an answer becomes an allow.
pub(crate) fn decision(response: v1::AuthorizeResponse) -> Result<Decision, Error> {
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
    Ok(Decision {
        allowed,
        reason,
        layer: layer(decided_by),
        message,
        statements: determining_statements.into_iter().map(statement).collect(),
        missing_context_keys,
        revision,
        generation,
        request_id,
    })
}

/// One answer of several.
pub(crate) fn result(result: v1::AuthorizeResult) -> Result<Decision, Error> {
    let v1::AuthorizeResult { result } = result;
    match result {
        Some(v1::authorize_result::Result::Response(response)) => decision(response),
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
