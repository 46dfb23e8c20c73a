//! The end of the process in bounded time: turn unhealthy, stop accepting, let open requests finish, give up.
//!
//! Invariant (BOUNDED-DRAIN): nothing a peer does or leaves undone holds the process past `drain_ms`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A stream that ends when the process begins to drain, so that a watcher does not hold it.
pub(crate) struct UntilDrain<S> {
    stream: S,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> UntilDrain<S> {
    pub(crate) fn new(stream: S, draining: CancellationToken) -> Self {
        Self { stream, draining: Box::pin(draining.cancelled_owned()) }
    }
}

impl<S: Stream + Unpin> Stream for UntilDrain<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        // What has already come in is answered first.
        if let Poll::Ready(item) = Pin::new(&mut self.stream).poll_next(context) {
            return Poll::Ready(item);
        }
        self.draining.as_mut().poll(context).map(|()| None)
    }
}

/// Waits for every task up to `limit` in all, then aborts what is left. Returns whether all ended by themselves.
pub(crate) async fn finish(tasks: Vec<JoinHandle<()>>, limit: Duration) -> bool {
    let end = tokio::time::Instant::now() + limit;
    let mut clean = true;
    for mut task in tasks {
        if tokio::time::timeout_at(end, &mut task).await.is_err() {
            task.abort();
            clean = false;
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_when_the_drain_begins() {
        let token = CancellationToken::new();
        let mut stream =
            UntilDrain::new(tokio_stream::iter([1]).chain(tokio_stream::pending()), token.clone());
        assert_eq!(stream.next().await, Some(1));
        token.cancel();
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_task_that_never_ends_is_aborted() {
        let stuck = tokio::spawn(std::future::pending());
        assert!(!finish(vec![stuck], Duration::from_millis(10)).await);
        let done = tokio::spawn(async {});
        assert!(finish(vec![done], Duration::from_secs(60)).await);
    }
}
