//! Calls that are refused before anything about them is read.

use std::time::Duration;

use h2::RecvStream;
use tokio::time::timeout;

use super::bridge::send;
use super::call::Unanswered;
use crate::grpc::{Guard, Refusal};
use crate::tally::Method;

/// Longest wait for the end of a body that nobody reads. An answer before it resets the stream, and a connection with
/// many such resets is ended; a caller who streams must not wait for longer.
const BODY_WAIT: Duration = Duration::from_millis(100);
/// Bytes of such a body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Refuses a call.
pub(super) async fn answer(refusal: Refusal, mut unanswered: Unanswered, guard: Guard) {
    unanswered.give_back();
    let Unanswered { mut request, respond, .. } = unanswered;
    let mut call = guard.begin(Method::of_path(request.uri().path()));
    // Either way there is an answer.
    let _ = timeout(BODY_WAIT, discard(request.body_mut())).await;
    let status = if refusal == Refusal::Shed { guard.shed() } else { guard.refused(refusal) };
    call.code = status.code();
    send(status.into_http(), respond).await;
}

async fn discard(body: &mut RecvStream) {
    let mut discarded = 0;
    while let Some(Ok(bytes)) = body.data().await {
        discarded += bytes.len();
        if discarded > BODY_BYTES_MAX || body.flow_control().release_capacity(bytes.len()).is_err() {
            return;
        }
    }
}
