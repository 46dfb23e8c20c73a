//! A decision to record, with every part at hand.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use portcullis_engine::{
    ContextValue, Decision, Effect, Instant, Layer, OwnedKeys, PrincipalRef, Reason, RequestInput, Session,
    StatementRef,
};

use crate::audit::{Audit, AuditOptions, Decided, Peer, Recorded};
use crate::config::Config;

/// The defaults, with a file and without patience.
pub(crate) fn options() -> AuditOptions {
    let config = Config { audit_file: Some(PathBuf::from("/nowhere/audit.jsonl")), ..Config::default() };
    AuditOptions { probe: Duration::from_millis(5), ..AuditOptions::new(&config) }
}

#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) principal: String,
    pub(crate) principal_id: Option<String>,
    pub(crate) entity: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) resource_account: Option<String>,
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) lists: Vec<(String, Vec<String>)>,
    pub(crate) flags: Vec<(String, bool)>,
    pub(crate) session: Option<SampleSession>,
    pub(crate) effect: Effect,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) sid: String,
    pub(crate) statements: usize,
    pub(crate) missing: Vec<String>,
    pub(crate) request_id: String,
    pub(crate) user_agent: String,
    pub(crate) latency: Option<Duration>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SampleSession {
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) source_identity: Option<String>,
    pub(crate) federated_provider: Option<String>,
    pub(crate) mfa: bool,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            principal: "arn:aws:iam::111122223333:user/sales/alice".to_owned(),
            principal_id: Some("AIDAEXAMPLE".to_owned()),
            entity: "arn:aws:iam::111122223333:role/jobs/worker".to_owned(),
            action: "orders:GetOrder".to_owned(),
            resource: "arn:acme:orders:eu-1:111122223333:order/42".to_owned(),
            resource_account: None,
            texts: vec![
                ("aws:SourceIp".to_owned(), "10.1.2.3".to_owned()),
                ("app:Tenant".to_owned(), "blue".to_owned()),
            ],
            lists: vec![("aws:TagKeys".to_owned(), vec!["team".to_owned(), "cost".to_owned()])],
            flags: vec![("aws:SecureTransport".to_owned(), true)],
            session: None,
            effect: Effect::Allow,
            reason: Reason::Allowed,
            message: "unused for an allow".to_owned(),
            sid: "Read".to_owned(),
            statements: 1,
            missing: Vec::new(),
            request_id: "0192f0c1-0000-7000-8000-000000000001".to_owned(),
            user_agent: "grpc-rust/1".to_owned(),
            latency: Some(Duration::from_nanos(412)),
        }
    }
}

impl Sample {
    pub(crate) fn deny() -> Self {
        Self {
            action: "orders:DeleteOrder".to_owned(),
            effect: Effect::Deny,
            reason: Reason::ExplicitDeny,
            message: "User: alice is not authorized to perform: orders:DeleteOrder".to_owned(),
            missing: vec!["aws:MultiFactorAuthPresent".to_owned()],
            ..Self::default()
        }
    }

    /// Calls with the borrowed form.
    pub(crate) fn decided<T>(&self, use_it: impl FnOnce(&Decided<'_, '_>) -> T) -> T {
        let now = Instant::new(1_764_057_395, 123_456_789);
        let mut context: Vec<(&str, ContextValue<'_>)> = Vec::new();
        context.extend(self.texts.iter().map(|(key, value)| (key.as_str(), ContextValue::Text(value))));
        context.extend(self.lists.iter().map(|(key, values)| (key.as_str(), ContextValue::List(values))));
        context.extend(self.flags.iter().map(|(key, value)| (key.as_str(), ContextValue::Bool(*value))));
        let none = SampleSession::default();
        let session = self.session.as_ref().unwrap_or(&none);
        let tags: Vec<_> = session.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let input = RequestInput {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            resource_account: self.resource_account.as_deref(),
            context: &context,
            session: self.session.as_ref().map(|session| Session {
                policies: None,
                policy_arns: &session.policy_arns,
                tags: &tags,
                issued_at: Some(Instant::new(1_764_057_000, 0)),
                mfa_authenticated_at: session.mfa.then(|| Instant::new(1_764_057_001, 0)),
                source_identity: session.source_identity.as_deref(),
                federated_provider: session.federated_provider.as_deref(),
                issuer: None,
            }),
            now,
            owned_keys: OwnedKeys::Refuse,
        };
        let statement = StatementRef {
            policy_id: "arn:aws:iam::111122223333:user/sales/alice/orders",
            sid: &self.sid,
            index: 2,
            file: "policies.json",
            line: 7,
            column: 9,
            layer: Layer::Identity,
        };
        let principal = self.principal_id.as_ref().map(|id| PrincipalRef { arn: &self.entity, id: Some(id) });
        let decision = Decision {
            principal,
            effect: self.effect,
            reason: self.reason,
            layer: Layer::Identity,
            statements: std::iter::repeat_n(statement, self.statements).collect(),
            missing_context_keys: self.missing.iter().map(String::as_str).collect(),
            depends_on_time: false,
        };
        use_it(&Decided {
            input: &input,
            decision: &decision,
            message: &self.message,
            revision: "abcd",
            generation: 3,
            request_id: &self.request_id,
            latency: self.latency,
            peer: Peer::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            user_agent: &self.user_agent,
        })
    }

    pub(crate) fn record(&self, audit: &Audit) -> Recorded {
        self.decided(|decided| audit.decision(decided))
    }
}
