//! A request before it is answered: which call it is, and how much of its body is here.
//!
//! Invariant (HELD): bytes of a body that were taken from the stream and not yet given back to its window are counted
//! in `held`, so that each is given back once.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::USER_AGENT;
use http::{Method, Request};

use crate::grpc::{PREFIX_BYTES, Room, grpc_timeout};

/// The calls that are answered without the routes when they are plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HotCall {
    Authorize,
    Batch,
    Stream,
}

pub(super) const AUTHORIZE: &str = "/portcullis.v1.AuthorizationService/Authorize";
pub(super) const BATCH: &str = "/portcullis.v1.AuthorizationService/BatchAuthorize";
pub(super) const STREAM: &str = "/portcullis.v1.AuthorizationService/AuthorizeStream";

impl HotCall {
    /// Of a request that is gRPC without compression and has time left.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let call = match request.uri().path() {
            AUTHORIZE => Self::Authorize,
            BATCH => Self::Batch,
            STREAM => Self::Stream,
            _ => return None,
        };
        let mut is_grpc = false;
        for (name, value) in request.headers() {
            match name.as_str() {
                "content-type" => {
                    is_grpc = matches!(value.as_bytes(), b"application/grpc" | b"application/grpc+proto");
                }
                "grpc-encoding" if value.as_bytes() != b"identity" => return None,
                "grpc-timeout" if grpc_timeout(value).is_some_and(|timeout| timeout.is_zero()) => {
                    return None;
                }
                _ => {}
            }
        }
        (is_grpc && request.method() == Method::POST).then_some(call)
    }
}

/// A request, with what has been read of its body.
pub(super) struct Unanswered {
    pub(super) request: Request<RecvStream>,
    pub(super) read: Bytes,
    pub(super) held: usize,
    pub(super) respond: SendResponse<Bytes>,
}

impl Unanswered {
    pub(super) fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        Self { request, read: Bytes::new(), held: 0, respond }
    }

    /// Takes what has arrived of the body, up to a message of `bytes_max`. Ready when there is no more to wait for.
    pub(super) fn poll_body(&mut self, bytes_max: usize, context: &mut Context<'_>) -> Poll<()> {
        let mut joined = BytesMut::new();
        let body = self.request.body_mut();
        let polled = loop {
            if body.is_end_stream() || self.read.len().max(joined.len()) > bytes_max + PREFIX_BYTES {
                break Poll::Ready(());
            }
            match body.poll_data(context) {
                Poll::Pending => break Poll::Pending,
                // Over, by the peer or by an error that whoever reads on meets again.
                Poll::Ready(None | Some(Err(_))) => break Poll::Ready(()),
                Poll::Ready(Some(Ok(bytes))) if bytes.is_empty() => {}
                Poll::Ready(Some(Ok(bytes))) => {
                    self.held += bytes.len();
                    if self.read.is_empty() && joined.is_empty() {
                        self.read = bytes;
                        continue;
                    }
                    if joined.is_empty() {
                        joined.extend_from_slice(&self.read);
                    }
                    joined.extend_from_slice(&bytes);
                }
            }
        };
        if !joined.is_empty() {
            self.read = joined.freeze();
        }
        polled
    }

    /// Waits for the rest of the body, up to a message of `bytes_max`. False when `room` has none for what came; then the
    /// rest is not waited for.
    pub(super) async fn body(&mut self, bytes_max: usize, room: &mut Room) -> bool {
        if !room.hold(self.held) {
            return false;
        }
        // What is here may be all that the window has room for.
        self.give_back();
        let mut parts = vec![std::mem::take(&mut self.read)];
        let mut length = parts.iter().map(Bytes::len).sum::<usize>();
        while poll_fn(|context| {
            let polled = self.poll_body(bytes_max.saturating_sub(length), context);
            // What has come is worth looking at, too, because its room in the window has to be given back.
            if polled.is_pending() && self.read.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(polled.is_pending())
            }
        })
        .await
        {
            if !room.hold(length + self.held) {
                return false;
            }
            self.give_back();
            length += self.read.len();
            parts.push(std::mem::take(&mut self.read));
        }
        parts.push(std::mem::take(&mut self.read));
        parts.retain(|part| !part.is_empty());
        self.read = match parts.len() {
            1 => parts.pop().unwrap_or_default(),
            _ => parts.concat().into(),
        };
        true
    }

    /// What the caller's program calls itself; empty when it does not say, or says no text.
    pub(super) fn user_agent(&self) -> &str {
        let value = self.request.headers().get(USER_AGENT);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Opens the window of the stream by what is held.
    pub(super) fn give_back(&mut self) {
        let held = std::mem::take(&mut self.held);
        // The error says that the stream is closed, and then there is no window to open.
        let _ = self.request.body_mut().flow_control().release_capacity(held);
    }

    /// The message, when the body is exactly one that is not compressed.
    pub(super) fn message(&self, bytes_max: usize) -> Option<&[u8]> {
        let (&[0, a, b, c, d], message) = self.read.split_first_chunk::<PREFIX_BYTES>()? else { return None };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        (length == message.len() && length <= bytes_max).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(format!("http://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn what_clients_send_is_plain_and_all_else_is_not() {
        let grpc = ("content-type", "application/grpc");
        let proto = ("content-type", "application/grpc+proto");
        let usual = [grpc, ("te", "trailers"), ("user-agent", "grpc-go/1.70"), ("grpc-timeout", "1S")];
        let of = |path, headers: &[_]| HotCall::of(&request(Method::POST, path, headers));
        assert_eq!(of(AUTHORIZE, &usual), Some(HotCall::Authorize));
        assert_eq!(of(BATCH, &usual), Some(HotCall::Batch));
        assert_eq!(of(STREAM, &[proto, ("grpc-encoding", "identity")]), Some(HotCall::Stream));
        assert_eq!(of("/portcullis.v1.AuthorizationService/Simulate", &usual), None);
        assert_eq!(of("/portcullis.v1.AuthorizationService/authorize", &usual), None);
        for other in [
            &[][..],
            &[("content-type", "application/grpc-web")],
            &[("content-type", "application/json")],
            &[grpc, ("grpc-encoding", "gzip")],
            &[grpc, ("grpc-timeout", "0m")],
        ] {
            assert_eq!(of(AUTHORIZE, other), None, "{other:?}");
        }
        assert_eq!(HotCall::of(&request(Method::GET, AUTHORIZE, &usual)), None);
    }
}
