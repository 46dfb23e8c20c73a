//! Pings, so that a peer that is gone is noticed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// Sends a ping at every interval and waits for its answer.
pub(super) struct Keepalive {
    pings: Option<PingPong>,
    waiting: bool,
    timer: Pin<Box<Sleep>>,
    interval: Duration,
    limit: Duration,
}

impl Keepalive {
    pub(super) fn new(pings: Option<PingPong>, interval: Duration, limit: Duration) -> Self {
        Self { pings, waiting: false, timer: Box::pin(sleep(interval)), interval, limit }
    }

    /// Ready when a ping was not answered in time.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else { return Poll::Pending };
        loop {
            if self.waiting {
                match pings.poll_pong(context) {
                    Poll::Ready(Ok(_)) => {
                        self.waiting = false;
                        self.timer.as_mut().reset(Instant::now() + self.interval);
                    }
                    // The connection is over, which whoever reads from it finds out and says why.
                    Poll::Ready(Err(_)) => return Poll::Pending,
                    Poll::Pending => return self.timer.as_mut().poll(context),
                }
            }
            match self.timer.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    if pings.send_ping(Ping::opaque()).is_err() {
                        return Poll::Pending;
                    }
                    self.waiting = true;
                    self.timer.as_mut().reset(Instant::now() + self.limit);
                }
            }
        }
    }
}
