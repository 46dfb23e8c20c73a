//! Follows the sidecar's active revision for as long as the cache lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::v1;

use super::State;
use crate::call::{self, Caller};

/// The pauses before the sidecar is asked again, the first and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Never ends by itself.
pub(super) async fn follow(state: Arc<State>, caller: Caller) {
    let mut pause = PAUSE.0;
    loop {
        // An empty message asks.
        if let Ok(mut revisions) =
            caller.watch::<v1::WatchRevisionsResponse>(call::WATCH_REVISIONS, Bytes::new()).await
        {
            while let Ok(Some(named)) = revisions.message().await {
                let v1::WatchRevisionsResponse { revision, generation, loaded_at: _ } = named;
                state.become_active(Some((revision.into(), generation)));
                pause = PAUSE.0;
            }
        }
        state.lose();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}
