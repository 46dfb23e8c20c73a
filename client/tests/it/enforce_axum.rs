//! axum over the loopback, HTTP/1.1 and HTTP/2: routes, actions beside handlers, and what a path can be made to say.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request};
use axum::middleware::{Next, from_fn};
use axum::routing::{any, delete, get};
use axum::{Extension, Router};
use http::{Method, StatusCode, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis_client::enforce::{Caller, Enforcer, Routes, RuleError};
use portcullis_client::testing::Fake;
use portcullis_client::{Error, Permit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/{id}";

/// A router that is served, and a way to ask it.
struct Served {
    address: SocketAddr,
    running: JoinHandle<()>,
}

impl Served {
    async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Stands for a service's own authentication.
        let app = app.layer(Extension(Caller::new(ALICE)));
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        let running = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, running }
    }

    async fn ask(&self, method: Method, path: &str) -> (StatusCode, String) {
        self.ask_by(Version::HTTP_11, method, path).await
    }

    async fn get(&self, path: &str) -> StatusCode {
        self.ask(Method::GET, path).await.0
    }

    async fn ask_by(&self, version: Version, method: Method, path: &str) -> (StatusCode, String) {
        let client =
            Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http::<Body>();
        let uri = format!("http://{}{path}", self.address);
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        let response = client.request(request).await.unwrap();
        let (status, body) = (response.status(), Body::new(response.into_body()));
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        (status, text)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Says what the handler saw and what was permitted.
async fn show(permit: Permit, Path(id): Path<String>) -> String {
    format!("{id} as {}", permit.request().resource())
}

async fn hello() -> &'static str {
    "hello"
}

fn shop(pdp: &Fake) -> Router {
    let routes = Routes::new()
        .on(Method::GET, "/orders/{id}", "orders:GetOrder", ORDER)
        .and_then(|routes| routes.on(Method::DELETE, "/orders/{id}", "orders:DeleteOrder", ORDER))
        .and_then(|routes| routes.on(Method::GET, "/api/orders/{id}", "orders:GetOrder", ORDER))
        .and_then(|routes| routes.on(Method::GET, "/orders", "orders:ListOrders", "*"))
        .and_then(|routes| {
            let file = "arn:acme:files:eu-1:{account}:file/{*path}";
            routes.on(Method::GET, "/accounts/{account}/files/{*path}", "files:Get", file)
        })
        .and_then(|routes| routes.public(Method::GET, "/healthz"))
        .unwrap();
    Router::new()
        .route("/orders/{id}", get(show).delete(show).put(hello))
        .nest("/api", Router::new().route("/orders/{id}", get(show)))
        .route("/orders", get(hello))
        .route("/accounts/{account}/files/{*path}", get(hello))
        .route("/healthz", get(hello).post(hello))
        .route("/forgotten", get(hello))
        .layer(Enforcer::new(pdp.clone()).layer(routes))
}

#[tokio::test]
async fn a_table_of_routes_over_both_versions_of_http() {
    let pdp = Fake::deny_all().allow("orders:Get*", "arn:acme:orders:eu-1:111122223333:order/42").fail(
        "orders:List*",
        "*",
        Error::Unreachable("gone".to_owned()),
    );
    let served = Served::start(shop(&pdp)).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let ask = async |method: Method, path: &str| served.ask_by(version, method, path).await;
        let shown = (StatusCode::OK, "42 as arn:acme:orders:eu-1:111122223333:order/42".to_owned());
        assert_eq!(ask(Method::GET, "/orders/42").await, shown);
        assert_eq!(ask(Method::GET, "/orders/42?id=43").await, shown);
        // Nested routes are known by the whole template.
        assert_eq!(ask(Method::GET, "/api/orders/42").await, shown);
        assert_eq!(ask(Method::HEAD, "/orders/42").await, (StatusCode::OK, String::new()));
        for path in ["/orders/43", "/forgotten", "/nowhere", "/orders/42/", "/"] {
            let (status, body) = ask(Method::GET, path).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
            assert!(body.contains(r#""detail":"access denied","request_id":""#), "{body}");
        }
        // No rule for the method, though there is one for the route.
        assert_eq!(ask(Method::PUT, "/orders/42").await.0, StatusCode::FORBIDDEN);
        assert_eq!(ask(Method::POST, "/healthz").await.0, StatusCode::FORBIDDEN);
        assert_eq!(ask(Method::DELETE, "/orders/42").await.0, StatusCode::FORBIDDEN);
        assert_eq!(ask(Method::GET, "/orders").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(Method::GET, "/healthz").await, (StatusCode::OK, "hello".to_owned()));
    }
    pdp.assert_asked(ALICE, "orders:DeleteOrder", "arn:acme:orders:eu-1:111122223333:order/42");
    pdp.assert_not_asked("*", "*", "*healthz*");
    let asked = &pdp.asked()[0];
    let expected = portcullis_client::Request::new("", "", "")
        .context("aws:SourceIp", "127.0.0.1")
        .context("aws:SecureTransport", false)
        .context("http:Method", "GET");
    assert_eq!(asked.as_wire().context, expected.as_wire().context);
}

#[tokio::test]
async fn the_resource_is_what_the_handler_sees() {
    let pdp = Fake::allow_all();
    let served = Served::start(shop(&pdp)).await;
    for (path, id) in [
        ("/orders/a%20b", "a b"),
        // Decoded once, as for the handler.
        ("/orders/%2541", "%41"),
        ("/orders/%C3%A9", "é"),
        ("/orders/$%7Bname%7D", "${name}"),
        ("/orders/...", "..."),
    ] {
        let (status, body) = served.ask(Method::GET, path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(body, format!("{id} as arn:acme:orders:eu-1:111122223333:order/{id}"));
    }
    assert_eq!(served.get("/accounts/111122223333/files/a/b%2Fc").await, StatusCode::OK);
    pdp.assert_asked(ALICE, "files:Get", "arn:acme:files:eu-1:111122223333:file/a/b/c");
}

#[tokio::test]
async fn a_path_cannot_be_made_to_say_another_kind_of_resource() {
    let pdp = Fake::allow_all();
    let served = Served::start(shop(&pdp)).await;
    for path in [
        "/orders/..",
        "/orders/.",
        "/orders/%2E%2E",
        "/orders/a%2Fb",
        "/orders/..%2F..%2Fadmin",
        "/orders/a:b",
        "/orders/a%3Ab",
        "/orders/*",
        "/orders/%2A",
        "/orders/4%3F",
        "/orders/a%5Cb",
        "/orders/a%00",
        "/orders/a%0D%0Ab",
        "/orders/%FF",
        "/accounts/111122223333/files/a//b",
        "/accounts/111122223333/files/../b",
        "/accounts/111122223333/files/a/%2E%2E/b",
        "/accounts/111122223333/files/b/",
        "/accounts/1:order%2F2/files/b",
        "/accounts/%20/files/b",
    ] {
        assert_eq!(served.get(path).await, StatusCode::FORBIDDEN, "{path}");
    }
    pdp.assert_asked_nothing();
}

#[tokio::test]
async fn an_action_stands_beside_its_handler() {
    let pdp = Fake::deny_all().allow("orders:GetOrder", "arn:acme:orders:eu-1:111122223333:order/42");
    let guard = Enforcer::new(pdp.clone());
    let app = Router::new()
        .route("/orders/{id}", get(show).route_layer(guard.require("orders:GetOrder", ORDER).unwrap()))
        .route("/orders/{id}", delete(show).route_layer(guard.require("orders:DeleteOrder", ORDER).unwrap()))
        // The placeholder is none of this route.
        .route("/stock/{item}", get(show).route_layer(guard.require("orders:GetOrder", ORDER).unwrap()))
        .route("/unguarded/{id}", get(show))
        // A layer of the whole has what stands for every method behind it, too.
        .route("/any/{id}", any(show).layer(guard.require("orders:GetOrder", ORDER).unwrap()))
        .route("/open", get(hello));
    let served = Served::start(app).await;
    let shown = "42 as arn:acme:orders:eu-1:111122223333:order/42".to_owned();
    assert_eq!(served.ask(Method::GET, "/orders/42").await, (StatusCode::OK, shown));
    assert_eq!(served.get("/orders/43").await, StatusCode::FORBIDDEN);
    assert_eq!(served.ask(Method::DELETE, "/orders/42").await.0, StatusCode::FORBIDDEN);
    assert_eq!(served.ask(Method::PUT, "/orders/42").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(served.get("/stock/42").await, StatusCode::FORBIDDEN);
    assert_eq!(served.ask(Method::PUT, "/any/42").await.0, StatusCode::OK);
    assert_eq!(served.ask(Method::PUT, "/any/43").await.0, StatusCode::FORBIDDEN);
    let (status, body) = served.ask(Method::GET, "/unguarded/42").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("the route is not guarded"), "{body}");
    assert_eq!(served.get("/open").await, StatusCode::OK);
    assert_eq!(served.get("/nowhere").await, StatusCode::NOT_FOUND);
    assert_eq!(pdp.asked().len(), 5);
}

#[tokio::test]
async fn who_authenticates_inside_of_the_layer_is_too_late() {
    let authenticate = async |mut request: Request, next: Next| {
        request.extensions_mut().insert(Caller::new(ALICE));
        next.run(request).await
    };
    let guard = Enforcer::new(Fake::allow_all());
    let require = || guard.require("orders:ListOrders", "*").unwrap();
    let app = |inside: bool| {
        let router = Router::new().route("/orders", get(hello));
        if inside {
            router.layer(from_fn(authenticate)).layer(require())
        } else {
            router.layer(require()).layer(from_fn(authenticate))
        }
    };
    let ask = async |app: Router| {
        use tower::ServiceExt as _;
        app.oneshot(Request::builder().uri("/orders").body(Body::empty()).unwrap()).await.unwrap().status()
    };
    assert_eq!(ask(app(true)).await, StatusCode::FORBIDDEN);
    assert_eq!(ask(app(false)).await, StatusCode::OK);
}

#[test]
fn a_malformed_rule_is_none() {
    let on = |action: &str, resource: &str| {
        Routes::new().on(Method::GET, "/orders/{id}", action, resource).map(drop)
    };
    for action in ["", "orders", ":Get", "orders:", "orders:Get*", "orders:Get:It", "ord?rs:Get"] {
        assert_eq!(on(action, ORDER), Err(RuleError::Action(action.to_owned())), "{action:?}");
    }
    assert_eq!(on("orders:Get", "order/{id}"), Err(RuleError::Resource("order/{id}".to_owned())));
    let other = "arn:acme:orders:eu-1:{account}:order/{id}";
    let missing = RuleError::Placeholder { name: "account".to_owned(), route: "/orders/{id}".to_owned() };
    assert_eq!(on("orders:Get", other), Err(missing));
    let twice = Routes::new().public(Method::GET, "/a").unwrap().on(Method::GET, "/a", "a:B", "*");
    let same = RuleError::Twice { method: "GET".to_owned(), route: "/a".to_owned() };
    assert_eq!(twice.map(drop), Err(same));
    assert!(Enforcer::new(Fake::deny_all()).require("orders:*", "*").is_err());
}
