//! A question in the caller's terms.
//!
//! It is kept as the message that asks it, so that a question is encoded without being copied. What can be wrong with it
//! is found where it is answered, not here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_proto::v1;
use portcullis_proto::v1::context_value::Value as Sent;

/// The value of a context key.
#[derive(Debug, Clone, PartialEq)]
pub struct Value(v1::ContextValue);

impl Value {
    fn sent(value: Sent) -> Self {
        Self(v1::ContextValue { value: Some(value) })
    }

    /// A number as its decimal text, of any length, so that none is rounded on the way.
    #[must_use]
    pub fn number(decimal: impl Into<String>) -> Self {
        Self::sent(Sent::Number(decimal.into()))
    }

    /// A multi-valued key, even with one value or none.
    #[must_use]
    pub fn list<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::sent(Sent::List(v1::TextList { values: values.into_iter().map(Into::into).collect() }))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::sent(Sent::Text(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::sent(Sent::Text(text))
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::sent(Sent::Boolean(boolean))
    }
}

impl From<IpAddr> for Value {
    fn from(address: IpAddr) -> Self {
        Self::sent(Sent::Text(address.to_string()))
    }
}

impl From<Ipv4Addr> for Value {
    fn from(address: Ipv4Addr) -> Self {
        Self::from(IpAddr::from(address))
    }
}

impl From<Ipv6Addr> for Value {
    fn from(address: Ipv6Addr) -> Self {
        Self::from(IpAddr::from(address))
    }
}

/// To the second, as condition keys of type Date have it: `2026-01-31T12:00:00Z`, or the seconds since 1970 when the year
/// has not four digits.
impl From<SystemTime> for Value {
    fn from(time: SystemTime) -> Self {
        /// The first second of the year 0 and the last of the year 9999.
        const FOUR_DIGITS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
        let prost_types::Timestamp { seconds, nanos: _ } = timestamp(time);
        // A date that no condition reads would silently switch off a Deny.
        let text = if FOUR_DIGITS.contains(&seconds) {
            prost_types::Timestamp { seconds, nanos: 0 }.to_string()
        } else {
            seconds.to_string()
        };
        Self::sent(Sent::Text(text))
    }
}

/// In decimal. What is not a number is refused where the question is answered.
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::number(number.to_string())
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value {
            fn from(number: $integer) -> Self {
                Self::number(number.to_string())
            }
        }
    )*};
}

from_integer!(i8, u8, i16, u16, i32, u32, i64, u64, isize, usize);

impl From<Vec<String>> for Value {
    fn from(values: Vec<String>) -> Self {
        Self::sent(Sent::List(v1::TextList { values }))
    }
}

impl From<Vec<&str>> for Value {
    fn from(values: Vec<&str>) -> Self {
        Self::list(values)
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(values: [&str; N]) -> Self {
        Self::list(values)
    }
}

impl From<&[&str]> for Value {
    fn from(values: &[&str]) -> Self {
        Self::list(values.iter().copied())
    }
}

/// What is known about temporary credentials.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Session(v1::Session);

impl Session {
    /// One of which nothing is known but that the credentials are temporary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more inline session policy document.
    #[must_use]
    pub fn policy(mut self, document: impl Into<String>) -> Self {
        self.0.policies.push(document.into());
        self
    }

    /// With one more managed policy used as session policy.
    #[must_use]
    pub fn policy_arn(mut self, arn: impl Into<String>) -> Self {
        self.0.policy_arns.push(arn.into());
        self
    }

    /// With a session tag.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.tags.insert(key.into(), value.into());
        self
    }

    /// With a session tag that passes on to the next role.
    #[must_use]
    pub fn transitive_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        self.0.transitive_tag_keys.push(key.clone());
        self.tag(key, value)
    }

    /// When the credentials were issued.
    #[must_use]
    pub fn issued_at(mut self, time: SystemTime) -> Self {
        self.0.issued_at = Some(timestamp(time));
        self
    }

    /// When the caller authenticated with MFA.
    #[must_use]
    pub fn mfa_authenticated_at(mut self, time: SystemTime) -> Self {
        self.0.mfa_authenticated_at = Some(timestamp(time));
        self
    }

    /// The source identity.
    #[must_use]
    pub fn source_identity(mut self, name: impl Into<String>) -> Self {
        self.0.source_identity = name.into();
        self
    }

    /// The identity provider that vouched for the caller.
    #[must_use]
    pub fn federated_provider(mut self, provider: impl Into<String>) -> Self {
        self.0.federated_provider = provider.into();
        self
    }

    /// ARN of the user that called GetFederationToken.
    #[must_use]
    pub fn issuer(mut self, arn: impl Into<String>) -> Self {
        self.0.issuer = arn.into();
        self
    }
}

/// A session in wire terms, for callers that have one.
impl From<v1::Session> for Session {
    fn from(session: v1::Session) -> Self {
        Self(session)
    }
}

/// One question: may this principal do this action on this resource in this context?
#[derive(Clone, PartialEq)]
pub struct Request {
    pub(crate) message: v1::AuthorizeRequest,
    pub(crate) timeout: Option<Duration>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl Request {
    /// A question without context.
    ///
    /// - `principal`: ARN of a user, role session, federated user or account root, a service name such as
    ///   `ec2.amazonaws.com`, or `anonymous`
    /// - `action`: `vendor:Name`, without wildcards
    /// - `resource`: ARN, or `*` for an action without resources
    #[must_use]
    pub fn new(principal: impl Into<String>, action: impl Into<String>, resource: impl Into<String>) -> Self {
        let message = v1::AuthorizeRequest {
            principal: principal.into(),
            action: action.into(),
            resource: resource.into(),
            ..v1::AuthorizeRequest::default()
        };
        Self { message, timeout: None }
    }

    /// With one more context key.
    #[must_use]
    pub fn context(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.message.context.insert(key.into(), value.into().0);
        self
    }

    /// About a resource of this account. Default: the resource ARN's, then the principal's.
    #[must_use]
    pub fn resource_account(mut self, account: impl Into<String>) -> Self {
        self.message.resource_account = account.into();
        self
    }

    /// With temporary credentials.
    #[must_use]
    pub fn session(mut self, session: Session) -> Self {
        self.message.session = Some(session.0);
        self
    }

    /// Answered from this generation or a later one, or not at all.
    #[must_use]
    pub fn min_generation(mut self, generation: u64) -> Self {
        self.message.min_generation = generation;
        self
    }

    /// With the determining statements in the answer.
    #[must_use]
    pub fn with_statements(mut self) -> Self {
        self.message.detail = v1::Detail::Statements.into();
        self
    }

    /// Longest wait for this answer, every attempt included. Default: the client's.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.message.principal
    }

    /// What is to be done.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.message.action
    }

    /// On what.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.message.resource
    }

    /// The question as it goes over the wire.
    #[must_use]
    pub fn as_wire(&self) -> &v1::AuthorizeRequest {
        &self.message
    }
}

/// A question in wire terms, for callers that have one.
impl From<v1::AuthorizeRequest> for Request {
    fn from(message: v1::AuthorizeRequest) -> Self {
        Self { message, timeout: None }
    }
}

/// With the second rounded down, so that its nanoseconds are not negative.
fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    let whole = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (whole(since), since.subsec_nanos()),
        Err(before) => match (whole(before.duration()), before.duration().subsec_nanos()) {
            (seconds, 0) => (-seconds, 0),
            (seconds, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
        },
    };
    prost_types::Timestamp { seconds, nanos: nanos as i32 }
}

#[cfg(test)]
mod tests;
