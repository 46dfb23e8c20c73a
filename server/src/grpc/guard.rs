//! What stands around every request: a bound on how many are under way, a bound on time, and a net under panics.
//!
//! Invariant (EXPLAINED): whatever made the error, the caller sees a status with one `ErrorInfo`, never a bare reset.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Layer;

use super::status::{Refusal, explained};
use crate::config::Config;
use crate::tally::Tally;

const SIMULATE: &str = "/portcullis.v1.AuthorizationService/Simulate";
const WAIT_FOR_REVISION: &str = "/portcullis.v1.PolicySetService/WaitForRevision";

/// Puts a [`Guard`] around the routes of each connection.
#[derive(Debug, Clone)]
pub(crate) struct GuardLayer {
    bounds: Arc<Bounds>,
}

#[derive(Debug)]
struct Bounds {
    in_flight: Arc<Semaphore>,
    request: Duration,
    simulation: Duration,
    revision_wait: Duration,
    tally: Arc<Tally>,
}

impl GuardLayer {
    pub(crate) fn new(config: &Config, tally: Arc<Tally>) -> Self {
        let request = config.request_timeout();
        Self {
            bounds: Arc::new(Bounds {
                in_flight: Arc::new(Semaphore::new(config.requests_in_flight_max)),
                request,
                simulation: Duration::from_millis(config.simulation_timeout_ms),
                // The call itself ends first and says why.
                revision_wait: Duration::from_millis(config.revision_wait_ms).saturating_add(request),
                tally,
            }),
        }
    }
}

impl Bounds {
    fn time(&self, path: &str) -> Duration {
        match path {
            SIMULATE => self.simulation,
            WAIT_FOR_REVISION => self.revision_wait,
            _ => self.request,
        }
    }
}

impl Layer<Routes> for GuardLayer {
    type Service = Guard;

    fn layer(&self, routes: Routes) -> Guard {
        Guard { routes, bounds: Arc::clone(&self.bounds) }
    }
}

/// The routes, bounded.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    routes: Routes,
    bounds: Arc<Bounds>,
}

impl Service<Request<Body>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let bounds = Arc::clone(&self.bounds);
        let Ok(permit) = Arc::clone(&bounds.in_flight).try_acquire_owned() else {
            bounds.tally.shed();
            return Box::pin(async { Ok(Refusal::Shed.into_status().into_http()) });
        };
        let limit = bounds.time(request.uri().path());
        let answering = self.routes.call(request);
        Box::pin(async move {
            let _permit = permit;
            let response = match tokio::time::timeout(limit, caught(answering)).await {
                Ok(Some(Ok(response))) => with_error_info(response),
                Ok(Some(Err(never))) => match never {},
                Ok(None) => {
                    bounds.tally.panic();
                    Refusal::Broken.into_status().into_http()
                }
                Err(_) => Refusal::Late.into_status().into_http(),
            };
            Ok(response)
        })
    }
}

/// The output of `future`, or none when it panicked.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // A panicked future is dropped and never polled again, so a broken invariant inside it is seen by nobody.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Errors that gRPC's own machinery made say no reason; this gives them one.
fn with_error_info(response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            explained(&status).into_http()
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_a_value_is_not() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        assert_eq!(caught(async { panic!("broken on purpose") }).await, None::<()>);
    }
}
