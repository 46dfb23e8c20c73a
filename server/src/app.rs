//! The wiring, in dependency order: health, services, accept loops, pages; then the end.
//!
//! Binds nothing and reads no environment: listeners, store and configuration are arguments.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use portcullis_store::Store;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};

use crate::accept::{AcceptLimits, Listeners, accept_loop};
use crate::config::{Config, ConfigError};
use crate::grpc::{GuardLayer, Health, Shared, routes};
use crate::tally::Tally;
use crate::{http, shutdown};

/// Connections that have spoken and wait to be taken up by HTTP/2.
const READY_CONNECTIONS_MAX: usize = 64;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every open request was answered.
    Drained,
    /// The drain took too long, and open connections were cut.
    Cut,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Values that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The descriptors for reflection are broken.
    #[error("cannot offer reflection: {0}")]
    Reflection(String),
}

/// Serves `store` on `listeners` until `shutdown`, then drains within the configured time.
///
/// # Errors
/// Before anything is served: when the configuration or the descriptors for reflection are wrong.
pub async fn run(
    config: Config,
    store: Store,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<Outcome, ServeError> {
    config.check()?;
    let (leaving, draining) = (CancellationToken::new(), CancellationToken::new());
    let config = Arc::new(config);
    let tally = Arc::new(Tally::default());
    let shared = Shared { store, config: Arc::clone(&config), tally, draining: draining.clone() };

    let health = Health::new(draining.clone()).await;
    let routes = routes(&shared, &health).map_err(|error| ServeError::Reflection(error.to_string()))?;
    let Listeners { grpc, http } = listeners;
    let (ready, connections) = mpsc::channel(READY_CONNECTIONS_MAX);
    let limits = AcceptLimits {
        connections: Arc::new(Semaphore::new(config.connections_max)),
        first_byte: Duration::from_millis(config.first_byte_ms),
    };
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    for listener in grpc {
        tasks.push(tokio::spawn(accept_loop(listener, limits.clone(), ready.clone(), draining.clone())));
    }
    drop(ready);
    tasks.push(tokio::spawn(serve_grpc(
        server(&config, &shared),
        routes,
        ReceiverStream::new(connections),
        draining.clone(),
    )));
    if let Some(listener) = http {
        tasks.push(tokio::spawn(serve_http(listener, shared.clone(), leaving.clone())));
    }

    let follow = {
        let (health, generation) = (health.clone(), shared.store.subscribe());
        async move { health.follow(generation).await }
    };
    let follower = tokio::spawn(follow);
    shutdown.await;
    follower.abort();
    leaving.cancel();
    health.drain().await;
    tracing::info!("draining");
    tokio::time::sleep(Duration::from_millis(config.drain_delay_ms)).await;
    draining.cancel();
    let clean = shutdown::finish(tasks, Duration::from_millis(config.drain_ms)).await;
    Ok(if clean { Outcome::Drained } else { Outcome::Cut })
}

/// HTTP/2 with every limit that its defaults leave open.
fn server(config: &Config, shared: &Shared) -> Server<Stack<GuardLayer, Identity>> {
    Server::builder()
        .max_concurrent_streams(config.streams_per_connection_max)
        .http2_max_local_error_reset_streams(Some(config.local_error_resets_max))
        .http2_max_pending_accept_reset_streams(Some(config.pending_accept_resets_max))
        .http2_max_header_list_size(config.header_list_bytes_max)
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes)
        .http2_keepalive_interval(Some(Duration::from_millis(config.keepalive_interval_ms)))
        .http2_keepalive_timeout(Some(Duration::from_millis(config.keepalive_timeout_ms)))
        .layer(GuardLayer::new(config, Arc::clone(&shared.tally)))
}

async fn serve_grpc(
    mut server: Server<Stack<GuardLayer, Identity>>,
    routes: Routes,
    connections: ReceiverStream<std::io::Result<crate::accept::Connection>>,
    draining: CancellationToken,
) {
    let served =
        server.add_routes(routes).serve_with_incoming_shutdown(connections, draining.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the gRPC server ended");
    }
}

async fn serve_http(listener: TcpListener, shared: Shared, leaving: CancellationToken) {
    if let Err(error) = http::serve(listener, shared, leaving).await {
        tracing::error!(%error, "the HTTP server ended");
    }
}
