//! The calls. Each has a deadline, is sent once, and turns whatever comes back into a value that cannot be misread.

use std::sync::Arc;
use std::time::Duration;

use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_client::AuthorizationServiceClient;
use portcullis_proto::v1::policy_set_service_client::PolicySetServiceClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::authorizer::Authorizer;
use crate::builder::Builder;
use crate::convert;
use crate::decision::{Decision, Said};
use crate::error::Error;
use crate::request::Request;
use crate::security::Bearer;

/// Bytes of one answer; the same as the sidecar's own limit.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Attempts to send one call, each on a connection that is open as far as this side knows.
const ATTEMPTS_MAX: usize = 3;

/// Whether a sidecar takes questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Serving,
    /// No policy set has been loaded yet, or it is ending.
    NotServing,
}

/// The way of every call: a token goes with it, where there is one.
type Route = InterceptedService<Channel, Bearer>;

/// A connection to a sidecar. Cheap to clone; all clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    authorization: AuthorizationServiceClient<Route>,
    policy_set: PolicySetServiceClient<Route>,
    health: HealthClient<Route>,
    timeout: Duration,
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
    #[must_use]
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder::new(endpoint)
    }

    pub(crate) fn over(channel: Channel, bearer: Bearer, timeout: Duration) -> Self {
        let channel = InterceptedService::new(channel, bearer);
        Self {
            authorization: AuthorizationServiceClient::new(channel.clone())
                .max_decoding_message_size(RESPONSE_BYTES_MAX),
            policy_set: PolicySetServiceClient::new(channel.clone()),
            health: HealthClient::new(channel),
            timeout,
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
        within(self.timeout, || {
            let (mut service, request) = (self.authorization.clone(), self.timed(message.clone()));
            async move { service.authorize(request).await }
        })
        .await
    }

    /// One question answered from given policies.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn simulate(&self, message: v1::SimulateRequest) -> Result<v1::SimulateResponse, Error> {
        within(self.timeout, || {
            let (mut service, request) = (self.authorization.clone(), self.timed(message.clone()));
            async move { service.simulate(request).await }
        })
        .await
    }

    /// The condition keys that the policies bearing on a request mention.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn context_keys(&self, request: Request) -> Result<Vec<String>, Error> {
        let message = v1::ListContextKeysRequest { request: Some(request.message) };
        let v1::ListContextKeysResponse { keys, revision: _, generation: _ } = within(self.timeout, || {
            let (mut service, request) = (self.authorization.clone(), self.timed(message.clone()));
            async move { service.list_context_keys(request).await }
        })
        .await?;
        Ok(keys)
    }

    /// The active policy set and the last rejected one.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn status(&self) -> Result<v1::GetStatusResponse, Error> {
        within(self.timeout, || {
            let (mut service, request) = (self.policy_set.clone(), self.timed(v1::GetStatusRequest {}));
            async move { service.get_status(request).await }
        })
        .await
    }

    /// Waits until `revision` (empty for any) of `min_generation` or later is active, at most for `timeout`.
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
        within(timeout, || {
            let (mut service, request) = (self.policy_set.clone(), limited(message.clone(), timeout));
            async move { service.wait_for_revision(request).await }
        })
        .await
    }

    /// Whether the sidecar takes questions.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn health(&self) -> Result<Health, Error> {
        let message = HealthCheckRequest { service: String::new() };
        let response = within(self.timeout, || {
            let (mut service, request) = (self.health.clone(), self.timed(message.clone()));
            async move { service.check(request).await }
        })
        .await?;
        match response.status() {
            ServingStatus::Serving => Ok(Health::Serving),
            ServingStatus::Unknown | ServingStatus::NotServing | ServingStatus::ServiceUnknown => {
                Ok(Health::NotServing)
            }
        }
    }

    fn timed<T>(&self, message: T) -> tonic::Request<T> {
        limited(message, self.timeout)
    }
}

/// Questions of one call; what the sidecar takes.
const BATCH_MAX: usize = 100;

impl Authorizer for Client {
    async fn decide(&self, request: Request) -> Result<Decision, Error> {
        let timeout = request.timeout.unwrap_or(self.timeout);
        let response = within(timeout, || {
            let mut service = self.authorization.clone();
            let sent = limited(request.message.clone(), timeout);
            async move { service.authorize(sent).await }
        })
        .await?;
        Ok(convert::said(response)?.to(request))
    }

    /// Up to 100 are answered from one policy set; more in several calls, one after the other.
    async fn decide_all(&self, requests: Vec<Request>) -> Vec<Result<Decision, Error>> {
        let mut decisions = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter();
        loop {
            let batch: Vec<Request> = requests.by_ref().take(BATCH_MAX).collect();
            if batch.is_empty() {
                return decisions;
            }
            match self.batch(&batch).await {
                Ok(said) => decisions.extend(
                    said.into_iter().zip(batch).map(|(said, request)| said.map(|said| said.to(request))),
                ),
                Err(error) => decisions.extend(batch.iter().map(|_| Err(error.clone()))),
            }
        }
    }
}

impl Client {
    /// As many answers as questions, or none.
    async fn batch(&self, requests: &[Request]) -> Result<Vec<Result<Arc<Said>, Error>>, Error> {
        let messages = || requests.iter().map(|request| &request.message);
        let message = v1::BatchAuthorizeRequest {
            items: messages().cloned().map(item).collect(),
            min_generation: messages().map(|message| message.min_generation).max().unwrap_or(0),
            detail: messages().map(|message| message.detail).max().unwrap_or(0),
            ..v1::BatchAuthorizeRequest::default()
        };
        let timeout = requests.iter().filter_map(|request| request.timeout).min().unwrap_or(self.timeout);
        let v1::BatchAuthorizeResponse { results, revision: _, generation: _ } = within(timeout, || {
            let (mut service, request) = (self.authorization.clone(), limited(message.clone(), timeout));
            async move { service.batch_authorize(request).await }
        })
        .await?;
        if results.len() != requests.len() {
            return Err(Error::Answer("there are more or fewer answers than questions"));
        }
        Ok(results.into_iter().map(convert::result).collect())
    }
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

/// A message that tells the sidecar its deadline.
fn limited<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// One call, and another only when the first has not left: the sidecar asks old connections to leave, and a call may find
/// its connection closed at that moment.
async fn within<T, F>(timeout: Duration, call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let sent = async {
        for _ in 1..ATTEMPTS_MAX {
            match call().await {
                Err(status) if was_not_sent(&status) => {}
                other => return other,
            }
        }
        call().await
    };
    match tokio::time::timeout(timeout, sent).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if is_late(&status) => Err(Error::Timeout(timeout)),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(Error::Timeout(timeout)),
    }
}

/// Whether a request has not been taken up by anybody: it never left this process, or it came to a connection that the
/// sidecar had just ended in good order.
fn was_not_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        }
        cause = error.source();
    }
    false
}

/// The transport keeps the same time on both sides and may be the first to say so; it calls that a cancellation.
fn is_late(status: &Status) -> bool {
    match status.code() {
        Code::DeadlineExceeded => true,
        Code::Cancelled => status.message() == "Timeout expired",
        _ => false,
    }
}
