//! An HTTP service whose every route is decided upon before its handler runs, and which asks once more for what only the
//! body of a request tells.
//!
//! `cargo run -p portcullis-client --example axum_service` starts it on a free port, calls it a few times, and ends.
//! With `PORTCULLIS=unix:/run/portcullis/portcullis.sock` it asks a sidecar; without, it reads `examples/orders-service`
//! itself.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::Method;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use portcullis_client::enforce::{Caller, Enforcer, Refusal, Routes, RuleError};
use portcullis_client::{AnyAuthorizer, Authorizer as _, Client, Embedded, Permit, Value};

const ORDER: &str = "arn:acme:orders:eu-1:123456789012:order/{id}";

/// Whoever decides: a service chooses when it starts.
async fn pdp() -> Result<AnyAuthorizer, Box<dyn Error>> {
    match std::env::var("PORTCULLIS") {
        Ok(sidecar) => Ok(AnyAuthorizer::new(Client::connect(sidecar).await?)),
        Err(_) => {
            let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/orders-service");
            Ok(AnyAuthorizer::new(Embedded::open(directory).await?))
        }
    }
}

fn service(pdp: AnyAuthorizer) -> Result<Router, RuleError> {
    let routes = Routes::new()
        .on(Method::GET, "/orders/{id}", "orders:GetOrder", ORDER)?
        .on(Method::POST, "/orders/{id}/cancel", "orders:CancelOrder", ORDER)?
        // May the caller read the order at all? How much may be refunded is asked in the handler.
        .on(Method::POST, "/orders/{id}/refund", "orders:GetOrder", ORDER)?
        .public(Method::GET, "/healthz")?;
    Ok(Router::new()
        .route("/orders/{id}", get(show))
        .route("/orders/{id}/cancel", post(cancel))
        .route("/orders/{id}/refund", post(refund))
        .route("/healthz", get(|| async { "ok" }))
        .layer(Enforcer::new(pdp.clone()).layer(routes))
        .layer(from_fn(authenticate))
        .with_state(pdp))
}

/// The service's own authentication, outside of the layer. A real one verifies a signature.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if token == Some("Bearer anna") {
        let anna = Caller::new("arn:aws:sts::123456789012:assumed-role/order-desk/anna");
        request.extensions_mut().insert(anna);
    }
    next.run(request).await
}

/// Takes the permit, and so cannot be served without a decision.
async fn show(permit: Permit) -> String {
    permit.request().resource().to_owned()
}

async fn cancel(permit: Permit) -> String {
    format!("{} is cancelled", permit.request().resource())
}

async fn refund(
    State(pdp): State<AnyAuthorizer>,
    Extension(caller): Extension<Caller>,
    read: Permit,
    cents: String,
) -> Result<String, Refusal> {
    let order = read.request().resource();
    pdp.authorize(caller.principal(), "orders:RefundOrder", order)
        .context("orders:AmountCents", Value::number(cents.as_str()))
        .await?
        .require()?;
    Ok(format!("{cents} cents of {order} are refunded"))
}

/// Calls the service as its clients do.
async fn demo() -> Result<Vec<String>, Box<dyn Error>> {
    let app = service(pdp().await?)?.into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = HttpClient::builder(TokioExecutor::new()).build_http::<Body>();
    let mut seen = Vec::new();
    for (method, path, token, body) in [
        ("GET", "/healthz", "", ""),
        ("GET", "/orders/42", "", ""),
        ("GET", "/orders/42", "Bearer anna", ""),
        ("POST", "/orders/42/cancel", "Bearer anna", ""),
        ("POST", "/orders/1001/cancel", "Bearer anna", ""),
        ("POST", "/orders/42/refund", "Bearer anna", "4900"),
        ("POST", "/orders/42/refund", "Bearer anna", "250000"),
        ("POST", "/orders/42/refund", "Bearer anna", "much"),
        ("GET", "/orders/..%2F1001", "Bearer anna", ""),
        ("GET", "/admin", "Bearer anna", ""),
    ] {
        let uri = format!("http://{address}{path}");
        let request = Request::builder().method(method).uri(uri).header("authorization", token);
        let response = client.request(request.body(Body::from(body))?).await?;
        let status = response.status().as_u16();
        let text = to_bytes(Body::new(response.into_body()), 4096).await?;
        println!("{method} {path} {body} -> {status} {}", String::from_utf8_lossy(&text));
        seen.push(format!("{status} {method} {path}"));
    }
    Ok(seen)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    demo().await.map(drop)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn it_is_served_as_the_policies_say() -> Result<(), Box<dyn std::error::Error>> {
        let expected = [
            "200 GET /healthz",
            "403 GET /orders/42",
            "200 GET /orders/42",
            "200 POST /orders/42/cancel",
            "403 POST /orders/1001/cancel",
            "200 POST /orders/42/refund",
            "403 POST /orders/42/refund",
            "403 POST /orders/42/refund",
            "403 GET /orders/..%2F1001",
            "403 GET /admin",
        ];
        assert_eq!(super::demo().await?, expected);
        Ok(())
    }
}
