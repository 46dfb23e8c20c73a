//! cedar-policy behind stock tonic: what a service of the same messages costs when it decides with another engine.
//!
//! Its best case: every principal has a policy set of its own that was prepared before the first call, entities are made
//! once, the texts of a message move into the question, and the answer is the floor's with the decision put in.

use std::pin::Pin;
use std::sync::Arc;

use portcullis_engine::{OwnedKeys, Reason};
use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::floor;
use crate::account::Account;
use crate::peer::{Cedar, prepare};
use crate::question::{NOW_SECONDS, Question, Value};

/// As long as the floor's, and another: these answers are checked.
const REQUEST_ID: &str = "00000000-0000-7000-8000-000000000001";

/// Answers with cedar-policy.
#[derive(Debug, Clone)]
pub struct Cedared {
    cedar: Arc<Cedar>,
}

impl Cedared {
    /// Stock tonic around a policy directory, every principal prepared.
    ///
    /// # Errors
    /// What cedar-policy or the reader of the directory does not take.
    pub fn service(sources: &[(String, Vec<u8>)]) -> Result<AuthorizationServiceServer<Self>, String> {
        let account = Account::read(sources)?;
        let cedar = prepare(Cedar::new(&account)?, &account, &mut account.principals())?;
        Ok(AuthorizationServiceServer::new(Self { cedar: Arc::new(cedar) }))
    }

    fn decide(&self, message: v1::AuthorizeRequest) -> Result<v1::AuthorizeResponse, Status> {
        let reason = self.cedar.answer(&question(message));
        let reason = reason.ok_or_else(|| Status::invalid_argument("cedar-policy does not take it"))?;
        let (decision, reason) = match reason {
            Reason::Allowed => (v1::Decision::Allow, v1::Reason::Allowed),
            Reason::ExplicitDeny => (v1::Decision::Deny, v1::Reason::ExplicitDeny),
            Reason::ImplicitDeny | Reason::EvaluationLimit => (v1::Decision::Deny, v1::Reason::ImplicitDeny),
        };
        Ok(v1::AuthorizeResponse {
            decision: decision.into(),
            reason: reason.into(),
            request_id: REQUEST_ID.to_owned(),
            ..floor::answer()
        })
    }

    fn result(&self, message: v1::AuthorizeRequest) -> Result<v1::AuthorizeResult, Status> {
        let answer = self.decide(message)?;
        Ok(v1::AuthorizeResult { result: Some(v1::authorize_result::Result::Response(answer)) })
    }
}

/// Nothing is copied: the question takes the texts of the message.
fn question(message: v1::AuthorizeRequest) -> Question {
    use v1::context_value::Value as Sent;
    let value = |sent| match sent {
        Sent::Text(text) => Value::Text(text),
        Sent::List(list) => Value::List(list.values),
        Sent::Boolean(boolean) => Value::Bool(boolean),
        Sent::Number(number) => Value::Text(number),
    };
    let context = message.context.into_iter();
    let since = message.session.as_ref().and_then(|session| session.mfa_authenticated_at);
    Question {
        principal: message.principal,
        action: message.action,
        resource: message.resource,
        context: context.filter_map(|(key, sent)| Some((key, value(sent.value?)))).collect(),
        mfa: since.is_some(),
        now: since.map_or(NOW_SECONDS, |since| since.seconds),
        owned_keys: OwnedKeys::Refuse,
        expected: Reason::ImplicitDeny,
    }
}

#[tonic::async_trait]
impl AuthorizationService for Cedared {
    type AuthorizeStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::AuthorizeStreamResponse, Status>> + Send>>;

    async fn authorize(
        &self,
        request: Request<v1::AuthorizeRequest>,
    ) -> Result<Response<v1::AuthorizeResponse>, Status> {
        self.decide(request.into_inner()).map(Response::new)
    }

    async fn batch_authorize(
        &self,
        _: Request<v1::BatchAuthorizeRequest>,
    ) -> Result<Response<v1::BatchAuthorizeResponse>, Status> {
        Err(Status::unimplemented("only single calls and streams are measured"))
    }

    async fn authorize_stream(
        &self,
        request: Request<Streaming<v1::AuthorizeStreamRequest>>,
    ) -> Result<Response<Self::AuthorizeStreamStream>, Status> {
        let service = self.clone();
        let answers = request.into_inner().map(move |message| {
            let v1::AuthorizeStreamRequest { correlation_id, request } = message?;
            let result = Some(service.result(request.unwrap_or_default())?);
            Ok(v1::AuthorizeStreamResponse { correlation_id, result })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn simulate(
        &self,
        _: Request<v1::SimulateRequest>,
    ) -> Result<Response<v1::SimulateResponse>, Status> {
        Err(Status::unimplemented("only single calls and streams are measured"))
    }

    async fn list_context_keys(
        &self,
        _: Request<v1::ListContextKeysRequest>,
    ) -> Result<Response<v1::ListContextKeysResponse>, Status> {
        Err(Status::unimplemented("only single calls and streams are measured"))
    }
}
