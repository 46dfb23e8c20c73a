//! A request: borrowed from the caller, checked and folded once.
//!
//! Invariant: a `Request` that exists is well formed; evaluation never reports an input error.

mod action;
mod decode;
mod fold;
mod principal;

use std::fmt;
use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::arn::Arn;
use crate::compile::SessionPolicies;
use crate::condition::key;
use crate::condition::value::Instant;
use crate::word::equals_folded;
pub(crate) use action::Action;
pub(crate) use fold::fold;
pub(crate) use principal::Principal;

/// A context value as the caller sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextValue<'a> {
    /// One text (numbers come as their decimal text).
    Text(&'a str),
    /// Several values: a multi-valued key (C-17).
    List(&'a [String]),
    /// A boolean.
    Bool(bool),
}

/// What is known about temporary credentials.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session<'a> {
    /// Compiled inline session policies; see [`SessionPolicies::compile`].
    pub policies: Option<&'a SessionPolicies>,
    /// Managed policies used as session policies; must be in the policy set.
    pub policy_arns: &'a [String],
    /// Session tags.
    pub tags: &'a [(&'a str, &'a str)],
    /// When the credentials were issued.
    pub issued_at: Option<Instant>,
    /// When the caller authenticated with MFA; `None` is a session without MFA.
    pub mfa_authenticated_at: Option<Instant>,
    /// `aws:SourceIdentity`.
    pub source_identity: Option<&'a str>,
    /// `aws:FederatedProvider`.
    pub federated_provider: Option<&'a str>,
    /// ARN of the user (or root) that called GetFederationToken.
    pub issuer: Option<&'a str>,
}

/// Whether context may carry keys that the engine owns (K-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnedKeys {
    /// An error, and typed well-known keys must be well formed: the rule for callers of a live decision.
    Refuse,
    /// They override what the engine derives: the rule for simulations.
    Override,
}

/// Everything a caller says, undecoded.
#[derive(Debug, Clone, Copy)]
pub struct RequestInput<'a> {
    /// ARN, service name or `anonymous`.
    pub principal: &'a str,
    /// `vendor:Name`, without wildcards.
    pub action: &'a str,
    /// ARN, or `*` for an action without resources.
    pub resource: &'a str,
    /// Owner of the resource; default: the directory's, then the ARN's, then the principal's.
    pub resource_account: Option<&'a str>,
    /// Context keys and values.
    pub context: &'a [(&'a str, ContextValue<'a>)],
    /// Temporary credentials, when the principal uses them.
    pub session: Option<Session<'a>>,
    /// The one clock reading of this evaluation (C-32).
    pub now: Instant,
    /// Rule for engine-owned keys.
    pub owned_keys: OwnedKeys,
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Field path in proto terms: `principal`, `action`, `resource`, `resource_account`, `context["key"]`, `session.tags["k"]`.
    pub field: String,
    /// One sentence.
    pub description: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// A context value, folded: what an operator sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A single-valued key.
    One(&'a str),
    /// A multi-valued key with one value.
    ListOfOne(&'a str),
    /// A multi-valued key.
    List(&'a [String]),
}

/// What the text of a value reads as, for keys whose type is known; read once for all conditions on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Not known to be anything but text.
    Text,
    Instant(Instant),
    Address(IpAddr),
}

/// Readings of the first few context values that have one, by their place in the context.
pub(crate) type Readings = ArrayVec<(u16, Read), 4>;

/// What the request is about.
#[derive(Debug, Clone)]
pub(crate) enum Target<'a> {
    /// `*`: an action without resources (M-25).
    None,
    /// An ARN.
    Arn { text: &'a str, arn: Arn<'a> },
}

/// A well-formed request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub(crate) input: RequestInput<'a>,
    pub(crate) principal: Principal<'a>,
    pub(crate) action: Action<'a>,
    pub(crate) target: Target<'a>,
    pub(crate) readings: Readings,
}

impl<'a> Request<'a> {
    /// Checks and folds what a caller says.
    ///
    /// # Errors
    /// Every violation found, each naming its field.
    #[inline]
    pub fn parse(input: RequestInput<'a>) -> Result<Self, Vec<Violation>> {
        decode::request(input)
    }

    /// What it was made of.
    #[must_use]
    pub fn input(&self) -> &RequestInput<'a> {
        &self.input
    }

    /// The engine-owned keys that the context overrides, as written.
    #[must_use]
    pub fn overridden_keys(&self) -> Vec<&'a str> {
        let owned = |key: &str| key::facts(key).is_some_and(|facts| facts.engine_owned);
        self.input.context.iter().map(|(key, _)| *key).filter(|key| owned(key)).collect()
    }

    /// The value that the caller sent under a key, as the key declares it (C-17), and what it reads as when that is
    /// known already. An empty list is a missing key (C-12).
    pub(crate) fn sent(&self, folded: &str, multi_valued: Option<bool>) -> Option<(Value<'a>, Read)> {
        let at = self.input.context.iter().position(|(key, _)| equals_folded(key, folded))?;
        let (_, value) = self.input.context.get(at)?;
        let one = |text| if multi_valued == Some(true) { Value::ListOfOne(text) } else { Value::One(text) };
        let value = match value {
            ContextValue::Text(text) => one(text),
            ContextValue::Bool(true) => one("true"),
            ContextValue::Bool(false) => one("false"),
            ContextValue::List([]) => return None,
            ContextValue::List([text]) if multi_valued == Some(false) => one(text),
            ContextValue::List(list) => Value::List(list),
        };
        let reading = self.readings.iter().find(|(place, _)| usize::from(*place) == at);
        Some((value, reading.map_or(Read::Text, |(_, read)| *read)))
    }
}
