//! A question as the wire has it.

use portcullis_engine::Instant;
use portcullis_proto::v1;
use v1::context_value::Value as Wire;

use crate::request::{RequestText, SessionText, Value};

pub(super) fn request(request: &RequestText, detail: v1::Detail) -> v1::AuthorizeRequest {
    let context = request.context.iter().map(|(key, value)| (key.clone(), context_value(value)));
    v1::AuthorizeRequest {
        principal: request.principal.clone(),
        action: request.action.clone(),
        resource: request.resource.clone(),
        context: context.collect(),
        resource_account: request.resource_account.clone().unwrap_or_default(),
        session: request.session.as_ref().map(session),
        min_generation: 0,
        detail: detail.into(),
    }
}

fn context_value(value: &Value) -> v1::ContextValue {
    let value = match value {
        Value::Text(text) => Wire::Text(text.clone()),
        Value::List(values) => Wire::List(v1::TextList { values: values.clone() }),
        Value::Bool(value) => Wire::Boolean(*value),
    };
    v1::ContextValue { value: Some(value) }
}

fn session(session: &SessionText) -> v1::Session {
    v1::Session {
        policies: session.policies.clone(),
        policy_arns: session.policy_arns.clone(),
        tags: session.tags.iter().cloned().collect(),
        transitive_tag_keys: Vec::new(),
        issued_at: session.issued_at.map(timestamp),
        mfa_authenticated_at: session.mfa_authenticated_at.map(timestamp),
        source_identity: session.source_identity.clone().unwrap_or_default(),
        federated_provider: session.federated_provider.clone().unwrap_or_default(),
        issuer: session.issuer.clone().unwrap_or_default(),
    }
}

fn timestamp(instant: Instant) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: instant.seconds(),
        nanos: i32::try_from(instant.nanos()).unwrap_or_default(),
    }
}
