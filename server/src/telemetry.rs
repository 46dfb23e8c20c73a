//! Traces of calls for an OpenTelemetry collector, when the environment names one.
//!
//! A call that is traced takes the slow way, through the routes; a call that is not costs a look at an option. Which calls
//! are, the caller's `traceparent` and the sampler decide. Invariant (OFF-IS-FREE): without a collector there is no
//! provider, no thread and no allocation. Spans name neither principal, nor resource, nor context.

#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod span;
#[cfg(feature = "otel")]
mod tls;

use std::future::poll_fn;
use std::pin::pin;

use http::HeaderMap;
use portcullis_engine::Decision;
use tonic::Code;

#[cfg(feature = "otel")]
use span::Traces;

#[cfg(not(feature = "otel"))]
const WITHOUT: &str = "this program was built without traces";

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("cannot send traces: {0}")]
pub struct TelemetryError(String);

/// Where traces go, if anywhere. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    traces: Option<std::sync::Arc<Traces>>,
}

impl Telemetry {
    /// Nowhere.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Where the standard `OTEL_` variables say: on with `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, off with `OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none`.
    ///
    /// # Errors
    /// When the variables contradict themselves or name what is not supported or a file that is of no use.
    ///
    /// # Panics
    /// Outside a tokio runtime, when there is a collector.
    #[cfg(feature = "otel")]
    pub fn of_environment() -> Result<Self, TelemetryError> {
        Ok(Self { traces: export::of_environment()?.map(std::sync::Arc::new) })
    }

    /// Nowhere: built without the feature `otel`.
    ///
    /// # Errors
    /// When the environment names a collector all the same, so that nobody waits for traces that do not come.
    #[cfg(not(feature = "otel"))]
    pub fn of_environment() -> Result<Self, TelemetryError> {
        let asked = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if asked("OTEL_EXPORTER_OTLP_ENDPOINT") || asked("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            return Err(TelemetryError(WITHOUT.to_owned()));
        }
        Ok(Self::off())
    }

    /// What is wrong with the `OTEL_` variables: the variable, and a sentence. Empty when [`Telemetry::of_environment`] can
    /// be asked.
    #[must_use]
    pub fn check_environment() -> Vec<(&'static str, String)> {
        #[cfg(feature = "otel")]
        return export::check(&export::set);
        #[cfg(not(feature = "otel"))]
        {
            let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].into_iter();
            let asked =
                endpoints.filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
            asked.map(|name| (name, format!("`{name}` is set: {WITHOUT}"))).collect()
        }
    }

    /// A span for a call that is to be traced.
    #[cfg(feature = "otel")]
    pub(crate) fn begin(&self, path: &str, headers: &HeaderMap) -> Option<CallSpan> {
        self.traces.as_ref()?.begin(path, headers).map(CallSpan)
    }

    #[cfg(not(feature = "otel"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) fn begin(&self, _path: &str, _headers: &HeaderMap) -> Option<CallSpan> {
        None
    }

    /// Adds a decision to the span that is current, if one is.
    pub(crate) fn decided(&self, decision: &Decision<'_>, revision: &str, generation: u64) {
        #[cfg(feature = "otel")]
        if self.traces.is_some() {
            span::decided(decision, revision, generation);
        }
        #[cfg(not(feature = "otel"))]
        let _ = (decision, revision, generation);
    }

    /// Sends what has not been sent, within a few seconds, and ends.
    pub async fn end(&self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = &self.traces {
            traces.end().await;
        }
    }
}

/// The span of one call that is traced.
#[derive(Debug, Clone)]
pub(crate) struct CallSpan(#[cfg(feature = "otel")] span::Call);

impl CallSpan {
    /// Ends the span with the code of the call.
    pub(crate) fn end(&self, code: Code) {
        #[cfg(feature = "otel")]
        self.0.end(code);
        #[cfg(not(feature = "otel"))]
        let _ = code;
    }
}

/// Runs `future` with the span, if there is one, as the current one of each poll.
pub(crate) async fn within<F: Future>(span: Option<CallSpan>, future: F) -> F::Output {
    let Some(span) = span else { return future.await };
    let mut future = pin!(future);
    poll_fn(|context| {
        #[cfg(feature = "otel")]
        let _current = span.0.enter();
        #[cfg(not(feature = "otel"))]
        let _ = &span;
        future.as_mut().poll(context)
    })
    .await
}
