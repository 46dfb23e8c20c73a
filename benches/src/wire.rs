//! The wire: who serves, who asks, and what is counted.
//!
//! [`floor`] is the least that a service of the same messages can do on stock tonic; [`server`] runs the floor or the
//! sidecar as a process of its own on a processor of its own; [`load`] asks in a closed loop and checks every answer.
//! With the peers, `cedar` is a service of the same messages that decides with cedar-policy.

#[cfg(feature = "peers")]
pub mod cedar;
pub mod floor;
pub mod load;
pub mod server;

use portcullis_engine::Reason;
use portcullis_proto::v1;
use prost::Message as _;
use prost_types::Timestamp;

use crate::question::{Question, Value};

impl Question {
    /// The question as a client sends it.
    #[must_use]
    pub fn message(&self) -> v1::AuthorizeRequest {
        let context = self.context.iter().map(|(key, value)| (key.clone(), value.message())).collect();
        let mfa_authenticated_at = Some(Timestamp { seconds: self.now, nanos: 0 });
        let session = v1::Session { mfa_authenticated_at, ..v1::Session::default() };
        v1::AuthorizeRequest {
            principal: self.principal.clone(),
            action: self.action.clone(),
            resource: self.resource.clone(),
            context,
            session: self.mfa.then_some(session),
            ..v1::AuthorizeRequest::default()
        }
    }

    /// The same as one item of a batch.
    #[must_use]
    pub fn item(&self) -> v1::BatchAuthorizeItem {
        let v1::AuthorizeRequest { principal, action, resource, context, session, resource_account, .. } =
            self.message();
        v1::BatchAuthorizeItem { principal, action, resource, context, resource_account, session }
    }

    /// Whether an answer is the right one. The floor's is right for every question.
    #[must_use]
    pub fn is_answered(&self, answer: &v1::AuthorizeResponse) -> bool {
        let expected = match self.expected {
            Reason::Allowed => v1::Reason::Allowed,
            Reason::ExplicitDeny => v1::Reason::ExplicitDeny,
            Reason::ImplicitDeny => v1::Reason::ImplicitDeny,
            Reason::EvaluationLimit => v1::Reason::EvaluationLimit,
        };
        answer.reason == i32::from(expected) || answer.request_id == floor::REQUEST_ID
    }
}

impl Value {
    fn message(&self) -> v1::ContextValue {
        use v1::context_value::Value as Sent;
        let value = match self {
            Self::Text(text) => Sent::Text(text.clone()),
            Self::List(values) => Sent::List(v1::TextList { values: values.clone() }),
            Self::Bool(boolean) => Sent::Boolean(*boolean),
        };
        v1::ContextValue { value: Some(value) }
    }
}

/// A message with the prefix that gRPC gives it, as a client without gRPC sends it.
#[must_use]
pub fn framed(message: &v1::AuthorizeRequest) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, &bytes].concat()
}
