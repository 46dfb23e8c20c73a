//! What happens to the service itself, as records beside the decisions.

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_engine::Instant;

use super::capture::{Kind, number, text};
use super::text_limits::{LIST_VALUES_MAX, MESSAGE_BYTES_MAX, TEXT_BYTES_MAX, VALUE_BYTES_MAX};

/// The name of the record that says what was lost.
pub(super) const GAP: &str = "AuditGap";

pub(super) const TEXT: u8 = 1;
pub(super) const NUMBER: u8 = 2;
pub(super) const TEXTS: u8 = 3;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The process began to serve.
    Start,
    /// The process was told to end; the last record of a clean end.
    Stop,
    /// A policy set was published.
    PoliciesReloaded,
    /// A policy directory was refused, and what was served before still is.
    PoliciesRejected,
    /// A setting changed while the process ran.
    ConfigurationChanged,
    /// The configuration was read again and refused, and the old one still holds.
    ConfigurationRejected,
    /// A certificate or a client authority was replaced.
    CertificateChanged,
    /// A new certificate or client authority was refused, and the old one still serves.
    CertificateRejected,
    /// The bearer tokens were replaced.
    TokensChanged,
    /// New bearer tokens were refused, and the old ones are still taken.
    TokensRejected,
    /// The policy set was handed out to a caller that decides in its own process.
    PoliciesHandedOut,
    /// A record that an earlier process had begun was found unfinished at the end of the file.
    Recovered,
}

impl Happening {
    /// The `eventName` of the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "StartServer",
            Self::Stop => "StopServer",
            Self::PoliciesReloaded => "ReloadPolicies",
            Self::PoliciesRejected => "RejectPolicies",
            Self::ConfigurationChanged => "ChangeConfiguration",
            Self::ConfigurationRejected => "RejectConfiguration",
            Self::CertificateChanged => "ChangeCertificate",
            Self::CertificateRejected => "RejectCertificate",
            Self::TokensChanged => "ChangeTokens",
            Self::TokensRejected => "RejectTokens",
            Self::PoliciesHandedOut => "HandOutPolicies",
            Self::Recovered => "RecoverAudit",
        }
    }
}

/// The value of one detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One text.
    Text(String),
    /// A count.
    Number(u64),
    /// Several texts.
    Texts(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

/// One happening with its details. Never put a secret into one: details are written as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEvent {
    happening: Happening,
    error: Option<(String, String)>,
    details: Vec<(&'static str, Value)>,
}

impl ServiceEvent {
    /// Without any detail.
    #[must_use]
    pub fn new(happening: Happening) -> Self {
        Self { happening, error: None, details: Vec::new() }
    }

    /// With one more detail.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// As something that failed: `errorCode` and `errorMessage` of the record.
    #[must_use]
    pub fn failed(mut self, code: impl Into<String>, message: impl Into<String>) -> Self {
        self.error = Some((code.into(), message.into()));
        self
    }

    /// Appends it as an entry of the queue.
    pub(super) fn write(&self, out: &mut Vec<u8>, at: Instant) {
        let Self { happening, error, details } = self;
        header(out, Kind::Service, at);
        text(out, happening.as_str(), TEXT_BYTES_MAX);
        let (code, message) = error.as_ref().map_or(("", ""), |(code, message)| (code, message));
        text(out, code, VALUE_BYTES_MAX);
        text(out, message, MESSAGE_BYTES_MAX);
        number(out, details.len() as u64);
        for (name, value) in details {
            text(out, name, TEXT_BYTES_MAX);
            match value {
                Value::Text(value) => {
                    out.push(TEXT);
                    text(out, value, VALUE_BYTES_MAX);
                }
                Value::Number(value) => {
                    out.push(NUMBER);
                    number(out, *value);
                }
                Value::Texts(values) => {
                    out.push(TEXTS);
                    let kept = values.len().min(LIST_VALUES_MAX);
                    number(out, values.len() as u64);
                    number(out, kept as u64);
                    values.iter().take(kept).for_each(|value| text(out, value, VALUE_BYTES_MAX));
                }
            }
        }
    }
}

/// Kind and time of an entry that is no decision.
pub(super) fn header(out: &mut Vec<u8>, kind: Kind, at: Instant) {
    out.push(kind.byte());
    out.push(1);
    out.extend_from_slice(&at.seconds().to_le_bytes());
    out.extend_from_slice(&at.nanos().to_le_bytes());
}

/// The wall clock; a clock before 1970 is read as 1970, because a record must not fail.
pub(super) fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}
