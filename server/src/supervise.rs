//! What must not end by itself: when it breaks, it begins again, and says so in the log and in a counter.
//!
//! A process that has stopped accepting and runs on is worse than one that ends; one that ends at every defect takes all
//! its callers along. Invariant (LOUD): no restart is silent, and one that follows another waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::tally::{Tally, Task};

/// Rest before it begins again, so that what breaks at once does not spin.
const REST: Duration = Duration::from_millis(100);

/// Runs what `begin` begins to its end, again and again while it breaks.
pub(crate) async fn supervised<F: Future<Output = ()>>(
    task: Task,
    tally: &Tally,
    mut begin: impl FnMut() -> F,
) {
    // Whatever a panic leaves half done is in what it began, and that is begun anew.
    while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
        tell(task, tally);
        tokio::time::sleep(REST).await;
    }
}

/// The same for a thread.
pub(crate) fn supervised_here(task: Task, tally: &Tally, mut run: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut run)).is_err() {
        tell(task, tally);
        thread::sleep(REST);
    }
}

fn tell(task: Task, tally: &Tally) {
    tally.restarted(task);
    tracing::error!(task = task.as_str(), "a task broke and begins again");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_breaks_begins_again_and_is_counted() {
        let (tally, begun) = (Tally::default(), Cell::new(0));
        supervised(Task::Accept, &tally, || {
            begun.set(begun.get() + 1);
            let number = begun.get();
            async move {
                tokio::task::yield_now().await;
                assert!(number > 2, "it breaks twice");
            }
        })
        .await;
        assert_eq!(begun.get(), 3);
        assert_eq!(tally.restarts().collect::<Vec<_>>(), [("accept", 2), ("http", 0), ("worker", 0)]);
    }

    #[test]
    fn connections_live_on_when_their_worker_begins_again() {
        let tally = Tally::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (told, mut connection) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        supervised_here(Task::Worker, &tally, || {
            runtime.block_on(async {
                if let Some(told) = told.take() {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        told.send(()).unwrap();
                    });
                    panic!("the worker breaks, the connection does not");
                }
                (&mut connection).await.unwrap();
            });
        });
        assert_eq!(tally.restarts().last(), Some(("worker", 1)));
    }
}
