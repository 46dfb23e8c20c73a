//! Follows the sidecar's active revision for as long as the cache lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::v1;

use super::State;
use crate::call::{self, Caller};
use crate::error::Error;

/// The pauses before the sidecar is asked again, the first and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Never ends by itself.
pub(super) async fn follow(state: Arc<State>, caller: Caller) {
    let (mut pause, mut told) = (PAUSE.0, false);
    loop {
        // An empty message asks.
        match caller.watch::<v1::WatchRevisionsResponse>(call::WATCH_REVISIONS, Bytes::new()).await {
            Ok(mut revisions) => {
                while let Ok(Some(named)) = revisions.message().await {
                    let v1::WatchRevisionsResponse { revision, generation, loaded_at: _ } = named;
                    state.become_active(Some((revision.into(), generation)));
                    (pause, told) = (PAUSE.0, false);
                }
            }
            Err(status) => {
                let error = Error::from(status);
                // Answers stay right, so nobody else would notice that none is kept.
                if !told && !error.is_transient() {
                    tracing::warn!(%error, "no decision is kept: the sidecar does not say which policies are active");
                    told = true;
                }
            }
        }
        state.lose();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}
