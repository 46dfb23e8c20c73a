//! A request from JSON: the member names of the `simulate` contract.
//!
//! Numbers keep the text they were written in, and a member given twice is an error.

use std::fmt;
use std::marker::PhantomData;

use portcullis_engine::Instant;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{RequestText, SessionText, Value};

/// One line of `simulate`: the members that mean something; others are labels.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Line<'a> {
    /// A directory object of the policy-directory format.
    #[serde(borrow, default)]
    pub(crate) policies: Option<&'a RawValue>,
    /// The request; absent when the line itself is one.
    #[serde(borrow, default)]
    pub(crate) request: Option<&'a RawValue>,
    /// What the answer should be.
    #[serde(default)]
    pub(crate) expect: Option<serde_json::Value>,
    /// A label, repeated in reports.
    #[serde(default)]
    pub(crate) id: Option<serde_json::Value>,
    /// A label, repeated in reports.
    #[serde(default)]
    pub(crate) rule: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RequestObject<'a> {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    resource_account: Option<String>,
    #[serde(borrow, default)]
    context: Option<Members<&'a RawValue>>,
    #[serde(borrow, default)]
    session: Option<SessionObject<'a>>,
    #[serde(default)]
    current_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SessionObject<'a> {
    #[serde(borrow, default)]
    policies: Vec<&'a RawValue>,
    #[serde(default)]
    policy_arns: Vec<String>,
    #[serde(default)]
    tags: Option<Members<String>>,
    #[serde(default)]
    issued_at: Option<String>,
    #[serde(default)]
    mfa_authenticated_at: Option<String>,
    #[serde(default)]
    source_identity: Option<String>,
    #[serde(default)]
    federated_provider: Option<String>,
    #[serde(default)]
    issuer: Option<String>,
}

/// The members of an object in the order of the text, each name once.
struct Members<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut names = std::collections::HashSet::new();
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("member `{name}` stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// Reads a request object; the error is one sentence.
pub(crate) fn request_of_json(text: &str) -> Result<RequestText, String> {
    if !text.trim_start().starts_with('{') {
        return Err("a request is an object".to_owned());
    }
    let object: RequestObject<'_> = serde_json::from_str(text).map_err(|error| sentence(&error))?;
    let mut context = Vec::new();
    for (key, value) in object.context.map(|members| members.0).unwrap_or_default() {
        let value =
            value_of_json(value.get()).map_err(|error| format!("`Context` member `{key}`: {error}"))?;
        context.push((key, value));
    }
    Ok(RequestText {
        principal: object.principal,
        action: object.action,
        resource: object.resource,
        resource_account: object.resource_account,
        context,
        session: object.session.map(session_of).transpose()?,
        current_time: time("CurrentTime", object.current_time)?,
    })
}

fn session_of(object: SessionObject<'_>) -> Result<SessionText, String> {
    let policies: Result<_, _> = object.policies.into_iter().map(document_text).collect();
    Ok(SessionText {
        policies: policies?,
        policy_arns: object.policy_arns,
        tags: object.tags.map(|members| members.0).unwrap_or_default(),
        issued_at: time("IssuedAt", object.issued_at)?,
        mfa_authenticated_at: time("MfaAuthenticatedAt", object.mfa_authenticated_at)?,
        source_identity: object.source_identity,
        federated_provider: object.federated_provider,
        issuer: object.issuer,
    })
}

/// A document as an object, or as a string that holds one.
fn document_text(raw: &RawValue) -> Result<String, String> {
    if raw.get().starts_with('"') {
        return serde_json::from_str(raw.get()).map_err(|error| sentence(&error));
    }
    Ok(raw.get().to_owned())
}

/// A string, number, boolean or a list of these.
pub(super) fn value_of_json(text: &str) -> Result<Value, String> {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| sentence(&error))?;
            let values: Result<_, _> = items.into_iter().map(|item| scalar_text(item.get())).collect();
            Ok(Value::List(values?))
        }
        Some(b't' | b'f') => serde_json::from_str(text).map(Value::Bool).map_err(|error| sentence(&error)),
        _ => scalar_text(text).map(Value::Text),
    }
}

fn scalar_text(text: &str) -> Result<String, String> {
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map_err(|error| sentence(&error)),
        Some(b't' | b'f' | b'-' | b'0'..=b'9') => {
            // Checks the grammar; the text itself is kept, so no digit is lost.
            let _: &RawValue = serde_json::from_str(text).map_err(|error| sentence(&error))?;
            Ok(text.to_owned())
        }
        _ => Err("a context value is a string, a number, a boolean or a list of these".to_owned()),
    }
}

fn time(member: &str, text: Option<String>) -> Result<Option<Instant>, String> {
    let Some(text) = text else { return Ok(None) };
    let instant = Instant::parse(&text);
    instant
        .map(Some)
        .ok_or_else(|| format!("`{member}` is `{text}`, which is not a time such as 2026-01-31T12:00:00Z"))
}

/// serde's message without its position, which counts within a part of the line.
pub(crate) fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_read() {
        let request = request_of_json(
            r#"{"Principal": "p", "Action": "a:B", "Resource": "*", "ResourceAccount": "111122223333",
                "Context": {"n": 12345678901234567890.10, "b": false, "l": [1e2, "x", true], "s": "t", "e": []},
                "Session": {"Policies": [{"Version": "x"}, "{}"], "PolicyArns": ["arn"], "Tags": {"t": "v"},
                            "SourceIdentity": "i", "FederatedProvider": "f", "Issuer": "u"}}"#,
        )
        .unwrap();
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).to_owned()).collect());
        assert_eq!(
            request.context,
            [
                ("n".to_owned(), Value::Text("12345678901234567890.10".to_owned())),
                ("b".to_owned(), Value::Bool(false)),
                ("l".to_owned(), list(&["1e2", "x", "true"])),
                ("s".to_owned(), Value::Text("t".to_owned())),
                ("e".to_owned(), list(&[])),
            ]
        );
        let session = request.session.unwrap();
        assert_eq!(session.policies, [r#"{"Version": "x"}"#, "{}"]);
        assert_eq!(session.tags, [("t".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn what_is_refused() {
        for (text, part) in [
            (r#"{"Action": "a:B", "Resource": "*"}"#, "missing field `Principal`"),
            (r#"{"Principal": "p", "Action": "a", "Resource": "*", "Contxt": {}}"#, "unknown field `Contxt`"),
            (
                r#"{"Principal": "p", "Action": "a", "Resource": "*", "Context": {"k": 1, "k": 2}}"#,
                "`k` stands twice",
            ),
            (
                r#"{"Principal": "p", "Action": "a", "Resource": "*", "Context": {"k": null}}"#,
                "`Context` member `k`",
            ),
            (
                r#"{"Principal": "p", "Action": "a", "Resource": "*", "Context": {"k": [[1]]}}"#,
                "`Context` member `k`",
            ),
            (r#"["p", "a", "*"]"#, "a request is an object"),
        ] {
            let error = request_of_json(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
