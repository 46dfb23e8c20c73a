//! `serve`: the sidecar. Configuration, log, listeners, store, server, in this order; then it waits for a signal.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use portcullis_server::{Config, Listeners, Outcome};
use portcullis_store::{Status, Store, StoreOptions};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::{Output, Serve};
use crate::configuration::Configuration;
use crate::exit::{Exit, usage};
use crate::render::{counts_object, counts_phrase, visible, write_json};

pub(super) fn run(serve: &Serve) -> anyhow::Result<Exit> {
    let configuration = Configuration::read(&serve.settings, serve.directory.as_deref())?;
    let Some(directory) = configuration.server.policy_directory.clone() else {
        return Err(usage("no policy directory: give DIR or set policy_directory"));
    };
    start_log(&configuration.log)?;
    let runtime = portcullis_server::background_runtime()?;
    runtime.block_on(serve_directory(configuration.server, directory, serve.output))
}

async fn serve_directory(config: Config, directory: PathBuf, output: Output) -> anyhow::Result<Exit> {
    let stop = stop_signal()?;
    let listeners = Listeners::bind(&config).await?;
    heed(announce_listeners(&listeners, output));
    let mut options = StoreOptions::new(directory);
    options.load_mode = config.load_mode.into();
    options.poll_interval = Duration::from_millis(config.poll_interval_ms);
    let store = Store::open(options);
    let announcement = tokio::spawn(announce_first_load(store.clone(), output));
    let outcome = portcullis_server::run(config, store, listeners, stop).await;
    announcement.abort();
    if outcome? == Outcome::Cut {
        tracing::warn!("open requests were cut at the end of the drain");
    }
    Ok(Exit::Ok)
}

/// People read lines on their terminal; everything else gets JSON.
fn start_log(filter: &str) -> anyhow::Result<()> {
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// Ends with the first SIGTERM or SIGINT; the handlers stand before this returns.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Says where the sidecar listens, with the true ports.
fn announce_listeners(listeners: &Listeners, output: Output) -> anyhow::Result<()> {
    let (grpc, socket) = (listeners.grpc_address(), listeners.grpc_socket());
    let http = listeners.http_address();
    let mut out = anstream::stdout().lock();
    match output {
        Output::Human => {
            if let Some(address) = grpc {
                writeln!(out, "gRPC listens on {address}")?;
            }
            if let Some(path) = socket {
                writeln!(out, "gRPC listens on unix:{}", visible(&path.to_string_lossy()))?;
            }
            if let Some(address) = http {
                writeln!(out, "HTTP listens on {address}")?;
            }
        }
        Output::Json => write_json(&mut out, &json!({ "Grpc": grpc, "Uds": socket, "Http": http }))?,
    }
    out.flush()?;
    Ok(())
}

/// A closed standard output is no reason not to serve.
fn heed(written: anyhow::Result<()>) {
    if let Err(error) = written {
        tracing::warn!(%error, "cannot write to standard output");
    }
}

/// Says what the first load came to.
async fn announce_first_load(store: Store, output: Output) {
    let mut statuses = store.subscribe_status();
    let loaded = statuses.wait_for(|status| status.generation > 0 || status.rejection.is_some()).await;
    let Ok(status) = loaded.map(|status| status.clone()) else { return };
    heed(write_first_load(&status, output));
}

fn write_first_load(status: &Status, output: Output) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let revision = status.revision.as_ref().map(ToString::to_string).unwrap_or_default();
    match (output, status.counts) {
        (Output::Human, Some(counts)) if status.generation > 0 => {
            writeln!(out, "loaded {}, revision {revision}", counts_phrase(counts))?;
        }
        (Output::Human, _) => {
            writeln!(out, "the policies do not load; not serving until they do (see `portcullis check`)")?;
        }
        (Output::Json, counts) => {
            let counts = counts.map(counts_object);
            let loaded = status.generation > 0;
            write_json(&mut out, &json!({ "Loaded": loaded, "Counts": counts, "Revision": revision }))?;
        }
    }
    out.flush()?;
    Ok(())
}
