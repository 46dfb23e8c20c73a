//! The five steps of one request, in order: decode, load, decide, record, encode.
//!
//! Batch runs the third in a loop on the same snapshot, stream runs all five for each message; `simulation` differs in
//! where the policy set comes from.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_engine::{OwnedKeys, PolicySet, Request as Asked};
use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_server::AuthorizationService;
use portcullis_store::Snapshot;
use tokio::sync::Semaphore;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::decode::{self, Detail, Question};
use super::encode::{self, Stamp};
use super::session_policy::SessionPolicyCache;
use super::status::Refusal;
use super::{Shared, simulation};
use crate::shutdown::UntilDrain;
use crate::tally::Tally;

/// Answers questions from the active snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Authorization {
    shared: Shared,
    policies: Arc<SessionPolicyCache>,
    simulations: Arc<Semaphore>,
}

impl Authorization {
    pub(crate) fn new(shared: Shared) -> Self {
        let cache =
            SessionPolicyCache::new(shared.config.session_policies_max, shared.config.load_mode.into());
        let simulations = Arc::new(Semaphore::new(shared.config.simulations_max));
        Self { shared, policies: Arc::new(cache), simulations }
    }

    /// One question, whole.
    fn answer(&self, message: &v1::AuthorizeRequest) -> Result<v1::AuthorizeResponse, Refusal> {
        let (question, wishes) = decode::authorize(message, &self.policies)?;
        let request = question.check(encode::instant(SystemTime::now()), OwnedKeys::Refuse)?;
        let snapshot = self.load(wishes.min_generation)?;
        Ok(decide(&snapshot.policy_set, &request, wishes.detail, &stamp(&snapshot), &self.shared.tally))
    }

    fn answer_batch(
        &self,
        message: &v1::BatchAuthorizeRequest,
    ) -> Result<v1::BatchAuthorizeResponse, Refusal> {
        let (defaults, items, wishes) = decode::batch(message, self.shared.config.batch_items_max)?;
        let snapshot = self.load(wishes.min_generation)?;
        let stamp = stamp(&snapshot);
        let now = encode::instant(SystemTime::now());
        let answer = |question: Question<'_>| {
            let request = question.check(now, OwnedKeys::Refuse)?;
            Ok(decide(&snapshot.policy_set, &request, wishes.detail, &stamp, &self.shared.tally))
        };
        let results = items
            .iter()
            .map(|item| self.result(decode::item(&defaults, item, &self.policies).and_then(answer)))
            .collect();
        Ok(v1::BatchAuthorizeResponse { results, revision: stamp.revision, generation: stamp.generation })
    }

    fn answer_keys(
        &self,
        message: &v1::ListContextKeysRequest,
    ) -> Result<v1::ListContextKeysResponse, Refusal> {
        let v1::ListContextKeysRequest { request } = message;
        let (question, wishes) = decode::authorize(asked(request.as_ref())?, &self.policies)?;
        let request = question.check(encode::instant(SystemTime::now()), OwnedKeys::Refuse)?;
        let snapshot = self.load(wishes.min_generation)?;
        let Stamp { revision, generation } = stamp(&snapshot);
        Ok(v1::ListContextKeysResponse {
            keys: snapshot.policy_set.context_keys(&request),
            revision,
            generation,
        })
    }

    fn answer_streamed(&self, message: v1::AuthorizeStreamRequest) -> v1::AuthorizeStreamResponse {
        let v1::AuthorizeStreamRequest { correlation_id, request } = message;
        let answered = asked(request.as_ref()).and_then(|request| self.answer(request));
        v1::AuthorizeStreamResponse { correlation_id, result: Some(self.result(answered)) }
    }

    /// The active snapshot, when it is new enough.
    fn load(&self, min_generation: u64) -> Result<Arc<Snapshot>, Refusal> {
        let snapshot = self.shared.store.current().ok_or(Refusal::NotReady)?;
        if snapshot.generation < min_generation {
            return Err(Refusal::Generation { asked: min_generation, active: snapshot.generation });
        }
        Ok(snapshot)
    }

    fn result(&self, answered: Result<v1::AuthorizeResponse, Refusal>) -> v1::AuthorizeResult {
        use v1::authorize_result::Result as Sent;
        let sent = match answered {
            Ok(response) => Sent::Response(response),
            Err(refusal) => {
                self.shared.tally.refusal();
                Sent::Error(refusal.into_item())
            }
        };
        v1::AuthorizeResult { result: Some(sent) }
    }

    fn reply<T>(&self, answered: Result<T, Refusal>) -> Result<Response<T>, Status> {
        answered.map(Response::new).map_err(|refusal| {
            self.shared.tally.refusal();
            refusal.into_status()
        })
    }

    async fn simulated(&self, message: v1::SimulateRequest) -> Result<v1::SimulateResponse, Refusal> {
        // Compiling a directory takes a thread for a while; this many at a time leave some for decisions.
        let Ok(_permit) = self.simulations.acquire().await else { return Err(Refusal::Draining) };
        let (snapshot, policies) = (self.shared.store.current(), Arc::clone(&self.policies));
        let mode = self.shared.config.load_mode.into();
        let task =
            tokio::task::spawn_blocking(move || simulation::answer(&message, snapshot, &policies, mode));
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a simulation ended without an answer");
            Err(Refusal::Broken)
        })
    }
}

/// Steps three to five: decide, record, encode.
fn decide(
    policy_set: &PolicySet,
    request: &Asked<'_>,
    detail: Detail,
    stamp: &Stamp,
    tally: &Tally,
) -> v1::AuthorizeResponse {
    let response = match detail {
        Detail::None | Detail::Statements => {
            let decision = policy_set.authorize(request);
            tally.decision(decision.effect);
            encode::response(&decision, request, detail, stamp)
        }
        Detail::Trace => {
            let explanation = policy_set.explain(request);
            tally.decision(explanation.decision.effect);
            encode::traced(&explanation, request, stamp)
        }
    };
    tracing::debug!(
        request_id = response.request_id,
        decision = response.decision().as_str_name(),
        reason = response.reason().as_str_name(),
        generation = stamp.generation,
        "answered"
    );
    response
}

/// The question inside a message that may lack it.
pub(super) fn asked(request: Option<&v1::AuthorizeRequest>) -> Result<&v1::AuthorizeRequest, Refusal> {
    request.ok_or_else(|| Refusal::field("request", "is missing"))
}

/// Which snapshot answers.
pub(super) fn stamp(snapshot: &Snapshot) -> Stamp {
    Stamp { revision: snapshot.revision.to_string(), generation: snapshot.generation }
}

#[tonic::async_trait]
impl AuthorizationService for Authorization {
    type AuthorizeStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::AuthorizeStreamResponse, Status>> + Send>>;

    async fn authorize(
        &self,
        request: Request<v1::AuthorizeRequest>,
    ) -> Result<Response<v1::AuthorizeResponse>, Status> {
        self.reply(self.answer(request.get_ref()))
    }

    async fn batch_authorize(
        &self,
        request: Request<v1::BatchAuthorizeRequest>,
    ) -> Result<Response<v1::BatchAuthorizeResponse>, Status> {
        self.reply(self.answer_batch(request.get_ref()))
    }

    async fn authorize_stream(
        &self,
        request: Request<Streaming<v1::AuthorizeStreamRequest>>,
    ) -> Result<Response<Self::AuthorizeStreamStream>, Status> {
        let authorization = self.clone();
        let answers = UntilDrain::new(request.into_inner(), self.shared.draining.clone())
            .map(move |message| message.map(|message| authorization.answer_streamed(message)));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn simulate(
        &self,
        request: Request<v1::SimulateRequest>,
    ) -> Result<Response<v1::SimulateResponse>, Status> {
        let answered = self.simulated(request.into_inner()).await;
        self.reply(answered)
    }

    async fn list_context_keys(
        &self,
        request: Request<v1::ListContextKeysRequest>,
    ) -> Result<Response<v1::ListContextKeysResponse>, Status> {
        self.reply(self.answer_keys(request.get_ref()))
    }
}
