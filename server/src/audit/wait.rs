//! The wait of an answer for its record: for room in the queue, then in mode `sync` for the disk.
//!
//! Invariant (COUNTED): a wait that is given up, dropped included, leaves a record in the queue or a loss in the counts.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::loss::Loss;
use super::queue::{Commit, NoRoom};
use super::{Recorded, Trail};

/// An answer that has to wait.
#[must_use = "await `settled` before the answer goes out"]
pub struct Wait {
    trail: Arc<Trail>,
    /// From here its limits count, and not from when somebody begins to wait: the answers of a batch wait one after the
    /// other.
    begun: Instant,
    /// What found no room so far.
    body: Option<Box<[u8]>>,
    commit: Option<watch::Receiver<Commit>>,
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("has_room", &self.body.is_none()).finish_non_exhaustive()
    }
}

impl Wait {
    pub(super) fn room(trail: Arc<Trail>, body: Box<[u8]>) -> Self {
        Self { trail, begun: Instant::now(), body: Some(body), commit: None }
    }

    pub(super) fn commit(trail: Arc<Trail>, commit: watch::Receiver<Commit>) -> Self {
        Self { trail, begun: Instant::now(), body: None, commit: Some(commit) }
    }

    /// Whether the answer may go out. Bounded by `audit_wait_ms`, and in mode `sync` by `audit_sync_ms` after that; both
    /// count from when the record was made.
    pub async fn settled(mut self) -> bool {
        let mut end = self.begun;
        if self.body.is_some() {
            end += Duration::from_millis(self.trail.options.wait_ms);
            match self.until_room(end).await {
                Some(Recorded::Refused) => return false,
                Some(_) => return true,
                None => {}
            }
        }
        let Some(mut commit) = self.commit.take() else { return true };
        end += Duration::from_millis(self.trail.options.sync_ms);
        let told = timeout_at(end, commit.wait_for(|commit| *commit != Commit::Pending)).await;
        let durable = matches!(told, Ok(Ok(commit)) if *commit == Commit::Durable);
        durable || !matches!(self.trail.unconfirmed(), Recorded::Refused)
    }

    /// Puts the record into the queue; the verdict when it did not get in.
    async fn until_room(&mut self, end: Instant) -> Option<Recorded> {
        let trail = Arc::clone(&self.trail);
        loop {
            let mut space = pin!(trail.queue.space());
            // Registered before the look at the queue, so that room made in between is not missed.
            space.as_mut().enable();
            let body = self.body.take()?;
            match trail.queue.push(&body) {
                Ok(commit) => {
                    self.commit = commit;
                    return None;
                }
                Err(NoRoom::Full) => self.body = Some(body),
                Err(NoRoom::Stuck) => return Some(trail.lose(Loss::QueueFull)),
                Err(NoRoom::Closed) => return Some(trail.lose(Loss::Stopped)),
            }
            if timeout_at(end, space).await.is_err() {
                self.body = None;
                return Some(trail.lose(Loss::QueueFull));
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // The caller went away in the middle of the wait.
        if self.body.is_some() {
            self.trail.queue.lose(Loss::QueueFull);
        }
    }
}
