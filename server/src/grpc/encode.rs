//! Decisions, diagnostics and status -> wire messages.
//!
//! Invariant: engine values are matched without a catch-all where they are enums, so that a new one is given a wire
//! value before it is sent.

pub(crate) mod bytes;

use std::time::SystemTime;

use portcullis_engine as engine;
use portcullis_engine::{
    Decision, Explanation, Layer, LayerTrace, Reason, Request, StatementRef, StatementTrace,
};
use portcullis_proto::v1;
use portcullis_question::{Detail, since_epoch};

use super::authorization::{Answered, Verdict};
use super::request_id::RequestId;

/// Which policy set answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stamp {
    pub(crate) revision: String,
    pub(crate) generation: u64,
}

/// The message of one answer.
pub(crate) fn answer(answered: &Answered<'_>) -> v1::AuthorizeResponse {
    let Answered { request, verdict, detail, stamp, request_id, .. } = answered;
    match verdict {
        Verdict::Plain(decision) => response(decision, request, *detail, stamp, *request_id),
        Verdict::Explained(explanation) => traced(explanation, request, stamp, *request_id),
    }
}

/// The answer to one question.
pub(crate) fn response(
    decision: &Decision<'_>,
    request: &Request<'_>,
    detail: Detail,
    stamp: &Stamp,
    request_id: RequestId,
) -> v1::AuthorizeResponse {
    let determining_statements = match detail {
        Detail::None => Vec::new(),
        Detail::Statements | Detail::Trace => decision.statements.iter().map(statement).collect(),
    };
    v1::AuthorizeResponse {
        decision: self::decision(decision.effect).into(),
        reason: reason(decision.reason).into(),
        layer: layer(decision.layer).into(),
        message: decision.message(request),
        determining_statements,
        missing_context_keys: decision.missing_context_keys.iter().map(|&key| key.to_owned()).collect(),
        trace: None,
        revision: stamp.revision.clone(),
        generation: stamp.generation,
        request_id: request_id.to_string(),
        depends_on_time: decision.depends_on_time,
    }
}

/// The answer to one question with the walk behind it.
pub(crate) fn traced(
    explanation: &Explanation<'_>,
    request: &Request<'_>,
    stamp: &Stamp,
    request_id: RequestId,
) -> v1::AuthorizeResponse {
    let Explanation { decision, layers, advice } = explanation;
    let trace = v1::Trace { layers: layers.iter().map(layer_trace).collect(), advice: advice.clone() };
    v1::AuthorizeResponse {
        trace: Some(trace),
        ..response(decision, request, Detail::Trace, stamp, request_id)
    }
}

/// One finding.
pub(crate) fn diagnostic(diagnostic: &engine::Diagnostic) -> v1::Diagnostic {
    let engine::Diagnostic { code, severity, file, position, help, .. } = diagnostic;
    v1::Diagnostic {
        code: code.as_str().to_owned(),
        severity: match severity {
            engine::Severity::Note => v1::Severity::Note,
            engine::Severity::Warning => v1::Severity::Warning,
            engine::Severity::Error => v1::Severity::Error,
        }
        .into(),
        file: file.clone(),
        line: position.line,
        column: position.column,
        message: diagnostic.message_with_places(),
        help: help.clone().unwrap_or_default(),
    }
}

/// A wall-clock time.
pub(crate) fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    let (seconds, nanos) = since_epoch(time);
    prost_types::Timestamp { seconds, nanos: nanos as i32 }
}

fn decision(effect: engine::Effect) -> v1::Decision {
    match effect {
        engine::Effect::Allow => v1::Decision::Allow,
        engine::Effect::Deny => v1::Decision::Deny,
    }
}

fn reason(reason: Reason) -> v1::Reason {
    match reason {
        Reason::Allowed => v1::Reason::Allowed,
        Reason::ExplicitDeny => v1::Reason::ExplicitDeny,
        Reason::ImplicitDeny => v1::Reason::ImplicitDeny,
        Reason::EvaluationLimit => v1::Reason::EvaluationLimit,
    }
}

fn layer(layer: Layer) -> v1::Layer {
    match layer {
        Layer::Identity => v1::Layer::Identity,
        Layer::Resource => v1::Layer::Resource,
        Layer::Boundary => v1::Layer::Boundary,
        Layer::Session => v1::Layer::Session,
        Layer::Scp => v1::Layer::Scp,
        Layer::Rcp => v1::Layer::Rcp,
        Layer::Endpoint => v1::Layer::Endpoint,
        Layer::Trust => v1::Layer::Trust,
    }
}

fn statement(statement: &StatementRef<'_>) -> v1::DeterminingStatement {
    let StatementRef { policy_id, sid, index, file, line, column, layer: found_in } = *statement;
    v1::DeterminingStatement {
        policy_id: policy_id.to_owned(),
        sid: sid.to_owned(),
        index,
        file: file.to_owned(),
        line,
        column,
        layer: layer(found_in).into(),
    }
}

fn layer_trace(trace: &LayerTrace<'_>) -> v1::LayerTrace {
    let LayerTrace { layer: which, outcome, note, statements } = trace;
    v1::LayerTrace {
        layer: layer(*which).into(),
        outcome: match *outcome {
            "allow" => v1::LayerOutcome::Allow,
            "explicit deny" => v1::LayerOutcome::ExplicitDeny,
            "implicit deny" => v1::LayerOutcome::ImplicitDeny,
            _ => v1::LayerOutcome::Unspecified,
        }
        .into(),
        note: note.clone(),
        statements: statements.iter().map(statement_trace).collect(),
    }
}

fn statement_trace(trace: &StatementTrace<'_>) -> v1::StatementTrace {
    let StatementTrace { statement: which, effect, matched, failed_part, detail } = trace;
    v1::StatementTrace {
        statement: Some(statement(which)),
        effect: match effect {
            engine::Effect::Allow => v1::Effect::Allow,
            engine::Effect::Deny => v1::Effect::Deny,
        }
        .into(),
        matched: *matched,
        failed_part: match *failed_part {
            "principal" => v1::StatementPart::Principal,
            "action" => v1::StatementPart::Action,
            "resource" => v1::StatementPart::Resource,
            "condition" => v1::StatementPart::Condition,
            _ => v1::StatementPart::Unspecified,
        }
        .into(),
        detail: detail.clone(),
    }
}
