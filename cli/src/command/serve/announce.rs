//! What `serve` says on standard output: where it listens, and what it loaded.
//!
//! Beside a command of the user's, standard output is the command's, and with `audit_file = "-"` it is the audit trail's;
//! then these lines go to standard error.

use std::io::Write;

use portcullis_server::{Config, Listeners, Startup};
use portcullis_store::{Origin, Status, Store};
use serde_json::json;

use crate::args::{Output, Serve};
use crate::render::{counts_object, counts_phrase, visible, write_json};

/// Writes the lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announcer {
    output: Output,
    to_stderr: bool,
}

impl Announcer {
    pub(super) fn new(serve: &Serve, config: &Config) -> Self {
        let audited = config.audit_file.as_ref().is_some_and(|file| file.as_os_str() == "-");
        Self { output: serve.output, to_stderr: audited || !serve.command.is_empty() }
    }

    /// Says where the sidecar listens, with the true ports.
    pub(super) fn listeners(self, listeners: &Listeners) {
        self.write(|out| write_listeners(out, listeners, self.output));
    }

    /// Says what the first load came to; true when there is something to serve.
    pub(super) async fn first_load(self, store: Store, startup: Startup) -> bool {
        let mut statuses = store.subscribe_status();
        // A look at the directory first: a policy set from the state directory comes with what was wrong.
        let judged = |status: &Status| status.rejection.is_some() || status.scans > 0;
        let loaded = statuses.wait_for(judged).await;
        let Ok(status) = loaded.map(|status| status.clone()) else { return false };
        self.write(|out| write_first_load(out, &status, startup, self.output));
        status.generation > 0
    }

    fn write(self, lines: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) {
        let written = if self.to_stderr {
            lines(&mut anstream::stderr().lock())
        } else {
            lines(&mut anstream::stdout().lock())
        };
        // A closed standard output is no reason not to serve.
        if let Err(error) = written {
            tracing::warn!(%error, "cannot say where it listens");
        }
    }
}

fn write_listeners(mut out: &mut dyn Write, listeners: &Listeners, output: Output) -> anyhow::Result<()> {
    let (grpc, socket) = (listeners.grpc_address(), listeners.grpc_socket());
    let http = listeners.http_address();
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

fn write_first_load(
    mut out: &mut dyn Write,
    status: &Status,
    startup: Startup,
    output: Output,
) -> anyhow::Result<()> {
    let revision = status.revision.as_ref().map(ToString::to_string).unwrap_or_default();
    let restored = matches!(status.origin, Origin::LastGood { .. });
    match (output, status.counts) {
        (Output::Human, Some(counts)) if status.generation > 0 => {
            if restored {
                writeln!(
                    out,
                    "the policies do not load; serving the last good ones (see `portcullis check`)"
                )?;
            }
            writeln!(out, "loaded {}, revision {revision}", counts_phrase(counts))?;
        }
        (Output::Human, _) => {
            let then = match startup {
                Startup::Wait => "; not serving until they do",
                Startup::Exit => "",
            };
            writeln!(out, "the policies do not load{then} (see `portcullis check`)")?;
        }
        (Output::Json, counts) => {
            let counts = counts.map(counts_object);
            let loaded = status.generation > 0;
            let object =
                json!({ "Loaded": loaded, "Counts": counts, "Revision": revision, "LastGood": restored });
            write_json(&mut out, &object)?;
        }
    }
    out.flush()?;
    Ok(())
}
