//! What happens to the policies, as records.

use std::convert::Infallible;
use std::future::pending;

use portcullis_engine::{Diagnostic, Severity};
use portcullis_store::{Change, Origin, Revision, Status, Store};

use super::Audit;
use super::service::{Happening, ServiceEvent};

/// Findings of one refused directory that its record tells.
const FINDINGS_MAX: usize = 20;
/// Files of each kind that the record of a change tells.
const FILES_MAX: usize = 20;

/// Records every publication and every refusal, until it is dropped.
pub(crate) async fn follow(audit: &Audit, store: &Store) -> Infallible {
    let mut statuses = store.subscribe_status();
    let mut seen = Seen::default();
    loop {
        let events = seen.news(&statuses.borrow_and_update());
        events.iter().for_each(|event| audit.happening(event));
        if statuses.changed().await.is_err() {
            return pending().await;
        }
    }
}

/// What is recorded already.
#[derive(Debug, Default)]
struct Seen {
    generation: u64,
    refused: Option<Revision>,
}

impl Seen {
    fn news(&mut self, status: &Status) -> Vec<ServiceEvent> {
        let mut events = Vec::new();
        if status.generation != self.generation {
            self.generation = status.generation;
            events.push(published(status));
        }
        let refused = status.rejection.as_ref().map(|rejection| rejection.revision);
        if refused != self.refused {
            self.refused = refused;
            events.extend(refusal(status));
        }
        events
    }
}

fn published(status: &Status) -> ServiceEvent {
    let counts = status.counts.unwrap_or_default();
    let revision = status.revision.map(|revision| revision.to_string()).unwrap_or_default();
    let event = ServiceEvent::new(Happening::PoliciesReloaded)
        .with("generation", status.generation)
        .with("revision", revision)
        .with(
            "origin",
            match status.origin {
                Origin::Directory => "directory",
                Origin::Feed => "feed",
                Origin::LastGood { .. } => "last good",
            },
        )
        .with("users", u64::from(counts.users))
        .with("groups", u64::from(counts.groups))
        .with("roles", u64::from(counts.roles))
        .with("policies", u64::from(counts.policies))
        .with("statements", u64::from(counts.statements));
    match &status.change {
        Some(change) => changed(event, change),
        None => event,
    }
}

/// With what it changed; of many files the first.
fn changed(event: ServiceEvent, change: &Change) -> ServiceEvent {
    let Change { added, removed, changed, statements, deny_statements } = change;
    let event = event
        .with("statementsBefore", u64::from(statements.before))
        .with("denyStatements", u64::from(deny_statements.after))
        .with("denyStatementsBefore", u64::from(deny_statements.before));
    let kinds = [("filesAdded", added), ("filesRemoved", removed), ("filesChanged", changed)];
    kinds.into_iter().filter(|(_, names)| !names.is_empty()).fold(event, |event, (kind, names)| {
        let more = names.len().saturating_sub(FILES_MAX);
        let told = names.iter().take(FILES_MAX).cloned();
        event.with(kind, told.chain((more > 0).then(|| format!("(and {more} more)"))).collect::<Vec<_>>())
    })
}

fn refusal(status: &Status) -> Option<ServiceEvent> {
    let rejection = status.rejection.as_ref()?;
    let errors = || rejection.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    let first = errors().next().map(|found| found.message.clone()).unwrap_or_default();
    let event = ServiceEvent::new(Happening::PoliciesRejected)
        .with("refusedRevision", rejection.revision.to_string())
        .with("servingGeneration", status.generation)
        .with("errors", errors().count() as u64)
        .with("findings", errors().take(FINDINGS_MAX).map(place).collect::<Vec<_>>());
    Some(event.failed("PoliciesRejected", first))
}

fn place(found: &Diagnostic) -> String {
    let (Diagnostic { code, file, position, .. }, message) = (found, found.message_with_places());
    format!("{file}:{}:{}: {message} [{}]", position.line, position.column, code.as_str())
}
