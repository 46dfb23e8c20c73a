//! A question put to a running sidecar, and its answer in the words of the command line.
//!
//! Takes the wire messages of the client library, because an explanation needs the trace.

mod decode;
mod encode;
mod transport;

use std::path::Path;
use std::time::Duration;

use portcullis_client::{Client, Error, wire};

use crate::args::{PolicySource, Transport};
use crate::exit::usage;
use crate::render::decision::Answer;
use crate::render::explain::ExplanationObject;
use crate::request::RequestText;

/// Longest wait for a connection and for one answer.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(10);

/// One decision.
pub(super) fn authorize(
    source: &PolicySource,
    transport: &Transport,
    request: &RequestText,
) -> anyhow::Result<Answer> {
    decode::answer(ask(source, transport, request, wire::Detail::Statements)?)
}

/// One decision with its walk.
pub(super) fn explain(
    source: &PolicySource,
    transport: &Transport,
    request: &RequestText,
) -> anyhow::Result<ExplanationObject> {
    decode::explanation(ask(source, transport, request, wire::Detail::Trace)?)
}

fn ask(
    source: &PolicySource,
    transport: &Transport,
    request: &RequestText,
    detail: wire::Detail,
) -> anyhow::Result<wire::AuthorizeResponse> {
    let endpoint = endpoint(source.server.as_deref().unwrap_or_default(), source.uds.as_deref());
    let request = encode::request(request, detail);
    exchange(&endpoint, transport, ASK_LIMIT, async |client| client.authorize_wire(request).await)
}

/// What the client library calls an endpoint; the socket wins where there is one.
pub(super) fn endpoint(server: &str, socket: Option<&Path>) -> String {
    socket.map_or_else(|| server.to_owned(), |path| format!("unix:{}", path.display()))
}

/// Connects and runs one exchange; each may take as long as the limit.
pub(super) fn exchange<T>(
    endpoint: &str,
    transport: &Transport,
    limit: Duration,
    call: impl AsyncFnOnce(Client) -> Result<T, Error>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let builder = Client::builder(endpoint).connect_timeout(limit).timeout(limit);
    let builder = transport::apply(builder, transport);
    let ended = runtime.block_on(async { call(builder.connect().await?).await });
    ended.map_err(|error| failure(endpoint, &error))
}

/// Violations are mistakes on the command line; everything else is a sidecar that did not answer.
fn failure(endpoint: &str, error: &Error) -> anyhow::Error {
    match error {
        Error::Endpoint(_) | Error::Credentials(_) => usage(error.to_string()),
        Error::Refused { violations, .. } if !violations.is_empty() => {
            let lines: Vec<_> =
                violations.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.description)).collect();
            usage(lines.join("\n       "))
        }
        _ => anyhow::Error::new(error.clone()).context(endpoint.to_owned()),
    }
}
