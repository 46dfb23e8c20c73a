//! Any request -> the routes, and their answer -> the stream, at the pace of the peer.
//!
//! Invariant (PACED): of one answer no more is taken from the routes than the peer has room for, and one frame.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::Service;

use super::call::Unanswered;
use crate::accept::Peer;
use crate::grpc::{Guard, Room};

/// Answers one request through the routes. Ends early when the peer resets the stream.
pub(super) async fn answer(unanswered: Unanswered, peer: Peer, mut guard: Guard) {
    let Unanswered { request, read, held, mut respond } = unanswered;
    let (mut head, stream) = request.into_parts();
    head.extensions.insert(peer);
    let body = Body::new(RequestBody {
        read,
        held,
        stream,
        come: 0,
        kept_max: guard.message_bytes_max(),
        room: guard.room(),
    });
    let answering = guard.call(Request::from_parts(head, body));
    let response = tokio::select! {
        biased;
        // Dropping what is asked for is how a handler learns that nobody waits for it.
        _ = poll_fn(|context| respond.poll_reset(context)) => return,
        response = answering => match response {
            Ok(response) => response,
            Err(never) => match never {},
        },
    };
    send(response, respond).await;
}

/// Sends a whole response. A stream that the peer has reset needs no answer, so errors end it silently.
pub(super) async fn send(response: Response<Body>, mut respond: SendResponse<Bytes>) {
    let (head, body) = response.into_parts();
    let ended = body.is_end_stream();
    let Ok(stream) = respond.send_response(Response::from_parts(head, ()), ended) else { return };
    if !ended {
        // The error says that the stream or the connection is gone.
        let _ = pump(body, stream).await;
    }
}

async fn pump(mut body: Body, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
    loop {
        let frame = tokio::select! {
            biased;
            frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)) => frame,
            reset = poll_fn(|context| stream.poll_reset(context)) => return reset.map(drop),
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            None => return stream.send_data(Bytes::new(), true),
            Some(Ok(Ok(bytes))) => send_paced(bytes, &mut stream).await?,
            Some(Ok(Err(other))) => {
                if let Ok(trailers) = other.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "an answer broke off");
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
        }
    }
}

/// Sends bytes as the peer makes room for them.
pub(super) async fn send_paced(mut bytes: Bytes, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => room?,
            None => return Err(Reason::CANCEL.into()),
        };
        let part = bytes.split_to(room.min(bytes.len()));
        if !part.is_empty() {
            stream.send_data(part, false)?;
        }
    }
    Ok(())
}

/// The body of a request: what was read of it, and then the rest.
struct RequestBody {
    read: Bytes,
    held: usize,
    stream: RecvStream,
    /// Bytes so far.
    come: usize,
    /// Bytes of them that whoever reads keeps at most: those of one message.
    kept_max: usize,
    room: Room,
}

impl RequestBody {
    /// Bytes that are passed on, so that the peer may send as many more. An error when there is no room for them.
    fn passed_on(&mut self, bytes: Bytes, held: usize) -> Result<Frame<Bytes>, h2::Error> {
        self.come = self.come.saturating_add(bytes.len());
        let kept_max = self.kept_max;
        if !self.room.hold(self.come.min(kept_max)) {
            return Err(Reason::ENHANCE_YOUR_CALM.into());
        }
        // The error says that the stream is closed, and then there is no window to open.
        let _ = self.stream.flow_control().release_capacity(held);
        Ok(Frame::data(bytes))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.read.is_empty() {
            let read = std::mem::take(&mut self.read);
            let held = std::mem::take(&mut self.held);
            return Poll::Ready(Some(self.passed_on(read, held)));
        }
        match ready!(self.stream.poll_data(context)) {
            Some(Ok(bytes)) => {
                let held = bytes.len();
                Poll::Ready(Some(self.passed_on(bytes, held)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers: Option<HeaderMap> = ready!(self.stream.poll_trailers(context))?;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
