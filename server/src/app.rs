//! The wiring, in dependency order: health, services, workers, accept loops, pages; then the end.
//!
//! Binds nothing and reads no environment: listeners, store and configuration are arguments.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use portcullis_store::Store;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Listeners, accept_loop};
use crate::audit::{self, Audit, AuditError, AuditOptions, Happening, ServiceEvent};
use crate::config::{Config, ConfigError};
use crate::connection::Site;
use crate::credentials::{Follower, Gate};
use crate::grpc::{Authorization, Guard, Health, Shared, routes};
use crate::http::Pages;
use crate::lifecycle::{Lifecycle, Reconfigured};
use crate::supervise::supervised;
use crate::tally::{Tally, Task};
use crate::telemetry::Telemetry;
use crate::worker::Ends;
use crate::{clock, http, shutdown, worker};

/// Longest time for what is still to be recorded, at the end.
const AUDIT_END_MAX: Duration = Duration::from_secs(5);
/// Longest wait for workers that were cut. A worker is in the middle of a request at most.
const CUT_MAX: Duration = Duration::from_secs(1);

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
    /// The audit trail cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The system refuses a thread, or a runtime its means.
    #[error("cannot start a worker: {0}")]
    Workers(std::io::Error),
}

/// What a run has around it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The switches of the process.
    pub lifecycle: Lifecycle,
    /// Where traces go.
    pub telemetry: Telemetry,
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
    let lifecycle = Lifecycle::new();
    let around = Surroundings { lifecycle: lifecycle.clone(), telemetry: Telemetry::off() };
    let stopping = async {
        shutdown.await;
        lifecycle.stop();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        ended = run_until(config, store, listeners, around) => ended,
        never = stopping => match never {},
    }
}

/// The same, with every switch of [`Lifecycle`], and with traces.
///
/// # Errors
/// As [`run`].
pub async fn run_until(
    config: Config,
    store: Store,
    listeners: Listeners,
    around: Surroundings,
) -> Result<Outcome, ServeError> {
    config.check()?;
    let Listeners { grpc, http, credentials } = listeners;
    let Surroundings { lifecycle, telemetry } = around;
    let (leaving, draining) = (CancellationToken::new(), CancellationToken::new());
    let config = Arc::new(config);
    let tally = Arc::new(Tally::default());
    let audit = Audit::open(AuditOptions::new(&config))?;
    let start = ServiceEvent::new(Happening::Start)
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("configurationDigest", config.digest())
        .with("settings", config.not_default());
    audit.happening(&start);
    let shared = Shared {
        store,
        config: Arc::clone(&config),
        tally,
        audit: audit.clone(),
        telemetry: telemetry.clone(),
        credentials,
        draining: draining.clone(),
    };
    shared.credentials.leave_with(&draining);

    let health = Health::new(draining.clone()).await;
    let authorization = Authorization::new(shared.clone());
    let routes = routes(&shared, authorization.clone(), &health)
        .map_err(|error| ServeError::Reflection(error.to_string()))?;
    let guard = Guard::new(routes, &config, Arc::clone(&shared.tally), telemetry.clone());
    let ends =
        Ends { first_byte: Duration::from_millis(config.first_byte_ms), cut: CancellationToken::new() };
    // However this ends, no worker outlives it.
    let _cut = ends.cut.clone().drop_guard();
    let (door, workers) = worker::start(config.workers(), &ends, &shared.tally, || {
        let gate = Gate::new(shared.credentials.clone(), &config, draining.clone());
        Site::new(&config, authorization.clone(), guard.clone(), gate)
    })
    .map_err(ServeError::Workers)?;

    let pages = Pages::new(shared.clone(), leaving.clone());
    let connections = Arc::new(Semaphore::new(config.connections_max));
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    for listener in grpc {
        let (connections, door) = (Arc::clone(&connections), door.clone());
        let (tally, draining) = (Arc::clone(&shared.tally), draining.clone());
        tasks.push(tokio::spawn(async move {
            let accept = || accept_loop(&listener, &connections, &door, &draining);
            supervised(Task::Accept, &tally, accept).await;
        }));
    }
    drop(door);
    let serving = TaskTracker::new();
    for worker in workers {
        serving.spawn(async move {
            // An error says the same: the worker is gone.
            let _ = worker.await;
        });
    }
    serving.close();
    tasks.push(tokio::spawn({
        let serving = serving.clone();
        async move { serving.wait().await }
    }));
    if let Some(listener) = http {
        let (tally, draining) = (Arc::clone(&shared.tally), draining.clone());
        let (router, limits) = (pages.clone().router(), config.http_limits());
        tasks.push(tokio::spawn(async move {
            let serve = || http::serve(&listener, router.clone(), limits, draining.clone());
            supervised(Task::Http, &tally, serve).await;
        }));
    }

    let attending = attend(&health, &shared, &pages, &lifecycle);
    tokio::select! {
        never = attending => match never {},
        () = lifecycle.stopping() => {}
    }
    leaving.cancel();
    health.drain().await;
    tracing::info!("draining");
    let drain = async {
        tokio::time::sleep(Duration::from_millis(config.drain_delay_ms)).await;
        draining.cancel();
        shutdown::finish(tasks, Duration::from_millis(config.drain_ms)).await
    };
    let clean = tokio::select! {
        clean = drain => clean,
        () = lifecycle.cutting() => {
            tracing::warn!("the drain is cut short");
            false
        }
    };
    if !clean {
        // Nobody is answered any more once the records end.
        ends.cut.cancel();
        // One that is stuck ends with the process.
        let _ = tokio::time::timeout(CUT_MAX, serving.wait()).await;
    }
    record_changes(&lifecycle, &audit);
    audit.happening(&ServiceEvent::new(Happening::Stop).with("clean", if clean { "true" } else { "false" }));
    let written = audit.close(AUDIT_END_MAX).await;
    telemetry.end().await;
    Ok(if clean && written { Outcome::Drained } else { Outcome::Cut })
}

/// Everything that goes on beside the requests, until it is dropped.
async fn attend(health: &Health, shared: &Shared, pages: &Pages, lifecycle: &Lifecycle) -> Infallible {
    let (mut reloads, mut dumps) = (lifecycle.reloads(), lifecycle.dumps());
    let rescans = async {
        while reloads.changed().await.is_ok() {
            shared.store.rescan();
            shared.audit.reopen();
        }
    };
    let lines = async {
        while dumps.changed().await.is_ok() {
            tracing::info!(state = %pages.line(), "state of the process");
        }
    };
    let mut reconfigurations = lifecycle.reconfigurations();
    let changes = async {
        while reconfigurations.changed().await.is_ok() {
            record_changes(lifecycle, &shared.audit);
        }
    };
    let health = health.follow(shared.store.subscribe_status(), shared.config.stale_max());
    let audited = audit::policies::follow(&shared.audit, &shared.store);
    let credentials = Follower::new(shared).follow(lifecycle.reloads());
    tokio::join!(
        health,
        audited,
        credentials,
        rescans,
        lines,
        changes,
        clock::watch(Arc::clone(&shared.tally))
    );
    std::future::pending().await
}

/// Writes down what was changed of the configuration.
fn record_changes(lifecycle: &Lifecycle, audit: &Audit) {
    for change in lifecycle.take_reconfigured() {
        audit.happening(&match change {
            Reconfigured::Changed { setting, from, to, cause } => {
                ServiceEvent::new(Happening::ConfigurationChanged)
                    .with("setting", setting)
                    .with("from", from)
                    .with("to", to)
                    .with("cause", cause)
            }
            Reconfigured::Rejected { error } => {
                ServiceEvent::new(Happening::ConfigurationRejected).failed("ConfigurationRejected", error)
            }
        });
    }
}
