//! The questions of the wire, borrowed: what both ways of reading a message have in common.
//!
//! Invariant (FULL-DESTRUCTURING): messages are taken apart field by field, so that a new field breaks the build and is
//! not silently ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use portcullis_proto::v1;
use prost_types::Timestamp;
use smallvec::SmallVec;

/// An AuthorizeRequest, or one item of a batch with the last two fields at their defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message<'m> {
    /// Who asks.
    pub principal: &'m str,
    /// What for.
    pub action: &'m str,
    /// On what.
    pub resource: &'m str,
    /// Owner of the resource; empty when not said.
    pub resource_account: &'m str,
    /// Sorted by key, each key once.
    pub context: Context<'m>,
    /// Temporary credentials, when they are used.
    pub session: Option<Box<SessionMessage<'m>>>,
    /// The oldest generation that may answer.
    pub min_generation: u64,
    /// Number of a [`v1::Detail`].
    pub detail: i32,
}

/// Context keys and their values; more than most questions have without an allocation.
pub type Context<'m> = SmallVec<[(&'m str, Value<'m>); 8]>;

/// The value of one context key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'m> {
    /// The caller set none.
    Missing,
    /// One text.
    Text(&'m str),
    /// Several values.
    List(Cow<'m, [String]>),
    /// A boolean.
    Boolean(bool),
    /// A number as its decimal text.
    Number(&'m str),
}

/// What is known about temporary credentials.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionMessage<'m> {
    /// Inline session policy documents.
    pub policies: Cow<'m, [String]>,
    /// Managed policies used as session policies.
    pub policy_arns: Cow<'m, [String]>,
    /// Sorted by key, each key once.
    pub tags: SmallVec<[(&'m str, &'m str); 4]>,
    /// Keys of the tags that pass on to the next role.
    pub transitive_tag_keys: Vec<&'m str>,
    /// When the credentials were issued.
    pub issued_at: Option<Timestamp>,
    /// When the caller authenticated with MFA.
    pub mfa_authenticated_at: Option<Timestamp>,
    /// Source identity; empty when there is none.
    pub source_identity: &'m str,
    /// Identity provider; empty when there is none.
    pub federated_provider: &'m str,
    /// Who called GetFederationToken; empty when there is none.
    pub issuer: &'m str,
}

/// What stands beside the items of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchMessage<'m> {
    /// Who asks.
    pub principal: &'m str,
    /// Temporary credentials, when they are used.
    pub session: Option<Box<SessionMessage<'m>>>,
    /// Sorted by key, each key once.
    pub context: Context<'m>,
    /// The questions.
    pub items: Vec<Message<'m>>,
    /// The oldest generation that may answer.
    pub min_generation: u64,
    /// Number of a [`v1::Detail`].
    pub detail: i32,
}

impl BatchMessage<'_> {
    /// Bytes of all session policies, those of the batch and those of its items: the part of the policies that the caller
    /// chooses.
    #[must_use]
    pub fn session_policies_bytes(&self) -> usize {
        let sessions = self.items.iter().filter_map(|item| item.session.as_ref()).chain(&self.session);
        sessions.flat_map(|session| session.policies.iter()).map(String::len).sum()
    }
}

/// An AuthorizeRequest as prost has it, and room for what is not kept there as it is needed.
#[derive(Debug)]
pub struct Kept<'m> {
    pub(crate) message: &'m v1::AuthorizeRequest,
    tags: Vec<(&'m str, &'m str)>,
}

impl<'m> From<&'m v1::AuthorizeRequest> for Kept<'m> {
    #[inline]
    fn from(message: &'m v1::AuthorizeRequest) -> Self {
        let session = message.session.as_ref();
        Self { message, tags: session.map(|session| pairs(&session.tags).collect()).unwrap_or_default() }
    }
}

impl Kept<'_> {
    /// Its session.
    #[inline]
    pub(crate) fn session(&self) -> Option<SentSession<'_, impl ExactSizeIterator<Item = &str>>> {
        let v1::Session {
            policies,
            policy_arns,
            tags: _,
            transitive_tag_keys,
            issued_at,
            mfa_authenticated_at,
            source_identity,
            federated_provider,
            issuer,
        } = self.message.session.as_ref()?;
        Some(SentSession {
            policies,
            policy_arns,
            tags: &self.tags,
            transitive_tag_keys: transitive_tag_keys.iter().map(String::as_str),
            issued_at: issued_at.as_ref(),
            mfa_authenticated_at: mfa_authenticated_at.as_ref(),
            source_identity,
            federated_provider,
            issuer,
        })
    }
}

/// A session, wherever it is kept.
#[derive(Debug)]
pub(crate) struct SentSession<'m, K> {
    pub(crate) policies: &'m [String],
    pub(crate) policy_arns: &'m [String],
    pub(crate) tags: &'m [(&'m str, &'m str)],
    pub(crate) transitive_tag_keys: K,
    pub(crate) issued_at: Option<&'m Timestamp>,
    pub(crate) mfa_authenticated_at: Option<&'m Timestamp>,
    pub(crate) source_identity: &'m str,
    pub(crate) federated_provider: &'m str,
    pub(crate) issuer: &'m str,
}

impl SessionMessage<'_> {
    /// As it was sent.
    pub(crate) fn sent(&self) -> SentSession<'_, impl ExactSizeIterator<Item = &str>> {
        let Self {
            policies,
            policy_arns,
            tags,
            transitive_tag_keys,
            issued_at,
            mfa_authenticated_at,
            source_identity,
            federated_provider,
            issuer,
        } = self;
        SentSession {
            policies,
            policy_arns,
            tags,
            transitive_tag_keys: transitive_tag_keys.iter().copied(),
            issued_at: issued_at.as_ref(),
            mfa_authenticated_at: mfa_authenticated_at.as_ref(),
            source_identity,
            federated_provider,
            issuer,
        }
    }
}

impl<'m> From<&'m v1::AuthorizeRequest> for Message<'m> {
    fn from(message: &'m v1::AuthorizeRequest) -> Self {
        let v1::AuthorizeRequest {
            principal,
            action,
            resource,
            context,
            resource_account,
            session,
            min_generation,
            detail,
        } = message;
        Self {
            principal,
            action,
            resource,
            resource_account,
            context: borrowed(context),
            session: session.as_ref().map(|session| Box::new(session.into())),
            min_generation: *min_generation,
            detail: *detail,
        }
    }
}

impl<'m> From<&'m v1::BatchAuthorizeItem> for Message<'m> {
    fn from(message: &'m v1::BatchAuthorizeItem) -> Self {
        let v1::BatchAuthorizeItem { principal, action, resource, context, resource_account, session } =
            message;
        Self {
            principal,
            action,
            resource,
            resource_account,
            context: borrowed(context),
            session: session.as_ref().map(|session| Box::new(session.into())),
            min_generation: 0,
            detail: 0,
        }
    }
}

impl<'m> From<&'m v1::BatchAuthorizeRequest> for BatchMessage<'m> {
    fn from(message: &'m v1::BatchAuthorizeRequest) -> Self {
        let v1::BatchAuthorizeRequest { principal, session, context, items, min_generation, detail } =
            message;
        Self {
            principal,
            session: session.as_ref().map(|session| Box::new(session.into())),
            context: borrowed(context),
            items: items.iter().map(Message::from).collect(),
            min_generation: *min_generation,
            detail: *detail,
        }
    }
}

impl<'m> From<&'m v1::Session> for SessionMessage<'m> {
    fn from(message: &'m v1::Session) -> Self {
        let v1::Session {
            policies,
            policy_arns,
            tags,
            transitive_tag_keys,
            issued_at,
            mfa_authenticated_at,
            source_identity,
            federated_provider,
            issuer,
        } = message;
        Self {
            policies: Cow::Borrowed(policies),
            policy_arns: Cow::Borrowed(policy_arns),
            tags: pairs(tags).collect(),
            transitive_tag_keys: transitive_tag_keys.iter().map(String::as_str).collect(),
            issued_at: *issued_at,
            mfa_authenticated_at: *mfa_authenticated_at,
            source_identity,
            federated_provider,
            issuer,
        }
    }
}

fn pairs(texts: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    texts.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

fn borrowed(context: &BTreeMap<String, v1::ContextValue>) -> Context<'_> {
    context.iter().map(|(key, value)| (key.as_str(), Sent::from(value).into())).collect()
}

/// The value of one context key, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent<'m> {
    Missing,
    Text(&'m str),
    List(&'m [String]),
    Boolean(bool),
    Number(&'m str),
}

impl<'m> From<&'m v1::ContextValue> for Sent<'m> {
    #[inline]
    fn from(v1::ContextValue { value }: &'m v1::ContextValue) -> Self {
        use v1::context_value::Value as Of;
        match value {
            None => Self::Missing,
            Some(Of::Text(text)) => Self::Text(text),
            Some(Of::List(v1::TextList { values })) => Self::List(values),
            Some(Of::Boolean(boolean)) => Self::Boolean(*boolean),
            Some(Of::Number(number)) => Self::Number(number),
        }
    }
}

impl<'m> From<&'m Value<'_>> for Sent<'m> {
    #[inline]
    fn from(value: &'m Value<'_>) -> Self {
        match value {
            Value::Missing => Self::Missing,
            Value::Text(text) => Self::Text(text),
            Value::List(values) => Self::List(values),
            Value::Boolean(boolean) => Self::Boolean(*boolean),
            Value::Number(number) => Self::Number(number),
        }
    }
}

impl<'m> From<Sent<'m>> for Value<'m> {
    fn from(sent: Sent<'m>) -> Self {
        match sent {
            Sent::Missing => Self::Missing,
            Sent::Text(text) => Self::Text(text),
            Sent::List(values) => Self::List(Cow::Borrowed(values)),
            Sent::Boolean(boolean) => Self::Boolean(boolean),
            Sent::Number(number) => Self::Number(number),
        }
    }
}
