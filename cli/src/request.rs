//! One request as the command line holds it: owned text, from flags or from a JSON object, lent to the engine.
//!
//! Reads shapes only; what a principal, an action or a key may look like is the engine's to say.

mod flags;
mod json;

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_engine::{
    ContextValue, Diagnostic, Instant, LoadMode, OwnedKeys, Request, RequestInput, Session, SessionPolicies,
    Violation,
};

pub(crate) use json::{Line, request_of_json, sentence};

/// A context value that owns its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// One text; a number stands as it was written.
    Text(String),
    /// Several values.
    List(Vec<String>),
    /// A boolean.
    Bool(bool),
}

/// Temporary credentials, session policies as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionText {
    pub(crate) policies: Vec<String>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) issued_at: Option<Instant>,
    pub(crate) mfa_authenticated_at: Option<Instant>,
    pub(crate) source_identity: Option<String>,
    pub(crate) federated_provider: Option<String>,
    pub(crate) issuer: Option<String>,
}

/// A request that owns its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestText {
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) resource_account: Option<String>,
    pub(crate) context: Vec<(String, Value)>,
    pub(crate) session: Option<SessionText>,
    /// Fixes the clock; the system's otherwise.
    pub(crate) current_time: Option<Instant>,
}

/// Why a request could not be put to the engine.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Its values are wrong.
    Malformed(Vec<Violation>),
    /// A session policy does not load.
    SessionPolicies(Vec<Diagnostic>),
}

impl Value {
    fn lend(&self) -> ContextValue<'_> {
        match self {
            Self::Text(text) => ContextValue::Text(text),
            Self::List(list) => ContextValue::List(list),
            Self::Bool(value) => ContextValue::Bool(*value),
        }
    }
}

impl RequestText {
    /// Checks the request and hands it to `ask`; the engine's borrows end with the call.
    pub(crate) fn put<T>(
        &self,
        owned_keys: OwnedKeys,
        mode: LoadMode,
        ask: impl FnOnce(&Request<'_>) -> T,
    ) -> Result<T, Refusal> {
        let policies = match &self.session {
            Some(session) if !session.policies.is_empty() => {
                Some(SessionPolicies::compile(&session.policies, mode).map_err(Refusal::SessionPolicies)?)
            }
            _ => None,
        };
        let context: Vec<_> = self.context.iter().map(|(key, value)| (key.as_str(), value.lend())).collect();
        let tags: Vec<_> = self
            .session
            .iter()
            .flat_map(|session| &session.tags)
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let session = self.session.as_ref().map(|session| Session {
            policies: policies.as_ref(),
            policy_arns: &session.policy_arns,
            tags: &tags,
            issued_at: session.issued_at,
            mfa_authenticated_at: session.mfa_authenticated_at,
            source_identity: session.source_identity.as_deref(),
            federated_provider: session.federated_provider.as_deref(),
            issuer: session.issuer.as_deref(),
        });
        let input = RequestInput {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            resource_account: self.resource_account.as_deref(),
            context: &context,
            session,
            now: self.current_time.unwrap_or_else(now),
            owned_keys,
        };
        let request = Request::parse(input).map_err(Refusal::Malformed)?;
        Ok(ask(&request))
    }
}

/// The system's clock as the engine counts time.
fn now() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::new(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX), since_epoch.subsec_nanos())
}
