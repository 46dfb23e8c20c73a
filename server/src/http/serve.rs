//! HTTP/1.1 with bounds: how many connections, how long for a request, how large.
//!
//! Pages take no input but their path. Invariant (SLOW-CLOSED): a peer that does not send a whole request in time, or does
//! not take the answer, is closed, and can hold one of a few places no longer than that; while all are taken, no longer
//! than a moment, so that probes get theirs.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What bounds the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpLimits {
    /// Open connections; one more waits until another has had its time.
    pub(crate) connections: usize,
    /// Longest wait for the head of a request, on a new connection or between two requests.
    pub(crate) head: Duration,
    /// Longest life of a connection.
    pub(crate) connection: Duration,
}

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
const ERROR_WAIT: Duration = Duration::from_millis(200);
/// How long a connection keeps its place although others wait for one. A page takes far less.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often those who had their time are sent away while somebody waits.
const CROWDED_WAIT: Duration = Duration::from_millis(50);

/// Serves until `draining`; then connections end with the request they are at.
pub(crate) async fn serve(
    listener: &TcpListener,
    pages: Router,
    limits: HttpLimits,
    draining: CancellationToken,
) {
    let open = TaskTracker::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let crowded = Arc::new(Notify::new());
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // One connection waits here for a place; the others wait in the system's queue.
                    let Some(place) = place(&places, &crowded).await else { return };
                    let (pages, draining, crowded) = (pages.clone(), draining.clone(), Arc::clone(&crowded));
                    open.spawn(async move {
                        let served = timeout(limits.connection, connection(stream, pages, limits, draining));
                        // Its end is nobody's concern: peers come and go.
                        tokio::select! {
                            _ = served => {}
                            () = sent_away(&crowded) => {}
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    sleep(ERROR_WAIT).await;
                }
            }
        }
    };
    draining.run_until_cancelled(accepting).await;
    open.close();
    open.wait().await;
}

/// A place for one more connection, as soon as there is one. None at the end.
async fn place(places: &Arc<Semaphore>, crowded: &Notify) -> Option<OwnedSemaphorePermit> {
    let mut place = pin!(Arc::clone(places).acquire_owned());
    loop {
        match timeout(CROWDED_WAIT, &mut place).await {
            Ok(place) => return place.ok(),
            Err(_) => crowded.notify_waiters(),
        }
    }
}

/// Comes when a connection has had its time and its place is wanted.
async fn sent_away(crowded: &Notify) {
    sleep(PATIENCE).await;
    crowded.notified().await;
}

async fn connection(
    stream: TcpStream,
    pages: Router,
    limits: HttpLimits,
    draining: CancellationToken,
) -> Result<(), io::Error> {
    let answer = service_fn(move |request| page(pages.clone(), request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(serving);
    tokio::select! {
        served = serving.as_mut() => return served.map_err(io::Error::other),
        () = draining.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    serving.await.map_err(io::Error::other)
}

async fn page(pages: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut response = if request.body().is_end_stream() {
        pages.oneshot(request).await?
    } else {
        let refused =
            (StatusCode::PAYLOAD_TOO_LARGE, [(header::CONNECTION, "close")], "the pages take no body\n");
        refused.into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    Ok(response)
}
