//! Handing out the policy set, whole and in parts, to callers that decide in their own process.
//!
//! Invariants: (KNOWN-ONLY) nothing leaves to a caller of whom nothing is known but its address; (RECORDED) who takes a
//! policy set is written down before its first byte leaves; (BOUNDED) so many callers, few at a time, one file of each in
//! memory, and none that reads too slowly.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use portcullis_proto::v1;
use portcullis_proto::v1::watch_policy_set_response::Event;
use portcullis_store::{Revision, Snapshot};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::Shared;
use super::super::encode;
use super::super::status::Refusal;
use crate::accept::{Peer, PeerKind};
use crate::audit::{Happening, ServiceEvent};

/// Bytes of one part.
const PART_BYTES_MAX: usize = 1 << 20;
/// Time between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// Longest wait for a caller to make room for one message.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);
/// Policy sets on their way at the same time; others wait.
const UNDERWAY_MAX: usize = 4;

type Message = Result<v1::WatchPolicySetResponse, Status>;

/// Hands out the policy set of the store.
#[derive(Debug, Clone)]
pub(super) struct HandOut {
    shared: Shared,
    callers: Arc<Semaphore>,
    underway: Arc<Semaphore>,
}

/// The caller has left, or reads too slowly.
struct Gone;

impl HandOut {
    pub(super) fn new(shared: Shared) -> Self {
        let callers = Arc::new(Semaphore::new(shared.config.share_streams_max));
        Self { shared, callers, underway: Arc::new(Semaphore::new(UNDERWAY_MAX)) }
    }

    /// The policy sets from now on, but not the first when it is the one that the caller holds.
    pub(super) fn begin(
        &self,
        held: Option<Revision>,
        peer: Peer,
    ) -> Result<ReceiverStream<Message>, Refusal> {
        if !self.shared.config.share_policies || !is_known(&peer) {
            return Err(Refusal::NotShared);
        }
        let place = Arc::clone(&self.callers).try_acquire_owned().map_err(|_| Refusal::Shed)?;
        let (sender, receiver) = mpsc::channel(1);
        let hand_out = self.clone();
        tokio::spawn(async move {
            let mut taker = Taker { hand_out, sender, peer, held };
            // Ends when the caller has gone, which is no news.
            let _ = taker.follow().await;
            drop(place);
        });
        Ok(ReceiverStream::new(receiver))
    }
}

/// Whether more is known of a caller than where it calls from.
fn is_known(peer: &Peer) -> bool {
    match peer.kind() {
        PeerKind::Unix { .. } | PeerKind::Known { .. } => true,
        PeerKind::Tcp(_) | PeerKind::Unknown => false,
    }
}

/// One caller.
struct Taker {
    hand_out: HandOut,
    sender: mpsc::Sender<Message>,
    peer: Peer,
    held: Option<Revision>,
}

impl Taker {
    /// Sends each policy set when it becomes active, and beats in between.
    async fn follow(&mut self) -> Result<(), Gone> {
        let store = self.hand_out.shared.store.clone();
        let mut generations = store.subscribe();
        let mut sent = None;
        loop {
            generations.mark_unchanged();
            match store.current() {
                Some(snapshot) if sent != Some(snapshot.generation) => {
                    self.send(&snapshot).await?;
                    sent = Some(snapshot.generation);
                }
                Some(_) => self.say(Event::Beat(v1::PolicySetBeat {})).await?,
                None => {}
            }
            tokio::select! {
                changed = generations.changed() => changed.map_err(|_| Gone)?,
                () = sleep(BEAT) => {}
                () = self.sender.closed() => return Err(Gone),
            }
        }
    }

    async fn send(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), Gone> {
        let is_held = self.held == Some(snapshot.revision);
        let underway = Arc::clone(&self.hand_out.underway).acquire_owned().await.map_err(|_| Gone)?;
        if !is_held {
            self.record(snapshot);
        }
        let start = v1::PolicySetStart {
            revision: snapshot.revision.to_string(),
            generation: snapshot.generation,
            loaded_at: Some(encode::timestamp(snapshot.loaded_at)),
            strict: snapshot.load_mode == portcullis_engine::LoadMode::Strict,
            bytes: snapshot.bytes(),
        };
        self.say(Event::Start(start)).await?;
        if !is_held {
            for index in 0..snapshot.files() {
                self.send_file(Arc::clone(snapshot), index).await?;
            }
        }
        self.say(Event::End(v1::PolicySetEnd {})).await?;
        self.held = Some(snapshot.revision);
        drop(underway);
        Ok(())
    }

    async fn send_file(&self, snapshot: Arc<Snapshot>, index: usize) -> Result<(), Gone> {
        let unpacked = tokio::task::spawn_blocking(move || snapshot.file(index)).await;
        let (name, bytes) = match unpacked {
            Ok(Some(Ok(file))) => file,
            Ok(None) => return Ok(()),
            // Without its end the policy set is not taken.
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "the policy set cannot be handed out");
                return Err(Gone);
            }
            Err(error) => {
                tracing::error!(%error, "the policy set cannot be handed out");
                return Err(Gone);
            }
        };
        let mut rest = Bytes::from(bytes);
        loop {
            let data = rest.split_to(rest.len().min(PART_BYTES_MAX)).to_vec();
            self.say(Event::Part(v1::PolicySetPart { name: name.clone(), data })).await?;
            // An empty file is one empty part.
            if !rest.has_remaining() {
                return Ok(());
            }
        }
    }

    async fn say(&self, event: Event) -> Result<(), Gone> {
        let message = Ok(v1::WatchPolicySetResponse { event: Some(event) });
        match timeout(ROOM_WAIT_MAX, self.sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                tracing::warn!(peer = %self.peer, "a caller takes the policy set too slowly");
                Err(Gone)
            }
        }
    }

    /// Writes down who takes it.
    fn record(&self, snapshot: &Snapshot) {
        let Snapshot { revision, generation, .. } = snapshot;
        tracing::info!(peer = %self.peer, %revision, generation, "the policy set is handed out");
        let event = ServiceEvent::new(Happening::PoliciesHandedOut)
            .with("generation", *generation)
            .with("revision", revision.to_string())
            .with("peer", self.peer.to_string());
        self.hand_out.shared.audit.happening(&event);
    }
}
