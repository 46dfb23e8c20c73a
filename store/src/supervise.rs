//! Keeps the reload task running: one that ends, which it should not, is started again.
//!
//! A reload task that is dead and not missed would serve yesterday's policies for ever. The pause between two starts grows,
//! so a task that cannot run does not take the machine with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::reload::Reload;
use crate::store::{Shared, StoreOptions};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A task that ran this long had no trouble starting.
const SETTLED: Duration = Duration::from_secs(60);

/// Ends a task with the value.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Never ends by itself.
pub(crate) async fn supervise(options: StoreOptions, shared: Arc<Shared>) {
    let task_shared = Arc::clone(&shared);
    keep_running(&shared, move || Reload::new(options.clone(), Arc::clone(&task_shared)).run()).await;
}

async fn keep_running<F: Future<Output = ()> + Send + 'static>(shared: &Shared, mut make: impl FnMut() -> F) {
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        let task = tokio::spawn(make());
        let running = Running(task.abort_handle());
        let ended = task.await;
        drop(running);
        shared.status.send_modify(|status| {
            status.reloads.restarts += 1;
            status.reloads.interrupted = true;
        });
        if begun.elapsed() > SETTLED {
            pause = PAUSE_MIN;
        }
        let why = ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
        tracing::error!(why, pause_ms = pause.as_millis(), "the reload task ended and is started again");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_and_the_status_says_so() {
        let shared = Arc::new(Shared::new());
        let starts = Arc::new(Mutex::new(Vec::new()));
        let (status, seen) = (shared.status.subscribe(), Arc::clone(&starts));
        let supervised = tokio::spawn(async move {
            let make = || {
                let starts = Arc::clone(&seen);
                async move {
                    let number = {
                        let mut starts = starts.lock().unwrap();
                        starts.push(Instant::now());
                        starts.len()
                    };
                    assert!(number > 3, "broken on purpose");
                    std::future::pending().await
                }
            };
            keep_running(&shared, make).await;
        });
        while starts.lock().unwrap().len() < 4 {
            sleep(PAUSE_MIN).await;
        }
        let reloads = status.borrow().reloads;
        assert_eq!((reloads.restarts, reloads.interrupted), (3, true));
        assert!(status.borrow().is_degraded());
        let starts = starts.lock().unwrap().clone();
        let pauses: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] < pauses[1] && pauses[1] < pauses[2], "{pauses:?}");
        supervised.abort();
    }
}
