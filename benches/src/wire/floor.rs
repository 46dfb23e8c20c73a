//! The floor: a service with the same messages on stock tonic that decides nothing.
//!
//! Its answer has the size of a real one, and it looks at nothing that it is sent; so whatever a real service does on
//! top of reading and writing messages is missing here.

use std::pin::Pin;

use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// Names every answer of the floor.
pub const REQUEST_ID: &str = "00000000-0000-7000-8000-000000000000";

/// Answers everything with the same.
#[derive(Debug, Clone, Default)]
pub struct Floor;

impl Floor {
    /// Stock tonic around it.
    #[must_use]
    pub fn service() -> AuthorizationServiceServer<Self> {
        AuthorizationServiceServer::new(Self)
    }
}

pub(super) fn answer() -> v1::AuthorizeResponse {
    v1::AuthorizeResponse {
        decision: v1::Decision::Allow.into(),
        reason: v1::Reason::Allowed.into(),
        layer: v1::Layer::Identity.into(),
        message: "User: arn:aws:iam::123456789012:user/team/user000097 is authorized to perform: \
                  codebuild:DescribeProject on resource: \
                  arn:aws:codebuild:us-west-2:123456789012:project/app00008-x7/archive/2024/06"
            .to_owned(),
        revision: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_owned(),
        generation: 1,
        request_id: REQUEST_ID.to_owned(),
        ..v1::AuthorizeResponse::default()
    }
}

fn result() -> v1::AuthorizeResult {
    v1::AuthorizeResult { result: Some(v1::authorize_result::Result::Response(answer())) }
}

#[tonic::async_trait]
impl AuthorizationService for Floor {
    type AuthorizeStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::AuthorizeStreamResponse, Status>> + Send>>;

    async fn authorize(
        &self,
        _: Request<v1::AuthorizeRequest>,
    ) -> Result<Response<v1::AuthorizeResponse>, Status> {
        Ok(Response::new(answer()))
    }

    async fn batch_authorize(
        &self,
        request: Request<v1::BatchAuthorizeRequest>,
    ) -> Result<Response<v1::BatchAuthorizeResponse>, Status> {
        let v1::AuthorizeResponse { revision, generation, .. } = answer();
        let results = request.get_ref().items.iter().map(|_| result()).collect();
        Ok(Response::new(v1::BatchAuthorizeResponse { results, revision, generation }))
    }

    async fn authorize_stream(
        &self,
        request: Request<Streaming<v1::AuthorizeStreamRequest>>,
    ) -> Result<Response<Self::AuthorizeStreamStream>, Status> {
        let answers = request.into_inner().map(|message| {
            let v1::AuthorizeStreamRequest { correlation_id, request: _ } = message?;
            Ok(v1::AuthorizeStreamResponse { correlation_id, result: Some(result()) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn simulate(
        &self,
        _: Request<v1::SimulateRequest>,
    ) -> Result<Response<v1::SimulateResponse>, Status> {
        Err(Status::unimplemented("the floor decides nothing"))
    }

    async fn list_context_keys(
        &self,
        _: Request<v1::ListContextKeysRequest>,
    ) -> Result<Response<v1::ListContextKeysResponse>, Status> {
        Err(Status::unimplemented("the floor decides nothing"))
    }
}
