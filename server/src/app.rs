//! The wiring, in dependency order: health, services, workers, accept loops, pages; then the end.
//!
//! Binds nothing and reads no environment: listeners, store and configuration are arguments.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use portcullis_store::Store;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accept::{Listeners, accept_loop};
use crate::config::{Config, ConfigError};
use crate::connection::Site;
use crate::grpc::{Authorization, Guard, Health, Shared, routes};
use crate::tally::Tally;
use crate::worker::Ends;
use crate::{http, shutdown, worker};

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
    /// The system refuses a thread, or a runtime its means.
    #[error("cannot start a worker: {0}")]
    Workers(std::io::Error),
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
    let authorization = Authorization::new(shared.clone());
    let routes = routes(&shared, authorization.clone(), &health)
        .map_err(|error| ServeError::Reflection(error.to_string()))?;
    let guard = Guard::new(routes, &config, Arc::clone(&shared.tally));
    let ends =
        Ends { first_byte: Duration::from_millis(config.first_byte_ms), cut: CancellationToken::new() };
    // However this ends, no worker outlives it.
    let _cut = ends.cut.clone().drop_guard();
    let (door, workers) = worker::start(config.workers(), &ends, &shared.tally, || {
        Site::new(&config, authorization.clone(), guard.clone(), draining.clone())
    })
    .map_err(ServeError::Workers)?;

    let Listeners { grpc, http } = listeners;
    let connections = Arc::new(Semaphore::new(config.connections_max));
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    for listener in grpc {
        let accepting = accept_loop(listener, Arc::clone(&connections), door.clone(), draining.clone());
        tasks.push(tokio::spawn(accepting));
    }
    drop(door);
    for worker in workers {
        tasks.push(tokio::spawn(async move {
            // An error says the same: the worker is gone.
            let _ = worker.await;
        }));
    }
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

async fn serve_http(listener: TcpListener, shared: Shared, leaving: CancellationToken) {
    if let Err(error) = http::serve(listener, shared, leaving).await {
        tracing::error!(%error, "the HTTP server ended");
    }
}
