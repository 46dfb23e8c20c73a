//! Decisions in this process, on the policy set of a sidecar, for as long as it is known to be the right one.
//!
//! A task keeps a watch on the sidecar, which hands out the policy set and says every second that it is still active.
//! When the sidecar is gone, the last policy set answers on, up to a stated age. Invariants: (WHOLE) a policy set is taken
//! when all of it has come and its digest is the announced one, and only then; (CONFIRMED) its age counts from the last
//! word of a sidecar that had just this policy set active, so that one that could not be taken makes the old one age.

mod assembly;
mod builder;
mod follow;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use portcullis_engine::OwnedKeys;
use portcullis_question::moment;
use portcullis_store::{Status, Store};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::authorizer::Authorizer;
use crate::client::Client;
use crate::decision::Decision;
use crate::embedded::Decider;
use crate::error::Error;
use crate::request::Request;

pub use builder::Builder;

/// Decides in this process on the policy set of a sidecar. Cheap to clone; all clones are one.
///
/// The sidecar must be told to share it (`share_policies`), and the client must be one that it shares it with: over its
/// Unix socket, with a client certificate, or with a token for `WatchPolicySet`. Decisions made here are in nobody's audit
/// trail: the sidecar records who took the policy set, not what was decided on it.
///
/// ```no_run
/// # async fn guarded() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use portcullis_client::{Authorizer, Client, Hybrid};
///
/// let client = Client::builder("unix:/run/portcullis/portcullis.sock").connect_lazy()?;
/// let pdp = Hybrid::builder(client).max_age(Duration::from_secs(60)).open().await?;
/// let alice = "arn:aws:iam::123456789012:user/alice";
/// let permit = pdp.authorize(alice, "orders:GetOrder", "*").await?.require()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Hybrid {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

/// What the task writes and everyone else reads.
#[derive(Debug)]
struct Shared {
    client: Client,
    decider: Decider,
    freshness: Freshness,
    max_age: Duration,
    bytes_max: u64,
    asks: bool,
    state: watch::Sender<State>,
}

/// How it goes.
#[derive(Debug, Clone, Default)]
struct State {
    /// Whether there has been a policy set.
    confirmed: bool,
    /// Why the sidecar is not being followed at the moment, when it is known.
    problem: Option<Error>,
}

/// Ends the task with the last handle.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Hybrid {
    /// Takes the policy set of the client's sidecar and follows it, with the defaults of [`Builder`]; waits for the first.
    ///
    /// # Errors
    /// When the sidecar does not hand it out, at once; when it has not come within 30 s.
    pub async fn open(client: Client) -> Result<Self, Error> {
        Builder::new(client).open().await
    }

    /// Settings before following a sidecar.
    pub fn builder(client: Client) -> Builder {
        Builder::new(client)
    }

    /// May this be done? The same as [`Authorizer::decide`], without a future; never asks the sidecar.
    ///
    /// # Errors
    /// When there is no decision; read it as a refusal.
    pub fn decide_now(&self, request: Request) -> Result<Decision, Error> {
        self.shared.usable()?;
        self.shared.decider.decide(request, moment(SystemTime::now()), OwnedKeys::Refuse)
    }

    /// Waits for the first policy set, at most for `timeout`.
    ///
    /// # Errors
    /// When the sidecar does not hand it out, at once; when it has not come in time.
    pub async fn ready(&self, timeout: Duration) -> Result<(), Error> {
        let mut state = self.shared.state.subscribe();
        let refused = |state: &State| state.problem.as_ref().is_some_and(|error| !error.is_transient());
        let settled = state.wait_for(|state| state.confirmed || refused(state));
        // In time or not, what is known by then is told.
        let _ = tokio::time::timeout(timeout, settled).await;
        match &*self.shared.state.borrow() {
            State { confirmed: true, .. } => Ok(()),
            State { problem, .. } => Err(problem.clone().unwrap_or(Error::Timeout(timeout))),
        }
    }

    /// What is loaded, and what was refused since and why.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.store().status()
    }

    /// How long ago the sidecar said that what is loaded is active; `None` before the first policy set.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.shared.freshness.age()
    }

    /// Why the sidecar is not being followed at the moment, when it is known.
    #[must_use]
    pub fn problem(&self) -> Option<Error> {
        self.shared.state.borrow().problem.clone()
    }
}

impl Shared {
    fn store(&self) -> &Store {
        self.decider.store()
    }

    /// # Errors
    /// When what is loaded must not be used, or nothing is.
    fn usable(&self) -> Result<(), Error> {
        let max_age = self.max_age;
        match self.freshness.age() {
            Some(age) if age <= max_age => Ok(()),
            Some(age) => Err(Error::Stale { age, max_age }),
            None => match &self.state.borrow().problem {
                Some(error) => Err(error.clone()),
                // Worded where it is found: there is no policy set.
                None => Ok(()),
            },
        }
    }

    /// Whether the sidecar is to be asked itself.
    fn must_ask(&self) -> bool {
        self.asks && self.freshness.age().is_none_or(|age| age > self.max_age)
    }
}

impl Authorizer for Hybrid {
    async fn decide(&self, request: Request) -> Result<Decision, Error> {
        if self.shared.must_ask() {
            return self.shared.client.decide(request).await;
        }
        // Who asks in a loop lets the task that follows the sidecar run.
        tokio::task::coop::consume_budget().await;
        self.decide_now(request)
    }

    /// All are answered from one policy set and one clock reading.
    async fn authorize_all(&self, requests: Vec<Request>) -> Vec<Result<Decision, Error>> {
        if self.shared.must_ask() {
            return self.shared.client.authorize_all(requests).await;
        }
        match self.shared.usable() {
            Ok(()) => self.shared.decider.authorize_all(requests, moment(SystemTime::now())),
            Err(error) => requests.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

/// When the sidecar last said that what is loaded is active.
#[derive(Debug)]
struct Freshness {
    begun: Instant,
    /// Milliseconds after `begun`, and one; 0 is never.
    confirmed: AtomicU64,
}

impl Freshness {
    fn new() -> Self {
        Self { begun: Instant::now(), confirmed: AtomicU64::new(0) }
    }

    /// It was said at this moment.
    fn confirm(&self, at: Instant) {
        let since = at.saturating_duration_since(self.begun).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX - 1);
        self.confirmed.store(since + 1, Ordering::Release);
    }

    fn age(&self) -> Option<Duration> {
        let since = self.confirmed.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.begun.elapsed().saturating_sub(Duration::from_millis(since)))
    }
}
