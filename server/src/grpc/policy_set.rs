//! PolicySetService: which policy set is active, waiting for another, and handing it out.
//!
//! Reads the store and changes nothing; answers before the first snapshot, too.

mod hand_out;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_engine::Counts;
use portcullis_proto::v1;
use portcullis_proto::v1::policy_set_service_server::PolicySetService;
use portcullis_store::{Origin, Rejection, Revision, Snapshot};
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::Shared;
use super::authorization::{peer, stamp};
use super::encode::{self, Stamp};
use super::status::Refusal;
use crate::shutdown::UntilDrain;
use crate::state::is_degraded;
use hand_out::HandOut;

/// Diagnostics that one status tells; it says how many there are in all.
const DIAGNOSTICS_MAX: usize = 100;

/// Tells about the store.
#[derive(Debug, Clone)]
pub(crate) struct PolicySets {
    shared: Shared,
    hand_out: HandOut,
}

impl PolicySets {
    pub(crate) fn new(shared: Shared) -> Self {
        let hand_out = HandOut::new(shared.clone());
        Self { shared, hand_out }
    }

    fn status(&self) -> v1::GetStatusResponse {
        let status = self.shared.store.status();
        let degraded = is_degraded(&status, &self.shared.tally, &self.shared.audit);
        let stale_for = status.stale_since.map(|_| duration(status.stale()));
        let portcullis_store::Status {
            generation,
            revision,
            loaded_at,
            change: _,
            counts,
            rejection,
            watching,
            scans: _,
            origin,
            stale_since: _,
            keeping: _,
            reloads: _,
        } = status;
        v1::GetStatusResponse {
            revision: revision.map(|revision| revision.to_string()).unwrap_or_default(),
            generation,
            loaded_at: loaded_at.map(encode::timestamp),
            counts: counts.map(encode_counts),
            last_rejection: rejection.as_ref().map(encode_rejection),
            watching,
            degraded,
            stale_for,
            last_good_saved_at: match origin {
                Origin::Directory | Origin::Feed => None,
                Origin::LastGood { saved_at } => Some(encode::timestamp(saved_at)),
            },
        }
    }

    /// The active snapshot when it is what is waited for.
    fn reached(&self, wanted: &Wanted) -> Option<Arc<Snapshot>> {
        self.shared.store.current().filter(|snapshot| {
            snapshot.generation >= wanted.min_generation
                && wanted.revision.is_none_or(|revision| revision == snapshot.revision)
        })
    }

    /// What a call ends with: its connection, if it came over one, or the process.
    fn ending<T>(&self, request: &Request<T>) -> CancellationToken {
        request.extensions().get().unwrap_or(&self.shared.draining).clone()
    }

    async fn wait(&self, wanted: Wanted, ending: CancellationToken) -> Result<Arc<Snapshot>, Refusal> {
        let mut generation = self.shared.store.subscribe();
        loop {
            generation.mark_unchanged();
            if let Some(snapshot) = self.reached(&wanted) {
                return Ok(snapshot);
            }
            tokio::select! {
                changed = generation.changed() => changed.map_err(|_| Refusal::Draining)?,
                () = ending.cancelled() => return Err(Refusal::Draining),
            }
        }
    }
}

/// What a caller waits for.
struct Wanted {
    revision: Option<Revision>,
    min_generation: u64,
}

fn decode_wanted(message: v1::WaitForRevisionRequest) -> Result<Wanted, Refusal> {
    let v1::WaitForRevisionRequest { revision, min_generation } = message;
    Ok(Wanted { revision: decode_revision("revision", &revision)?, min_generation })
}

/// None when nobody named one.
fn decode_revision(field: &str, text: &str) -> Result<Option<Revision>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Refusal::field(field, format!("`{text}`: {error}")))
}

fn duration(time: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or_default(),
    }
}

fn encode_counts(counts: Counts) -> v1::Counts {
    let Counts { users, groups, roles, policies, statements } = counts;
    v1::Counts { users, groups, roles, policies, statements }
}

fn encode_rejection(rejection: &Rejection) -> v1::Rejection {
    let Rejection { at, revision: _, diagnostics } = rejection;
    v1::Rejection {
        rejected_at: Some(encode::timestamp(*at)),
        diagnostics: diagnostics.iter().take(DIAGNOSTICS_MAX).map(encode::diagnostic).collect(),
        diagnostics_total: u32::try_from(diagnostics.len()).unwrap_or(u32::MAX),
    }
}

#[tonic::async_trait]
impl PolicySetService for PolicySets {
    type WatchRevisionsStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchRevisionsResponse, Status>> + Send>>;
    type WatchPolicySetStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchPolicySetResponse, Status>> + Send>>;

    async fn watch_policy_set(
        &self,
        request: Request<v1::WatchPolicySetRequest>,
    ) -> Result<Response<Self::WatchPolicySetStream>, Status> {
        let (ending, peer) = (self.ending(&request), peer(&request));
        let v1::WatchPolicySetRequest { held_revision } = request.into_inner();
        let held = decode_revision("held_revision", &held_revision);
        let given = held.and_then(|held| self.hand_out.begin(held, peer));
        let given = given.map_err(|refusal| self.shared.refused(refusal))?;
        Ok(Response::new(Box::pin(UntilDrain::new(given, ending))))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let v1::GetStatusRequest {} = request.into_inner();
        Ok(Response::new(self.status()))
    }

    async fn watch_revisions(
        &self,
        request: Request<v1::WatchRevisionsRequest>,
    ) -> Result<Response<Self::WatchRevisionsStream>, Status> {
        let ending = self.ending(&request);
        let v1::WatchRevisionsRequest {} = request.into_inner();
        let store = self.shared.store.clone();
        let mut last_sent = 0;
        let generations = UntilDrain::new(WatchStream::new(store.subscribe()), ending);
        let revisions = generations.filter_map(move |_| {
            // The active snapshot may be ahead of the generation that woke us; it is sent once.
            let snapshot = store.current().filter(|snapshot| snapshot.generation > last_sent)?;
            last_sent = snapshot.generation;
            let Stamp { revision, generation } = stamp(&snapshot);
            let loaded_at = Some(encode::timestamp(snapshot.loaded_at));
            Some(Ok(v1::WatchRevisionsResponse { revision, generation, loaded_at }))
        });
        Ok(Response::new(Box::pin(revisions)))
    }

    async fn wait_for_revision(
        &self,
        request: Request<v1::WaitForRevisionRequest>,
    ) -> Result<Response<v1::WaitForRevisionResponse>, Status> {
        let ending = self.ending(&request);
        let refused = |refusal| self.shared.refused(refusal);
        let wanted = decode_wanted(request.into_inner()).map_err(refused)?;
        let limit = Duration::from_millis(self.shared.config.revision_wait_ms);
        let waiting = tokio::time::timeout(limit, self.wait(wanted, ending));
        let waited = waiting.await.unwrap_or(Err(Refusal::Revision));
        let Stamp { revision, generation } = stamp(&*waited.map_err(refused)?);
        Ok(Response::new(v1::WaitForRevisionResponse { revision, generation }))
    }
}
