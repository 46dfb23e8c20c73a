//! The way of spans to a collector: in batches, on a thread of the provider's, over the runtime's sockets.
//!
//! Reads the environment, which is where OpenTelemetry's settings stand; the names, the defaults and what they mean are
//! the specification's.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Export};
use tokio::runtime::Handle;

use super::TelemetryError;
use super::span::Traces;
use super::tls::Tls;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const INSECURE: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE: &str = "portcullis";

pub(super) fn of_environment() -> Result<Option<Traces>, TelemetryError> {
    let Some((_, endpoint)) = endpoint(&set) else { return Ok(None) };
    let wrong: Vec<_> = check(&set).into_iter().map(|(_, sentence)| sentence).collect();
    if !wrong.is_empty() {
        return Err(TelemetryError(wrong.join("; ")));
    }
    let shown = without_credentials(&endpoint);
    let exporter = exporter(&endpoint).map_err(TelemetryError)?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(OnRuntime { inner: Arc::new(exporter), runtime: Handle::current() })
        .with_resource(resource())
        .build();
    let tracer = provider.tracer(SERVICE);
    tracing::info!(endpoint = shown, "traces are sent to a collector");
    Ok(Some(Traces::new(provider, tracer)))
}

fn exporter(endpoint: &str) -> Result<SpanExporter, String> {
    if !asks_for_tls(endpoint, &set) {
        return SpanExporter::builder().build().map_err(|error| error.to_string());
    }
    let tls = Tls::read(&set).map_err(|(_, sentence)| sentence)?;
    let built = match is_grpc(&set) {
        true => SpanExporter::builder().with_tonic().with_tls_config(tls.grpc()).build(),
        false => SpanExporter::builder().with_http().with_http_client(tls.http(timeout())).build(),
    };
    built.map_err(|error| error.to_string())
}

fn is_grpc(set: &dyn Fn(&str) -> Option<String>) -> bool {
    PROTOCOLS.into_iter().find_map(set).is_some_and(|protocol| protocol == "grpc")
}

/// An address without a scheme is one of gRPC, and with TLS unless it is said to be insecure.
fn asks_for_tls(endpoint: &str, set: &dyn Fn(&str) -> Option<String>) -> bool {
    match endpoint.split_once("://") {
        Some((scheme, _)) => scheme == "https",
        None => !INSECURE.into_iter().find_map(set).is_some_and(|value| value.eq_ignore_ascii_case("true")),
    }
}

/// How long one batch may take.
fn timeout() -> Duration {
    let millis = TIMEOUTS.into_iter().find_map(set).and_then(|value| value.parse().ok());
    Duration::from_millis(millis.unwrap_or(10_000))
}

/// The variable that names a collector, and what it says; none when traces are off.
fn endpoint(set: &dyn Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    let disabled = set(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if disabled || set(EXPORTER).as_deref() == Some("none") {
        return None;
    }
    ENDPOINTS.into_iter().find_map(|name| Some((name, set(name)?)))
}

/// What is wrong with the variables; nothing when traces are off.
pub(super) fn check(set: &dyn Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let Some((variable, endpoint)) = endpoint(set) else { return Vec::new() };
    let mut wrong = Vec::new();
    if let Some(other) = set(EXPORTER).filter(|name| name != "otlp") {
        wrong.push((EXPORTER, format!("`{EXPORTER}` is `{other}`; there is `otlp` and `none`")));
    }
    for name in PROTOCOLS {
        if let Some(other) = set(name).filter(|given| !["grpc", "http/protobuf"].contains(&given.as_str())) {
            wrong.push((name, format!("`{name}` is `{other}`; there is `grpc` and `http/protobuf`")));
        }
    }
    let reason = match endpoint.split_once("://") {
        Some(("http" | "https", rest)) => no_address(rest),
        None if is_grpc(set) => no_address(&endpoint),
        Some(("unix", _)) if is_grpc(set) => None,
        _ => Some("is no address that begins with http:// or https://"),
    };
    let shown = without_credentials(&endpoint);
    wrong.extend(reason.map(|reason| (variable, format!("`{variable}` is `{shown}`, which {reason}"))));
    if asks_for_tls(&endpoint, set) {
        wrong.extend(Tls::read(set).err());
    }
    wrong
}

/// Why this names no host, when it does not: `HOST[:PORT][/PATH]`.
fn no_address(text: &str) -> Option<&'static str> {
    let authority = text.split('/').next().and_then(|text| text.parse::<Authority>().ok());
    let is_host = authority.is_some_and(|authority| {
        let has_port = !authority.as_str().ends_with(authority.host());
        !authority.host().is_empty() && (!has_port || authority.port_u16().is_some())
    });
    (!is_host).then_some("names no host and port")
}

/// An address as it may stand in a log: without the part that can hold a password.
fn without_credentials(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => endpoint.to_owned(),
    }
}

pub(super) fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn resource() -> Resource {
    let named = set("OTEL_SERVICE_NAME").is_some()
        || set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|given| given.contains("service.name="));
    let builder =
        Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named { builder.build() } else { builder.with_service_name(SERVICE).build() }
}

/// An exporter whose sockets are the runtime's, whichever thread asks it to send.
#[derive(Debug)]
struct OnRuntime<E> {
    inner: Arc<E>,
    runtime: Handle,
}

impl<E: Export + 'static> Export for OnRuntime<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let inner = Arc::clone(&self.inner);
        let sent = self.runtime.spawn(async move { inner.export(batch).await }).await;
        sent.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())))
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nobody else holds it before the first batch.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_may_have_a_port() {
        for good in
            ["collector", "127.0.0.1:4318", "[::1]:4318/v1/traces", "user:p@ss@collector:4318", "[::1]"]
        {
            assert_eq!(no_address(good), None, "{good}");
        }
        for bad in ["", ":4318", "127.0.0.1:port", "127.0.0.1:70000", "collector:", "/v1/traces", "a b"] {
            assert!(no_address(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        for (endpoint, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
            ("127.0.0.1:4318", "127.0.0.1:4318"),
            ("user:p@ss@collector:4318", "collector:4318"),
            ("http://user:p@ss@collector:4318/v1/traces", "http://collector:4318/v1/traces"),
        ] {
            assert_eq!(without_credentials(endpoint), shown);
        }
    }
}
