//! The task: watch -> assemble -> build where blocking is allowed -> publish; and again, when the watch has ended.
//!
//! Never ends by itself. Whatever goes wrong leaves what is loaded alone and lets it age.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_proto::v1;
use portcullis_store::{Delivery, Feed, FeedError};
use prost::Message as _;
use tokio::time::{sleep, timeout};
use tower::retry::backoff::{Backoff as _, ExponentialBackoffMaker, MakeBackoff as _};
use tower::util::rng::HasherRng;

use super::Shared;
use super::assembly::{Assembly, Step};
use crate::call;
use crate::error::Error;

/// The pauses before the sidecar is asked again, the first and the longest, and how much of each is left to chance.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));
const JITTER: f64 = 0.5;
/// Longest silence: a sidecar says something every second, and one that is gone without a word must be noticed.
const SILENCE_MAX: Duration = Duration::from_secs(15);

type Loader = Arc<Mutex<Feed>>;

/// Follows the sidecar for as long as somebody wants it.
pub(super) async fn follow(shared: Arc<Shared>, feed: Loader) {
    let maker = ExponentialBackoffMaker::new(PAUSES.0, PAUSES.1, JITTER, HasherRng::new());
    let mut pauses = maker.map(|mut maker| (maker.make_backoff(), maker)).ok();
    loop {
        let mut watched = Watched { shared: &shared, feed: &feed, confirmed: false };
        let ended = watched.watch().await;
        let confirmed = watched.confirmed;
        tracing::debug!(%ended, "the policy set of the sidecar is not being followed");
        shared.state.send_modify(|state| state.problem = Some(ended));
        match &mut pauses {
            Some((pause, maker)) => {
                if confirmed {
                    *pause = maker.make_backoff();
                }
                pause.next_backoff().await;
            }
            None => sleep(PAUSES.1).await,
        }
    }
}

/// One watch.
struct Watched<'a> {
    shared: &'a Shared,
    feed: &'a Loader,
    /// Whether the sidecar has said that what is loaded is active.
    confirmed: bool,
}

impl Watched<'_> {
    /// Until it ends, and why.
    async fn watch(&mut self) -> Error {
        match self.try_watch().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn try_watch(&mut self) -> Result<std::convert::Infallible, Error> {
        let held = self.shared.store().current().map(|snapshot| snapshot.revision);
        let named = held.map(|revision| revision.to_string()).unwrap_or_default();
        let asked = v1::WatchPolicySetRequest { held_revision: named };
        let caller = self.shared.client.caller();
        let opening = caller.watch(call::WATCH_POLICY_SET, asked.encode_to_vec().into());
        let opened: Result<tonic::Streaming<v1::WatchPolicySetResponse>, _> =
            timeout(SILENCE_MAX, opening).await.map_err(|_| Error::Timeout(SILENCE_MAX))?;
        let mut events = opened?;
        let mut assembly = Assembly::new(self.shared.bytes_max, held);
        loop {
            let come = timeout(SILENCE_MAX, events.message()).await;
            let at = Instant::now();
            let message = come.map_err(|_| Error::Timeout(SILENCE_MAX))??;
            let message = message.ok_or_else(|| Error::Unreachable("it has ended the watch".to_owned()))?;
            match assembly.take(message).map_err(Error::Answer)? {
                Step::More => continue,
                Step::Beat => {}
                Step::Held(generation) => self.renumber(generation).await?,
                Step::Whole(delivery) => self.load(move |feed| feed.put(delivery)).await?,
            }
            self.shared.freshness.confirm(at);
            self.confirmed = true;
            self.shared.state.send_if_modified(|state| {
                let first = !std::mem::replace(&mut state.confirmed, true);
                state.problem.take().is_some() | first
            });
        }
    }

    /// The sidecar may have started again, and counts anew.
    async fn renumber(&self, generation: u64) -> Result<(), Error> {
        let Some(snapshot) = self.shared.store().current() else { return Ok(()) };
        if snapshot.generation == generation {
            return Ok(());
        }
        self.load(move |feed| {
            // What does not read back is missing, and then the digest is another one.
            let files = (0..snapshot.files()).filter_map(|index| snapshot.file(index)?.ok()).collect();
            let (load_mode, revision) = (snapshot.load_mode, Some(snapshot.revision));
            feed.put(Delivery { files, load_mode, revision, generation })
        })
        .await
    }

    async fn load(
        &self,
        put: impl FnOnce(&mut Feed) -> Result<(), FeedError> + Send + 'static,
    ) -> Result<(), Error> {
        let feed = Arc::clone(self.feed);
        let put = move || put(&mut feed.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::task::spawn_blocking(put).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(FeedError::Revision { .. })) => {
                Err(Error::Answer("the policy set that came is not the one that was announced"))
            }
            Ok(Err(error @ FeedError::Policies(_))) => {
                tracing::error!(%error, "the policy set of the sidecar does not load here");
                Err(Error::Answer("the policy set of the sidecar does not load here"))
            }
            Err(error) => {
                tracing::error!(%error, "the policy set of the sidecar could not be loaded");
                Err(Error::Answer("the policy set of the sidecar could not be loaded"))
            }
        }
    }
}
