//! Health, status and metrics over HTTP, for probes, scrapers and people.
//!
//! Says nothing about principals or requests. Invariant: liveness does not depend on policies, readiness does.

mod serve;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::grpc::Shared;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::readiness::Readiness;
use crate::state;

pub(crate) use serve::{HttpLimits, serve};

/// What the pages show.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    shared: Shared,
    metrics: Arc<Metrics>,
    /// Set before the drain, so that a probe sees it while requests are still answered.
    leaving: CancellationToken,
    stale_max: Option<Duration>,
}

impl Pages {
    pub(crate) fn new(shared: Shared, leaving: CancellationToken) -> Self {
        let metrics = Arc::new(Metrics::new(&shared));
        let stale_max = shared.config.stale_max();
        Self { shared, metrics, leaving, stale_max }
    }

    /// The routes of all pages.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .fallback(|| async {
                (StatusCode::NOT_FOUND, "the pages are /livez, /readyz, /status and /metrics\n")
            })
            .method_not_allowed_fallback(|| async {
                (StatusCode::METHOD_NOT_ALLOWED, "the pages answer GET\n")
            })
            .with_state(self)
    }

    /// Whether callers should come.
    pub(crate) fn readiness(&self) -> Readiness {
        if self.leaving.is_cancelled() {
            return Readiness::Draining;
        }
        let status = self.shared.store.status();
        match Readiness::of(&status, self.stale_max) {
            Readiness::Ready if state::is_degraded(&status, &self.shared.tally, &self.shared.audit) => {
                Readiness::Degraded
            }
            readiness => readiness,
        }
    }

    /// The state as a line of the log has it.
    pub(crate) fn line(&self) -> Value {
        state::line(&self.shared, self.readiness())
    }
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, String) {
    let readiness = pages.readiness();
    let code = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", readiness.as_str()))
}

async fn status(State(pages): State<Pages>) -> Json<Value> {
    Json(state::page(&pages.shared, pages.readiness()))
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics.render() {
        Ok(page) => ([(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
