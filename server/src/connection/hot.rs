//! Plain calls of the hot method, answered where they are read: no task, no timer, no future.
//!
//! A plain call has its whole message with it, uncompressed and within the limit, and time left. Everything else goes
//! back unanswered, to be asked through the routes; so does a plain call that has no plain answer.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tonic::Code;

use super::bridge::{Unanswered, send, send_paced};
use crate::accept::Peer;
use crate::config::Config;
use crate::grpc::{
    Authorization, Guard, Moment, PREFIX_BYTES, Recorded, Stamp, grpc_timeout, too_long, written,
};
use crate::tally;

const AUTHORIZE: &str = "/portcullis.v1.AuthorizationService/Authorize";
/// Bytes of an answer that are handed over at once; a longer one goes at the pace of the peer.
const UNPACED_BYTES_MAX: usize = 16 << 10;

/// What answering plain calls takes, kept between them.
#[derive(Debug)]
pub(super) struct Hot {
    authorization: Authorization,
    guard: Guard,
    authorize: tally::Method,
    message_bytes_max: usize,
    response_bytes_max: usize,
    stamp: Option<Arc<Stamp>>,
    head: HeaderMap,
    trailers: HeaderMap,
    /// The answer being written.
    out: Vec<u8>,
}

impl Hot {
    pub(super) fn new(config: &Config, authorization: Authorization, guard: Guard) -> Self {
        let mut head = HeaderMap::with_capacity(1);
        head.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Self {
            authorization,
            guard,
            authorize: tally::Method::of_path(AUTHORIZE),
            message_bytes_max: config.message_bytes_max,
            response_bytes_max: config.response_bytes_max,
            stamp: None,
            head,
            trailers,
            out: Vec::new(),
        }
    }

    /// Begins to answer what came in together. It is over before anything is waited for.
    pub(super) fn round<'h>(&'h mut self, peer: &'h Peer) -> Round<'h> {
        Round { hot: self, peer, moment: None }
    }
}

/// Requests that came in together and are answered from one snapshot.
pub(super) struct Round<'h> {
    hot: &'h mut Hot,
    peer: &'h Peer,
    moment: Option<Moment>,
}

impl Round<'_> {
    /// Answers a plain call, and gives everything else back.
    pub(super) fn answer(
        &mut self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        context: &mut Context<'_>,
    ) -> Result<(), Unanswered> {
        let mut unanswered = Unanswered { request, read: Bytes::new(), respond };
        if !is_plain(&unanswered.request) {
            return Err(unanswered);
        }
        let Unanswered { request, read, .. } = &mut unanswered;
        let whole = read_whole(request.body_mut(), read, self.hot.message_bytes_max, context);
        let answered = if whole { self.answer_message(read) } else { None };
        match answered {
            Some(recorded) => {
                self.send(unanswered.respond, recorded);
                Ok(())
            }
            None => Err(unanswered),
        }
    }

    /// Writes the answer to `out`.
    fn answer_message(&mut self, body: &[u8]) -> Option<Recorded> {
        let ([0, length @ ..], message) = body.split_first_chunk::<PREFIX_BYTES>()? else { return None };
        if u32::from_be_bytes(*length) as usize != message.len()
            || message.len() > self.hot.message_bytes_max
            || !self.hot.guard.has_room()
        {
            return None;
        }
        let Hot { authorization, stamp, out, .. } = &mut *self.hot;
        if self.moment.is_none() {
            self.moment = authorization.moment_after(stamp);
        }
        let moment = self.moment.as_ref()?;
        out.clear();
        // The slow way runs into the same panic and has a net under it, and an answer for the caller.
        catch_unwind(AssertUnwindSafe(|| authorization.answer_bytes(moment, self.peer, message, out))).ok()?
    }

    fn send(&mut self, mut respond: SendResponse<Bytes>, recorded: Recorded) {
        let hot = &mut *self.hot;
        let tally = hot.guard.tally();
        tally.begun();
        let bytes = Bytes::copy_from_slice(&hot.out);
        if recorded.is_some() || bytes.len() > UNPACED_BYTES_MAX.min(hot.response_bytes_max) {
            let answer = Late {
                bytes,
                bytes_max: hot.response_bytes_max,
                head: hot.head.clone(),
                trailers: hot.trailers.clone(),
                call: Counted { guard: hot.guard.clone(), method: hot.authorize, code: Code::Cancelled },
            };
            tokio::spawn(answer.send(respond, recorded));
            return;
        }
        let mut response = Response::new(());
        response.headers_mut().clone_from(&hot.head);
        let trailers = hot.trailers.clone();
        let sent = respond.send_response(response, false).and_then(|mut stream| {
            stream.send_data(bytes, false)?;
            stream.send_trailers(trailers)
        });
        // The error says that the peer has given the call up.
        tally.ended(hot.authorize, if sent.is_ok() { Code::Ok } else { Code::Cancelled });
    }
}

/// An answer that cannot leave at once: it is long, too long, or waits to be recorded.
struct Late {
    bytes: Bytes,
    bytes_max: usize,
    head: HeaderMap,
    trailers: HeaderMap,
    call: Counted,
}

/// A call that is counted when it ends, as cancelled unless something else is known.
struct Counted {
    guard: Guard,
    method: tally::Method,
    code: Code,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.guard.tally().ended(self.method, self.code);
    }
}

impl Late {
    async fn send(self, mut respond: SendResponse<Bytes>, recorded: Recorded) {
        let Self { bytes, bytes_max, head, trailers, mut call } = self;
        let recorded = tokio::select! {
            biased;
            _ = poll_fn(|context| respond.poll_reset(context)) => return,
            recorded = written(recorded) => recorded,
        };
        let refused = match recorded {
            Err(refusal) => Some(call.guard.refused(refusal)),
            Ok(()) if bytes.len() - PREFIX_BYTES > bytes_max => Some(too_long(bytes.len(), bytes_max)),
            Ok(()) => None,
        };
        if let Some(status) = refused {
            call.code = status.code();
            return send(status.into_http(), respond).await;
        }
        let mut response = Response::new(());
        *response.headers_mut() = head;
        let Ok(mut stream) = respond.send_response(response, false) else { return };
        if send_paced(bytes, &mut stream).await.is_ok() && stream.send_trailers(trailers).is_ok() {
            call.code = Code::Ok;
        }
    }
}

fn is_plain(request: &Request<RecvStream>) -> bool {
    if request.uri().path() != AUTHORIZE || request.method() != Method::POST {
        return false;
    }
    let mut is_grpc = false;
    for (name, value) in request.headers() {
        match name.as_str() {
            "content-type" => is_grpc = matches!(value.as_bytes(), b"application/grpc" | b"application/grpc+proto"),
            "grpc-encoding" if value.as_bytes() != b"identity" => return false,
            "grpc-timeout" if grpc_timeout(value).is_some_and(|timeout| timeout.is_zero()) => return false,
            _ => {}
        }
    }
    is_grpc
}

/// Takes what has arrived of a body, and says whether that is all of it.
fn read_whole(body: &mut RecvStream, read: &mut Bytes, bytes_max: usize, context: &mut Context<'_>) -> bool {
    let mut joined = BytesMut::new();
    while !body.is_end_stream() {
        match body.poll_data(context) {
            Poll::Ready(Some(Ok(bytes))) if bytes.is_empty() => {}
            Poll::Ready(Some(Ok(bytes))) if read.is_empty() => *read = bytes,
            Poll::Ready(Some(Ok(bytes))) => {
                if joined.is_empty() {
                    joined.extend_from_slice(read);
                }
                joined.extend_from_slice(&bytes);
                if joined.len() > bytes_max.saturating_add(PREFIX_BYTES) {
                    break;
                }
            }
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {
                restore(read, joined);
                return false;
            }
        }
    }
    restore(read, joined);
    true
}

fn restore(read: &mut Bytes, joined: BytesMut) {
    if !joined.is_empty() {
        *read = joined.freeze();
    }
}
