//! Every case of the corpus, over the wire.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_engine::Instant;
use portcullis_proto::v1;
use prost_types::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::sidecar::Sidecar;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Case<'a> {
    id: String,
    #[serde(borrow)]
    policies: &'a RawValue,
    request: RequestObject,
    expect: Expectation,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RequestObject {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    resource_account: String,
    #[serde(default)]
    context: BTreeMap<String, Value>,
    session: Option<SessionObject>,
    current_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
#[derive(Default)]
struct SessionObject {
    policies: Vec<Value>,
    policy_arns: Vec<String>,
    tags: BTreeMap<String, String>,
    issued_at: Option<String>,
    mfa_authenticated_at: Option<String>,
    source_identity: String,
    federated_provider: String,
    issuer: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Expectation {
    decision: String,
    reason: String,
}

fn files() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let rules = fs::read_dir(corpus.join("rules")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        rules.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    files.push(corpus.join("semantics.jsonl"));
    files.sort();
    files
}

fn time(text: &str) -> Timestamp {
    let instant = Instant::parse(text).unwrap();
    Timestamp { seconds: instant.seconds(), nanos: instant.nanos() as i32 }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn context_value(value: &Value) -> v1::ContextValue {
    use v1::context_value::Value as Sent;
    let sent = match value {
        Value::Array(values) => Sent::List(v1::TextList { values: values.iter().map(scalar).collect() }),
        Value::Bool(boolean) => Sent::Boolean(*boolean),
        Value::Number(number) => Sent::Number(number.to_string()),
        other => Sent::Text(scalar(other)),
    };
    v1::ContextValue { value: Some(sent) }
}

fn session(object: SessionObject) -> v1::Session {
    v1::Session {
        policies: object.policies.iter().map(scalar).collect(),
        policy_arns: object.policy_arns,
        tags: object.tags,
        transitive_tag_keys: Vec::new(),
        issued_at: object.issued_at.as_deref().map(time),
        mfa_authenticated_at: object.mfa_authenticated_at.as_deref().map(time),
        source_identity: object.source_identity,
        federated_provider: object.federated_provider,
        issuer: object.issuer,
    }
}

fn simulation(policies: &RawValue, request: RequestObject) -> v1::SimulateRequest {
    let current_time = request.current_time.as_deref().map(time);
    v1::SimulateRequest {
        request: Some(v1::AuthorizeRequest {
            principal: request.principal,
            action: request.action,
            resource: request.resource,
            context: request.context.iter().map(|(key, value)| (key.clone(), context_value(value))).collect(),
            resource_account: request.resource_account,
            session: request.session.map(session),
            min_generation: 0,
            detail: v1::Detail::None.into(),
        }),
        directory_json: policies.get().as_bytes().to_vec(),
        directory_mode: v1::DirectoryMode::Replace.into(),
        current_time,
    }
}

/// Every so many-th case without a clock of its own, with the text of its policies.
pub(crate) fn some_cases(step: usize) -> Vec<(String, v1::AuthorizeRequest)> {
    let mut cases = Vec::new();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.trim().is_empty()).step_by(step) {
            let Case { policies, request, .. } = serde_json::from_str(line).unwrap();
            if request.current_time.is_none() {
                let simulated = simulation(policies, request);
                cases.push((policies.get().to_owned(), simulated.request.unwrap()));
            }
        }
    }
    cases
}

#[tokio::test]
async fn every_case_has_the_expected_answer() {
    // Nothing is loaded: every case brings its own policies.
    let sidecar = Sidecar::configured(None, |_| {}).await;
    let mut client = sidecar.authorization();
    let (mut asked, mut wrong) = (0, Vec::new());
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Case { id, policies, request, expect } = serde_json::from_str(line).unwrap();
            let answered = match client.simulate(simulation(policies, request)).await {
                Ok(response) => {
                    let response = response.into_inner().response.unwrap();
                    (decision_name(response.decision()), reason_name(response.reason()))
                }
                Err(status) => (status.message().to_owned(), String::new()),
            };
            asked += 1;
            if answered != (expect.decision.clone(), expect.reason.clone()) {
                let file = file.file_name().unwrap().to_string_lossy().into_owned();
                wrong.push(format!("{file} {id}: {answered:?}, not {}, {}", expect.decision, expect.reason));
            }
        }
    }
    assert!(asked >= 145, "only {asked} cases");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}

fn decision_name(decision: v1::Decision) -> String {
    match decision {
        v1::Decision::Allow => "Allow",
        v1::Decision::Deny => "Deny",
        v1::Decision::Unspecified => "none",
    }
    .to_owned()
}

fn reason_name(reason: v1::Reason) -> String {
    match reason {
        v1::Reason::Allowed => "Allowed",
        v1::Reason::ExplicitDeny => "ExplicitDeny",
        v1::Reason::ImplicitDeny => "ImplicitDeny",
        v1::Reason::EvaluationLimit => "EvaluationLimit",
        v1::Reason::Unspecified => "none",
    }
    .to_owned()
}
