//! tonic over the loopback: plain calls, streams, TLS, and what a gRPC client is told.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use portcullis_client::enforce::{Caller, Enforcer, GrpcMethods, Need};
use portcullis_client::testing::Fake;
use portcullis_client::wire::authorization_service_client::AuthorizationServiceClient;
use portcullis_client::wire::authorization_service_server::{
    AuthorizationService, AuthorizationServiceServer,
};
use portcullis_client::{Error, Permit, wire};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, Server, ServerTlsConfig};
use tonic::{Code, Extensions, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";

/// Some service with plain calls and streams; what it is for does not matter here.
#[derive(Debug, Clone)]
struct Shop;

fn permitted(extensions: &Extensions) -> String {
    extensions.get::<Permit>().map(|permit| permit.request().action().to_owned()).unwrap_or_default()
}

type Answers = Pin<Box<dyn Stream<Item = Result<wire::AuthorizeStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AuthorizationService for Shop {
    async fn authorize(
        &self,
        request: Request<wire::AuthorizeRequest>,
    ) -> Result<Response<wire::AuthorizeResponse>, Status> {
        let message = permitted(request.extensions());
        Ok(Response::new(wire::AuthorizeResponse { message, ..wire::AuthorizeResponse::default() }))
    }

    async fn batch_authorize(
        &self,
        _: Request<wire::BatchAuthorizeRequest>,
    ) -> Result<Response<wire::BatchAuthorizeResponse>, Status> {
        Ok(Response::new(wire::BatchAuthorizeResponse::default()))
    }

    type AuthorizeStreamStream = Answers;

    async fn authorize_stream(
        &self,
        request: Request<Streaming<wire::AuthorizeStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        assert!(!permitted(request.extensions()).is_empty());
        let answers =
            request.into_inner().map(|asked| asked.map(|_| wire::AuthorizeStreamResponse::default()));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn simulate(
        &self,
        _: Request<wire::SimulateRequest>,
    ) -> Result<Response<wire::SimulateResponse>, Status> {
        Ok(Response::new(wire::SimulateResponse::default()))
    }

    async fn list_context_keys(
        &self,
        _: Request<wire::ListContextKeysRequest>,
    ) -> Result<Response<wire::ListContextKeysResponse>, Status> {
        Ok(Response::new(wire::ListContextKeysResponse::default()))
    }
}

struct Served {
    address: SocketAddr,
    running: JoinHandle<()>,
}

impl Served {
    async fn start(pdp: &Fake, server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let methods = GrpcMethods::new()
            .method("/portcullis.v1.AuthorizationService/BatchAuthorize", Need::permit("some:Batch", "*"))
            .public("/portcullis.v1.AuthorizationService/ListContextKeys");
        let enforcer = Enforcer::new(pdp.clone()).caller(|_| Some(Caller::new(ALICE)));
        let mut server = server.layer(enforcer.layer(methods));
        let service = server.add_service(AuthorizationServiceServer::new(Shop));
        let serving = service.serve_with_incoming(TcpListenerStream::new(listener));
        let running = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, running }
    }

    async fn client(&self) -> AuthorizationServiceClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        AuthorizationServiceClient::new(endpoint.connect().await.unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn question() -> wire::AuthorizeRequest {
    wire::AuthorizeRequest::default()
}

#[tokio::test]
async fn methods_are_asked_for_by_their_paths() {
    let pdp = Fake::deny_all().allow("portcullis.v1:Authorize", "*").allow("some:Batch", "*").fail(
        "portcullis.v1:Simulate",
        "*",
        Error::Timeout(Duration::from_secs(2)),
    );
    let served = Served::start(&pdp, Server::builder()).await;
    let mut client = served.client().await;
    let allowed = client.authorize(question()).await.unwrap().into_inner();
    assert_eq!(allowed.message, "portcullis.v1:Authorize");
    assert!(client.batch_authorize(wire::BatchAuthorizeRequest::default()).await.is_ok());
    assert!(client.list_context_keys(wire::ListContextKeysRequest::default()).await.is_ok());
    assert_eq!(pdp.asked().len(), 2);
    let asked = &pdp.asked()[0];
    assert_eq!((asked.principal(), asked.resource()), (ALICE, "*"));
    let context = &asked.as_wire().context;
    let expected = portcullis_client::Request::new("", "", "")
        .context("aws:SourceIp", "127.0.0.1")
        .context("aws:SecureTransport", false)
        .context("http:Method", "POST");
    for (key, value) in &expected.as_wire().context {
        assert_eq!(context.get(key), Some(value), "{key}");
    }
    assert!(context.contains_key("aws:UserAgent") && context.len() == 4, "{context:?}");

    let none = client.simulate(wire::SimulateRequest::default()).await.unwrap_err();
    assert_eq!(none.code(), Code::Unavailable);
    assert!(!none.get_error_details().request_info().unwrap().request_id.is_empty());
}

#[tokio::test]
async fn a_stream_is_decided_upon_before_it_flows() {
    let pdp = Fake::deny_all();
    let served = Served::start(&pdp, Server::builder()).await;
    let mut client = served.client().await;
    let endless = || futures_util::stream::repeat_with(wire::AuthorizeStreamRequest::default);
    let denied = client.authorize_stream(endless()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(denied.get_error_details().request_info().unwrap().request_id, "fake-1");
    assert_eq!(denied.message(), "access denied (request fake-1)");

    let _ = pdp.allow("portcullis.v1:AuthorizeStream", "*");
    let answers = client.authorize_stream(endless()).await.unwrap().into_inner();
    assert_eq!(answers.take(1000).filter(|answer| std::future::ready(answer.is_ok())).count().await, 1000);
}

#[tokio::test]
async fn tls_that_tonic_serves_is_known() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["service.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, key.serialize_pem()));
    let pdp = Fake::allow_all();
    let served = Served::start(&pdp, Server::builder().tls_config(tls).unwrap()).await;
    let trust = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&certificate))
        .domain_name("service.example");
    let endpoint = Channel::from_shared(format!("https://{}", served.address)).unwrap();
    let channel = endpoint.tls_config(trust).unwrap().connect().await.unwrap();
    AuthorizationServiceClient::new(channel).authorize(question()).await.unwrap();
    let expected = portcullis_client::Request::new("", "", "")
        .context("aws:SourceIp", "127.0.0.1")
        .context("aws:SecureTransport", true);
    for (key, value) in &expected.as_wire().context {
        assert_eq!(pdp.asked()[0].as_wire().context.get(key), Some(value), "{key}");
    }
}
