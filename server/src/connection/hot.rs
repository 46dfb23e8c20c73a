//! Plain calls, answered where they are read: no task, no timer, no future.
//!
//! A plain call has its whole message with it, uncompressed and within the limit, and time left. Everything else goes
//! back unanswered: to wait for its body, or to be asked through the routes. So does a plain call without a plain answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use tonic::Code;

use super::call::{AUTHORIZE, BATCH, HotCall, STREAM, Unanswered};
use super::late::Late;
use crate::accept::Peer;
use crate::config::Config;
use crate::grpc::{Asker, Authorization, Call, Guard, Moment, Recorded, Stamp};
use crate::tally::Method;

/// Bytes of an answer that are handed over at once; a longer one goes at the pace of the peer.
const UNPACED_BYTES_MAX: usize = 16 << 10;
/// Bytes of an answer from which it is given away with its buffer.
const COPIED_BYTES_MAX: usize = 4 << 10;
/// Bytes of the buffer for answers that are kept between two rounds.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What answering plain calls takes, kept between them.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) authorization: Authorization,
    pub(super) guard: Guard,
    pub(super) message_bytes_max: usize,
    pub(super) response_bytes_max: usize,
    head: HeaderMap,
    trailers: HeaderMap,
    methods: [Method; 3],
    stamp: Option<Arc<Stamp>>,
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
            message_bytes_max: config.message_bytes_max,
            response_bytes_max: config.response_bytes_max,
            head,
            trailers,
            methods: [AUTHORIZE, BATCH, STREAM].map(Method::of_path),
            stamp: None,
            out: Vec::new(),
        }
    }

    /// Begins to answer what came in together. It is over before anything is waited for.
    pub(super) fn round(&mut self) -> Round<'_> {
        self.out.shrink_to(KEPT_BYTES_MAX);
        Round { hot: self, moment: None }
    }

    /// How a call is counted.
    pub(super) fn method(&self, call: HotCall) -> Method {
        let [authorize, batch, stream] = self.methods;
        match call {
            HotCall::Authorize => authorize,
            HotCall::Batch => batch,
            HotCall::Stream => stream,
        }
    }

    /// The head of every answer.
    pub(super) fn head(&self) -> Response<()> {
        let mut response = Response::new(());
        response.headers_mut().clone_from(&self.head);
        response
    }

    /// The end of every answer that is none but good.
    pub(super) fn trailers(&self) -> HeaderMap {
        self.trailers.clone()
    }
}

/// Requests that came in together and are answered from one snapshot.
pub(super) struct Round<'h> {
    pub(super) hot: &'h mut Hot,
    moment: Option<Moment>,
}

/// Why a request was not answered.
pub(super) enum Left {
    /// It is for the routes.
    Other,
    /// It is plain so far, and there is more to come.
    Unfinished,
}

impl Round<'_> {
    /// Answers a plain call of one message, when all of it is there; gives back what it does not answer.
    pub(super) fn answer(
        &mut self,
        call: HotCall,
        mut unanswered: Unanswered,
        peer: &Peer,
        context: &mut Context<'_>,
    ) -> Option<(Unanswered, Left)> {
        if unanswered.poll_body(self.hot.message_bytes_max, context).is_pending() {
            return Some((unanswered, Left::Unfinished));
        }
        self.answer_whole(call, unanswered, peer).map(|unanswered| (unanswered, Left::Other))
    }

    /// The same for a call that is all there.
    pub(super) fn answer_whole(
        &mut self,
        call: HotCall,
        unanswered: Unanswered,
        peer: &Peer,
    ) -> Option<Unanswered> {
        match self.write_answer(call, &unanswered, peer) {
            Some(recorded) => {
                self.send(call, unanswered.respond, recorded);
                None
            }
            None => Some(unanswered),
        }
    }

    /// Writes the answer to `out`.
    fn write_answer(&mut self, call: HotCall, unanswered: &Unanswered, peer: &Peer) -> Option<Recorded> {
        let message = unanswered.message(self.hot.message_bytes_max)?;
        if !self.hot.guard.has_room() {
            return None;
        }
        let Hot { authorization, stamp, out, .. } = &mut *self.hot;
        if self.moment.is_none() {
            self.moment = authorization.moment_after(stamp);
        }
        let moment = self.moment.as_ref()?;
        out.clear();
        // The slow way runs into the same panic, has a net under it and an answer for the caller.
        let asker = |call| Asker { peer, user_agent: unanswered.user_agent(), call };
        let answered = catch_unwind(AssertUnwindSafe(|| match call {
            HotCall::Authorize => authorization.answer_bytes(moment, asker(Call::Authorize), message, out),
            HotCall::Batch => authorization.answer_batch_bytes(moment, asker(Call::Batch), message, out),
            HotCall::Stream => None,
        }));
        answered.ok()?
    }

    fn send(&mut self, call: HotCall, mut respond: SendResponse<Bytes>, recorded: Recorded) {
        let hot = &mut *self.hot;
        let method = hot.method(call);
        // A short answer is worth a copy of its own size: it may wait long for a slow peer, and many do at once.
        let bytes = match hot.out.len() {
            0..COPIED_BYTES_MAX => Bytes::copy_from_slice(&hot.out),
            length => std::mem::replace(&mut hot.out, Vec::with_capacity(length.min(KEPT_BYTES_MAX))).into(),
        };
        if recorded.is_some() || bytes.len() > UNPACED_BYTES_MAX.min(hot.response_bytes_max) {
            let late = Late {
                bytes,
                bytes_max: hot.response_bytes_max,
                head: hot.head(),
                trailers: hot.trailers(),
                call: hot.guard.begin(method),
                guard: hot.guard.clone(),
            };
            tokio::spawn(late.send(respond, recorded));
            return;
        }
        let tally = hot.guard.tally();
        tally.begun();
        let trailers = hot.trailers.clone();
        let sent = respond.send_response(hot.head(), false).and_then(|mut stream| {
            stream.send_data(bytes, false)?;
            stream.send_trailers(trailers)
        });
        // The error says that the peer has given the call up.
        tally.ended(method, if sent.is_ok() { Code::Ok } else { Code::Cancelled });
    }
}
