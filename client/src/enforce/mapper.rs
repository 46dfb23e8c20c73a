//! From a request to what it needs.

use http::request::Parts;

use crate::request::{Request, Value};

/// Says what a request needs. Closures are mappers:
///
/// ```
/// # use portcullis_client::enforce::{Enforcer, Need, Unmapped};
/// # use http::request::Parts;
/// # fn layer(pdp: portcullis_client::Client) {
/// let layer = Enforcer::new(pdp).layer(|head: &Parts| match head.uri.path() {
///     "/healthz" => Ok(Need::nothing()),
///     "/reports" => Ok(Need::permit("reports:List", "*")),
///     _ => Err(Unmapped::new("no such path")),
/// });
/// # }
/// ```
pub trait Mapper: Send + Sync + 'static {
    /// What the request needs. The head may be changed by looking at it, as some extractors do.
    ///
    /// # Errors
    /// When the request is none that the mapper knows; it is refused.
    fn need(&self, head: &mut Parts) -> Result<Need, Unmapped>;
}

impl<F> Mapper for F
where
    F: Fn(&Parts) -> Result<Need, Unmapped> + Send + Sync + 'static,
{
    fn need(&self, head: &mut Parts) -> Result<Need, Unmapped> {
        self(head)
    }
}

/// What a request needs before it is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// Whose caller is not filled in yet; none for what anybody may have.
    pub(super) request: Option<Request>,
}

impl Need {
    /// A permit for this action on this resource, in the words of [`Request::new`](crate::Request::new).
    #[must_use]
    pub fn permit(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { request: Some(Request::new("", action, resource)) }
    }

    /// Nothing: anybody may have it, and nobody is asked.
    #[must_use]
    pub fn nothing() -> Self {
        Self { request: None }
    }

    /// On another resource.
    #[must_use]
    pub fn on(self, resource: impl Into<String>) -> Self {
        self.with(|mut request| {
            request.message.resource = resource.into();
            request
        })
    }

    /// With a context key. It takes precedence over what the caller and the connection say.
    #[must_use]
    pub fn context(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|request| request.context(key, value))
    }

    /// About a resource of this account. Default: the resource ARN's, then the principal's.
    #[must_use]
    pub fn resource_account(self, account: impl Into<String>) -> Self {
        self.with(|request| request.resource_account(account))
    }

    fn with(self, change: impl FnOnce(Request) -> Request) -> Self {
        Self { request: self.request.map(change) }
    }
}

/// Why a request is none that a mapper knows. The client is not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unmapped(String);

impl Unmapped {
    /// For this reason, one sentence for the service's log.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
