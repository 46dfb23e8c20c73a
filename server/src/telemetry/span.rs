//! Spans of calls, in the words of OpenTelemetry's conventions for RPC and in ours.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, ContextGuard, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use portcullis_engine::{Decision, Effect};
use tonic::Code;

use crate::tally::CODES;

/// Longest time for sending what is left, at the end.
const END_MAX: Duration = Duration::from_secs(3);

/// A provider of spans and what it reads from callers.
#[derive(Debug)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

impl Traces {
    pub(super) fn new(provider: SdkTracerProvider, tracer: SdkTracer) -> Self {
        Self { provider, tracer, propagator: TraceContextPropagator::new() }
    }

    pub(super) fn begin(&self, path: &str, headers: &HeaderMap) -> Option<Call> {
        // An unknown path is a caller's text and no name of ours.
        let (service, method) = known(path).unwrap_or(("unknown", "unknown"));
        let caller = self.propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let attributes = vec![
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service),
            KeyValue::new("rpc.method", method),
        ];
        let span = self
            .tracer
            .span_builder(format!("{service}/{method}"))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &caller);
        let context = caller.with_span(span);
        context.span().is_recording().then_some(Call { context })
    }

    pub(super) async fn end(&self) {
        let provider = self.provider.clone();
        // Waits for the thread that sends; on a runtime's own thread the two would wait for each other.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(END_MAX)).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

const SERVICES: [(&str, &[&str]); 3] = [
    (
        "portcullis.v1.AuthorizationService",
        &["Authorize", "BatchAuthorize", "AuthorizeStream", "Simulate", "ListContextKeys"],
    ),
    ("portcullis.v1.PolicySetService", &["GetStatus", "WatchRevisions", "WaitForRevision", "WatchPolicySet"]),
    ("grpc.health.v1.Health", &["Check", "Watch"]),
];

fn known(path: &str) -> Option<(&'static str, &'static str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (service, methods) = SERVICES.into_iter().find(|(name, _)| *name == service)?;
    Some((service, methods.iter().find(|name| **name == method)?))
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    context: Context,
}

impl Call {
    /// Makes it the current span of this thread.
    pub(super) fn enter(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    pub(super) fn end(&self, code: Code) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
        // The caller's mistakes are no errors of the server.
        let failed = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if failed {
            span.set_status(Status::error(CODES.get(code as usize).copied().unwrap_or_default()));
        }
        span.end();
    }
}

/// One event for each decision; the attributes of the span are those of the last one.
pub(super) fn decided(decision: &Decision<'_>, revision: &str, generation: u64) {
    Context::map_current(|context| {
        let span = context.span();
        if !span.is_recording() {
            return;
        }
        let word = match decision.effect {
            Effect::Allow => "Allow",
            Effect::Deny => "Deny",
        };
        let said = vec![
            KeyValue::new("portcullis.decision", word),
            KeyValue::new("portcullis.reason", decision.reason.as_str()),
            KeyValue::new("portcullis.layer", decision.layer.as_str()),
        ];
        span.add_event("decision", said.clone());
        span.set_attributes(said);
        span.set_attribute(KeyValue::new("portcullis.revision", revision.to_owned()));
        span.set_attribute(KeyValue::new(
            "portcullis.generation",
            i64::try_from(generation).unwrap_or(i64::MAX),
        ));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_become_names_of_spans() {
        assert_eq!(
            known("/portcullis.v1.AuthorizationService/Authorize"),
            Some(("portcullis.v1.AuthorizationService", "Authorize"))
        );
        assert_eq!(known("/grpc.health.v1.Health/Watch"), Some(("grpc.health.v1.Health", "Watch")));
        for path in ["", "/", "/portcullis.v1.AuthorizationService/GetStatus", "/canary/canary"] {
            assert_eq!(known(path), None, "{path}");
        }
    }
}
