//! An answer from the wire. What is missing or unknown in it is a failure, never an Allow.

use anyhow::{Context as _, bail};
use portcullis_proto::v1;

use crate::render::decision::{Answer, DeterminingStatement};
use crate::render::explain::{ExplanationObject, LayerObject, StatementObject};

pub(super) fn answer(response: v1::AuthorizeResponse) -> anyhow::Result<Answer> {
    let decision = match v1::Decision::try_from(response.decision) {
        Ok(v1::Decision::Allow) => "Allow",
        Ok(v1::Decision::Deny) => "Deny",
        _ => bail!("the sidecar's answer has no decision"),
    };
    let reason = match v1::Reason::try_from(response.reason) {
        Ok(v1::Reason::Allowed) => "Allowed",
        Ok(v1::Reason::ExplicitDeny) => "ExplicitDeny",
        Ok(v1::Reason::ImplicitDeny) => "ImplicitDeny",
        Ok(v1::Reason::EvaluationLimit) => "EvaluationLimit",
        _ => bail!("the sidecar's answer has no reason"),
    };
    Ok(Answer {
        decision,
        reason: reason.to_owned(),
        layer: layer_word(response.layer),
        determining_statements: response.determining_statements.into_iter().map(statement).collect(),
        missing_context_keys: response.missing_context_keys,
        message: response.message,
        overridden_keys: Vec::new(),
    })
}

pub(super) fn explanation(mut response: v1::AuthorizeResponse) -> anyhow::Result<ExplanationObject> {
    let trace = response.trace.take().context("the sidecar's answer has no trace")?;
    let layers = trace.layers.into_iter().map(layer).collect();
    Ok(ExplanationObject { answer: answer(response)?, layers, advice: trace.advice })
}

/// `LAYER_IDENTITY` -> `identity`.
fn layer_word(layer: i32) -> String {
    let name = v1::Layer::try_from(layer).unwrap_or_default().as_str_name();
    name.trim_start_matches("LAYER_").to_ascii_lowercase()
}

fn layer(trace: v1::LayerTrace) -> LayerObject {
    let outcome = match v1::LayerOutcome::try_from(trace.outcome) {
        Ok(v1::LayerOutcome::Allow) => "allow",
        Ok(v1::LayerOutcome::ExplicitDeny) => "explicit deny",
        Ok(v1::LayerOutcome::ImplicitDeny) => "implicit deny",
        _ => "unknown",
    };
    LayerObject {
        layer: layer_word(trace.layer),
        outcome: outcome.to_owned(),
        note: trace.note,
        statements: trace.statements.into_iter().filter_map(statement_trace).collect(),
    }
}

fn statement_trace(trace: v1::StatementTrace) -> Option<StatementObject> {
    let failed_part = match v1::StatementPart::try_from(trace.failed_part) {
        Ok(v1::StatementPart::Principal) => "principal",
        Ok(v1::StatementPart::Action) => "action",
        Ok(v1::StatementPart::Resource) => "resource",
        Ok(v1::StatementPart::Condition) => "condition",
        _ => "",
    };
    Some(StatementObject {
        statement: statement(trace.statement?),
        effect: if v1::Effect::try_from(trace.effect) == Ok(v1::Effect::Allow) { "Allow" } else { "Deny" },
        matched: trace.matched,
        failed_part: failed_part.to_owned(),
        detail: trace.detail,
    })
}

fn statement(statement: v1::DeterminingStatement) -> DeterminingStatement {
    let v1::DeterminingStatement { policy_id, sid, index, file, line, column, layer: _ } = statement;
    DeterminingStatement { policy_id, sid, index, file, line, column }
}
