//! Health and status over HTTP, for probes and people.
//!
//! Says nothing about principals or requests. Invariant: liveness does not depend on policies, readiness does.

use std::future::Future;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use portcullis_engine::{Counts, Diagnostic};
use portcullis_store::{Rejection, Status};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::grpc::{Shared, instant};

/// Diagnostics that one page shows; it says how many there are in all.
const DIAGNOSTICS_MAX: usize = 100;

#[derive(Debug, Clone)]
struct Pages {
    shared: Shared,
    /// Set before the drain, so that a probe sees it while requests are still answered.
    leaving: CancellationToken,
}

/// Serves until `draining`.
pub(crate) fn serve(
    listener: TcpListener,
    shared: Shared,
    leaving: CancellationToken,
) -> impl Future<Output = std::io::Result<()>> {
    let draining = shared.draining.clone();
    let pages = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .with_state(Pages { shared, leaving });
    axum::serve(listener, pages).with_graceful_shutdown(draining.cancelled_owned()).into_future()
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, &'static str) {
    if pages.leaving.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    match pages.shared.store.current() {
        Some(_) => (StatusCode::OK, "ok\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no policy set has been loaded yet\n"),
    }
}

async fn status(State(pages): State<Pages>) -> Json<Value> {
    let Status { generation, revision, loaded_at, counts, rejection, watching, scans, .. } =
        pages.shared.store.status();
    Json(json!({
        "generation": generation,
        "revision": revision.map(|revision| revision.to_string()),
        "loaded_at": loaded_at.map(|at| instant(at).to_string()),
        "counts": counts.map(counts_json),
        "rejection": rejection.as_ref().map(rejection_json),
        "watching": watching,
        "scans": scans,
        "answered": pages.shared.tally.counts(),
    }))
}

fn counts_json(counts: Counts) -> Value {
    let Counts { users, groups, roles, policies, statements } = counts;
    json!({
        "users": users, "groups": groups, "roles": roles, "policies": policies, "statements": statements,
    })
}

fn rejection_json(rejection: &Rejection) -> Value {
    let Rejection { at, revision, diagnostics } = rejection;
    json!({
        "rejected_at": instant(*at).to_string(),
        "revision": revision.to_string(),
        "diagnostics_total": diagnostics.len(),
        "diagnostics": diagnostics.iter().take(DIAGNOSTICS_MAX).map(diagnostic_json).collect::<Vec<_>>(),
    })
}

fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { code, severity, file, position, message, help, .. } = diagnostic;
    json!({
        "code": code.as_str(), "severity": severity.as_str(), "file": file, "line": position.line,
        "column": position.column, "message": message, "help": help,
    })
}
