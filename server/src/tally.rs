//! Counts of what the process has done: the numbers behind the metrics and the status page.
//!
//! Only numbers whose names are fixed here; nothing a caller sends becomes a label. Invariant (CHEAP): counting one
//! decision is one relaxed addition on a cache line that threads seldom share, and no clock is read for most of them.

mod histogram;
mod stripe;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use portcullis_engine::{Layer, Reason};
use tonic::Code;

pub(crate) use histogram::Histogram;
use stripe::Striped;

/// One decision in this many is timed: reading the clock twice costs more than counting does.
pub(crate) const TIMED_ONE_IN: u64 = 64;

/// Every reason, in the order of their counters.
pub(crate) const REASONS: [Reason; 4] =
    [Reason::Allowed, Reason::ExplicitDeny, Reason::ImplicitDeny, Reason::EvaluationLimit];
/// Every layer, in the order of their counters.
pub(crate) const LAYERS: [Layer; 8] = [
    Layer::Identity,
    Layer::Resource,
    Layer::Boundary,
    Layer::Session,
    Layer::Scp,
    Layer::Rcp,
    Layer::Endpoint,
    Layer::Trust,
];
/// The calls that are told apart; all others are one.
pub(crate) const METHODS: [&str; 11] = [
    "Authorize",
    "BatchAuthorize",
    "AuthorizeStream",
    "Simulate",
    "ListContextKeys",
    "GetStatus",
    "WatchRevisions",
    "WaitForRevision",
    "WatchPolicySet",
    "Health",
    "other",
];
/// gRPC's codes by number.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// Why a question had no answer, as the wire says it; the last stands for all others.
pub(crate) const REFUSALS: [&str; 14] = [
    "MALFORMED_REQUEST",
    "POLICIES_REJECTED",
    "NO_POLICY_SET",
    "GENERATION_NOT_ACTIVE",
    "REVISION_NOT_ACTIVE",
    "OVERLOADED",
    "TIMEOUT",
    "DRAINING",
    "NOT_RECORDED",
    "UNAUTHENTICATED",
    "METHOD_NOT_PERMITTED",
    "POLICY_SET_NOT_SHARED",
    "INTERNAL",
    "OTHER",
];

const DECISIONS: usize = REASONS.len() * LAYERS.len();
const CALLS: usize = METHODS.len() * CODES.len();
/// Where the counters of each kind begin within a stripe.
const CALLS_AT: usize = DECISIONS;
const BEGUN_AT: usize = CALLS_AT + CALLS;
const SLOTS: usize = BEGUN_AT + 1;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which call a request is, by the path of its URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method(usize);

impl Method {
    /// Of a path such as `/portcullis.v1.AuthorizationService/Authorize`.
    pub(crate) fn of_path(path: &str) -> Self {
        let name = match path.strip_prefix("/portcullis.v1.") {
            Some(rest) => rest.split_once('/').map_or("", |(_, name)| name),
            None if path.starts_with("/grpc.health.v1.Health/") => "Health",
            None => "",
        };
        let known = METHODS.iter().position(|known| *known == name);
        Self(known.unwrap_or(METHODS.len() - 1))
    }
}

/// What is begun again when it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// The loop that accepts connections of a gRPC listener.
    Accept,
    /// The HTTP listener.
    Http,
    /// A thread that serves gRPC connections.
    Worker,
}

impl Task {
    const ALL: [Self; 3] = [Self::Accept, Self::Http, Self::Worker];

    /// How it is called.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Http => "http",
            Self::Worker => "worker",
        }
    }
}

/// What became of connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Accepted.
    pub(crate) accepted: Counter,
    /// Closed, whoever did it.
    pub(crate) closed: Counter,
    /// Closed because they said nothing in time.
    pub(crate) silent: Counter,
    /// Attempts to accept that failed.
    pub(crate) accept_errors: Counter,
    /// Closed at once because their user and group are not among those allowed.
    pub(crate) foreign: Counter,
    /// Closed because their TLS handshake failed.
    pub(crate) unproved: Counter,
    /// Asked to leave because they were old.
    pub(crate) aged: Counter,
}

/// What became of files that hold credentials.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    accepted: Counter,
    refused: Counter,
    /// The files as they are now are not those in use.
    behind: AtomicBool,
}

impl Renewals {
    /// New files are in use.
    pub(crate) fn accepted(&self) {
        self.accepted.add();
        self.in_order();
    }

    /// New files cannot be used, and the old ones stay.
    pub(crate) fn refused(&self) {
        self.refused.add();
        self.behind.store(true, Ordering::Relaxed);
    }

    /// The files are again those in use.
    pub(crate) fn in_order(&self) {
        self.behind.store(false, Ordering::Relaxed);
    }

    /// Whether the files as they are now are not those in use.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// How often new files were taken and refused.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.accepted.value(), self.refused.value())
    }
}

/// The certificate that the gRPC listener shows, as whoever loads it reports it.
#[derive(Debug, Default)]
pub(crate) struct Certificate {
    /// Seconds since 1970 at which it ends; 0 without one.
    pub(crate) not_after: AtomicI64,
    /// Seconds since 1970 at which the first of the revocation lists must be replaced; 0 when none says so.
    pub(crate) crl_next_update: AtomicI64,
    /// What became of new certificates, keys, authorities and revocations.
    pub(crate) renewals: Renewals,
}

/// What the process has done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    striped: Striped<SLOTS>,
    /// Engine time of the decisions that were timed.
    pub(crate) engine: Histogram,
    refusals: [Counter; REFUSALS.len()],
    shed: Counter,
    panicked: Counter,
    pub(crate) connections: Connections,
    pub(crate) certificate: Certificate,
    /// What became of new tokens.
    pub(crate) tokens: Renewals,
    restarts: [Counter; Task::ALL.len()],
    /// Jumps of the wall clock.
    pub(crate) clock_steps: Counter,
}

/// One reading of the main counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counts {
    /// Questions answered with allow.
    pub(crate) allowed: u64,
    /// Questions answered with deny.
    pub(crate) denied: u64,
    /// Questions that had no answer: malformed, too early, a generation not active.
    pub(crate) refused: u64,
    /// Requests turned away because too many were under way.
    pub(crate) shed: u64,
    /// Requests and connections that ended in a panic.
    pub(crate) panicked: u64,
}

impl Tally {
    /// Counts one decision.
    pub(crate) fn decision(&self, reason: Reason, layer: Layer) {
        self.striped.add(decision_slot(reason, layer));
    }

    /// Runs `decide`, and for one in [`TIMED_ONE_IN`] of a thread's decisions records how long it took.
    pub(crate) fn timed<T>(&self, decide: impl FnOnce() -> T) -> T {
        if !stripe::is_due(TIMED_ONE_IN) {
            return decide();
        }
        let begun = std::time::Instant::now();
        let decided = decide();
        self.engine.observe(begun.elapsed());
        decided
    }

    /// Decisions so far.
    pub(crate) fn decisions(&self, reason: Reason, layer: Layer) -> u64 {
        self.striped.sum(decision_slot(reason, layer))
    }

    /// A request has begun; [`Tally::ended`] must follow.
    pub(crate) fn begun(&self) {
        self.striped.add(BEGUN_AT);
    }

    /// A request has ended with this code; one that the peer gave up ends as cancelled.
    pub(crate) fn ended(&self, method: Method, code: Code) {
        self.striped.add(CALLS_AT + method.0 * CODES.len() + code as usize);
    }

    /// Requests that ended so, by the positions of [`METHODS`] and [`CODES`].
    pub(crate) fn calls(&self, method: usize, code: usize) -> u64 {
        self.striped.sum(CALLS_AT + method * CODES.len() + code)
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> u64 {
        // Ends first: what ends between the two readings must not look as if it had never begun.
        let ended: u64 = (CALLS_AT..BEGUN_AT).map(|slot| self.striped.sum(slot)).sum();
        self.striped.sum(BEGUN_AT).saturating_sub(ended)
    }

    /// A question without an answer, with the reason that the wire gives.
    pub(crate) fn refusal(&self, reason: &str) {
        let known = REFUSALS.iter().position(|known| *known == reason);
        if let Some(counter) = self.refusals.get(known.unwrap_or(REFUSALS.len() - 1)) {
            counter.add();
        }
    }

    /// Refusals so far with their reasons.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REFUSALS.into_iter().zip(self.refusals.iter().map(Counter::value))
    }

    /// A request turned away because too many were under way.
    pub(crate) fn shed(&self) {
        self.shed.add();
        self.refusal("OVERLOADED");
    }

    /// A request or a connection that ended in a panic.
    pub(crate) fn panic(&self) {
        self.panicked.add();
    }

    /// A task that broke and begins again.
    pub(crate) fn restarted(&self, task: Task) {
        if let Some(counter) = self.restarts.get(task as usize) {
            counter.add();
        }
    }

    /// How often each task has begun again.
    pub(crate) fn restarts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Task::ALL.map(Task::as_str).into_iter().zip(self.restarts.iter().map(Counter::value))
    }

    /// Whether the files of some credential are not those in use.
    pub(crate) fn credentials_are_behind(&self) -> bool {
        self.certificate.renewals.is_behind() || self.tokens.is_behind()
    }

    /// The main counts.
    pub(crate) fn counts(&self) -> Counts {
        let of = |wanted: fn(Reason) -> bool| {
            let decided = REASONS.into_iter().filter(|reason| wanted(*reason));
            decided.flat_map(|reason| LAYERS.map(|layer| self.decisions(reason, layer))).sum()
        };
        Counts {
            allowed: of(|reason| reason == Reason::Allowed),
            denied: of(|reason| reason != Reason::Allowed),
            refused: self.refusals().map(|(_, count)| count).sum::<u64>().saturating_sub(self.shed.value()),
            shed: self.shed.value(),
            panicked: self.panicked.value(),
        }
    }
}

fn decision_slot(reason: Reason, layer: Layer) -> usize {
    let reason = match reason {
        Reason::Allowed => 0,
        Reason::ExplicitDeny => 1,
        Reason::ImplicitDeny => 2,
        Reason::EvaluationLimit => 3,
    };
    let layer = match layer {
        Layer::Identity => 0,
        Layer::Resource => 1,
        Layer::Boundary => 2,
        Layer::Session => 3,
        Layer::Scp => 4,
        Layer::Rcp => 5,
        Layer::Endpoint => 6,
        Layer::Trust => 7,
    };
    reason * LAYERS.len() + layer
}

#[cfg(test)]
mod tests;
