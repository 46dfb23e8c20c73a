//! Decisions kept for a short time, as long as it is known that the policies have not changed.
//!
//! A key is the whole question as it would be sent, byte for byte, so that no two questions share one. Invariant
//! (NEVER-OF-OLD-POLICIES): what is served was decided on the revision that the sidecar last named as active on a
//! connection that still lives; every sign of another one drops everything.

mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, sync};

use bytes::Bytes;
use tokio::task::AbortHandle;

use crate::call::{Caller, NEVER};
use crate::decision::Said;
use crate::observer::{Event, Observer};

/// Keeps decisions of one client.
///
/// The client follows the sidecar's active policies all the time ([`Builder::cache`](crate::Builder::cache) needs a
/// runtime for that) and drops everything as soon as they change or it is not known any more whether they do. Where calls
/// need a token, it must be for `WatchRevisions`: a client that may not follow the policies keeps nothing. Not kept are
/// decisions that depended on the time, denies that lacked a condition key, and errors. A kept decision is in no audit
/// record of the sidecar again, and everything that a policy may ask for must be in the question, as always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    capacity: usize,
    ttl: Duration,
}

impl Cache {
    /// At most so many decisions, each for at most so long. With session policies a question may be large; its bytes are
    /// kept with the decision.
    #[must_use]
    pub fn new(capacity: usize, ttl: Duration) -> Self {
        Self { capacity, ttl: ttl.min(NEVER) }
    }
}

/// A decision and how long it is good.
#[derive(Clone)]
struct Kept {
    said: Arc<Said>,
    until: Instant,
    epoch: u64,
}

/// The policies as the sidecar last named them.
#[derive(Debug, Clone, Default)]
struct Active {
    revision: Option<Arc<str>>,
    generation: u64,
}

/// The cache at work.
pub(crate) struct Cached {
    state: Arc<State>,
    watch: AbortHandle,
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("decisions", &self.state.kept.len()).finish_non_exhaustive()
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

struct State {
    kept: quick_cache::sync::Cache<Bytes, Kept>,
    ttl: Duration,
    active: sync::Mutex<Active>,
    /// Counts signs of other policies. What was kept in an earlier epoch is not served, even while it is being dropped.
    /// 0 is before the first revision is known.
    epoch: AtomicU64,
    observer: Option<Arc<dyn Observer>>,
}

impl Cached {
    /// Starts to follow the sidecar.
    pub(crate) fn start(cache: Cache, caller: Caller) -> Self {
        let state = Arc::new(State {
            kept: quick_cache::sync::Cache::new(cache.capacity),
            ttl: cache.ttl,
            active: sync::Mutex::default(),
            epoch: AtomicU64::new(0),
            observer: caller.observer.clone(),
        });
        let watch = tokio::spawn(watch::follow(Arc::clone(&state), caller)).abort_handle();
        Self { state, watch }
    }

    /// The decision on this question, and otherwise the epoch in which it is about to be asked.
    pub(crate) fn get(&self, question: &Bytes) -> Result<Arc<Said>, u64> {
        let epoch = self.state.epoch.load(Ordering::Acquire);
        match self.state.kept.get(question) {
            Some(kept) if kept.epoch == epoch && Instant::now() < kept.until => {
                self.state.observe(Event::CacheHit);
                Ok(kept.said)
            }
            _ => {
                self.state.observe(Event::CacheMiss);
                Err(epoch)
            }
        }
    }

    /// The sidecar named these policies as its active ones.
    pub(crate) fn heard_of(&self, revision: &str, generation: u64) {
        self.state.saw(revision, generation);
    }

    /// Keeps a decision that was asked for in this epoch, if it may be kept.
    pub(crate) fn put(&self, question: Bytes, epoch: u64, said: &Arc<Said>) {
        let active = self.state.saw(&said.revision, said.generation);
        if active && !said.depends_on_time && said.missing_context_keys.is_empty() {
            let kept = Kept { said: Arc::clone(said), until: Instant::now() + self.state.ttl, epoch };
            self.state.kept.insert(question, kept);
        }
    }
}

impl State {
    /// An answer names its revision; whether it is the active one.
    fn saw(&self, revision: &str, generation: u64) -> bool {
        let active = self.active.lock().unwrap_or_else(sync::PoisonError::into_inner);
        match &active.revision {
            None => {
                // What is on its way may be of older policies than these; it must not be served once they are named.
                self.epoch.fetch_add(1, Ordering::AcqRel);
                false
            }
            Some(known) if **known == *revision && active.generation == generation => true,
            Some(_) => {
                // Either an answer on its way while the policies changed, or the first word of new ones. In both cases
                // the watch tells; until then what is kept is not known to be good.
                let newer = generation > active.generation;
                drop(active);
                self.become_active(newer.then(|| (revision.into(), generation)));
                false
            }
        }
    }

    /// Other policies, or the same ones again; `None` when nothing but the doubt is new.
    fn become_active(&self, named: Option<(Arc<str>, u64)>) {
        if let Some((revision, generation)) = named {
            let mut active = self.active.lock().unwrap_or_else(sync::PoisonError::into_inner);
            if active.revision.as_ref() == Some(&revision) && active.generation == generation {
                return;
            }
            // Word of newer policies may have come first, with an answer.
            if active.revision.is_none() || generation >= active.generation {
                *active = Active { revision: Some(revision), generation };
            }
        }
        self.drop_all();
    }

    /// It is not known any more which policies are active.
    fn lose(&self) {
        let mut active = self.active.lock().unwrap_or_else(sync::PoisonError::into_inner);
        let was_known = active.revision.take().is_some();
        active.generation = 0;
        drop(active);
        if was_known {
            self.drop_all();
        }
    }

    fn drop_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.kept.clear();
        self.observe(Event::CacheDropped);
    }

    fn observe(&self, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(&event);
        }
    }
}

#[cfg(test)]
mod tests;
