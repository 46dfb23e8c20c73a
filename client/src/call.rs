//! One call: encoded once, sent until it is answered, has failed for good or its time is over.
//!
//! Invariant: a call ends within its deadline, whatever the sidecar does. It is sent again only when nobody can have
//! answered it: every call asks, none changes anything.

mod codec;
mod retry;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use prost::Message;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::error::Error;
use crate::observer::{Event, Observer};
use crate::token::Bearer;
use crate::transport::Route;
pub(crate) use codec::Encoded;
pub(crate) use retry::{Fate, Retries};

/// Bytes of one answer; the same as the sidecar's own limit.
const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// Longer than any process lives. What is set to be longer, such as to `Duration::MAX` for "no limit", is this long: it can
/// be added to the present, and be told to a sidecar.
pub(crate) const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// When an answer is too late, and how long it was waited for then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        Self::counted_from(Instant::now(), timeout)
    }

    pub(crate) fn counted_from(begun: Instant, timeout: Duration) -> Self {
        let timeout = timeout.min(NEVER);
        Self { at: begun + timeout, timeout }
    }

    /// The error of whoever has waited for so long.
    pub(crate) fn missed(self) -> Error {
        Error::Timeout(self.timeout)
    }
}

/// One method of the sidecar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    path: &'static str,
}

macro_rules! methods {
    ($($(#[$attribute:meta])* $constant:ident = $service:literal $name:literal;)*) => {$(
        $(#[$attribute])*
        pub(crate) const $constant: Method = Method { name: $name, path: concat!("/", $service, "/", $name) };
    )*};
}

methods! {
    AUTHORIZE = "portcullis.v1.AuthorizationService" "Authorize";
    BATCH_AUTHORIZE = "portcullis.v1.AuthorizationService" "BatchAuthorize";
    AUTHORIZE_STREAM = "portcullis.v1.AuthorizationService" "AuthorizeStream";
    SIMULATE = "portcullis.v1.AuthorizationService" "Simulate";
    LIST_CONTEXT_KEYS = "portcullis.v1.AuthorizationService" "ListContextKeys";
    GET_STATUS = "portcullis.v1.PolicySetService" "GetStatus";
    WATCH_REVISIONS = "portcullis.v1.PolicySetService" "WatchRevisions";
    #[cfg(feature = "embedded")]
    WATCH_POLICY_SET = "portcullis.v1.PolicySetService" "WatchPolicySet";
    WAIT_FOR_REVISION = "portcullis.v1.PolicySetService" "WaitForRevision";
    HEALTH = "grpc.health.v1.Health" "Check";
}

/// Adds headers of the caller's trace.
pub(crate) type Propagate = Arc<dyn Fn(&mut HeaderMap) + Send + Sync>;

/// The way of every call.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) route: Route,
    pub(crate) bearer: Option<Bearer>,
    pub(crate) propagate: Option<Propagate>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) retries: Retries,
    /// Calls under way at once.
    pub(crate) places: Option<Arc<Semaphore>>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("bearer", &self.bearer).finish_non_exhaustive()
    }
}

impl Caller {
    /// One message there, one back.
    pub(crate) async fn unary<R>(&self, method: Method, body: Bytes, deadline: Deadline) -> Result<R, Error>
    where
        R: Message + Default + 'static,
    {
        let begun = Instant::now();
        let mut attempts = 0;
        let sent = self.until_answered(method, body, deadline.at, &mut attempts);
        let answered = match tokio::time::timeout_at(deadline.at, sent).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) if is_late(&status) => Err(deadline.missed()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(deadline.missed()),
        };
        self.called(method, begun, attempts, answered.as_ref().err());
        answered
    }

    async fn until_answered<R>(
        &self,
        method: Method,
        body: Bytes,
        deadline: Instant,
        attempts: &mut u32,
    ) -> Result<R, Status>
    where
        R: Message + Default + 'static,
    {
        let _place = match &self.places {
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        let mut pauses = self.retries.pauses();
        loop {
            *attempts += 1;
            let status = match self.attempt(method, body.clone(), deadline).await {
                Ok(answer) => {
                    self.retries.answered();
                    return Ok(answer);
                }
                Err(status) => status,
            };
            match Fate::of(&status) {
                _ if *attempts >= self.retries.attempts_max => return Err(status),
                Fate::NotSent => {}
                Fate::Unanswered if self.retries.may() => pauses.next().await,
                Fate::Unanswered | Fate::Ended => return Err(status),
            }
        }
    }

    async fn attempt<R>(&self, method: Method, body: Bytes, deadline: Instant) -> Result<R, Status>
    where
        R: Message + Default + 'static,
    {
        let mut request = tonic::Request::new(body);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        self.dress(request.metadata_mut()).await;
        let mut grpc = self.grpc().await?;
        let path = PathAndQuery::from_static(method.path);
        Ok(grpc.unary(request, path, Encoded::default()).await?.into_inner())
    }

    /// One message there, a stream back, and no deadline.
    pub(crate) async fn watch<R>(&self, method: Method, body: Bytes) -> Result<tonic::Streaming<R>, Status>
    where
        R: Message + Default + 'static,
    {
        let mut request = tonic::Request::new(body);
        self.dress(request.metadata_mut()).await;
        let mut grpc = self.grpc().await?;
        let path = PathAndQuery::from_static(method.path);
        Ok(grpc.server_streaming(request, path, Encoded::default()).await?.into_inner())
    }

    /// A stream there, a stream back, and no deadline.
    pub(crate) async fn stream<R>(
        &self,
        method: Method,
        bodies: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
    ) -> Result<tonic::Streaming<R>, Status>
    where
        R: Message + Default + 'static,
    {
        let mut request = tonic::Request::new(bodies);
        self.dress(request.metadata_mut()).await;
        let mut grpc = self.grpc().await?;
        let path = PathAndQuery::from_static(method.path);
        Ok(grpc.streaming(request, path, Encoded::default()).await?.into_inner())
    }

    async fn grpc(&self) -> Result<tonic::client::Grpc<Route>, Status> {
        let mut grpc =
            tonic::client::Grpc::new(self.route.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX);
        grpc.ready().await.map_err(|failure| Status::from_error(Box::new(failure)))?;
        Ok(grpc)
    }

    /// What goes with every call.
    async fn dress(&self, metadata: &mut MetadataMap) {
        if self.bearer.is_none() && self.propagate.is_none() {
            return;
        }
        let mut headers = std::mem::take(metadata).into_headers();
        if let Some(propagate) = &self.propagate {
            propagate(&mut headers);
        }
        if let Some(bearer) = &self.bearer {
            let value: HeaderValue = bearer.header().await;
            headers.insert(http::header::AUTHORIZATION, value);
        }
        *metadata = MetadataMap::from_headers(headers);
    }

    /// A call has ended.
    pub(crate) fn called(&self, method: Method, begun: Instant, attempts: u32, error: Option<&Error>) {
        self.observe(Event::Called { method: method.name, elapsed: begun.elapsed(), attempts, error });
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(&event);
        }
    }
}

/// The transport keeps the same time on both sides and may be the first to say so; it calls that a cancellation.
fn is_late(status: &Status) -> bool {
    match status.code() {
        Code::DeadlineExceeded => true,
        Code::Cancelled => status.message() == "Timeout expired",
        _ => false,
    }
}
