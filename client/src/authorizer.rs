//! Whoever decides: a sidecar, the engine in this process, a fake in a test. Code that asks does not see which.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::decision::Decision;
use crate::error::Error;
use crate::request::{Request, Session, Value};

/// A future that can be kept.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever decides.
///
/// Invariant (ONLY-ALLOW-ALLOWS): [`Decision::Allow`] comes from one answer only: a whole, understood Allow. Whatever else
/// comes back, or nothing, is a deny or an [`Error`], and an error must be read as a refusal.
pub trait Authorizer: Send + Sync {
    /// May this be done?
    ///
    /// # Errors
    /// When there is no decision; read it as a refusal.
    fn decide(&self, request: Request) -> impl Future<Output = Result<Decision, Error>> + Send;

    /// Several questions, one answer for each, in order.
    fn authorize_all(
        &self,
        requests: Vec<Request>,
    ) -> impl Future<Output = Vec<Result<Decision, Error>>> + Send {
        async move {
            let mut decisions = Vec::with_capacity(requests.len());
            for request in requests {
                decisions.push(self.decide(request).await);
            }
            decisions
        }
    }

    /// Asks in steps: `pdp.authorize(principal, action, resource).context("aws:SourceIp", ip).await?`. The arguments are
    /// those of [`Request::new`].
    fn authorize(
        &self,
        principal: impl Into<String>,
        action: impl Into<String>,
        resource: impl Into<String>,
    ) -> Question<'_, Self>
    where
        Self: Sized,
    {
        Question { authorizer: self, request: Request::new(principal, action, resource) }
    }
}

/// A question being put; `.await` asks it.
#[must_use = "a question is asked when it is awaited"]
pub struct Question<'a, A> {
    authorizer: &'a A,
    request: Request,
}

impl<A> fmt::Debug for Question<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}

impl<A> Question<'_, A> {
    fn with(mut self, change: impl FnOnce(Request) -> Request) -> Self {
        self.request = change(self.request);
        self
    }

    /// With one more context key.
    pub fn context(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|request| request.context(key, value))
    }

    /// With temporary credentials.
    pub fn session(self, session: Session) -> Self {
        self.with(|request| request.session(session))
    }

    /// About a resource of this account. Default: the resource ARN's, then the principal's.
    pub fn resource_account(self, account: impl Into<String>) -> Self {
        self.with(|request| request.resource_account(account))
    }

    /// Answered from this generation or a later one, or not at all.
    pub fn min_generation(self, generation: u64) -> Self {
        self.with(|request| request.min_generation(generation))
    }

    /// With the determining statements in the answer.
    pub fn with_statements(self) -> Self {
        self.with(Request::with_statements)
    }

    /// Longest wait for this answer, every attempt included.
    pub fn timeout(self, timeout: std::time::Duration) -> Self {
        self.with(|request| request.timeout(timeout))
    }
}

impl<'a, A: Authorizer> IntoFuture for Question<'a, A> {
    type Output = Result<Decision, Error>;
    type IntoFuture = Boxed<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { authorizer, request } = self;
        Box::pin(authorizer.decide(request))
    }
}

impl<A: Authorizer> Authorizer for Arc<A> {
    fn decide(&self, request: Request) -> impl Future<Output = Result<Decision, Error>> + Send {
        A::decide(self, request)
    }

    fn authorize_all(
        &self,
        requests: Vec<Request>,
    ) -> impl Future<Output = Vec<Result<Decision, Error>>> + Send {
        A::authorize_all(self, requests)
    }
}

/// An authorizer of any kind, for services that choose one when they start.
#[derive(Clone)]
pub struct AnyAuthorizer(Arc<dyn Erased>);

impl fmt::Debug for AnyAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyAuthorizer(..)")
    }
}

/// [`Authorizer`] without `impl Future`, so that it can be a trait object.
trait Erased: Send + Sync {
    fn decide(&self, request: Request) -> Boxed<'_, Result<Decision, Error>>;
    fn authorize_all(&self, requests: Vec<Request>) -> Boxed<'_, Vec<Result<Decision, Error>>>;
}

impl<A: Authorizer> Erased for A {
    fn decide(&self, request: Request) -> Boxed<'_, Result<Decision, Error>> {
        Box::pin(Authorizer::decide(self, request))
    }

    fn authorize_all(&self, requests: Vec<Request>) -> Boxed<'_, Vec<Result<Decision, Error>>> {
        Box::pin(Authorizer::authorize_all(self, requests))
    }
}

impl AnyAuthorizer {
    /// This one.
    #[must_use]
    pub fn new(authorizer: impl Authorizer + 'static) -> Self {
        Self(Arc::new(authorizer))
    }
}

impl Authorizer for AnyAuthorizer {
    fn decide(&self, request: Request) -> impl Future<Output = Result<Decision, Error>> + Send {
        self.0.decide(request)
    }

    fn authorize_all(
        &self,
        requests: Vec<Request>,
    ) -> impl Future<Output = Vec<Result<Decision, Error>>> + Send {
        self.0.authorize_all(requests)
    }
}
