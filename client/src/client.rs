//! The calls. Each has a deadline and turns whatever comes back into a value that cannot be misread.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::v1;
use prost::Message as _;
use tokio::time::Instant;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::authorizer::{Authorizer, Question};
use crate::builder::Builder;
use crate::cache::Cached;
use crate::call::{self, Caller, Deadline, Method};
use crate::convert;
use crate::decision::{Decision, Layer, Message, Reason, Said};
use crate::error::Error;
use crate::observer::Event;
use crate::pipeline::Pipeline;
use crate::request::Request;

/// Questions of one call; what the sidecar takes.
const BATCH_MAX: usize = 100;
/// Bytes of the questions of one call, with room for what is around them; what the sidecar takes unless it is told otherwise.
const BATCH_BYTES_MAX: usize = (256 << 10) - (4 << 10);

/// Whether a sidecar takes questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Serving,
    /// No policy set has been loaded yet, or it is ending.
    NotServing,
}

/// A sidecar. Cheap to clone; all clones share the connection, which is made again when it is gone.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    caller: Caller,
    timeout: Duration,
    /// In lower case.
    fail_open: BTreeSet<String>,
    cache: Option<Cached>,
}

impl Client {
    /// Connects to `http://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT` or `unix:PATH` with the defaults of [`Builder`].
    ///
    /// # Errors
    /// When the endpoint is not one, or nobody listens there.
    pub async fn connect(endpoint: impl Into<String>) -> Result<Self, Error> {
        Builder::new(endpoint).connect().await
    }

    /// Settings before connecting.
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder::new(endpoint)
    }

    pub(crate) fn new(
        caller: Caller,
        timeout: Duration,
        fail_open: BTreeSet<String>,
        cache: Option<Cached>,
    ) -> Self {
        Self(Arc::new(Inner { caller, timeout, fail_open, cache }))
    }

    async fn call<R>(
        &self,
        method: Method,
        message: &impl prost::Message,
        deadline: Deadline,
    ) -> Result<R, Error>
    where
        R: prost::Message + Default + 'static,
    {
        self.0.caller.unary(method, message.encode_to_vec().into(), deadline).await
    }

    /// May this be done? `client.authorize(principal, action, resource).context("aws:SourceIp", ip).await?`; the arguments are
    /// those of [`Request::new`]. The same as [`Authorizer::authorize`], without the trait.
    pub fn authorize(
        &self,
        principal: impl Into<String>,
        action: impl Into<String>,
        resource: impl Into<String>,
    ) -> Question<'_, Self> {
        Authorizer::authorize(self, principal, action, resource)
    }

    /// May this be done?
    ///
    /// # Errors
    /// When there is no decision; read it as a refusal.
    pub async fn decide(&self, request: Request) -> Result<Decision, Error> {
        let deadline = self.deadline(&request);
        self.decide_by(request, deadline).await
    }

    pub(crate) async fn decide_by(&self, request: Request, deadline: Deadline) -> Result<Decision, Error> {
        let said = self.said(&request, deadline).await;
        self.settle(request, said)
    }

    /// Several questions, one answer for each, in order.
    ///
    /// Up to 100 of up to 252 KiB are answered from one policy set; more in several calls, one after the other. Nothing is
    /// taken from the cache or kept in it. The strictest timeout and generation of a hundred is that of all; a timeout counts
    /// from the beginning, however many calls come before.
    pub async fn authorize_all(&self, requests: Vec<Request>) -> Vec<Result<Decision, Error>> {
        let begun = Instant::now();
        let mut decisions = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        loop {
            let batch = next_batch(&mut requests);
            if batch.is_empty() {
                return decisions;
            }
            let said = match self.batch(&batch, begun).await {
                Ok(said) => said,
                Err(error) => vec![Err(error); batch.len()],
            };
            decisions.extend(batch.into_iter().zip(said).map(|(request, said)| self.settle(request, said)));
        }
    }

    /// One question in wire messages, for callers that need the trace.
    ///
    /// # Errors
    /// When there is no answer; read it as a refusal.
    pub async fn authorize_wire(
        &self,
        message: v1::AuthorizeRequest,
    ) -> Result<v1::AuthorizeResponse, Error> {
        self.call(call::AUTHORIZE, &message, self.own_deadline()).await
    }

    /// A way to ask many questions at once over one stream, at a fraction of the cost of single calls. Answers come in
    /// order; each question has its own deadline.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::start(self.clone())
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.0.caller
    }

    fn timeout(&self, request: &Request) -> Duration {
        request.timeout.unwrap_or(self.0.timeout)
    }

    /// Of a call that is no question.
    fn own_deadline(&self) -> Deadline {
        Deadline::after(self.0.timeout)
    }

    pub(crate) fn deadline(&self, request: &Request) -> Deadline {
        Deadline::after(self.timeout(request))
    }

    /// One question answered from given policies.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn simulate(&self, message: v1::SimulateRequest) -> Result<v1::SimulateResponse, Error> {
        self.call(call::SIMULATE, &message, self.own_deadline()).await
    }

    /// The condition keys that the policies bearing on a request mention.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn context_keys(&self, request: Request) -> Result<Vec<String>, Error> {
        let message = v1::ListContextKeysRequest { request: Some(request.message) };
        let v1::ListContextKeysResponse { keys, revision, generation } =
            self.call(call::LIST_CONTEXT_KEYS, &message, self.own_deadline()).await?;
        self.heard_of(&revision, generation);
        Ok(keys)
    }

    /// The active policy set and the last rejected one.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn status(&self) -> Result<v1::GetStatusResponse, Error> {
        let status: v1::GetStatusResponse =
            self.call(call::GET_STATUS, &v1::GetStatusRequest {}, self.own_deadline()).await?;
        self.heard_of(&status.revision, status.generation);
        Ok(status)
    }

    /// Waits until `revision` (empty for any) of `min_generation` or later is active, at most for `timeout`. Whatever this
    /// client answers from then on, from its cache too, was decided on those policies or on newer ones.
    ///
    /// # Errors
    /// When it does not become active in time.
    pub async fn wait_for_revision(
        &self,
        revision: impl Into<String>,
        min_generation: u64,
        timeout: Duration,
    ) -> Result<v1::WaitForRevisionResponse, Error> {
        let message = v1::WaitForRevisionRequest { revision: revision.into(), min_generation };
        let active: v1::WaitForRevisionResponse =
            self.call(call::WAIT_FOR_REVISION, &message, Deadline::after(timeout)).await?;
        self.heard_of(&active.revision, active.generation);
        Ok(active)
    }

    /// Whether the sidecar takes questions.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn health(&self) -> Result<Health, Error> {
        let message = HealthCheckRequest { service: String::new() };
        let response: HealthCheckResponse = self.call(call::HEALTH, &message, self.own_deadline()).await?;
        match response.status() {
            ServingStatus::Serving => Ok(Health::Serving),
            ServingStatus::Unknown | ServingStatus::NotServing | ServingStatus::ServiceUnknown => {
                Ok(Health::NotServing)
            }
        }
    }

    /// What was said to a question, from the cache or from the sidecar.
    async fn said(&self, request: &Request, deadline: Deadline) -> Result<Arc<Said>, Error> {
        let question = Bytes::from(request.message.encode_to_vec());
        let Some(cache) = &self.0.cache else { return self.ask(question, deadline).await };
        // A kept decision waits for nothing. Who asks in a loop lets the task that hears of new policies run nevertheless.
        tokio::task::coop::consume_budget().await;
        let epoch = match cache.get(&question) {
            Ok(said) => return Ok(said),
            Err(epoch) => epoch,
        };
        let said = self.ask(question.clone(), deadline).await?;
        cache.put(question, epoch, &said);
        Ok(said)
    }

    /// An answer names the policies that it is of.
    pub(crate) fn heard_of(&self, revision: &str, generation: u64) {
        if let Some(cache) = &self.0.cache {
            cache.heard_of(revision, generation);
        }
    }

    async fn ask(&self, question: Bytes, deadline: Deadline) -> Result<Arc<Said>, Error> {
        convert::said(self.0.caller.unary(call::AUTHORIZE, question, deadline).await?)
    }

    /// What becomes of a question: what was said to it, or what is to be done without.
    pub(crate) fn settle(&self, request: Request, said: Result<Arc<Said>, Error>) -> Result<Decision, Error> {
        match said {
            Ok(said) => Ok(said.to(request)),
            Err(error) if error.leaves_open() && self.fails_open(&request) => {
                let (action, principal) = (request.action(), request.principal());
                tracing::error!(%action, %principal, %error, "let through without a decision");
                self.0.caller.observe(Event::FailedOpen { request: &request, error: &error });
                Ok(undecided(&error).to(request))
            }
            Err(error) => Err(error),
        }
    }

    fn fails_open(&self, request: &Request) -> bool {
        !self.0.fail_open.is_empty() && self.0.fail_open.contains(&request.action().to_ascii_lowercase())
    }

    /// As many answers as questions, or none.
    async fn batch(
        &self,
        requests: &[Request],
        begun: Instant,
    ) -> Result<Vec<Result<Arc<Said>, Error>>, Error> {
        let messages = || requests.iter().map(|request| &request.message);
        let message = v1::BatchAuthorizeRequest {
            items: messages().cloned().map(item).collect(),
            min_generation: messages().map(|message| message.min_generation).max().unwrap_or(0),
            detail: messages().map(|message| message.detail).max().unwrap_or(0),
            ..v1::BatchAuthorizeRequest::default()
        };
        let timeout = requests.iter().map(|request| self.timeout(request)).min().unwrap_or(self.0.timeout);
        let v1::BatchAuthorizeResponse { results, revision, generation } =
            self.call(call::BATCH_AUTHORIZE, &message, Deadline::counted_from(begun, timeout)).await?;
        self.heard_of(&revision, generation);
        if results.len() != requests.len() {
            return Err(Error::Answer("there are more or fewer answers than questions"));
        }
        Ok(results.into_iter().map(convert::result).collect())
    }
}

impl Authorizer for Client {
    async fn decide(&self, request: Request) -> Result<Decision, Error> {
        self.decide(request).await
    }

    async fn authorize_all(&self, requests: Vec<Request>) -> Vec<Result<Decision, Error>> {
        self.authorize_all(requests).await
    }
}

/// As many as fit into one call; one that is too large alone goes alone.
fn next_batch(requests: &mut Peekable<impl Iterator<Item = Request>>) -> Vec<Request> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(request) = requests.next_if(|next| {
        bytes += next.message.encoded_len();
        batch.is_empty() || (batch.len() < BATCH_MAX && bytes <= BATCH_BYTES_MAX)
    }) {
        batch.push(request);
    }
    batch
}

/// An allow that nobody decided.
fn undecided(error: &Error) -> Arc<Said> {
    Arc::new(Said {
        allowed: true,
        reason: Reason::FailOpen,
        layer: Layer::Unknown,
        message: Message::Worded(format!("let through without a decision: {error}")),
        statements: Vec::new(),
        missing_context_keys: Vec::new(),
        depends_on_time: true,
        revision: "".into(),
        generation: 0,
        request_id: String::new(),
    })
}

fn item(request: v1::AuthorizeRequest) -> v1::BatchAuthorizeItem {
    let v1::AuthorizeRequest {
        principal,
        action,
        resource,
        context,
        resource_account,
        session,
        min_generation: _,
        detail: _,
    } = request;
    v1::BatchAuthorizeItem { principal, action, resource, context, resource_account, session }
}
