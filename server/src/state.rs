//! The state of the process as one JSON value: for the status page, and for a line of the log on demand.
//!
//! Says nothing about principals, requests or credentials. Texts of diagnostics quote policy files, which callers of the
//! page may see anyway; the line of the log leaves them out.

use std::sync::atomic::Ordering;

use portcullis_engine::{Counts, Diagnostic};
use portcullis_question::moment;
use portcullis_store::{Change, Keeping, Origin, Rejection, Reloads, Status, Step};
use serde_json::{Value, json};

use crate::audit::Audit;
use crate::grpc::Shared;
use crate::readiness::Readiness;
use crate::tally::Tally;

/// Diagnostics that one page shows; it says how many there are in all.
const DIAGNOSTICS_MAX: usize = 100;

/// Something is wrong although requests are answered: with the policies, with the audit trail, or with credentials.
pub(crate) fn is_degraded(status: &Status, tally: &Tally, audit: &Audit) -> bool {
    status.is_degraded() || !audit.counts().healthy || tally.credentials_are_behind()
}

/// Everything, for the page.
pub(crate) fn page(shared: &Shared, readiness: Readiness) -> Value {
    let status = shared.store.status();
    let rejection = status.rejection.as_ref().map(|rejection| rejection_json(rejection, DIAGNOSTICS_MAX));
    value(shared, &status, readiness, rejection)
}

/// Everything but texts that come from files, for the log.
pub(crate) fn line(shared: &Shared, readiness: Readiness) -> Value {
    let status = shared.store.status();
    let rejection = status.rejection.as_ref().map(|rejection| rejection_json(rejection, 0));
    value(shared, &status, readiness, rejection)
}

fn value(shared: &Shared, status: &Status, readiness: Readiness, rejection: Option<Value>) -> Value {
    let Status {
        generation,
        revision,
        loaded_at,
        counts,
        change,
        rejection: _,
        watching,
        scans,
        origin,
        stale_since: _,
        keeping,
        reloads,
    } = status;
    let (connections, audit) = (&shared.tally.connections, shared.audit.counts());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "readiness": readiness.as_str(),
        "degraded": is_degraded(status, &shared.tally, &shared.audit),
        "generation": generation,
        "revision": revision.map(|revision| revision.to_string()),
        "loaded_at": loaded_at.map(|at| moment(at).to_string()),
        "origin": origin_json(origin),
        "stale_seconds": status.stale().as_secs(),
        "counts": counts.map(counts_json),
        "last_change": change.as_deref().map(change_json),
        "rejection": rejection,
        "watching": watching,
        "scans": scans,
        "reloads": reloads_json(reloads),
        "last_good": keeping_word(*keeping),
        "answered": shared.tally.counts(),
        "audit": {
            "enabled": shared.audit.is_on(), "healthy": audit.healthy, "recorded": audit.recorded,
            "lost": audit.lost.iter().sum::<u64>(), "waiting": audit.queue_records,
        },
        "requests_in_flight": shared.tally.in_flight(),
        "connections": {
            "accepted": connections.accepted.value(),
            "open": connections.accepted.value().saturating_sub(connections.closed.value()),
            "silent": connections.silent.value(),
            "foreign": connections.foreign.value(),
            "unproved": connections.unproved.value(),
        },
        "credentials": {
            "certificate_not_after": shared.tally.certificate.not_after.load(Ordering::Relaxed),
            "behind": shared.tally.credentials_are_behind(),
        },
    })
}

fn origin_json(origin: &Origin) -> Value {
    match origin {
        Origin::Directory => json!("policy directory"),
        Origin::Feed => json!("feed"),
        Origin::LastGood { saved_at } => json!(format!("last good of {}", moment(*saved_at))),
    }
}

pub(crate) fn keeping_word(keeping: Keeping) -> &'static str {
    match keeping {
        Keeping::Off => "off",
        Keeping::Healthy => "kept",
        Keeping::Failing => "failing",
    }
}

fn reloads_json(reloads: &Reloads) -> Value {
    let Reloads { published, rejected, restored, slow_steps, restarts, interrupted } = reloads;
    json!({
        "published": published, "rejected": rejected, "restored": restored, "slow_steps": slow_steps,
        "restarts": restarts, "interrupted": interrupted,
    })
}

fn counts_json(counts: Counts) -> Value {
    let Counts { users, groups, roles, policies, statements } = counts;
    json!({
        "users": users, "groups": groups, "roles": roles, "policies": policies, "statements": statements,
    })
}

/// Without the names of files.
fn change_json(change: &Change) -> Value {
    let Change { added, removed, changed, statements, deny_statements } = change;
    let step = |step: &Step| json!({"before": step.before, "after": step.after});
    json!({
        "files_added": added.len(), "files_removed": removed.len(), "files_changed": changed.len(),
        "statements": step(statements), "deny_statements": step(deny_statements),
    })
}

fn rejection_json(rejection: &Rejection, shown: usize) -> Value {
    let Rejection { at, revision, diagnostics } = rejection;
    json!({
        "rejected_at": moment(*at).to_string(),
        "revision": revision.to_string(),
        "diagnostics_total": diagnostics.len(),
        "diagnostics": diagnostics.iter().take(shown).map(diagnostic_json).collect::<Vec<_>>(),
    })
}

fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { code, severity, file, position, help, .. } = diagnostic;
    json!({
        "code": code.as_str(), "severity": severity.as_str(), "file": file, "line": position.line,
        "column": position.column, "message": diagnostic.message_with_places(), "help": help,
    })
}
