//! The layer around services of its own: who is called, who is not, and what a refusal says.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use portcullis_client::enforce::{
    Caller, EnforceLayer, Enforcer, GrpcMethods, Mapper, Need, Refusal, Unmapped, Why,
};
use portcullis_client::testing::Fake;
use portcullis_client::{Authorizer, Error, Permit, Value};
use tonic::Code;
use tower::{Layer as _, Service, ServiceExt as _};

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const REPORT: &str = "arn:acme:reports:eu-1:111122223333:report/1";

/// Counts its calls and tells who may call it. Like a service with a limit it must be asked whether it is ready, each of
/// its clones for itself.
#[derive(Debug, Default)]
struct Inner {
    is_ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        Self { is_ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being asked whether it is ready");
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Body::from("served"));
        if let Some(permit) = request.extensions().get::<Permit>() {
            response.extensions_mut().insert(permit.clone());
        }
        std::future::ready(Ok(response))
    }
}

fn reports(head: &Parts) -> Result<Need, Unmapped> {
    match head.uri.path() {
        "/public" => Ok(Need::nothing()),
        "/report" => Ok(Need::permit("reports:Read", REPORT)),
        _ => Err(Unmapped::new("no such path")),
    }
}

fn asking(pdp: &Fake) -> EnforceLayer<Fake, impl Mapper + use<>> {
    Enforcer::new(pdp.clone()).layer(reports)
}

fn request(path: &str) -> Request<Body> {
    Request::builder().uri(path).extension(Caller::new(ALICE)).body(Body::empty()).unwrap()
}

async fn ready<S: Service<Request<Body>>>(service: &mut S) -> Result<&mut S, S::Error> {
    service.ready().await
}

fn grpc(path: &str) -> Request<Body> {
    let mut request = request(path);
    request.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
    request
}

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    refusal: Option<Refusal>,
    permit: Option<Permit>,
    calls: usize,
}

async fn answer<A, M>(layer: &EnforceLayer<A, M>, request: Request<Body>) -> Answered
where
    A: Authorizer + 'static,
    M: Mapper,
{
    let inner = Inner::default();
    let calls = Arc::clone(&inner.calls);
    let (head, body) = layer.layer(inner).oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
    Answered {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        refusal: head.extensions.get().cloned(),
        permit: head.extensions.get().cloned(),
        calls: calls.load(Ordering::Relaxed),
    }
}

fn away() -> Error {
    Error::Unreachable("nobody listens at 10.0.0.9".to_owned())
}

fn malformed() -> Error {
    Error::Refused {
        code: Code::InvalidArgument,
        reason: "MALFORMED_REQUEST".to_owned(),
        message: "the resource is longer than 2048 characters".to_owned(),
        violations: Vec::new(),
    }
}

#[tokio::test]
async fn an_allow_calls_the_service_with_its_permit() {
    let pdp = Fake::allow_all();
    let answered = answer(&asking(&pdp), request("/report")).await;
    assert_eq!((answered.status, answered.body.as_str(), answered.calls), (StatusCode::OK, "served", 1));
    let permit = answered.permit.unwrap();
    assert_eq!((permit.request().principal(), permit.request().action()), (ALICE, "reports:Read"));
    assert_eq!(permit.request().resource(), REPORT);
    assert_eq!(pdp.asked().len(), 1);
}

#[tokio::test]
async fn what_is_public_asks_nobody() {
    let pdp = Fake::fail_all(away());
    let mut anonymous = request("/public");
    anonymous.extensions_mut().clear();
    let answered = answer(&asking(&pdp), anonymous).await;
    assert_eq!((answered.status, answered.calls), (StatusCode::OK, 1));
    assert!(answered.permit.is_none());
    pdp.assert_asked_nothing();
}

#[tokio::test]
async fn whatever_is_no_allow_is_refused_and_says_nothing_of_policies() {
    let nobody = |path: &str| {
        let mut request = request(path);
        request.extensions_mut().clear();
        request
    };
    let cases = [
        (Fake::deny_all(), request("/report"), StatusCode::FORBIDDEN, "access denied"),
        (Fake::fail_all(malformed()), request("/report"), StatusCode::FORBIDDEN, "access denied"),
        (Fake::allow_all(), request("/other"), StatusCode::FORBIDDEN, "access denied"),
        (Fake::allow_all(), nobody("/report"), StatusCode::FORBIDDEN, "the caller is not known"),
        (
            Fake::fail_all(away()),
            request("/report"),
            StatusCode::SERVICE_UNAVAILABLE,
            "no decision could be made",
        ),
    ];
    for (pdp, request, status, detail) in cases {
        let answered = answer(&asking(&pdp), request).await;
        assert_eq!((answered.status, answered.calls), (status, 0), "{detail}");
        assert_eq!(answered.headers["content-type"], "application/problem+json");
        let refusal = answered.refusal.unwrap();
        let (title, number) = (status.canonical_reason().unwrap(), status.as_u16());
        let id = refusal.request_id();
        assert!(!id.is_empty());
        // The whole of it: there is no place for anything else.
        assert_eq!(
            answered.body,
            format!(
                r#"{{"type":"about:blank","title":"{title}","status":{number},"detail":"{detail}","request_id":"{id}"}}"#
            )
        );
    }
}

#[tokio::test]
async fn grpc_callers_get_a_status_in_the_headers() {
    let mut nobody = grpc("/report");
    nobody.extensions_mut().clear();
    let cases = [
        (Fake::deny_all(), grpc("/report"), Code::PermissionDenied),
        (Fake::fail_all(malformed()), grpc("/report"), Code::PermissionDenied),
        (Fake::allow_all(), grpc("/other"), Code::PermissionDenied),
        (Fake::allow_all(), nobody, Code::Unauthenticated),
        (Fake::fail_all(away()), grpc("/report"), Code::Unavailable),
    ];
    for (pdp, request, code) in cases {
        let answered = answer(&asking(&pdp), request).await;
        assert_eq!((answered.status, answered.calls, answered.body.as_str()), (StatusCode::OK, 0, ""));
        assert_eq!(answered.headers["content-type"], "application/grpc");
        let status = tonic::Status::from_header_map(&answered.headers).unwrap();
        assert_eq!(status.code(), code);
        let id = answered.refusal.unwrap().request_id().to_owned();
        let details = tonic_types::StatusExt::get_error_details(&status);
        assert_eq!(details.request_info().unwrap().request_id, id);
        assert!(status.message().ends_with(&format!("(request {id})")), "{}", status.message());
        assert!(!status.message().contains("10.0.0.9") && !status.message().contains("script"));
    }
}

#[tokio::test]
async fn only_a_grpc_content_type_is_answered_as_grpc() {
    let layer = asking(&Fake::deny_all());
    for (content_type, is_grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpc-web+proto", false),
        ("application/grpcx", false),
        ("application/json", false),
    ] {
        let mut request = request("/report");
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let answered = answer(&layer, request).await;
        assert_eq!(answered.headers.contains_key("grpc-status"), is_grpc, "{content_type}");
    }
}

#[tokio::test]
async fn a_deny_carries_the_id_of_the_answer_and_the_refusal_the_rest() {
    let pdp = Fake::deny_all();
    let refusal = answer(&asking(&pdp), request("/report")).await.refusal.unwrap();
    assert_eq!(refusal.request_id(), "fake-1");
    let Why::Denied(denied) = refusal.why() else { unreachable!("{refusal:?}") };
    assert_eq!(denied.answer().request(), &pdp.asked()[0]);
    let one = answer(&asking(&pdp), request("/other")).await.refusal.unwrap();
    let other = answer(&asking(&pdp), request("/other")).await.refusal.unwrap();
    assert_ne!(one.request_id(), other.request_id());
}

#[tokio::test]
async fn the_service_that_is_ready_is_the_one_that_is_called() {
    let mut service = asking(&Fake::allow_all().delay(Duration::from_millis(1))).layer(Inner::default());
    for _ in 0..3 {
        let served = ready(&mut service).await.unwrap().call(request("/report")).await.unwrap();
        assert_eq!(served.status(), StatusCode::OK);
    }
    // Two at once: each has been asked for itself.
    let one = ready(&mut service).await.unwrap().call(request("/report"));
    let other = ready(&mut service).await.unwrap().call(request("/report"));
    let (one, other) = futures_util::future::join(one, other).await;
    assert!(one.unwrap().status().is_success() && other.unwrap().status().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_reaches_nobody() {
    let pdp = Fake::allow_all().delay(Duration::from_secs(10));
    let inner = Inner::default();
    let mut service = asking(&pdp).layer(inner.clone());
    let serving = ready(&mut service).await.unwrap().call(request("/report"));
    assert!(tokio::time::timeout(Duration::from_secs(1), serving).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((pdp.asked().len(), inner.calls.load(Ordering::Relaxed)), (1, 0));
    // The next one is served.
    assert!(ready(&mut service).await.unwrap().call(request("/report")).await.unwrap().status().is_success());
}

/// A body that must not be looked at.
struct Sealed;

impl http_body::Body for Sealed {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        unreachable!("the body was read");
    }
}

#[tokio::test]
async fn the_body_is_not_read() {
    for pdp in [Fake::allow_all(), Fake::deny_all()] {
        let (head, _) = request("/report").into_parts();
        let response = asking(&pdp).layer(Inner::default()).oneshot(Request::from_parts(head, Sealed));
        assert!(response.await.is_ok());
    }
}

/// The only question has this context.
fn assert_context<const N: usize>(pdp: &Fake, entries: [(&str, Value); N]) {
    let asked = pdp.asked();
    let [asked] = asked.as_slice() else { unreachable!("{asked:?}") };
    let nothing = portcullis_client::Request::new("", "", "");
    let expected = entries.into_iter().fold(nothing, |request, (key, value)| request.context(key, value));
    assert_eq!(asked.as_wire().context, expected.as_wire().context);
}

#[tokio::test]
async fn the_connection_is_in_the_context() {
    let pdp = Fake::allow_all();
    let mut asked = request("/report");
    asked.headers_mut().insert("user-agent", "curl/8".parse().unwrap());
    asked.headers_mut().insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
    answer(&asking(&pdp), asked).await;
    // Nobody told the address, and no header is believed.
    let insecure = ("aws:SecureTransport", false.into());
    assert_context(&pdp, [insecure, ("aws:UserAgent", "curl/8".into()), ("http:Method", "GET".into())]);

    let pdp = Fake::allow_all();
    let peer: IpAddr = "2001:db8::7".parse().unwrap();
    let layer =
        Enforcer::new(pdp.clone()).source_ip(move |_| Some(peer)).secure_transport(true).layer(reports);
    answer(&layer, grpc("/report")).await;
    // What a client calls its request changes nothing of what is told of it.
    assert_context(
        &pdp,
        [
            ("aws:SecureTransport", true.into()),
            ("aws:SourceIp", "2001:db8::7".into()),
            ("http:Method", "GET".into()),
        ],
    );
}

#[tokio::test]
async fn the_mapper_comes_first_then_the_caller_then_the_connection() {
    let pdp = Fake::allow_all();
    let layer = Enforcer::new(pdp.clone())
        .caller(|_| Some(Caller::new(ALICE).context("AWS:useragent", "b").context("n", 1).context("m", 1)))
        .source_ip(|_| Some([10, 0, 0, 1].into()))
        .layer(|_: &Parts| {
            Ok(Need::permit("reports:Read", "*").context("N", 2).context("aws:sourceip", "10.0.0.2"))
        });
    let mut asked = request("/report");
    asked.headers_mut().insert("user-agent", "a".parse().unwrap());
    answer(&layer, asked).await;
    assert_context(
        &pdp,
        [
            ("AWS:useragent", "b".into()),
            ("N", 2.into()),
            ("aws:SecureTransport", false.into()),
            ("aws:sourceip", "10.0.0.2".into()),
            ("http:Method", "GET".into()),
            ("m", 1.into()),
        ],
    );
}

#[tokio::test]
async fn a_caller_is_read_from_where_the_service_says() {
    let pdp = Fake::allow_all();
    let layer = Enforcer::new(pdp.clone())
        .caller(|head| head.extensions.get::<&'static str>().map(|name| Caller::new(*name)))
        .layer(reports);
    // The other place does not count any more.
    assert_eq!(answer(&layer, request("/report")).await.status, StatusCode::FORBIDDEN);
    let mut asked = request("/report");
    asked.extensions_mut().insert("anonymous");
    assert_eq!(answer(&layer, asked).await.status, StatusCode::OK);
    pdp.assert_asked("anonymous", "reports:Read", REPORT);
}

#[test]
fn grpc_paths_are_actions() {
    let methods = GrpcMethods::new()
        .vendor("acme.orders.v1", "orders")
        .vendor("acme.orders.v1.Admin", "orders-admin")
        .method("/acme.orders.v1.Orders/List", Need::permit("orders:ListOrders", REPORT))
        .public("/grpc.health.v1.Health/Check");
    let action = |path: &str| methods.need_of(path).ok();
    for (path, expected) in [
        ("/orders.Orders/Get", "orders:Get"),
        ("/orders.v1.Orders/Get", "orders.v1:Get"),
        ("/my_shop.v1.Orders/Get_it", "my-shop.v1:Get_it"),
        ("/Orders/Get", "Orders:Get"),
        ("/acme.orders.v1.Orders/Get", "orders:Get"),
        ("/acme.orders.v1.Admin/Get", "orders-admin:Get"),
        ("/acme.orders.v1.Orders.Inner/Get", "acme.orders.v1.Orders:Get"),
        ("/grpc.health.v1.Health/Watch", "grpc.health.v1:Watch"),
    ] {
        assert_eq!(action(path), Some(Need::permit(expected, "*")), "{path}");
    }
    assert_eq!(action("/acme.orders.v1.Orders/List"), Some(Need::permit("orders:ListOrders", REPORT)));
    assert_eq!(action("/grpc.health.v1.Health/Check"), Some(Need::nothing()));
    for path in [
        "",
        "/",
        "*",
        "orders.Orders/Get",
        "/orders.Orders",
        "/orders.Orders/",
        "/orders.Orders/Get/",
        "/orders.Orders/Get/More",
        "//orders.Orders/Get",
        "/orders..Orders/Get",
        "/.Orders/Get",
        "/orders./Get",
        "/orders.Orders/G*t",
        "/orders.Orders/G%65t",
        "/orders:x.Orders/Get",
        "/orders-x.Orders/Get",
        "/grpc.health.v1.Health/Check/",
        "/grpc.health.v1.Health/%43heck",
        "/örders.Orders/Get",
    ] {
        assert_eq!(action(path), None, "{path:?}");
    }
    let other = GrpcMethods::new().resource(REPORT);
    assert_eq!(other.need_of("/a.B/C"), Ok(Need::permit("a:C", REPORT)));
    assert_eq!(other.need_of("/a.B/C").map(|need| need.on("*")), Ok(Need::permit("a:C", "*")));
}

#[test]
fn nothing_is_waited_for_but_the_decision() {
    let mut service = asking(&Fake::allow_all()).layer(Inner::default());
    assert!(ready(&mut service).now_or_never().is_some());
    assert!(service.call(request("/report")).now_or_never().is_some());
}

#[tokio::test]
async fn a_handler_that_asks_itself_refuses_in_the_same_words() {
    async fn ask(pdp: &Fake) -> Result<Permit, Refusal> {
        Ok(pdp.authorize(ALICE, "reports:Read", REPORT).await?.require()?)
    }
    async fn ask_grpc(pdp: &Fake) -> Result<Permit, tonic::Status> {
        Ok(pdp.authorize(ALICE, "reports:Read", REPORT).await?.require()?)
    }
    assert!(ask(&Fake::allow_all()).await.is_ok() && ask_grpc(&Fake::allow_all()).await.is_ok());
    for (pdp, number, code) in [
        (Fake::deny_all(), 403, Code::PermissionDenied),
        (Fake::fail_all(away()), 503, Code::Unavailable),
        (Fake::fail_all(malformed()), 403, Code::PermissionDenied),
    ] {
        let response = axum::response::IntoResponse::into_response(ask(&pdp).await.unwrap_err());
        assert_eq!(response.status().as_u16(), number);
        assert!(response.extensions().get::<Refusal>().is_some());
        let status = ask_grpc(&pdp).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert!(!status.message().contains("10.0.0.9") && !status.message().contains("script"));
    }
}
