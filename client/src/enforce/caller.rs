//! Who calls, as the service's authentication found out.

use std::fmt;

use crate::request::{Session, Value};

/// Who calls. Authentication puts one into the extensions of a request that it has verified:
///
/// ```
/// # use portcullis_client::enforce::Caller;
/// # fn authenticated(request: &mut http::Request<()>, user: &str) {
/// request.extensions_mut().insert(Caller::new(format!("arn:aws:iam::111122223333:user/{user}")));
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct Caller {
    pub(super) principal: String,
    pub(super) session: Option<Session>,
    pub(super) context: Vec<(String, Value)>,
}

/// Without the session and the context: they may hold what a log must not.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, session: _, context: _ } = self;
        f.debug_struct("Caller").field("principal", principal).finish_non_exhaustive()
    }
}

impl Caller {
    /// This principal, in the words of [`Request::new`](crate::Request::new).
    #[must_use]
    pub fn new(principal: impl Into<String>) -> Self {
        Self { principal: principal.into(), session: None, context: Vec::new() }
    }

    /// Somebody of whom nothing is known. Only a resource policy for everybody allows them anything.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new("anonymous")
    }

    /// With temporary credentials.
    #[must_use]
    pub fn session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// With a context key that authentication knows, such as a claim of a token. It takes precedence over what the layer
    /// knows of the connection.
    #[must_use]
    pub fn context(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.context.push((key.into(), value.into()));
        self
    }

    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }
}
