//! Nobody reaches a handler without a decision: a tower layer for axum, tonic and hyper.
//!
//! ```
//! # use portcullis_client::enforce::{Enforcer, GrpcMethods};
//! # fn layer(pdp: portcullis_client::Client) {
//! let layer = Enforcer::new(pdp).layer(GrpcMethods::new().public("/grpc.health.v1.Health/Check"));
//! # }
//! ```
//!
//! For each request the layer asks *may this caller do this action on this resource in this context?*
//!
//! - **Caller**: a [`Caller`] in the extensions of the request, put there by the service's own authentication, which has
//!   to stand outside of this layer. No header that a client chooses is read. [`Enforcer::caller`] reads it from elsewhere.
//! - **Action and resource**: what a [`Mapper`] makes of the request: [`GrpcMethods`] of a gRPC method path, `Routes` of an
//!   axum route, `Enforcer::require` beside an axum handler, or a closure. A request of which it makes nothing is refused;
//!   what anybody may call is listed by name.
//! - **Context**: what the mapper and the caller say, and then what is known of the connection:
//!
//! | key | is |
//! |---|---|
//! | `aws:SourceIp` | the peer's address, when axum (`ConnectInfo<SocketAddr>`) or tonic tells it; [`Enforcer::source_ip`] takes another, such as the one that a trusted proxy passes on |
//! | `aws:SecureTransport` | whether tonic itself served TLS, and otherwise `false`; [`Enforcer::secure_transport`] states it for services behind TLS of another's |
//! | `aws:UserAgent` | the header, when there is one; the client chooses it |
//! | `http:Method` | the method; of a gRPC call `POST` |
//!
//! A [cache](crate::Cache) keeps an answer for each of these contexts, and so for each address and agent.
//!
//! An allow calls the inner service, with the [`Permit`] in the extensions of the request. Everything else is answered
//! here, and says nothing of policies:
//!
//! | outcome | HTTP | gRPC |
//! |---|---|---|
//! | denied; no mapping; a mapping that is no question | 403 | `PERMISSION_DENIED` |
//! | no caller | 403 | `UNAUTHENTICATED` |
//! | no decision | 503 | `UNAVAILABLE` |
//!
//! HTTP answers are problem documents (RFC 9457) with a `request_id`; gRPC answers carry a `google.rpc.RequestInfo`. The
//! id is the one of the sidecar's log and audit records, or a new one when no sidecar answered; an event of `tracing`
//! tells the service's own log the rest. The [`Refusal`] is in the extensions of the response, for layers outside that
//! count or word it otherwise. A 401 needs a challenge, which only the service's authentication knows: it answers so
//! itself, outside.
//!
//! The body is not read, so a gRPC call is judged by its method and headers. A handler that learns from the message what
//! it is about asks again, with [`Authorizer::authorize`].
//!
//! Invariant (NO-WAY-AROUND): the inner service is called for a request that a mapper calls public or that was allowed,
//! and for no other.

mod caller;
mod facts;
mod mapper;
mod methods;
mod refusal;
#[cfg(feature = "axum")]
mod routes;
#[cfg(feature = "axum")]
mod template;

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http_body_util::{Either, Full};
use tower::{Layer, Service};

pub use caller::Caller;
pub use mapper::{Mapper, Need, Unmapped};
pub use methods::GrpcMethods;
pub use refusal::{Refusal, Why};
#[cfg(feature = "axum")]
pub use routes::{Require, Routes, Unguarded};
#[cfg(feature = "axum")]
pub use template::RuleError;

use crate::authorizer::Authorizer;
use crate::decision::Permit;
use crate::request::Request;
use facts::Facts;

/// The inner service's body, or that of a refusal.
pub type ResponseBody<B> = Either<B, Full<Bytes>>;

/// Whom to ask, and what to tell of each request. Layers are made of it.
pub struct Enforcer<A> {
    authorizer: Arc<A>,
    facts: Facts,
}

impl<A> Clone for Enforcer<A> {
    fn clone(&self) -> Self {
        Self { authorizer: Arc::clone(&self.authorizer), facts: self.facts.clone() }
    }
}

impl<A> fmt::Debug for Enforcer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enforcer(..)")
    }
}

impl<A: Authorizer + 'static> Enforcer<A> {
    /// Asks this one.
    #[must_use]
    pub fn new(authorizer: A) -> Self {
        Self { authorizer: Arc::new(authorizer), facts: Facts::default() }
    }

    /// Who calls; `None` refuses. Default: the [`Caller`] in the extensions of the request.
    ///
    /// Everything that is read here must have been verified before; a header is not, whoever sent it.
    #[must_use]
    pub fn caller(mut self, read: impl Fn(&Parts) -> Option<Caller> + Send + Sync + 'static) -> Self {
        self.facts.caller = Some(Arc::new(read));
        self
    }

    /// The address for `aws:SourceIp`; `None` leaves the key out. Default: the peer of the connection.
    ///
    /// `X-Forwarded-For` is the client's word for all but the entries that one's own proxies have appended.
    #[must_use]
    pub fn source_ip(mut self, read: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.facts.source_ip = Some(Arc::new(read));
        self
    }

    /// The value of `aws:SecureTransport`. Default: `true` when tonic itself served TLS, and otherwise `false`.
    #[must_use]
    pub fn secure_transport(mut self, is_secure: bool) -> Self {
        self.facts.secure_transport = Some(is_secure);
        self
    }

    /// The layer that asks for what the mapper makes of a request.
    #[must_use]
    pub fn layer<M: Mapper>(&self, mapper: M) -> EnforceLayer<A, M> {
        EnforceLayer { enforcer: self.clone(), mapper: Arc::new(mapper) }
    }
}

/// Wraps services so that they are called with a decision only.
pub struct EnforceLayer<A, M> {
    enforcer: Enforcer<A>,
    mapper: Arc<M>,
}

impl<A, M> Clone for EnforceLayer<A, M> {
    fn clone(&self) -> Self {
        Self { enforcer: self.enforcer.clone(), mapper: Arc::clone(&self.mapper) }
    }
}

impl<A, M> fmt::Debug for EnforceLayer<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnforceLayer(..)")
    }
}

impl<S, A, M> Layer<S> for EnforceLayer<A, M> {
    type Service = Enforce<S, A, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Enforce { inner, layer: self.clone() }
    }
}

/// A service that is called with a decision only.
#[derive(Debug)]
pub struct Enforce<S, A, M> {
    inner: S,
    layer: EnforceLayer<A, M>,
}

impl<S: Clone, A, M> Clone for Enforce<S, A, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

/// A future of an answer.
type Answering<B, E> = Pin<Box<dyn Future<Output = Result<http::Response<ResponseBody<B>>, E>> + Send>>;

impl<S, A, M, Sent, Received> Service<http::Request<Sent>> for Enforce<S, A, M>
where
    S: Service<http::Request<Sent>, Response = http::Response<Received>> + Clone + Send + 'static,
    S::Future: Send,
    A: Authorizer + 'static,
    M: Mapper,
    Sent: Send + 'static,
{
    type Response = http::Response<ResponseBody<Received>>;
    type Error = S::Error;
    type Future = Answering<Received, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Sent>) -> Self::Future {
        // The service that said it was ready is the one to call; its clone has yet to say so.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let (mut head, body) = request.into_parts();
        let is_grpc = refusal::is_grpc(&head);
        let EnforceLayer { enforcer: Enforcer { authorizer, facts }, mapper } = &self.layer;
        let question = match mapper.need(&mut head) {
            Ok(need) => facts.question(need, &head),
            Err(unmapped) => Err(Why::Unmapped(unmapped)),
        };
        let authorizer = Arc::clone(authorizer);
        Box::pin(async move {
            let decided = match question {
                Ok(Some(question)) => ask(&*authorizer, question).await.map(Some),
                Ok(None) => Ok(None),
                Err(why) => Err(why),
            };
            match decided {
                Ok(Some(permit)) => drop(head.extensions.insert(permit)),
                Ok(None) => {}
                Err(why) => return Ok(Refusal::new(why).into_response(is_grpc).map(Either::Right)),
            }
            let response = ready.call(http::Request::from_parts(head, body)).await?;
            Ok(response.map(Either::Left))
        })
    }
}

async fn ask(authorizer: &impl Authorizer, question: Request) -> Result<Permit, Why> {
    let decision = authorizer.decide(question).await.map_err(Why::NoDecision)?;
    decision.require().map_err(Why::Denied)
}
