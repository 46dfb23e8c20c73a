//! The five steps of one request, in order: decode, load, decide, record, encode.
//!
//! Batch runs the third in a loop on the same snapshot, stream runs all five for each message; `simulation` differs in
//! where the policy set comes from, `hot` in that it reads and writes bytes and leaves everything unusual to this file.
//! Invariant (ONE-RECORD): every answer of every call passes through `record` once, and leaves only after what `record`
//! asks to wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_engine::{Decision, Explanation, Instant, OwnedKeys, Request as Asked};
use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_server::AuthorizationService;
use portcullis_question::{
    self as question, Batch, BatchMessage, Detail, Message, Refused, SessionPolicyCache, Wishes, moment,
};
use portcullis_store::Snapshot;
use tokio::sync::Semaphore;
use tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::encode::{self, Stamp};
use super::request_id::RequestId;
use super::status::Refusal;
use super::{Shared, record, simulation};
use crate::accept::Peer;
use crate::shutdown::UntilDrain;

/// Answers questions from the active snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Authorization {
    pub(super) shared: Shared,
    pub(super) policies: Arc<SessionPolicyCache>,
    simulations: Arc<Semaphore>,
    /// Places for simulations that wait for those.
    simulations_waiting: Arc<Semaphore>,
}

/// Simulations that wait for others, with all that was sent with them.
const SIMULATIONS_WAITING_MAX: usize = 64;
/// How long the items of a batch may keep a worker to themselves.
const TURN: Duration = Duration::from_millis(1);

/// One snapshot and one clock reading: what all that is answered at this moment is answered from.
#[derive(Debug)]
pub(crate) struct Moment {
    snapshot: Arc<Snapshot>,
    stamp: Arc<Stamp>,
    time: SystemTime,
    now: Instant,
}

/// A question and its answer, before it is sent.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    /// The question.
    pub(crate) request: &'a Asked<'a>,
    /// The answer, with the walk behind it when that was asked for.
    pub(crate) verdict: Verdict<'a>,
    /// How much of it is told.
    pub(crate) detail: Detail,
    /// The policy set that gave it.
    pub(crate) stamp: &'a Stamp,
    /// Names it in logs and audit records.
    pub(crate) request_id: RequestId,
    /// Who asked, and how.
    pub(crate) asker: Asker<'a>,
    /// The clock reading it was decided at.
    pub(crate) time: SystemTime,
}

/// A decision, alone or explained.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    Plain(Decision<'a>),
    Explained(Explanation<'a>),
}

impl<'a> Verdict<'a> {
    pub(crate) fn decision(&self) -> &Decision<'a> {
        match self {
            Self::Plain(decision) => decision,
            Self::Explained(explanation) => &explanation.decision,
        }
    }
}

/// The calls that answer questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Authorize,
    Batch,
    Stream,
}

impl Call {
    /// The name of the call in the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authorize => "Authorize",
            Self::Batch => "BatchAuthorize",
            Self::Stream => "AuthorizeStream",
        }
    }
}

/// What must come true before an answer may leave; nothing for most.
pub(crate) type Recorded = Option<Wait>;

/// Ends when an answer may leave, or is refused instead.
pub(crate) type Wait = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

impl Authorization {
    pub(crate) fn new(shared: Shared) -> Self {
        let cache =
            SessionPolicyCache::new(shared.config.session_policies_max, shared.config.load_mode.into());
        let simulations = Arc::new(Semaphore::new(shared.config.simulations_max));
        let simulations_waiting = Arc::new(Semaphore::new(SIMULATIONS_WAITING_MAX));
        Self { shared, policies: Arc::new(cache), simulations, simulations_waiting }
    }

    /// The active snapshot at this moment; none before the first.
    fn moment(&self) -> Option<Moment> {
        self.moment_after(&mut None)
    }

    /// The same for a caller that keeps the last stamp, which is a text to be written only when it changes.
    pub(crate) fn moment_after(&self, last: &mut Option<Arc<Stamp>>) -> Option<Moment> {
        let snapshot = self.shared.store.current()?;
        let stamp = match last {
            Some(last) if last.generation == snapshot.generation => Arc::clone(last),
            _ => Arc::clone(last.insert(Arc::new(stamp(&snapshot)))),
        };
        let time = SystemTime::now();
        Some(Moment { stamp, snapshot, time, now: moment(time) })
    }

    /// Steps three and four: decide and record. What is left is to encode, and to wait when recording asks for it.
    pub(super) fn decide<'a>(
        &self,
        moment: &'a Moment,
        request: &'a Asked<'a>,
        detail: Detail,
        asker: Asker<'a>,
    ) -> (Answered<'a>, Recorded) {
        let policy_set = &moment.snapshot.policy_set;
        let verdict = match detail {
            Detail::None | Detail::Statements => {
                Verdict::Plain(self.shared.tally.timed(|| policy_set.authorize(request)))
            }
            Detail::Trace => Verdict::Explained(policy_set.explain(request)),
        };
        let answered = Answered {
            request,
            verdict,
            detail,
            stamp: &moment.stamp,
            request_id: RequestId::new(moment.time),
            asker,
            time: moment.time,
        };
        let recorded = self.record(&answered);
        (answered, recorded)
    }

    /// Step four: counts the answer and writes it down.
    fn record(&self, answered: &Answered<'_>) -> Recorded {
        let decision = answered.verdict.decision();
        self.shared.tally.decision(decision.reason, decision.layer);
        let Stamp { revision, generation } = answered.stamp;
        self.shared.telemetry.decided(decision, revision, *generation);
        tracing::debug!(
            request_id = %answered.request_id,
            call = answered.asker.call.name(),
            decision = ?decision.effect,
            reason = decision.reason.as_str(),
            generation = answered.stamp.generation,
            time = ?answered.time,
            peer = %answered.asker.peer,
            "answered"
        );
        record::written_down(&self.shared.audit, answered)
    }

    /// One question, whole.
    async fn answer(
        &self,
        message: &v1::AuthorizeRequest,
        asker: Asker<'_>,
    ) -> Result<v1::AuthorizeResponse, Refusal> {
        let (response, recorded) = self.answer_now(message, asker)?;
        written(recorded).await?;
        Ok(response)
    }

    fn answer_now(
        &self,
        message: &v1::AuthorizeRequest,
        asker: Asker<'_>,
    ) -> Result<(v1::AuthorizeResponse, Recorded), Refusal> {
        let message = Message::from(message);
        let (question, wishes) = question::authorize(&message, &self.policies)?;
        let request = question.check(moment(SystemTime::now()), OwnedKeys::Refuse)?;
        let moment = self.load(wishes)?;
        let (answered, recorded) = self.decide(&moment, &request, wishes.detail, asker);
        Ok((encode::answer(&answered), recorded))
    }

    /// A batch, item by item; other calls come in between.
    async fn answer_batch(
        &self,
        message: &v1::BatchAuthorizeRequest,
        asker: Asker<'_>,
    ) -> Result<v1::BatchAuthorizeResponse, Refusal> {
        let message = BatchMessage::from(message);
        let batch = question::batch(&message, self.shared.config.batch_items_max, &self.policies)?;
        let moment = self.load(batch.wishes())?;
        let (mut results, mut waits) = (Vec::with_capacity(message.items.len()), Vec::new());
        let mut time = self.batch_time();
        for item in &message.items {
            let answered = match time.is_left() {
                true => self.answer_item(&moment, (&batch, item), asker),
                false => Err(Refusal::Late),
            };
            results.push(self.result(answered.map(|(response, recorded)| {
                waits.extend(recorded);
                response
            })));
            time.share().await;
        }
        for wait in waits {
            wait.await?;
        }
        let Stamp { revision, generation } = (*moment.stamp).clone();
        Ok(v1::BatchAuthorizeResponse { results, revision, generation })
    }

    fn answer_item<'m, 'b>(
        &self,
        moment: &Moment,
        (batch, item): (&Batch<'m, 'b>, &'m Message<'b>),
        asker: Asker<'_>,
    ) -> Result<(v1::AuthorizeResponse, Recorded), Refusal> {
        let question = batch.item(item, &self.policies)?;
        let request = question.check(moment.now, OwnedKeys::Refuse)?;
        let (answered, recorded) = self.decide(moment, &request, batch.wishes().detail, asker);
        Ok((encode::answer(&answered), recorded))
    }

    /// The time that the items of a batch have, from now on.
    pub(super) fn batch_time(&self) -> BatchTime {
        let begun = std::time::Instant::now();
        BatchTime { begun, limit: self.shared.config.request_timeout(), looks: 0, turn: begun }
    }

    fn answer_keys(
        &self,
        message: &v1::ListContextKeysRequest,
    ) -> Result<v1::ListContextKeysResponse, Refusal> {
        let v1::ListContextKeysRequest { request } = message;
        let message = Message::from(asked(request.as_ref())?);
        let (question, wishes) = question::authorize(&message, &self.policies)?;
        let request = question.check(moment(SystemTime::now()), OwnedKeys::Refuse)?;
        let moment = self.load(wishes)?;
        let Stamp { revision, generation } = (*moment.stamp).clone();
        let keys = moment.snapshot.policy_set.context_keys(&request);
        Ok(v1::ListContextKeysResponse { keys, revision, generation })
    }

    pub(crate) async fn answer_streamed(
        &self,
        message: v1::AuthorizeStreamRequest,
        asker: Asker<'_>,
    ) -> v1::AuthorizeStreamResponse {
        let v1::AuthorizeStreamRequest { correlation_id, request } = message;
        let answered = match asked(request.as_ref()) {
            Ok(request) => self.answer(request, asker).await,
            Err(refusal) => Err(refusal),
        };
        v1::AuthorizeStreamResponse { correlation_id, result: Some(self.result(answered)) }
    }

    /// Step two: the active snapshot, when it is new enough.
    fn load(&self, wishes: Wishes) -> Result<Moment, Refusal> {
        let moment = self.moment().ok_or(Refused::NotReady)?;
        moment.check(wishes)?;
        Ok(moment)
    }

    pub(crate) fn result(&self, answered: Result<v1::AuthorizeResponse, Refusal>) -> v1::AuthorizeResult {
        use v1::authorize_result::Result as Sent;
        let sent = match answered {
            Ok(response) => Sent::Response(response),
            Err(refusal) => {
                self.shared.tally.refusal(refusal.reason());
                Sent::Error(refusal.into_item())
            }
        };
        v1::AuthorizeResult { result: Some(sent) }
    }

    fn reply<T>(&self, answered: Result<T, Refusal>) -> Result<Response<T>, Status> {
        answered.map(Response::new).map_err(|refusal| self.shared.refused(refusal))
    }

    async fn simulated(&self, message: v1::SimulateRequest) -> Result<v1::SimulateResponse, Refusal> {
        let waiting = self.simulations_waiting.try_acquire().map_err(|_| Refusal::Shed)?;
        // Compiling a directory takes a thread for a while; this many at a time leave some for decisions.
        let Ok(permit) = Arc::clone(&self.simulations).acquire_owned().await else {
            return Err(Refusal::Draining);
        };
        drop(waiting);
        let (snapshot, policies) = (self.shared.store.current(), Arc::clone(&self.policies));
        let mode = self.shared.config.load_mode.into();
        let task = tokio::task::spawn_blocking(move || {
            // Its thread is taken until it is done, though its caller may have left.
            let _permit = permit;
            simulation::answer(&message, snapshot, &policies, mode)
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a simulation ended without an answer");
            Err(Refusal::Broken)
        })
    }
}

/// Who asks, and through which call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) peer: &'a Peer,
    /// What its program calls itself; empty when it does not say.
    pub(crate) user_agent: &'a str,
    pub(crate) call: Call,
}

impl Moment {
    /// Refuses to answer from a generation older than the one asked for.
    pub(super) fn check(&self, wishes: Wishes) -> Result<(), Refusal> {
        Ok(wishes.met_by(self.stamp.generation)?)
    }

    /// Which policy set answers.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The clock reading as the engine has it.
    pub(super) fn now(&self) -> Instant {
        self.now
    }
}

/// How long the items of one batch may take together, whether in one go or in turns. No timer comes in between.
#[derive(Debug)]
pub(super) struct BatchTime {
    begun: std::time::Instant,
    limit: Duration,
    looks: u32,
    turn: std::time::Instant,
}

impl BatchTime {
    /// Whether there is some left for one more item. Most take a microsecond, and the clock is read for one in eight.
    pub(super) fn is_left(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(8) {
            self.look();
        }
        !self.limit.is_zero()
    }

    /// Lets other tasks of the worker have their turn when this one had a long one.
    async fn share(&mut self) {
        if self.look().duration_since(self.turn) > TURN {
            tokio::task::yield_now().await;
            self.turn = self.look();
        }
    }

    /// What time it is; from the limit on there is none left.
    fn look(&mut self) -> std::time::Instant {
        let now = std::time::Instant::now();
        if now.duration_since(self.begun) > self.limit {
            self.limit = Duration::ZERO;
        }
        now
    }
}

/// Waits until an answer may leave.
pub(crate) async fn written(recorded: Recorded) -> Result<(), Refusal> {
    match recorded {
        None => Ok(()),
        Some(wait) => wait.await,
    }
}

/// The question inside a message that may lack it.
pub(super) fn asked<T>(request: Option<&T>) -> Result<&T, Refusal> {
    request.ok_or_else(|| Refusal::field("request", "is missing"))
}

/// Which snapshot answers.
pub(super) fn stamp(snapshot: &Snapshot) -> Stamp {
    Stamp { revision: snapshot.revision.to_string(), generation: snapshot.generation }
}

const USER_AGENT: &str = "user-agent";

/// What a caller's program calls itself; empty when it does not say.
fn user_agent(value: Option<&AsciiMetadataValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Who sent a request.
pub(super) fn peer<T>(request: &Request<T>) -> Peer {
    request.extensions().get::<Peer>().cloned().unwrap_or_default()
}

#[tonic::async_trait]
impl AuthorizationService for Authorization {
    type AuthorizeStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::AuthorizeStreamResponse, Status>> + Send>>;

    async fn authorize(
        &self,
        request: Request<v1::AuthorizeRequest>,
    ) -> Result<Response<v1::AuthorizeResponse>, Status> {
        let (peer, user_agent) = (peer(&request), user_agent(request.metadata().get(USER_AGENT)));
        let asker = Asker { peer: &peer, user_agent, call: Call::Authorize };
        let answered = self.answer(request.get_ref(), asker).await;
        self.reply(answered)
    }

    async fn batch_authorize(
        &self,
        request: Request<v1::BatchAuthorizeRequest>,
    ) -> Result<Response<v1::BatchAuthorizeResponse>, Status> {
        let (peer, user_agent) = (peer(&request), user_agent(request.metadata().get(USER_AGENT)));
        let asker = Asker { peer: &peer, user_agent, call: Call::Batch };
        let answered = self.answer_batch(request.get_ref(), asker).await;
        self.reply(answered)
    }

    async fn authorize_stream(
        &self,
        request: Request<Streaming<v1::AuthorizeStreamRequest>>,
    ) -> Result<Response<Self::AuthorizeStreamStream>, Status> {
        let (authorization, peer) = (self.clone(), peer(&request));
        let agent: Arc<str> = user_agent(request.metadata().get(USER_AGENT)).into();
        let answers = UntilDrain::new(request.into_inner(), self.shared.draining.clone()).then(
            move |message: Result<v1::AuthorizeStreamRequest, Status>| {
                let (authorization, peer, agent) = (authorization.clone(), peer.clone(), Arc::clone(&agent));
                async move {
                    let asker = Asker { peer: &peer, user_agent: &agent, call: Call::Stream };
                    Ok(authorization.answer_streamed(message?, asker).await)
                }
            },
        );
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
