//! What stands around every request: a bound on how many are under way, a bound on time, and a net under panics.
//!
//! Invariants: (EXPLAINED) whatever made the error, the caller sees a status with one `ErrorInfo`, never a bare reset;
//! (ROOM) calls that wait, messages that come slowly and calls that last leave room for those that are answered at
//! once, however many there are, and none of the three takes that of another.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::service::Routes;
use tonic::{Code, Status};

use super::status::{Refusal, explained};
use crate::config::Config;
use crate::tally::{Method, Tally};
use crate::telemetry::{CallSpan, Telemetry, within};

const BATCH: &str = "/portcullis.v1.AuthorizationService/BatchAuthorize";
const SIMULATE: &str = "/portcullis.v1.AuthorizationService/Simulate";
const WAIT_FOR_REVISION: &str = "/portcullis.v1.PolicySetService/WaitForRevision";
/// Calls that go on after their answer has begun, for as long as their peer likes.
const LASTING: [&str; 3] = [
    "/portcullis.v1.AuthorizationService/AuthorizeStream",
    "/portcullis.v1.PolicySetService/WatchRevisions",
    "/portcullis.v1.PolicySetService/WatchPolicySet",
];
/// Others of that kind, which may need no token.
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.";

/// Bytes of bodies that have come and are not whole, of all requests together. Room for 256 of the longest messages, or for
/// tens of thousands of ordinary ones; without it a few peers that never end what they send would take all memory there is.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// How many of each kind may be under way.
#[derive(Debug)]
struct Shares {
    in_flight: Arc<Semaphore>,
    /// Three quarters of them: for those that go through the routes.
    routed: Arc<Semaphore>,
    /// A quarter of them: for those that wait for something to happen.
    waiting: Arc<Semaphore>,
    /// Another quarter: for plain calls whose message is not all there yet, as any client's may be for a moment. Not of
    /// `waiting`, or a few that wait would turn away every call whose message comes a moment after its head.
    unfinished: Arc<Semaphore>,
    /// As many again: for those that last.
    lasting: Arc<Semaphore>,
    /// A quarter as many: for those that last and are asked by anybody, so that they take no place of the others.
    probing: Arc<Semaphore>,
}

impl Shares {
    fn new(in_flight_max: usize) -> Self {
        let of = |places| Arc::new(Semaphore::new(places));
        let quarter = (in_flight_max / 4).max(1);
        Self {
            in_flight: of(in_flight_max),
            routed: of(in_flight_max - in_flight_max / 4),
            waiting: of(quarter),
            unfinished: of(quarter),
            lasting: of(in_flight_max),
            probing: of(quarter),
        }
    }

    /// Places among all, and among those of `kind`.
    fn enter(&self, kind: Option<&Arc<Semaphore>>) -> Option<Places> {
        let _kind = match kind {
            Some(kind) => Some(place(kind)?),
            None => None,
        };
        Some(Places { _in_flight: place(&self.in_flight)?, _routed: place(&self.routed)?, _kind })
    }

    /// Where a call of this path has its place that waits for something to happen.
    fn waiting(&self, path: &str) -> Option<&Arc<Semaphore>> {
        [SIMULATE, WAIT_FOR_REVISION].contains(&path).then_some(&self.waiting)
    }

    /// Where a call of this path has its place that goes on after its answer has begun.
    fn lasting(&self, path: &str) -> Option<&Arc<Semaphore>> {
        match path {
            _ if LASTING.contains(&path) => Some(&self.lasting),
            _ if path == HEALTH_WATCH || path.starts_with(REFLECTION) => Some(&self.probing),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Bounds {
    shares: Shares,
    bodies: Arc<Semaphore>,
    message_bytes_max: usize,
    request: Duration,
    simulation: Duration,
    revision_wait: Duration,
    tally: Arc<Tally>,
    telemetry: Telemetry,
}

impl Bounds {
    /// Longest time for an answer: the service's own limit or the caller's, whichever is shorter.
    fn time<B>(&self, request: &Request<B>) -> Duration {
        let own = match request.uri().path() {
            SIMULATE => self.simulation,
            WAIT_FOR_REVISION => self.revision_wait,
            // Its items are late first, and each says so.
            BATCH => self.request.saturating_mul(2),
            _ => self.request,
        };
        shorter(request, own)
    }
}

/// This time, or that which the caller gives when it is shorter.
fn shorter<B>(request: &Request<B>, own: Duration) -> Duration {
    let asked = request.headers().get("grpc-timeout").and_then(grpc_timeout);
    own.min(asked.unwrap_or(Duration::MAX))
}

fn place(of: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(of).try_acquire_owned().ok()
}

/// What a request that is not answered at once takes up.
#[derive(Debug)]
pub(crate) struct Places {
    _in_flight: OwnedSemaphorePermit,
    _routed: OwnedSemaphorePermit,
    _kind: Option<OwnedSemaphorePermit>,
}

/// The routes, bounded.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    routes: Routes,
    bounds: Arc<Bounds>,
}

impl Guard {
    pub(crate) fn new(routes: Routes, config: &Config, tally: Arc<Tally>, telemetry: Telemetry) -> Self {
        let request = config.request_timeout();
        let bounds = Bounds {
            shares: Shares::new(config.requests_in_flight_max),
            bodies: Arc::new(Semaphore::new(
                BODIES_BYTES_MAX.max(config.message_bytes_max.saturating_mul(2)),
            )),
            message_bytes_max: config.message_bytes_max,
            request,
            simulation: Duration::from_millis(config.simulation_timeout_ms),
            // The call itself ends first and says why.
            revision_wait: Duration::from_millis(config.revision_wait_ms).saturating_add(request),
            tally,
            telemetry,
        };
        Self { routes, bounds: Arc::new(bounds) }
    }

    /// Whether one more request may be under way. One that is answered before anything is waited for only looks.
    pub(crate) fn has_room(&self) -> bool {
        self.bounds.shares.in_flight.available_permits() > 0
    }

    /// Counts one more request as under way whose message is not all there, as long as what is returned lives; none when
    /// there are enough.
    pub(crate) fn enter_unfinished(&self) -> Option<Places> {
        self.bounds.shares.enter(Some(&self.bounds.shares.unfinished))
    }

    /// Counts one more call that lasts, as long as what is returned lives; none when there are enough.
    pub(crate) fn enter_lasting(&self) -> Option<OwnedSemaphorePermit> {
        place(&self.bounds.shares.lasting)
    }

    /// Bytes of one request message.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.bounds.message_bytes_max
    }

    /// For what comes of one body before it is whole. Nothing is taken yet.
    pub(crate) fn room(&self) -> Room {
        Room { bodies: Arc::clone(&self.bounds.bodies), held: None }
    }

    /// The status of a request that is turned away because too much is under way, which is counted.
    pub(crate) fn shed(&self) -> Status {
        self.bounds.tally.shed();
        Refusal::Shed.into_status()
    }

    /// Longest time for the rest of a message.
    pub(crate) fn message_time<B>(&self, request: &Request<B>) -> Duration {
        shorter(request, self.bounds.request)
    }

    /// Counts a request from now on.
    pub(crate) fn begin(&self, method: Method) -> Underway {
        Underway::begin(Arc::clone(&self.bounds), method)
    }

    /// The status of a refusal, which is counted.
    pub(crate) fn refused(&self, refusal: Refusal) -> Status {
        self.bounds.tally.refusal(refusal.reason());
        refusal.into_status()
    }

    /// A span for a request that is to be traced; it goes with the request, through the routes.
    pub(crate) fn trace<B>(&self, request: &Request<B>) -> Option<CallSpan> {
        self.bounds.telemetry.begin(request.uri().path(), request.headers())
    }

    /// Where requests are counted.
    pub(crate) fn tally(&self) -> &Tally {
        &self.bounds.tally
    }
}

/// Room for what has come of one body, among those of all requests; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    bodies: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Holds room for this many bytes, instead of what it held. False when there is not as much; then it holds what it
    /// held.
    #[must_use]
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if bytes == 0 {
            self.held = None;
        } else if bytes < held {
            // Dropped, and so given back.
            self.held.as_mut().and_then(|permit| permit.split(held - bytes));
        } else if bytes > held {
            let more = u32::try_from(bytes - held).unwrap_or(u32::MAX);
            let Ok(more) = Arc::clone(&self.bodies).try_acquire_many_owned(more) else { return false };
            match &mut self.held {
                Some(permit) => permit.merge(more),
                None => self.held = Some(more),
            }
        }
        true
    }
}

/// The time that a caller gives a request; none when it says none, or nothing that can be understood.
pub(crate) fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    /// Digits that the protocol allows.
    const DIGITS_MAX: usize = 8;
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3_600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

impl Service<Request<Body>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let bounds = Arc::clone(&self.bounds);
        let mut call = Underway::begin(Arc::clone(&bounds), Method::of_path(request.uri().path()));
        call.span = request.extensions_mut().remove();
        let (shares, path) = (&bounds.shares, request.uri().path());
        let lasting = shares.lasting(path).map_or(Some(None), |of| place(of).map(Some));
        let places = shares.enter(shares.waiting(path));
        let (Some(places), Some(lasting)) = (places, lasting) else {
            bounds.tally.shed();
            return Box::pin(async { Ok(call.end(Refusal::Shed.into_status().into_http())) });
        };
        let limit = bounds.time(&request);
        let answering = within(call.span.clone(), self.routes.call(request));
        Box::pin(async move {
            let _places = places;
            let response = match tokio::time::timeout(limit, caught(answering)).await {
                Ok(Some(Ok(response))) => with_error_info(response),
                Ok(Some(Err(never))) => match never {},
                Ok(None) => {
                    bounds.tally.panic();
                    Refusal::Broken.into_status().into_http()
                }
                Err(_) => {
                    bounds.tally.refusal(Refusal::Late.reason());
                    Refusal::Late.into_status().into_http()
                }
            };
            let response = call.end(response);
            Ok(match lasting {
                Some(place) => response.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        // Held until the last of the answer is sent, or nobody wants it any more.
                        let _ = &place;
                        frame
                    }))
                }),
                None => response,
            })
        })
    }
}

/// A request that counts as under way until it is answered or given up.
#[derive(Debug)]
pub(crate) struct Underway {
    bounds: Arc<Bounds>,
    method: Method,
    /// What it ends with, unless something else becomes known.
    pub(crate) code: Code,
    span: Option<CallSpan>,
}

impl Underway {
    fn begin(bounds: Arc<Bounds>, method: Method) -> Self {
        bounds.tally.begun();
        Self { bounds, method, code: Code::Cancelled, span: None }
    }

    fn end(mut self, response: Response<Body>) -> Response<Body> {
        self.code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
        response
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.bounds.tally.ended(self.method, self.code);
        if let Some(span) = &self.span {
            span.end(self.code);
        }
    }
}

/// The output of `future`, or none when it panicked.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // A panicked future is dropped and never polled again, so a broken invariant inside it is seen by nobody.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Errors that gRPC's own machinery made say no reason; this gives them one.
fn with_error_info(response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            explained(&status).into_http()
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_caller_is_read_as_the_protocol_writes_it() {
        let read = |text: &str| grpc_timeout(&HeaderValue::from_str(text).unwrap());
        for (text, expected) in [
            ("1H", Duration::from_secs(3_600)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", " 1S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// However many wait, last or come slowly, one more call of every other kind has its place.
    #[test]
    fn no_kind_of_call_takes_the_room_of_another() {
        for in_flight_max in 4..=64 {
            let shares = Shares::new(in_flight_max);
            let waiting = shares.waiting(WAIT_FOR_REVISION).expect("it waits");
            let waits: Vec<_> = std::iter::from_fn(|| shares.enter(Some(waiting))).collect();
            assert_eq!(waits.len(), (in_flight_max / 4).max(1));
            let slow: Vec<_> = std::iter::from_fn(|| shares.enter(Some(&shares.unfinished))).collect();
            assert_eq!(slow.len(), waits.len());
            let lasting = shares.lasting(LASTING[0]).expect("it lasts");
            let lasts: Vec<_> = std::iter::from_fn(|| place(lasting)).collect();
            assert_eq!(lasts.len(), in_flight_max);
            assert!(shares.lasting(HEALTH_WATCH).is_some_and(|probing| place(probing).is_some()));
            let routed: Vec<_> = std::iter::from_fn(|| shares.enter(None)).collect();
            assert!(!routed.is_empty(), "room for {in_flight_max}");
            assert!(shares.in_flight.available_permits() > 0, "room for {in_flight_max}");
            drop((waits, slow, routed));
            assert_eq!(shares.in_flight.available_permits(), in_flight_max);
        }
    }

    #[test]
    fn room_grows_shrinks_and_is_given_back() {
        let bodies = Arc::new(Semaphore::new(10));
        let room = || Room { bodies: Arc::clone(&bodies), held: None };
        let (mut one, mut other) = (room(), room());
        assert!(one.hold(4) && one.hold(7) && other.hold(3));
        assert!(!other.hold(4), "there are but ten");
        assert!(one.hold(6) && other.hold(4));
        assert_eq!(bodies.available_permits(), 0);
        assert!(one.hold(0));
        drop((one, other));
        assert_eq!(bodies.available_permits(), 10);
    }

    #[tokio::test]
    async fn a_panic_is_caught_and_a_value_is_not() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        assert_eq!(caught(async { panic!("broken on purpose") }).await, None::<()>);
    }
}
