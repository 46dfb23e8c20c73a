//! A request from command-line flags.

use std::path::Path;

use anyhow::Context as _;
use portcullis_engine::Instant;

use super::json::value_of_json;
use super::{RequestText, SessionText, Value};
use crate::args::Question;
use crate::exit::usage;

impl RequestText {
    /// Takes the flags apart; files of session policies are read here.
    pub(crate) fn of_question(question: &Question) -> anyhow::Result<Self> {
        let mut context: Vec<(String, Value)> = Vec::with_capacity(question.context.len());
        for argument in &question.context {
            let (key, value) = context_entry(argument)?;
            if context.iter().any(|(seen, _)| *seen == key) {
                return Err(usage(format!(
                    "--context gives `{key}` twice; give several values as `{key}:=[..]`"
                )));
            }
            context.push((key, value));
        }
        Ok(Self {
            principal: question.principal.clone(),
            action: question.action.clone(),
            resource: question.resource.clone(),
            resource_account: question.resource_account.clone(),
            context,
            session: session_of(question)?,
            current_time: None,
        })
    }
}

fn session_of(question: &Question) -> anyhow::Result<Option<SessionText>> {
    let policies: anyhow::Result<_> =
        question.session_policy.iter().map(|path| read_document(path)).collect();
    let tags: anyhow::Result<_> = question.session_tag.iter().map(|argument| tag(argument)).collect();
    let session = SessionText {
        policies: policies?,
        policy_arns: question.session_policy_arn.clone(),
        tags: tags?,
        issued_at: time("--issued-at", question.issued_at.as_deref())?,
        mfa_authenticated_at: time("--mfa-authenticated-at", question.mfa_authenticated_at.as_deref())?,
        source_identity: question.source_identity.clone(),
        federated_provider: question.federated_provider.clone(),
        issuer: question.issuer.clone(),
    };
    Ok((session != SessionText::default()).then_some(session))
}

/// `key=text` or `key:=json`. A key that itself contains `=` needs `simulate`.
fn context_entry(argument: &str) -> anyhow::Result<(String, Value)> {
    let Some((key, text)) = argument.split_once('=') else {
        return Err(usage(format!("--context `{argument}` is not of the form key=value")));
    };
    let Some(key) = key.strip_suffix(':') else {
        return Ok((key.to_owned(), Value::Text(text.to_owned())));
    };
    let value = value_of_json(text).map_err(|error| usage(format!("--context `{argument}`: {error}")))?;
    Ok((key.to_owned(), value))
}

fn tag(argument: &str) -> anyhow::Result<(String, String)> {
    let pair = argument.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| usage(format!("--session-tag `{argument}` is not of the form key=value")))
}

fn time(flag: &str, text: Option<&str>) -> anyhow::Result<Option<Instant>> {
    let Some(text) = text else { return Ok(None) };
    let instant = Instant::parse(text);
    instant
        .map(Some)
        .ok_or_else(|| usage(format!("{flag} `{text}` is not a time such as 2026-01-31T12:00:00Z")))
}

fn read_document(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_entries() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (argument, key, value) in [
            ("aws:SourceIp=10.0.0.1", "aws:SourceIp", text("10.0.0.1")),
            ("k=a=b", "k", text("a=b")),
            ("k=", "k", text("")),
            ("k=[1]", "k", text("[1]")),
            ("k:=1e3", "k", text("1e3")),
            ("k:=true", "k", Value::Bool(true)),
            ("aws:TagKeys:=[\"a\", 2]", "aws:TagKeys", Value::List(vec!["a".to_owned(), "2".to_owned()])),
        ] {
            assert_eq!(context_entry(argument).unwrap(), (key.to_owned(), value), "{argument}");
        }
        assert!(context_entry("novalue").is_err());
        assert!(context_entry("k:={}").is_err());
    }
}
