//! `serve`: the sidecar. Configuration, log, signals, listeners, store, server, in this order; then it obeys signals.

mod announce;
mod companion;
mod reconfigure;
mod service;
mod signals;

use std::cell::Cell;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_server::{BindError, Config, Lifecycle, Listeners, Outcome, Startup, Surroundings, Telemetry};
use portcullis_store::Store;

use crate::args::Serve;
use crate::configuration::{Configuration, Purpose};
use crate::exit::{Exit, usage};
use crate::log::Log;
use announce::Announcer;
use companion::Companion;
use reconfigure::Started;
use signals::Signals;

pub(super) fn run(serve: &Serve) -> anyhow::Result<Exit> {
    let configuration = Configuration::read(&serve.settings, Purpose::Serve(serve.directory.as_deref()));
    let configuration = configuration.map_err(|rejected| rejected.told_as(serve.output))?;
    // It was looked for with everything else.
    let directory = configuration.server.policy_directory.clone().unwrap_or_default();
    let runtime = portcullis_server::background_runtime()?;
    let log = Log::start(&configuration.log, configuration.log_format)?;
    let ended = runtime.block_on(serve_directory(configuration.server, directory, serve, &log));
    // A thread that a file system holds does not hold the end.
    runtime.shutdown_background();
    log.end();
    ended
}

async fn serve_directory(
    config: Config,
    directory: PathBuf,
    serve: &Serve,
    log: &Log,
) -> anyhow::Result<Exit> {
    // The handlers stand before anything does that a signal should end well.
    let signals = Signals::take()?;
    let lifecycle = Lifecycle::new();
    let telemetry = Telemetry::of_environment().map_err(|error| usage(error.to_string()))?;
    let listeners = Listeners::bind(&config).await.map_err(|error| match error {
        BindError::Credentials(error) => usage(error.to_string()),
        error => error.into(),
    })?;
    let announcer = Announcer::new(serve, &config);
    announcer.listeners(&listeners);
    let drain = Duration::from_millis(config.drain_delay_ms.saturating_add(config.drain_ms));
    let companion = Companion::new(&serve.command, &listeners, drain);
    let store = Store::open(config.store_options(directory));

    let (startup, nothing_to_serve) = (config.startup, Cell::new(false));
    let first_load = async {
        if !announcer.first_load(store.clone(), startup).await && startup == Startup::Exit {
            nothing_to_serve.set(true);
            lifecycle.stop();
        }
    };
    let started = Started { serve, config: config.clone() };
    let reconfiguring = reconfigure::follow(&started, &lifecycle, log, lifecycle.reloads());
    let obeying = signals.obey(&lifecycle, log, companion.as_ref());
    let telling = service::tell(&store, &lifecycle);
    let beside = async {
        tokio::join!(first_load, obeying, reconfiguring, telling);
        std::future::pending::<Infallible>().await
    };
    let around = Surroundings { lifecycle: lifecycle.clone(), telemetry };
    let serving = portcullis_server::run_until(config, store.clone(), listeners, around);
    let ending = async {
        match &companion {
            Some(companion) => companion.accompany(serving, &store, &lifecycle).await,
            None => (serving.await, Ok(Exit::Ok)),
        }
    };
    let (outcome, exit) = tokio::select! {
        ended = ending => ended,
        never = beside => match never {},
    };
    service::stopped();
    if outcome? == Outcome::Cut {
        tracing::warn!("open requests were cut at the end of the drain");
    }
    if nothing_to_serve.get() { Ok(Exit::PoliciesRejected) } else { exit }
}
