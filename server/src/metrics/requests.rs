//! Decisions, calls and connections.

use std::fmt::Error;
use std::sync::atomic::Ordering;

use portcullis_engine::Reason;

use super::family::Families;
use crate::tally::{CODES, LAYERS, METHODS, REASONS, Renewals, Tally};

pub(super) fn write(families: &mut Families<'_>, tally: &Tally, connections_max: usize) -> Result<(), Error> {
    decisions(families, tally)?;
    calls(families, tally)?;
    connections(families, tally, connections_max)?;
    certificate(families, tally)
}

fn decisions(families: &mut Families<'_>, tally: &Tally) -> Result<(), Error> {
    let help = "Decisions made, by decision, the policy type that decided, and reason";
    let mut counters = families.counters("portcullis_decisions", help)?;
    for reason in REASONS {
        let decision = if reason == Reason::Allowed { "Allow" } else { "Deny" };
        for layer in LAYERS {
            let labels = [("decision", decision), ("layer", layer.as_str()), ("reason", reason.as_str())];
            counters.value(&labels, tally.decisions(reason, layer))?;
        }
    }
    let help =
        "Time of the engine for one decision, for one in 64 decisions of each thread; multiply counts by 64";
    families.histogram("portcullis_engine_seconds", help, tally.engine.read())
}

fn calls(families: &mut Families<'_>, tally: &Tally) -> Result<(), Error> {
    let help =
        "gRPC calls that ended, by method and status code; CANCELLED includes calls that the caller gave up";
    let mut counters = families.counters("portcullis_grpc_requests", help)?;
    for (method, name) in METHODS.into_iter().enumerate() {
        for (code, code_name) in CODES.into_iter().enumerate() {
            let count = tally.calls(method, code);
            // A rate needs a first value; beyond the ordinary end, a row appears with its first call.
            if count > 0 || code == 0 {
                counters.value(&[("method", name), ("code", code_name)], count)?;
            }
        }
    }
    let in_flight = tally.in_flight() as f64;
    families.gauge("portcullis_grpc_requests_in_flight", "gRPC calls under way", in_flight)?;
    let help = "Questions without an answer, by the reason that the wire gives";
    let mut counters = families.counters("portcullis_refusals", help)?;
    for (reason, count) in tally.refusals() {
        counters.value(&[("reason", reason)], count)?;
    }
    let counts = tally.counts();
    let help = "Calls turned away because too many were under way";
    families.counter("portcullis_sheds", help, counts.shed)?;
    let help = "Calls and connections that ended in a panic";
    families.counter("portcullis_panics", help, counts.panicked)?;
    let help = "Tasks that broke and began again: accept (a gRPC listener), http (the pages), worker (a serving thread)";
    let mut counters = families.counters("portcullis_task_restarts", help)?;
    for (task, count) in tally.restarts() {
        counters.value(&[("task", task)], count)?;
    }
    Ok(())
}

fn connections(families: &mut Families<'_>, tally: &Tally, connections_max: usize) -> Result<(), Error> {
    let connections = &tally.connections;
    let (closed, accepted) = (connections.closed.value(), connections.accepted.value());
    families.counter("portcullis_connections_accepted", "gRPC connections accepted", accepted)?;
    families.gauge(
        "portcullis_connections",
        "gRPC connections open",
        accepted.saturating_sub(closed) as f64,
    )?;
    let help = "Most gRPC connections that may be open";
    families.gauge("portcullis_connections_max", help, connections_max as f64)?;
    let help = "gRPC connections closed because nothing came in time";
    families.counter("portcullis_connections_silent", help, connections.silent.value())?;
    let help =
        "gRPC connections turned away, by reason: peer (user and group are not allowed), handshake (of TLS)";
    let mut counters = families.counters("portcullis_connections_refused", help)?;
    counters.value(&[("reason", "peer")], connections.foreign.value())?;
    counters.value(&[("reason", "handshake")], connections.unproved.value())?;
    let help = "gRPC connections asked to leave because they were old";
    families.counter("portcullis_connections_aged", help, connections.aged.value())?;
    let help = "Attempts to accept a connection that failed, for want of descriptors for one";
    families.counter("portcullis_accept_errors", help, connections.accept_errors.value())
}

fn certificate(families: &mut Families<'_>, tally: &Tally) -> Result<(), Error> {
    let certificate = &tally.certificate;
    let not_after = certificate.not_after.load(Ordering::Relaxed);
    let help = "When the certificate of the gRPC listener ends, in seconds since 1970; 0 without one";
    families.gauge("portcullis_certificate_not_after_timestamp_seconds", help, not_after as f64)?;
    let help = "When the first revocation list of client certificates must be replaced, in seconds since 1970; 0 without one";
    let next_update = certificate.crl_next_update.load(Ordering::Relaxed);
    families.gauge("portcullis_crl_next_update_timestamp_seconds", help, next_update as f64)?;
    let help = "Certificates read again, by result; a refused one leaves the old one in place";
    renewals(families, "portcullis_certificate_reloads", help, &certificate.renewals)?;
    let help = "Files of tokens read again, by result; a refused one leaves the old tokens in place";
    renewals(families, "portcullis_token_reloads", help, &tally.tokens)
}

fn renewals(families: &mut Families<'_>, name: &str, help: &str, renewals: &Renewals) -> Result<(), Error> {
    let (accepted, refused) = renewals.counts();
    let mut counters = families.counters(name, help)?;
    counters.value(&[("result", "accepted")], accepted)?;
    counters.value(&[("result", "refused")], refused)
}
