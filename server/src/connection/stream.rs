//! AuthorizeStream: questions that come together are answered together and leave together.
//!
//! What is plain is answered from bytes to bytes; a message that is not goes the slow way by itself, in its turn.
//! Invariants: (IN-ORDER) answers have the order of the questions; (BACKPRESSURE) no question is read while answers wait
//! for the peer to make room.

use std::future::poll_fn;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::Poll;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use portcullis_proto::v1;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::bridge::send_paced;
use super::call::{HotCall, Unanswered};
use super::{Site, refuse};
use crate::accept::Peer;
use crate::grpc::{
    Asker, Authorization, Call, Guard, PREFIX_BYTES, Refusal, Room, Stamp, Wait, explained, framed, too_long,
    trailers,
};

/// Bytes of answers that are collected before they are sent.
const OUT_BYTES: usize = 16 << 10;

/// Answers one stream to its end.
pub(super) async fn answer(unanswered: Unanswered, peer: Peer, site: Arc<Site>, leaving: CancellationToken) {
    let Some(_place) = site.guard.enter_lasting() else {
        return refuse::answer(Refusal::Shed, unanswered, site.guard.clone()).await;
    };
    let user_agent = unanswered.user_agent().to_owned();
    let Unanswered { request, mut respond, .. } = unanswered;
    let (mut answers, head, trailers, mut call) = {
        let hot = site.hot.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = Answers {
            authorization: hot.authorization.clone(),
            guard: hot.guard.clone(),
            peer,
            user_agent,
            message_bytes_max: hot.message_bytes_max,
            response_bytes_max: hot.response_bytes_max,
            stamp: None,
            unread: BytesMut::new(),
            room: hot.guard.room(),
            out: Vec::new(),
            waits: Vec::new(),
        };
        (answers, hot.head(), hot.trailers(), hot.guard.begin(hot.method(HotCall::Stream)))
    };
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    match answers.all(request.into_body(), &mut stream, &leaving).await {
        Ok(()) if stream.send_trailers(trailers).is_ok() => call.code = Code::Ok,
        Ok(()) | Err(Broken::Gone) => {}
        Err(Broken::Status(status)) => {
            call.code = status.code();
            // The error says that the peer has gone.
            let _ = stream.send_trailers(self::trailers(&status));
        }
    }
}

/// Why a stream ends before its peer ends it.
enum Broken {
    /// The peer has reset it, or the connection is over.
    Gone,
    /// Something that ends the whole call.
    Status(Status),
}

struct Answers {
    authorization: Authorization,
    guard: Guard,
    peer: Peer,
    user_agent: String,
    message_bytes_max: usize,
    response_bytes_max: usize,
    stamp: Option<Arc<Stamp>>,
    /// Bytes of questions.
    unread: BytesMut,
    /// For those of them that wait for the rest of a question.
    room: Room,
    /// Bytes of answers.
    out: Vec<u8>,
    /// Those of them that may not leave yet.
    waits: Vec<Waiting>,
}

struct Waiting {
    place: Range<usize>,
    correlation_id: String,
    wait: Wait,
}

impl Answers {
    async fn all(
        &mut self,
        mut questions: RecvStream,
        stream: &mut SendStream<Bytes>,
        draining: &CancellationToken,
    ) -> Result<(), Broken> {
        loop {
            if !self.room.hold(self.unread.len()) {
                return Err(Broken::Status(self.guard.shed()));
            }
            // What has come in is answered even when the process begins to drain.
            let read = tokio::select! {
                biased;
                read = poll_fn(|context| questions.poll_data(context)) => read,
                () = draining.cancelled() => return Ok(()),
            };
            let Some(bytes) = read else { break };
            self.take(bytes.map_err(|_| Broken::Gone)?, &mut questions);
            // Whatever else is there belongs to the same answer.
            while self.unread.len() < OUT_BYTES {
                match poll_fn(|context| Poll::Ready(questions.poll_data(context))).await {
                    Poll::Ready(Some(Ok(bytes))) => self.take(bytes, &mut questions),
                    Poll::Ready(Some(Err(_))) => return Err(Broken::Gone),
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            let answered = self.answer_unread(stream).await;
            self.leave(stream).await?;
            answered?;
        }
        if self.unread.is_empty() {
            return Ok(());
        }
        Err(Broken::Status(explained(&Status::internal("the stream ends within a message"))))
    }

    fn take(&mut self, bytes: Bytes, questions: &mut RecvStream) {
        // The error says that the stream is closed, and then there is no window to open.
        let _ = questions.flow_control().release_capacity(bytes.len());
        self.unread.extend_from_slice(&bytes);
    }

    /// Answers every whole message.
    async fn answer_unread(&mut self, stream: &mut SendStream<Bytes>) -> Result<(), Broken> {
        let mut moment = self.authorization.moment_after(&mut self.stamp);
        while let Some(length) = self.message_length()? {
            let start = self.out.len();
            let message = self.unread.get(PREFIX_BYTES..PREFIX_BYTES + length).unwrap_or_default();
            let (out, authorization) = (&mut self.out, &self.authorization);
            let asker = Asker { peer: &self.peer, user_agent: &self.user_agent, call: Call::Stream };
            let answered = catch_unwind(AssertUnwindSafe(|| {
                authorization.answer_streamed_bytes(moment.as_ref()?, asker, message, out)
            }));
            match answered {
                Ok(Some(None)) => {}
                Ok(Some(Some(wait))) => self.hold(start, length, wait),
                Ok(None) => {
                    // Nothing is held on to across a wait, a snapshot least of all.
                    drop(moment.take());
                    self.answer_slowly(length).await?;
                    moment = self.authorization.moment_after(&mut self.stamp);
                }
                Err(_) => {
                    self.out.truncate(start);
                    self.guard.tally().panic();
                    return Err(Broken::Status(Refusal::Broken.into_status()));
                }
            }
            let answer = self.out.len() - start - PREFIX_BYTES;
            if answer > self.response_bytes_max {
                self.out.truncate(start);
                return Err(Broken::Status(too_long(answer, self.response_bytes_max)));
            }
            self.unread.advance(PREFIX_BYTES + length);
            if self.out.len() >= OUT_BYTES {
                drop(moment.take());
                self.leave(stream).await?;
                moment = self.authorization.moment_after(&mut self.stamp);
            }
        }
        Ok(())
    }

    /// The length of the first message, when all of it is there.
    fn message_length(&self) -> Result<Option<usize>, Broken> {
        let Some(&[compressed, a, b, c, d]) = self.unread.first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let (length, most) = (u32::from_be_bytes([a, b, c, d]) as usize, self.message_bytes_max);
        let status = if compressed != 0 {
            Status::internal("a message is compressed, and the call names no compression")
        } else if length > most {
            Status::out_of_range(format!(
                "a message of {length} bytes is longer than the {most} of one message"
            ))
        } else {
            return Ok((self.unread.len() >= PREFIX_BYTES + length).then_some(length));
        };
        Err(Broken::Status(explained(&status)))
    }

    /// Answers the first message through the types of the wire.
    async fn answer_slowly(&mut self, length: usize) -> Result<(), Broken> {
        let message = self.unread.get(PREFIX_BYTES..PREFIX_BYTES + length).unwrap_or_default();
        let message = v1::AuthorizeStreamRequest::decode(message)
            .map_err(|error| Broken::Status(explained(&Status::internal(error.to_string()))))?;
        let asker = Asker { peer: &self.peer, user_agent: &self.user_agent, call: Call::Stream };
        let answer = self.authorization.answer_streamed(message, asker).await;
        framed(&mut self.out, |out| {
            // A vector has room for everything.
            let _ = answer.encode(out);
        });
        Ok(())
    }

    /// Keeps what was written since `start` from leaving until a wait is over.
    fn hold(&mut self, start: usize, length: usize, wait: Wait) {
        let message = self.unread.get(PREFIX_BYTES..PREFIX_BYTES + length).unwrap_or_default();
        let correlation_id = v1::AuthorizeStreamRequest::decode(message)
            .map(|message| message.correlation_id)
            .unwrap_or_default();
        self.waits.push(Waiting { place: start..self.out.len(), correlation_id, wait });
    }

    /// Sends what is written, when it may leave and the peer has room.
    async fn leave(&mut self, stream: &mut SendStream<Bytes>) -> Result<(), Broken> {
        // From the last to the first, so that a refusal of another length moves no place that is still to come.
        while let Some(Waiting { place, correlation_id, wait }) = self.waits.pop() {
            if let Err(refusal) = wait.await {
                let result = Some(self.authorization.result(Err(refusal)));
                let answer = v1::AuthorizeStreamResponse { correlation_id, result };
                let mut refused = Vec::new();
                framed(&mut refused, |out| {
                    let _ = answer.encode(out);
                });
                self.out.splice(place, refused);
            }
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.out));
        send_paced(bytes, stream).await.map_err(|_| Broken::Gone)
    }
}
