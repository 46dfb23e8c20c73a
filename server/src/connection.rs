//! One connection: HTTP/2 with every limit named, pings, a bound on saying nothing, a graceful end.
//!
//! Knows no service: what is asked goes to `hot` when it is a plain call of the hot method, and through `bridge` to the
//! routes otherwise. A connection is any stream of bytes with a peer; who the peer is and how the bytes are protected
//! was settled before. Invariants: (SPOKEN) a connection that asks nothing is closed within `first_request_ms`; (ALIVE)
//! one whose peer answers no ping is closed within `keepalive_interval_ms + keepalive_timeout_ms`; (FLUSH-ONCE) all
//! that came in with one read is answered before anything is written.

mod bridge;
mod call;
mod hot;
mod keepalive;
mod late;
mod refuse;
mod stream;
mod whole;

use std::future::poll_fn;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;

use crate::accept::Peer;
use crate::config::Config;
use crate::credentials::{Entry, Gate};
use crate::grpc::{Authorization, Guard};
use crate::token::{Caller, Tokens};
use call::{HotCall, Unanswered};
use hot::{Hot, Left};
use keepalive::Keepalive;
use whole::Whole;

/// Requests taken up before the first of them is answered; more wait for the next round.
const ROUND_MAX: usize = 256;

/// What the connections of one thread share.
#[derive(Debug)]
pub(crate) struct Site {
    http2: Builder,
    first_request: Duration,
    keepalive_interval: Duration,
    keepalive_timeout: Duration,
    guard: Guard,
    /// Locked between two waits and never across one, by one thread: the lock is always free.
    hot: Mutex<Hot>,
    gate: Gate,
    /// Age at which a connection is asked to leave; none when it never is.
    age_max: Option<Duration>,
    /// Longest time that a connection has for leaving, while the process goes on.
    leave: Duration,
}

impl Site {
    pub(crate) fn new(config: &Config, authorization: Authorization, guard: Guard, gate: Gate) -> Self {
        let leave =
            config.drain_ms.max(config.simulation_timeout_ms.saturating_add(config.request_timeout_ms));
        Self {
            http2: http2(config),
            first_request: Duration::from_millis(config.first_request_ms),
            keepalive_interval: Duration::from_millis(config.keepalive_interval_ms),
            keepalive_timeout: Duration::from_millis(config.keepalive_timeout_ms),
            hot: Mutex::new(Hot::new(config, authorization, guard.clone())),
            guard,
            gate,
            age_max: (config.connection_age_max_ms > 0)
                .then(|| Duration::from_millis(config.connection_age_max_ms)),
            leave: Duration::from_millis(leave),
        }
    }

    /// What connections have to show.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Asks a connection to leave when it is old. Apart from the connection, which so has no timer more to look at.
    fn age(&self, leaving: &CancellationToken) -> Option<AbortOnDropHandle<()>> {
        let age = spread(self.age_max?);
        let (leaving, guard) = (leaving.clone(), self.guard.clone());
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            sleep(age).await;
            guard.tally().connections.aged.add();
            leaving.cancel();
        })))
    }
}

/// A time between nine and eleven tenths of `time`, so that connections that came together do not leave together.
fn spread(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) % 1_024;
    time.mul_f64(0.9 + 0.2 * random as f64 / 1_024.0)
}

/// HTTP/2 with every limit that its defaults leave open.
fn http2(config: &Config) -> Builder {
    let mut http2 = Builder::new();
    http2
        .max_concurrent_streams(config.streams_per_connection_max)
        .max_local_error_reset_streams(Some(config.local_error_resets_max))
        .max_pending_accept_reset_streams(config.pending_accept_resets_max)
        .max_concurrent_reset_streams(RESET_STREAMS_KEPT)
        .reset_stream_duration(RESET_STREAMS_KEPT_FOR)
        .max_header_list_size(config.header_list_bytes_max)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .data_frame_budget(DATA_FRAME_BUDGET)
        .initial_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes);
    http2
}

/// Reset streams that are remembered, so that a frame still on its way for one is no error.
const RESET_STREAMS_KEPT: usize = 50;
/// For how long.
const RESET_STREAMS_KEPT_FOR: Duration = Duration::from_secs(1);
/// Bytes of one frame that a peer may send: the smallest limit that HTTP/2 allows.
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// Bytes of one stream's answer that are taken before the peer has room for them.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Bytes of bookkeeping for small DATA frames that are not read yet.
const DATA_FRAME_BUDGET: usize = 128 << 10;

/// How long a connection may ask nothing although others wait for its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves one connection to its end, or until its place is wanted and it has asked nothing for a while.
pub(crate) async fn serve<S>(stream: S, entry: Entry, site: Arc<Site>, crowded: &Notify)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Entry { peer, tokens, leaving } = entry;
    let begun = sleep(site.first_request);
    let (whole, rest) = Whole::new(stream);
    let mut overdue = pin!(async {
        sleep(PATIENCE).await;
        crowded.notified().await;
    });
    let handshake = timeout(site.first_request, site.http2.handshake::<_, Bytes>(whole));
    // Who has to leave while the process goes on is told so in HTTP/2, and loses no request that is on its way.
    let mut http2 = tokio::select! {
        shaken = site.gate.draining().run_until_cancelled(handshake) => match shaken {
            Some(Ok(Ok(http2))) => http2,
            // Not HTTP/2, too slow to become it, or too late.
            _ => return,
        },
        () = overdue.as_mut() => return,
    };
    let _aging = site.age(&leaving);
    let pings = http2.ping_pong();
    let mut open = Open {
        http2,
        keepalive: Keepalive::new(pings, site.keepalive_interval, site.keepalive_timeout),
        silence: Some(Box::pin(begun)),
        closing: None,
        asked_to_leave: Some(Box::pin(leaving.clone().cancelled_owned())),
        leaving,
        round: Vec::new(),
        peer,
        tokens,
        caller: Caller::default(),
        site,
    };
    let spoken = poll_fn(|context| {
        if Pin::new(&mut open).poll(context).is_ready() {
            return Poll::Ready(false);
        }
        if open.silence.is_none() {
            Poll::Ready(true)
        } else {
            overdue.as_mut().poll(context).map(|()| false)
        }
    });
    if spoken.await {
        open.await;
    } else {
        drop(open);
    }
    rest.linger().await;
}

/// A connection that speaks HTTP/2.
struct Open<S> {
    http2: h2::server::Connection<S, Bytes>,
    keepalive: Keepalive,
    /// Until the first request: ends when it is overdue.
    silence: Option<Pin<Box<Sleep>>>,
    /// After a silence, or when it was asked to leave: ends when the peer has had time to go by itself.
    closing: Option<Pin<Box<Sleep>>>,
    /// Until it is asked to leave.
    asked_to_leave: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    leaving: CancellationToken,
    /// Requests of one read.
    round: Vec<(Request<RecvStream>, SendResponse<Bytes>)>,
    peer: Peer,
    /// What its calls need; none when they need none.
    tokens: Option<Arc<Tokens>>,
    /// The peer by the token of its last call.
    caller: Caller,
    site: Arc<Site>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Open<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.poll_timers(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let ended = this.poll_round(context);
            if this.round.is_empty() {
                return ended;
            }
            this.silence = None;
            this.answer_round(context);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Open<S> {
    /// Ready when the connection is to be dropped.
    fn poll_timers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(asked_to_leave) = &mut self.asked_to_leave
            && asked_to_leave.as_mut().poll(context).is_ready()
        {
            self.asked_to_leave = None;
            self.http2.graceful_shutdown();
            // The end of the process has a bound of its own.
            if !self.site.gate.draining().is_cancelled() {
                self.closing.get_or_insert_with(|| Box::pin(sleep(self.site.leave)));
            }
        }
        if let Some(silence) = &mut self.silence
            && silence.as_mut().poll(context).is_ready()
        {
            self.silence = None;
            self.closing = Some(Box::pin(sleep(self.site.keepalive_timeout)));
            self.http2.graceful_shutdown();
        }
        if let Some(closing) = &mut self.closing
            && closing.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(());
        }
        self.keepalive.poll(context)
    }

    /// Reads and writes what can be, and collects requests. Ready when the connection is over.
    fn poll_round(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.round.len() < ROUND_MAX {
            match self.http2.poll_accept(context) {
                Poll::Ready(Some(Ok(request))) => self.round.push(request),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, peer = %self.peer, "a connection ended with an error");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    fn answer_round(&mut self, context: &mut Context<'_>) {
        let tokens = self.tokens.as_ref().map(|tokens| tokens.current());
        let mut hot = self.site.hot.lock().unwrap_or_else(PoisonError::into_inner);
        let mut round = hot.round();
        for (request, respond) in self.round.drain(..) {
            let mut unanswered = Unanswered::new(request, respond);
            let admitted = match &tokens {
                None => Ok(&self.peer),
                Some(tokens) => self.caller.admit(tokens, &mut unanswered.request, &self.peer),
            };
            let peer = match admitted {
                Ok(peer) => peer,
                Err(refusal) => {
                    tokio::spawn(refuse::answer(refusal, unanswered, self.site.guard.clone()));
                    continue;
                }
            };
            let mut call = HotCall::of(&unanswered.request);
            if let Some(span) = self.site.guard.trace(&unanswered.request) {
                // A call that is traced takes the way on which spans are told of things.
                unanswered.request.extensions_mut().insert(span);
                call = None;
            }
            let left = match call {
                Some(HotCall::Stream) => {
                    let leaving = self.leaving.clone();
                    tokio::spawn(stream::answer(unanswered, peer.clone(), Arc::clone(&self.site), leaving));
                    continue;
                }
                None => Some((unanswered, Left::Other)),
                Some(call) => round.answer(call, unanswered, peer, context),
            };
            match (left, call) {
                (None, _) => {}
                (Some((unanswered, Left::Unfinished)), Some(call)) => {
                    tokio::spawn(late::body(call, unanswered, peer.clone(), Arc::clone(&self.site)));
                }
                (Some((mut unanswered, _)), _) => {
                    unanswered.request.extensions_mut().insert(self.leaving.clone());
                    tokio::spawn(bridge::answer(unanswered, peer.clone(), self.site.guard.clone()));
                }
            }
        }
    }
}
