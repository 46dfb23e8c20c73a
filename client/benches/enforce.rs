//! What the layer costs: a service that does nothing, bare and with the layer around it, asked in turn.
//!
//! The decision is that of the engine in this process, and part of what is measured. Run it with
//! `cargo bench -p portcullis-client --bench enforce`.

use std::convert::Infallible;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use hdrhistogram::Histogram;
use http::{Method, Request, Response};
use portcullis_client::Embedded;
use portcullis_client::enforce::{Caller, Enforcer, GrpcMethods, Routes};
use tower::{Layer as _, Service, ServiceExt as _};

/// Alice may do everything with orders.
const POLICIES: &str = r#"{"UserDetailList": [{"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice",
    "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Action": ["orders:*", "orders.v1:*"], "Resource": "*",
            "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}}}]}]}"#;
/// Calls of each candidate, after as many to warm up.
const CALLS: usize = 200_000;
/// Calls between two looks at the other candidate.
const TURN: usize = 1_000;
/// Longest time that is told apart, in nanoseconds.
const LONGEST: u64 = 1_000_000_000;

fn request(path: &str, content_type: &'static str) -> Request<Body> {
    Request::builder()
        .uri(path)
        .header("content-type", content_type)
        .header("user-agent", "bench/1")
        .extension(Caller::new("arn:aws:iam::111122223333:user/alice"))
        .body(Body::empty())
        .unwrap_or_default()
}

/// Nanoseconds of each call of the two services.
async fn compare<A, B, X, Y>(
    mut bare: A,
    mut layered: B,
    ask: impl Fn() -> Request<Body>,
) -> [Histogram<u64>; 2]
where
    A: Service<Request<Body>, Response = Response<X>, Error = Infallible>,
    B: Service<Request<Body>, Response = Response<Y>, Error = Infallible>,
{
    let fresh = || Histogram::new_with_max(LONGEST, 3);
    let (Ok(mut of_bare), Ok(mut of_layered)) = (fresh(), fresh()) else { unreachable!("3 digits are few") };
    for turn in 0..2 * CALLS / TURN {
        let is_warm = turn >= CALLS / TURN;
        time(&mut bare, &ask, is_warm.then_some(&mut of_bare)).await;
        time(&mut layered, &ask, is_warm.then_some(&mut of_layered)).await;
    }
    [of_bare, of_layered]
}

async fn time<S, B>(service: &mut S, ask: &impl Fn() -> Request<Body>, mut times: Option<&mut Histogram<u64>>)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    for _ in 0..TURN {
        let request = ask();
        let start = Instant::now();
        let Ok(ready) = service.ready().await;
        let Ok(response) = ready.call(request).await;
        let took = start.elapsed();
        assert!(black_box(response).status().is_success(), "a request was refused");
        if let Some(times) = &mut times {
            times.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
        }
    }
}

async fn measure() -> Vec<(&'static str, [Histogram<u64>; 2])> {
    let Ok(pdp) = Embedded::from_json(POLICIES) else { unreachable!("the policies load") };
    let enforcer = Enforcer::new(pdp).source_ip(|_| Some([10, 0, 0, 7].into()));
    let nothing =
        || tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let methods = enforcer.layer(GrpcMethods::new()).layer(nothing());
    let grpc = || request("/orders.v1.Orders/Get", "application/grpc");
    let by_method = compare(nothing(), methods, grpc).await;

    let order = "arn:acme:orders:eu-1:111122223333:order/{id}";
    let Ok(routes) = Routes::new().on(Method::GET, "/orders/{id}", "orders:GetOrder", order) else {
        unreachable!("the rule is well formed");
    };
    let app = || Router::new().route("/orders/{id}", get(|| async {}));
    let plain = || request("/orders/42", "text/plain");
    let by_route =
        compare(app().into_service(), app().layer(enforcer.layer(routes)).into_service(), plain).await;
    vec![("gRPC method", by_method), ("axum route", by_route)]
}

fn main() -> std::io::Result<()> {
    // `cargo test --benches` runs this without a wish to measure.
    if std::env::args().all(|argument| argument != "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<12} {:>10} {:>12} {:>10} {:>12}  nanoseconds",
        "", "bare p50", "layered p50", "bare p99", "layered p99"
    )?;
    for (name, [bare, layered]) in runtime.block_on(measure()) {
        let at = |quantile: f64| (bare.value_at_quantile(quantile), layered.value_at_quantile(quantile));
        let ((bare_p50, layered_p50), (bare_p99, layered_p99)) = (at(0.5), at(0.99));
        writeln!(out, "{name:<12} {bare_p50:>10} {layered_p50:>12} {bare_p99:>10} {layered_p99:>12}")?;
    }
    Ok(())
}
