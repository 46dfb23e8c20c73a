//! The simulate request object (interfaces.md, section 3) as a request of the compiled engine.

use portcullis_engine::{
    ContextValue, Diagnostic, Instant, LoadMode, OwnedKeys, PolicySet, PolicySetBuilder, Request,
    RequestInput, Session, SessionPolicies, Severity,
};
use serde_json::Value;

use crate::reference::DEFAULT_CLOCK;

/// Loads a policy directory object in lenient mode, or says what is wrong with it.
pub(crate) fn load(directory: &Value) -> Result<PolicySet, Vec<Diagnostic>> {
    let mut builder = PolicySetBuilder::new(LoadMode::Lenient);
    builder.add("directory.json", directory.to_string().into_bytes());
    let loaded = builder.finish();
    let errors = loaded.diagnostics.into_iter().filter(|found| found.severity == Severity::Error).collect();
    loaded.policy_set.ok_or(errors)
}

/// A request object decoded as far as it owns its texts.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    object: &'a Value,
    context: Vec<(&'a str, Given)>,
    policies: Option<SessionPolicies>,
    policy_arns: Vec<String>,
    tags: Vec<(&'a str, &'a str)>,
    now: Instant,
}

#[derive(Debug)]
enum Given {
    Text(String),
    List(Vec<String>),
    Bool(bool),
}

impl Given {
    fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match value {
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Array(items) => Self::List(items.iter().map(text).collect()),
            other => Self::Text(text(other)),
        }
    }

    fn borrowed(&self) -> ContextValue<'_> {
        match self {
            Self::Text(text) => ContextValue::Text(text),
            Self::List(items) => ContextValue::List(items),
            Self::Bool(flag) => ContextValue::Bool(*flag),
        }
    }
}

impl<'a> Decoded<'a> {
    /// Decodes a request object; the session's own policies may fail to load.
    pub(crate) fn of(object: &'a Value) -> Result<Self, Vec<Diagnostic>> {
        let session = &object["Session"];
        let documents: Vec<String> = list(&session["Policies"]).iter().map(document_text).collect();
        let policies = if documents.is_empty() {
            None
        } else {
            Some(SessionPolicies::compile(&documents, LoadMode::Lenient)?)
        };
        let arns = list(&session["PolicyArns"]).iter();
        let tags = session["Tags"].as_object().into_iter().flatten();
        let context = object["Context"].as_object().into_iter().flatten();
        Ok(Self {
            object,
            context: context.map(|(key, value)| (key.as_str(), Given::of(value))).collect(),
            policies,
            policy_arns: arns.filter_map(Value::as_str).map(str::to_owned).collect(),
            tags: tags.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())).collect(),
            now: instant(&object["CurrentTime"]).or_else(|| Instant::parse(DEFAULT_CLOCK)).expect("a clock"),
        })
    }

    /// Calls `answer` with the request, or returns what is wrong with it, one line for each violation.
    pub(crate) fn ask<T>(&self, answer: impl FnOnce(&Request<'_>) -> T) -> Result<T, String> {
        let context: Vec<(&str, ContextValue<'_>)> =
            self.context.iter().map(|(key, value)| (*key, value.borrowed())).collect();
        let text = |member: &str| self.object[member].as_str();
        let session = &self.object["Session"];
        let input = RequestInput {
            principal: text("Principal").unwrap_or_default(),
            action: text("Action").unwrap_or_default(),
            resource: text("Resource").unwrap_or_default(),
            resource_account: text("ResourceAccount"),
            context: &context,
            session: session.is_object().then(|| Session {
                policies: self.policies.as_ref(),
                policy_arns: &self.policy_arns,
                tags: &self.tags,
                issued_at: instant(&session["IssuedAt"]),
                mfa_authenticated_at: instant(&session["MfaAuthenticatedAt"]),
                source_identity: session["SourceIdentity"].as_str(),
                federated_provider: session["FederatedProvider"].as_str(),
                issuer: session["Issuer"].as_str(),
            }),
            now: self.now,
            owned_keys: OwnedKeys::Override,
        };
        match Request::parse(input) {
            Ok(request) => Ok(answer(&request)),
            Err(violations) => Err(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn document_text(document: &Value) -> String {
    document.as_str().map_or_else(|| document.to_string(), str::to_owned)
}

fn instant(value: &Value) -> Option<Instant> {
    value.as_str().and_then(Instant::parse)
}
