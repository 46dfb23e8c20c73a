//! `status`, `wait`, `healthcheck`: questions to a running sidecar about itself.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::bail;
use portcullis_client::Health;
use portcullis_engine::{Counts, Instant as Moment};
use portcullis_proto::v1;
use serde_json::{Value, json};

use super::remote::{ASK_LIMIT, exchange};
use crate::args::{Healthcheck, Output, Sidecar, Status, Wait};
use crate::configuration::sidecar_of_environment;
use crate::exit::Exit;
use crate::render::{BAD, counted, counts_object, counts_phrase, visible, write_json_pretty};

/// Where a sidecar listens unless told otherwise.
const DEFAULT_SERVER: &str = "127.0.0.1:8180";
/// How long `wait` rests before it looks again for a sidecar that is not there.
const PAUSE: Duration = Duration::from_millis(100);

fn endpoint(sidecar: &Sidecar) -> String {
    let Sidecar { server, uds } = sidecar;
    if server.is_none() && uds.is_none() {
        return sidecar_of_environment().unwrap_or_else(|| DEFAULT_SERVER.to_owned());
    }
    super::remote::endpoint(server.as_deref().unwrap_or(DEFAULT_SERVER), uds.as_deref())
}

/// What is loaded, and what was rejected.
pub(super) fn status(status: &Status) -> anyhow::Result<Exit> {
    let state = exchange(&endpoint(&status.sidecar), &status.transport, ASK_LIMIT, async |client| {
        client.status().await
    })?;
    let mut out = anstream::stdout().lock();
    match status.output {
        Output::Human => write_state(&mut out, &state)?,
        Output::Json => write_json_pretty(&mut out, &state_object(&state))?,
    }
    Ok(Exit::Ok)
}

fn write_state(out: &mut impl std::io::Write, state: &v1::GetStatusResponse) -> anyhow::Result<()> {
    if state.generation == 0 {
        writeln!(out, "no policy set is loaded")?;
    } else {
        writeln!(out, "revision {}, generation {}", visible(&state.revision), state.generation)?;
        if let Some(at) = &state.loaded_at {
            writeln!(out, "loaded at {}", time(at))?;
        }
        if let Some(counts) = state.counts {
            writeln!(out, "{}", counts_phrase(counts_of(counts)))?;
        }
    }
    if state.degraded {
        writeln!(out, "{BAD}DEGRADED{BAD:#}")?;
    }
    if let Some(stale) = &state.stale_for {
        writeln!(out, "for {} s this has not been what the policy directory holds", stale.seconds)?;
    }
    if let Some(at) = &state.last_good_saved_at {
        writeln!(out, "kept by an earlier process; the directory last held it at {}", time(at))?;
    }
    if !state.watching {
        writeln!(out, "changes are found by looking alone")?;
    }
    let Some(rejection) = &state.last_rejection else { return Ok(()) };
    let total = counted(rejection.diagnostics_total.into(), "finding", "findings");
    let at = rejection.rejected_at.as_ref().map(time).unwrap_or_default();
    writeln!(out, "the directory as it is now was rejected at {at} with {total}:")?;
    for found in &rejection.diagnostics {
        let place = format!("{}:{}:{}", visible(&found.file), found.line, found.column);
        writeln!(
            out,
            "  {}[{}] {place}: {}",
            severity(found),
            visible(&found.code),
            visible(&found.message)
        )?;
    }
    Ok(())
}

fn state_object(state: &v1::GetStatusResponse) -> Value {
    let rejection = state.last_rejection.as_ref().map(|rejection| {
        let diagnostics: Vec<_> = rejection.diagnostics.iter().map(diagnostic_object).collect();
        json!({
            "RejectedAt": rejection.rejected_at.as_ref().map(time),
            "DiagnosticsTotal": rejection.diagnostics_total,
            "Diagnostics": diagnostics,
        })
    });
    json!({
        "Revision": state.revision,
        "Generation": state.generation,
        "LoadedAt": state.loaded_at.as_ref().map(time),
        "Counts": state.counts.map(|counts| counts_object(counts_of(counts))),
        "Watching": state.watching,
        "Degraded": state.degraded,
        "StaleSeconds": state.stale_for.as_ref().map(|stale| stale.seconds),
        "LastGoodSavedAt": state.last_good_saved_at.as_ref().map(time),
        "LastRejection": rejection,
    })
}

fn diagnostic_object(found: &v1::Diagnostic) -> Value {
    json!({
        "Code": found.code, "Severity": severity(found), "File": found.file, "Line": found.line,
        "Column": found.column, "Message": found.message, "Help": found.help,
    })
}

fn severity(found: &v1::Diagnostic) -> &'static str {
    match v1::Severity::try_from(found.severity) {
        Ok(v1::Severity::Note) => "note",
        Ok(v1::Severity::Warning) => "warning",
        _ => "error",
    }
}

fn counts_of(counts: v1::Counts) -> Counts {
    let v1::Counts { users, groups, roles, policies, statements } = counts;
    Counts { users, groups, roles, policies, statements }
}

fn time(at: &prost_types::Timestamp) -> String {
    Moment::new(at.seconds, u32::try_from(at.nanos).unwrap_or_default()).to_string()
}

/// Ends when the revision is served. A sidecar that is not there yet is waited for, too.
pub(super) fn wait(wait: &Wait) -> anyhow::Result<Exit> {
    let (begun, limit) = (Instant::now(), Duration::from_millis(wait.timeout_ms));
    let revision = wait.revision.to_string();
    let reached = loop {
        let left = limit.saturating_sub(begun.elapsed());
        let reached = exchange(&endpoint(&wait.sidecar), &wait.transport, left, async |client| {
            client.wait_for_revision(revision.as_str(), 0, left).await
        });
        match reached {
            Err(error) if may_come(&error) && begun.elapsed() + PAUSE < limit => std::thread::sleep(PAUSE),
            ended => break ended?,
        }
    };
    let mut out = anstream::stdout().lock();
    match wait.output {
        Output::Human => {
            writeln!(out, "revision {}, generation {}", visible(&reached.revision), reached.generation)?;
        }
        Output::Json => {
            let object = json!({ "Revision": reached.revision, "Generation": reached.generation });
            write_json_pretty(&mut out, &object)?;
        }
    }
    Ok(Exit::Ok)
}

/// Whether a sidecar that has not answered may do so later.
fn may_come(error: &anyhow::Error) -> bool {
    error.downcast_ref::<portcullis_client::Error>().is_some_and(portcullis_client::Error::is_transient)
}

/// Exit 0 when the sidecar as a whole is serving.
pub(super) fn healthcheck(healthcheck: &Healthcheck) -> anyhow::Result<Exit> {
    let endpoint = endpoint(&healthcheck.sidecar);
    let limit = Duration::from_millis(healthcheck.timeout_ms);
    let health = exchange(&endpoint, &healthcheck.transport, limit, async |client| client.health().await)?;
    if health != Health::Serving {
        bail!("the sidecar on {endpoint} is not serving");
    }
    let mut out = anstream::stdout().lock();
    match healthcheck.output {
        Output::Human => writeln!(out, "serving")?,
        Output::Json => write_json_pretty(&mut out, &json!({ "Serving": true }))?,
    }
    Ok(Exit::Ok)
}
