//! How a sidecar's policy set is followed, and for how long it is good without the sidecar.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_engine::LoadMode;
use portcullis_store::Store;
use tokio::sync::watch;

use super::{Freshness, Hybrid, Shared, State, Task, follow};
use crate::client::Client;
use crate::embedded::Decider;
use crate::error::Error;

/// For how long a policy set answers that nobody confirms, unless told otherwise.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// Longest wait for the first policy set unless told otherwise.
const WAIT: Duration = Duration::from_secs(30);
/// Bytes of all files of a policy set unless told otherwise; what a sidecar reads at most by default.
const BYTES_MAX: u64 = 1 << 30;

/// Settings of a [`Hybrid`].
#[derive(Debug, Clone)]
#[must_use = "settings do nothing by themselves"]
pub struct Builder {
    client: Client,
    max_age: Duration,
    wait: Duration,
    bytes_max: u64,
    asks: bool,
}

impl Builder {
    pub(super) fn new(client: Client) -> Self {
        Self { client, max_age: MAX_AGE, wait: WAIT, bytes_max: BYTES_MAX, asks: false }
    }

    /// For how long the policy set answers after the sidecar last said that it is active; then questions end in
    /// [`Error::Stale`]. The sidecar says so every second: less than some seconds makes every pause of it an error. This
    /// is also how long a revoked permission may be honoured when the way to the sidecar is cut. Default 5 min.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Asks the sidecar itself while there is no policy set here, or none young enough. Default: questions end in an error
    /// then. [`Hybrid::decide_now`] never asks.
    pub fn ask_meanwhile(mut self) -> Self {
        self.asks = true;
        self
    }

    /// Bytes of all files of a policy set; one that is larger is not taken. Default 1,073,741,824.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Longest wait of [`Builder::open`] for the first policy set. Default 30 s.
    pub fn wait(mut self, timeout: Duration) -> Self {
        self.wait = timeout;
        self
    }

    /// Follows the sidecar and waits for the first policy set.
    ///
    /// # Errors
    /// When the sidecar does not hand it out, at once; when it has not come in time.
    pub async fn open(self) -> Result<Hybrid, Error> {
        let wait = self.wait;
        let hybrid = self.open_lazy();
        hybrid.ready(wait).await?;
        Ok(hybrid)
    }

    /// Follows the sidecar and waits for nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    #[must_use]
    pub fn open_lazy(self) -> Hybrid {
        let Self { client, max_age, wait: _, bytes_max, asks } = self;
        let (store, feed) = Store::fed();
        let shared = Arc::new(Shared {
            client,
            decider: Decider::new(store, LoadMode::Lenient),
            freshness: Freshness::new(),
            max_age,
            bytes_max,
            asks,
            state: watch::Sender::new(State::default()),
        });
        let task = tokio::spawn(follow::follow(Arc::clone(&shared), Arc::new(Mutex::new(feed))));
        Hybrid { shared, _task: Arc::new(Task(task.abort_handle())) }
    }
}
