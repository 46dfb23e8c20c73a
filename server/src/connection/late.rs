//! Plain calls that have to wait: for the rest of their body, for room, for their record.

use std::future::poll_fn;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use tokio::time::timeout;
use tonic::Code;

use super::bridge::{self, send, send_paced};
use super::call::{HotCall, Unanswered};
use super::{Site, hot, refuse};
use crate::accept::Peer;
use crate::grpc::{Guard, PREFIX_BYTES, Recorded, Refusal, Underway, too_long, written};

/// Waits for the rest of a body, and answers then.
pub(super) async fn body(call: HotCall, mut unanswered: Unanswered, peer: Peer, site: Arc<Site>) {
    let Some(entered) = site.guard.enter_unfinished() else {
        // Not before its end: an answer before that resets the stream, and many resets end the connection.
        return refuse::answer(Refusal::Shed, unanswered, site.guard.clone()).await;
    };
    let mut room = site.guard.room();
    let limit = site.guard.message_time(&unanswered.request);
    let bytes_max = lock(&site).message_bytes_max;
    let refused = match timeout(limit, unanswered.body(bytes_max, &mut room)).await {
        Ok(true) => None,
        Ok(false) => Some(site.guard.shed()),
        Err(_) => Some(site.guard.refused(Refusal::Late)),
    };
    if let Some(status) = refused {
        let mut late = site.guard.begin(lock(&site).method(call));
        late.code = status.code();
        return send(status.into_http(), unanswered.respond).await;
    }
    drop(entered);
    let left = lock(&site).round().answer_whole(call, unanswered, &peer);
    if let Some(unanswered) = left {
        bridge::answer(unanswered, peer, site.guard.clone()).await;
    }
}

fn lock(site: &Site) -> std::sync::MutexGuard<'_, hot::Hot> {
    site.hot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that cannot leave at once: it is long, too long, or waits to be recorded.
pub(super) struct Late {
    pub(super) bytes: Bytes,
    pub(super) bytes_max: usize,
    pub(super) head: Response<()>,
    pub(super) trailers: HeaderMap,
    pub(super) call: Underway,
    pub(super) guard: Guard,
}

impl Late {
    /// Sends it when it may leave, at the pace of the peer.
    pub(super) async fn send(self, mut respond: SendResponse<Bytes>, recorded: Recorded) {
        let Self { bytes, bytes_max, head, trailers, mut call, guard } = self;
        let recorded = tokio::select! {
            biased;
            _ = poll_fn(|context| respond.poll_reset(context)) => return,
            recorded = written(recorded) => recorded,
        };
        let refused = match recorded {
            Err(refusal) => Some(guard.refused(refusal)),
            Ok(()) if bytes.len() - PREFIX_BYTES > bytes_max => Some(too_long(bytes.len(), bytes_max)),
            Ok(()) => None,
        };
        if let Some(status) = refused {
            call.code = status.code();
            return send(status.into_http(), respond).await;
        }
        let Ok(mut stream) = respond.send_response(head, false) else { return };
        if send_paced(bytes, &mut stream).await.is_ok() && stream.send_trailers(trailers).is_ok() {
            call.code = Code::Ok;
        }
    }
}
