//! A line of `simulate`, read by the command's own reader.

use portcullis_engine::{
    ContextValue, Instant, LoadMode, OwnedKeys, PolicySetBuilder, Request, RequestInput, Session,
    SessionPolicies,
};

/// What the command line's reader fills in; its own file is compiled here, over these same shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    Bool(bool),
}

/// Temporary credentials.
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
    pub(crate) current_time: Option<Instant>,
}

#[expect(dead_code, reason = "labels of a line, which the command repeats and this does not")]
#[path = "../../../cli/src/request/json.rs"]
mod json;

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let members: String = (0..50_000).map(|at| format!("\"k{at}\":1,")).collect();
    vec![
        format!(r#"{{"Principal":"p","Action":"a:B","Resource":"*","Context":{{{members}"z":[]}}}}"#)
            .into_bytes(),
        format!(r#"{{"Request":{}1}}"#, "[".repeat(1 << 20)).into_bytes(),
        format!(r#"{{"Policies":{}}}"#, "{\"a\":".repeat(1 << 18)).into_bytes(),
        format!(
            r#"{{"Principal":"p","Action":"a:B","Resource":"*","Context":{{"k":{}}}}}"#,
            "9".repeat(1 << 20)
        )
        .into_bytes(),
    ]
}

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(line) = serde_json::from_str::<json::Line<'_>>(text) else { return };
    let request = line.request.map_or(text, |request| request.get());
    let request = match json::request_of_json(request) {
        Ok(request) => request,
        Err(sentence) => return assert!(!sentence.is_empty()),
    };
    same_context(line.request.map_or(text, |request| request.get()), &request);
    if let Some(policies) = line.policies {
        ask(policies.get(), &request);
    }
}

/// The context as a plain reading of the JSON has it.
fn same_context(text: &str, request: &RequestText) {
    let plain: serde_json::Value = match serde_json::from_str(text) {
        Ok(plain) => plain,
        // A number without room in an f64 is good all the same.
        Err(error) => return assert!(error.to_string().contains("number out of range"), "{error}"),
    };
    assert_eq!(plain["Principal"].as_str(), Some(&*request.principal));
    let members = plain["Context"].as_object();
    assert_eq!(members.map_or(0, serde_json::Map::len), request.context.len());
    for (key, value) in &request.context {
        let plain = &plain["Context"][key];
        let same = match value {
            Value::Text(text) => scalar(plain, text),
            Value::Bool(value) => plain.as_bool() == Some(*value),
            Value::List(values) => {
                let plain = plain.as_array().map(Vec::as_slice).unwrap_or_default();
                plain.len() == values.len()
                    && plain.iter().zip(values).all(|(plain, text)| scalar(plain, text))
            }
        };
        assert!(same, "{key}: {value:?} of {plain}");
    }
}

fn scalar(plain: &serde_json::Value, text: &str) -> bool {
    match plain {
        serde_json::Value::String(plain) => plain == text,
        serde_json::Value::Bool(plain) => text.parse() == Ok(*plain),
        serde_json::Value::Number(_) => text.parse::<f64>().is_ok(),
        _ => false,
    }
}

fn ask(policies: &str, asked: &RequestText) {
    let mut builder = PolicySetBuilder::new(LoadMode::Lenient);
    builder.add("Policies", policies.as_bytes().to_vec());
    let Some(set) = builder.finish().policy_set else { return };
    let context: Vec<_> = asked.context.iter().map(|(key, value)| (key.as_str(), lend(value))).collect();
    let documents = asked.session.as_ref().map(|session| session.policies.as_slice()).unwrap_or_default();
    let Ok(compiled) = SessionPolicies::compile(documents, LoadMode::Lenient) else { return };
    let tags: Vec<_> = asked
        .session
        .iter()
        .flat_map(|it| &it.tags)
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let session = asked.session.as_ref().map(|session| Session {
        policies: (!documents.is_empty()).then_some(&compiled),
        policy_arns: &session.policy_arns,
        tags: &tags,
        issued_at: session.issued_at,
        mfa_authenticated_at: session.mfa_authenticated_at,
        source_identity: session.source_identity.as_deref(),
        federated_provider: session.federated_provider.as_deref(),
        issuer: session.issuer.as_deref(),
    });
    let input = RequestInput {
        principal: &asked.principal,
        action: &asked.action,
        resource: &asked.resource,
        resource_account: asked.resource_account.as_deref(),
        context: &context,
        session,
        now: asked.current_time.unwrap_or(Instant::new(1_770_000_000, 0)),
        owned_keys: OwnedKeys::Override,
    };
    if let Ok(request) = Request::parse(input) {
        crate::request::answered(&set, &request);
    }
}

fn lend(value: &Value) -> ContextValue<'_> {
    match value {
        Value::Text(text) => ContextValue::Text(text),
        Value::List(list) => ContextValue::List(list),
        Value::Bool(value) => ContextValue::Bool(*value),
    }
}
