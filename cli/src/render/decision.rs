//! A decision as the answer object of the contract, and the same for people.

use std::io::Write;

use portcullis_engine::{Decision, Effect, Reason, Request, StatementRef};
use serde::Serialize;

use super::{BAD, DIM, GOOD, visible};

/// The answer object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    pub(crate) decision: &'static str,
    pub(crate) reason: String,
    pub(crate) layer: String,
    pub(crate) determining_statements: Vec<DeterminingStatement>,
    pub(crate) missing_context_keys: Vec<String>,
    pub(crate) message: String,
    pub(crate) overridden_keys: Vec<String>,
}

/// A statement that decided.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeterminingStatement {
    pub(crate) policy_id: String,
    pub(crate) sid: String,
    pub(crate) index: u32,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Answer {
    /// The engine's decision in the contract's words.
    pub(crate) fn of(decision: &Decision<'_>, request: &Request<'_>) -> Self {
        Self {
            decision: decision_word(decision.effect),
            reason: reason_word(decision.reason),
            layer: decision.layer.as_str().to_owned(),
            determining_statements: decision.statements.iter().map(DeterminingStatement::of).collect(),
            missing_context_keys: decision.missing_context_keys.iter().map(|key| (*key).to_owned()).collect(),
            message: decision.message(request),
            overridden_keys: request.overridden_keys().into_iter().map(str::to_owned).collect(),
        }
    }

    pub(crate) fn denied(&self) -> bool {
        self.decision != "Allow"
    }
}

impl DeterminingStatement {
    pub(crate) fn of(statement: &StatementRef<'_>) -> Self {
        Self {
            policy_id: statement.policy_id.to_owned(),
            sid: statement.sid.to_owned(),
            index: statement.index,
            file: statement.file.to_owned(),
            line: statement.line,
            column: statement.column,
        }
    }

    /// `ReadOrders of arn:.. (policies/a.json:3:7)`.
    pub(crate) fn phrase(&self) -> String {
        let name = if self.sid.is_empty() {
            format!("statement {}", self.index)
        } else {
            format!("statement {} `{}`", self.index, visible(&self.sid))
        };
        let place = match (self.file.as_str(), self.line) {
            ("", _) => String::new(),
            (file, 0) => format!("  {}", visible(file)),
            (file, line) => format!("  {}:{line}:{}", visible(file), self.column),
        };
        format!("{name} of {}{DIM}{place}{DIM:#}", visible(&self.policy_id))
    }
}

fn decision_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "Allow",
        Effect::Deny => "Deny",
    }
}

fn reason_word(reason: Reason) -> String {
    reason.as_str().to_owned()
}

/// The answer for people.
pub(crate) fn write_answer(out: &mut impl Write, answer: &Answer) -> anyhow::Result<()> {
    let style = if answer.denied() { BAD } else { GOOD };
    writeln!(out, "{style}{}{style:#}  {} ({} layer)", answer.decision, answer.reason, answer.layer)?;
    if !answer.message.is_empty() {
        writeln!(out, "  {}", visible(&answer.message))?;
    }
    for statement in &answer.determining_statements {
        writeln!(out, "  by {}", statement.phrase())?;
    }
    if !answer.missing_context_keys.is_empty() {
        writeln!(out, "  not in the context: {}", visible(&answer.missing_context_keys.join(", ")))?;
    }
    if !answer.overridden_keys.is_empty() {
        writeln!(out, "  overridden: {}", visible(&answer.overridden_keys.join(", ")))?;
    }
    Ok(())
}
