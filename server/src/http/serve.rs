//! HTTP/1.1 with bounds: how many connections, how long for a request, how large.
//!
//! Pages take no input but their path. Invariant (SLOW-CLOSED): a peer that does not send a whole request in time, or does
//! not take the answer, is closed, and can hold one of a few places no longer than that.

use std::convert::Infallible;
use std::io;
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
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What bounds the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpLimits {
    /// Open connections; one more waits in the system's queue.
    pub(crate) connections: usize,
    /// Longest wait for the head of a request, on a new connection or between two requests.
    pub(crate) head: Duration,
    /// Longest life of a connection.
    pub(crate) connection: Duration,
}

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
const ERROR_WAIT: Duration = Duration::from_millis(200);

/// Serves until `draining`; then connections end with the request they are at.
pub(crate) async fn serve(
    listener: &TcpListener,
    pages: Router,
    limits: HttpLimits,
    draining: CancellationToken,
) {
    let open = TaskTracker::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (pages, draining) = (pages.clone(), draining.clone());
                    open.spawn(async move {
                        // Its end is nobody's concern: peers come and go.
                        let _ = timeout(limits.connection, connection(stream, pages, limits, draining)).await;
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
