//! The log of the process: on standard error, for people on a terminal and as JSON Lines elsewhere.
//!
//! What is logged can be changed while the process runs. Invariant (ONE-EVENT-ONE-LINE): whatever a message quotes, an
//! event is one line, and nothing in it is obeyed by a terminal except the colors that the program itself sets. Who logs
//! does not wait for who reads (`sink`).

mod escape;
mod sink;

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use escape::Escaped;
use sink::Sink;

/// What the switch for trouble turns on.
const TROUBLE_FILTER: &str = "debug";

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line for people.
    Human,
    /// A JSON object on a line.
    Json,
}

impl Format {
    /// `human`, `json`, or `auto`: human on a terminal, JSON elsewhere.
    pub(crate) fn read(word: &str) -> Result<Self, String> {
        match word {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            "auto" if std::io::stderr().is_terminal() => Ok(Self::Human),
            "auto" => Ok(Self::Json),
            _ => Err("must be `auto`, `human` or `json`".to_owned()),
        }
    }
}

/// The running log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    state: Arc<Mutex<State>>,
    sink: Sink,
}

#[derive(Debug)]
struct State {
    configured: String,
    trouble: bool,
}

impl State {
    /// What holds.
    fn filter(&self) -> &str {
        if self.trouble { TROUBLE_FILTER } else { &self.configured }
    }
}

impl Log {
    /// Starts the log of this process.
    pub(crate) fn start(filter: &str, format: Format) -> anyhow::Result<Self> {
        let (layer, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
        let sink = Sink::start(std::io::stderr(), |lost| {
            tracing::error!(lost, "lines of the log were lost: for a while nobody read them");
        });
        let sink = sink.context("cannot start the log")?;
        let started = tracing_subscriber::registry().with(layer).with(lines(format, sink.clone())).try_init();
        started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))?;
        let state = State { configured: filter.to_owned(), trouble: false };
        Ok(Self { filter: handle, state: Arc::new(Mutex::new(state)), sink })
    }

    /// Comes back when everything is written, or after a moment.
    pub(crate) fn end(&self) {
        self.sink.end();
    }

    /// Logs what this filter lets through from now on. Gives the filters before and now, when they differ.
    pub(crate) fn configure(&self, filter: &str) -> Option<(String, String)> {
        self.change(|state| {
            filter.clone_into(&mut state.configured);
            state.trouble = false;
        })
    }

    /// Switches between what is configured and everything. Gives the filters before and now.
    pub(crate) fn toggle_trouble(&self) -> Option<(String, String)> {
        self.change(|state| state.trouble = !state.trouble)
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Option<(String, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.filter().to_owned();
        change(&mut state);
        let now = state.filter();
        if before == now {
            return None;
        }
        self.set(now);
        Some((before, now.to_owned()))
    }

    fn set(&self, filter: &str) {
        let changed = EnvFilter::try_new(filter)
            .map_err(|error| error.to_string())
            .and_then(|new| self.filter.reload(new).map_err(|error| error.to_string()));
        match changed {
            // An error, so that it shows whatever the filter.
            Ok(()) => tracing::error!(target: "portcullis::log", filter, "the filter of the log was changed"),
            Err(error) => tracing::error!(filter, error, "the filter of the log cannot be changed"),
        }
    }
}

fn lines<S>(format: Format, sink: Sink) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let writer = move || Escaped::new(sink.clone(), format);
    match format {
        Format::Human => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_writer(writer)
            .boxed(),
        Format::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    }
}
