//! The audit trail: whatever a request holds, its record is one line of JSON that reads back.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use portcullis_engine::{
    ContextValue, Decision, Effect, Instant, Layer, OwnedKeys, PrincipalRef, Reason, RequestInput, Session,
    StatementRef,
};
use portcullis_server::audit::fuzzing::Lines;
use portcullis_server::audit::verify::Verifier;
use portcullis_server::audit::{Decided, Peer};
use serde_json::Value;

pub(crate) const WORDS: &[&str] = &[
    "arn:aws:iam::111111111111:user/a",
    "arn:aws:sts::111111111111:assumed-role/r/s",
    "s3:GetObject",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "\u{e0041}",
    "\0",
    "password",
    "aws:SourceIp",
    "aws:UserAgent",
    "aws:RequestedRegion",
    "Bearer abc",
    "{",
    "}",
    "]",
    "*",
    ":::::",
];

#[derive(Debug, Arbitrary)]
struct Case {
    chained: bool,
    records: Vec<Record>,
}

#[derive(Debug, Arbitrary)]
struct Record {
    principal: String,
    action: String,
    resource: String,
    resource_account: Option<String>,
    texts: Vec<(String, String)>,
    lists: Vec<(String, Vec<String>)>,
    flags: Vec<(String, bool)>,
    session: Option<Credentials>,
    allow: bool,
    reason: u8,
    layer: u8,
    statements: Vec<(String, String, String, u32, u32, u32)>,
    entity: Option<(String, Option<String>)>,
    missing: Vec<String>,
    message: String,
    revision: String,
    generation: u64,
    request_id: String,
    latency: Option<u64>,
    peer: u8,
    peer_name: String,
    user_agent: String,
    /// The time of a record is the system clock's reading; far beyond any that one gives.
    seconds: i32,
    nanos: u32,
}

#[derive(Debug, Arbitrary)]
struct Credentials {
    policy_arns: Vec<String>,
    tags: Vec<(String, String)>,
    issued_at: Option<i32>,
    mfa: bool,
    source_identity: Option<String>,
    federated_provider: Option<String>,
    issuer: Option<String>,
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(2);
    let mut seeds: Vec<Vec<u8>> =
        (0..100).map(|_| (0..random.usize(16..2_000)).map(|_| random.u8(..)).collect()).collect();
    // Text in the place of noise: lengths are taken from the end of the input, texts from its start.
    for line in crate::seed::lines().iter().step_by(20) {
        seeds.push([&[1, 1][..], line, line].concat());
    }
    seeds
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(3);
    (0..8).map(|_| (0..1 << 18).map(|_| random.u8(..)).collect()).collect()
}

pub(crate) fn check(bytes: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let mut lines = Lines::new(case.chained, "pin");
    for record in &case.records {
        let before = lines.text().len();
        let rendered = record.decided(|decided| lines.decision(decided));
        assert!(rendered, "a captured decision could not be read: {record:?}");
        let value = one_line(&lines.text()[before..]);
        record.reads_back(&value);
    }
    let mut verifier = Verifier::new();
    for (at, line) in lines.text().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        verifier.line("fuzz", at as u64 + 1, line);
    }
    let report = verifier.finish();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.decisions, case.records.len() as u64);
}

/// Exactly one line, of JSON, that shows nothing but what it says.
fn one_line(line: &[u8]) -> Value {
    let text = std::str::from_utf8(line).expect("a record is UTF-8");
    let body = text.strip_suffix('\n').expect("a record ends its line");
    let misread = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert!(!body.contains(misread), "{body:?}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

impl Record {
    fn decided<T>(&self, with: impl FnOnce(&Decided<'_, '_>) -> T) -> T {
        let mut context: Vec<(&str, ContextValue<'_>)> = Vec::new();
        context.extend(self.texts.iter().map(|(key, value)| (key.as_str(), ContextValue::Text(value))));
        context.extend(self.lists.iter().map(|(key, values)| (key.as_str(), ContextValue::List(values))));
        context.extend(self.flags.iter().map(|(key, value)| (key.as_str(), ContextValue::Bool(*value))));
        let tags: Vec<_> = self
            .session
            .iter()
            .flat_map(|session| &session.tags)
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let session = self.session.as_ref().map(|session| Session {
            policies: None,
            policy_arns: &session.policy_arns,
            tags: &tags,
            issued_at: session.issued_at.map(|seconds| Instant::new(seconds.into(), 0)),
            mfa_authenticated_at: session.mfa.then(|| Instant::new(1, 2)),
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
            now: Instant::new(self.seconds.into(), self.nanos),
            owned_keys: OwnedKeys::Refuse,
        };
        let layer = self.layer();
        let statements = self.statements.iter().map(|(policy_id, sid, file, index, line, column)| {
            StatementRef { policy_id, sid, file, index: *index, line: *line, column: *column, layer }
        });
        let decision = Decision {
            effect: if self.allow { Effect::Allow } else { Effect::Deny },
            reason: match self.reason % 4 {
                0 => Reason::Allowed,
                1 => Reason::ExplicitDeny,
                2 => Reason::ImplicitDeny,
                _ => Reason::EvaluationLimit,
            },
            layer,
            statements: statements.collect(),
            principal: self.entity.as_ref().map(|(arn, id)| PrincipalRef { arn, id: id.as_deref() }),
            missing_context_keys: self.missing.iter().map(String::as_str).collect(),
            depends_on_time: false,
        };
        with(&Decided {
            input: &input,
            decision: &decision,
            message: &self.message,
            revision: &self.revision,
            generation: self.generation,
            request_id: &self.request_id,
            latency: self.latency.map(Duration::from_nanos),
            peer: match self.peer % 5 {
                0 => Peer::Unknown,
                1 => Peer::Ip(Ipv4Addr::new(10, 0, 0, self.peer).into()),
                2 => Peer::Ip(Ipv6Addr::LOCALHOST.into()),
                3 => Peer::Unix { uid: u32::MAX, gid: self.nanos },
                _ => Peer::Known { ip: Ipv4Addr::LOCALHOST.into(), name: &self.peer_name },
            },
            user_agent: &self.user_agent,
        })
    }

    fn layer(&self) -> Layer {
        const LAYERS: [Layer; 8] = [
            Layer::Identity,
            Layer::Resource,
            Layer::Boundary,
            Layer::Session,
            Layer::Scp,
            Layer::Rcp,
            Layer::Endpoint,
            Layer::Trust,
        ];
        LAYERS[usize::from(self.layer) % LAYERS.len()]
    }

    /// What is short enough stands there as it was.
    fn reads_back(&self, record: &Value) {
        let short = |text: &str| text.len() <= 1_024;
        if short(&self.request_id) {
            assert_eq!(record["requestID"], self.request_id);
        }
        if self.resource != "*" && short(&self.resource) {
            assert_eq!(record["resources"][0]["ARN"], self.resource);
        }
        let additional = &record["additionalEventData"];
        assert_eq!(additional["decision"], if self.allow { "Allow" } else { "Deny" });
        assert_eq!(additional["generation"], self.generation);
        assert_eq!(additional["layer"], self.layer().as_str());
        assert_eq!(record["errorCode"] == "AccessDenied", !self.allow);
        if !self.allow && short(&self.message) {
            assert_eq!(record["errorMessage"], self.message);
        }
        if short(&self.revision) {
            assert_eq!(additional["revision"], self.revision);
        }
    }
}

pub(crate) fn entry_seeds() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(4);
    (0..300_u32)
        .map(|at| {
            let mut bytes: Vec<u8> = (0..random.usize(4..400))
                .map(|_| if random.bool() { random.u8(..8) } else { random.u8(..) })
                .collect();
            bytes[0] = (at % 4) as u8;
            bytes
        })
        .collect()
}

/// Bytes that no capture wrote: no record, or a good line all the same.
pub(crate) fn check_entry(bytes: &[u8]) {
    let mut lines = Lines::new(bytes.len().is_multiple_of(2), "pin");
    if lines.entry(bytes) {
        one_line(lines.text());
    } else {
        assert!(lines.text().is_empty(), "half a record was left behind");
    }
}
