//! The store as its users see it: open it, ask for the current snapshot, look at its status.
//!
//! Does none of the work; that is `reload`'s. Dropping the last handle ends the task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_engine::LoadMode;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::change::Change;
use crate::feed::Feed;
use crate::last_good::StateOptions;
use crate::layout::Limits;
use crate::published::Published;
use crate::read::Rules;
use crate::snapshot::Snapshot;
use crate::status::{Origin, Status};
use crate::supervise::supervise;

/// How often the directory is read when no event says that it changed.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long the directory must be quiet after an event.
const SETTLE: Duration = Duration::from_millis(100);

/// Where the policies are and how they are loaded.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The policy directory; may be a link that is swapped.
    pub directory: PathBuf,
    /// How strict a load is.
    pub load_mode: LoadMode,
    /// How often the directory is read whatever the events say; this bounds how late a change is noticed.
    pub poll_interval: Duration,
    /// How long the directory must be quiet after an event before it is read; at most ten times this is waited.
    pub settle: Duration,
    /// A directory without any policy file is a policy set that allows nothing, not a mistake. Only at the start: a
    /// directory that loses its last file is always refused.
    pub allow_empty: bool,
    /// How much is read.
    pub limits: Limits,
    /// Where the last good policy set is kept for a start with a directory that does not load; nowhere when absent.
    pub state: Option<StateOptions>,
}

impl StoreOptions {
    /// The defaults: lenient, a poll every 5 s, 100 ms of quiet, an empty directory is a mistake, no state directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            load_mode: LoadMode::default(),
            poll_interval: POLL_INTERVAL,
            settle: SETTLE,
            allow_empty: false,
            limits: Limits::default(),
            state: None,
        }
    }

    /// Strictness also concerns who may write to the files.
    pub(crate) fn rules(&self) -> Rules {
        Rules { limits: self.limits, strict: self.load_mode == LoadMode::Strict }
    }
}

/// A policy directory that is kept loaded, or the end of a feed. Cheap to clone; all clones are one store.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    _task: Option<Arc<Task>>,
}

/// What the reload task writes and everyone else reads.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) published: Published<Snapshot>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) generation: watch::Sender<u64>,
    pub(crate) wake: Arc<Notify>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            published: Published::empty(),
            status: watch::Sender::new(Status::default()),
            generation: watch::Sender::new(0),
            wake: Arc::new(Notify::new()),
        }
    }

    /// Makes a snapshot the current one, and tells how it differs from the one before. Stamps must grow.
    pub(crate) fn publish(&self, stamp: u64, snapshot: Arc<Snapshot>, origin: Origin) -> Option<Arc<Change>> {
        let change = self.published.load().map(|before| Arc::new(Change::between(&before, &snapshot)));
        self.published.publish(stamp, Arc::clone(&snapshot));
        self.status.send_modify(|status| {
            status.generation = snapshot.generation;
            status.revision = Some(snapshot.revision);
            status.loaded_at = Some(snapshot.loaded_at);
            status.counts = Some(snapshot.policy_set.counts());
            status.change.clone_from(&change);
            status.rejection = None;
            status.origin = origin;
            status.stale_since = stale_since(origin);
            match origin {
                Origin::Directory | Origin::Feed => status.reloads.published += 1,
                Origin::LastGood { .. } => status.reloads.restored += 1,
            }
        });
        self.generation.send_replace(snapshot.generation);
        change
    }
}

/// A policy set that an earlier process saved has been stale since then, as far back as the monotonic clock goes.
fn stale_since(origin: Origin) -> Option<Instant> {
    let Origin::LastGood { saved_at } = origin else { return None };
    let now = Instant::now();
    let age = saved_at.elapsed().unwrap_or_default();
    Some(now.checked_sub(age).unwrap_or(now))
}

/// Ends the reload task with the last handle.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Store {
    /// Starts to load and to follow the directory; does not wait for the first load.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    #[must_use]
    pub fn open(options: StoreOptions) -> Self {
        let shared = Arc::new(Shared::new());
        let task = tokio::spawn(supervise(options, Arc::clone(&shared)));
        Self { shared, _task: Some(Arc::new(Task(task.abort_handle()))) }
    }

    /// A store without a directory, and the feed that policy sets are put into.
    #[must_use]
    pub fn fed() -> (Self, Feed) {
        let shared = Arc::new(Shared::new());
        (Self { shared: Arc::clone(&shared), _task: None }, Feed::new(shared))
    }

    /// The current snapshot; `None` until the first complete load.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.shared.published.load()
    }

    /// What the store is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// The generation, and every later one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// The status, and every later one: rejections and plain scans show here too.
    #[must_use]
    pub fn subscribe_status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Reads the directory soon. Any number of calls during one scan is one more scan.
    pub fn rescan(&self) {
        self.shared.wake.notify_one();
    }
}
