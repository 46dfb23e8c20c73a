//! An explanation as a tree: one branch for each layer, one twig for each statement, then the advice.

use std::io::Write;

use portcullis_engine::{Effect, Explanation, LayerTrace, StatementTrace};
use serde::Serialize;

use super::decision::{Answer, DeterminingStatement, write_answer};
use super::{BAD, DIM, GOOD, visible};

/// The answer object with the walk beside it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExplanationObject {
    #[serde(flatten)]
    pub(crate) answer: Answer,
    pub(crate) layers: Vec<LayerObject>,
    pub(crate) advice: Vec<String>,
}

/// One layer of the walk.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerObject {
    pub(crate) layer: String,
    pub(crate) outcome: String,
    pub(crate) note: String,
    pub(crate) statements: Vec<StatementObject>,
}

/// One statement of a layer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StatementObject {
    #[serde(flatten)]
    pub(crate) statement: DeterminingStatement,
    pub(crate) effect: &'static str,
    pub(crate) matched: bool,
    pub(crate) failed_part: String,
    pub(crate) detail: String,
}

impl ExplanationObject {
    pub(crate) fn of(explanation: Explanation<'_>, answer: Answer) -> Self {
        let layers = explanation.layers.iter().map(LayerObject::of).collect();
        Self { answer, layers, advice: explanation.advice }
    }
}

impl LayerObject {
    fn of(trace: &LayerTrace<'_>) -> Self {
        Self {
            layer: trace.layer.as_str().to_owned(),
            outcome: trace.outcome.to_owned(),
            note: trace.note.clone(),
            statements: trace.statements.iter().map(StatementObject::of).collect(),
        }
    }
}

impl StatementObject {
    fn of(trace: &StatementTrace<'_>) -> Self {
        Self {
            statement: DeterminingStatement::of(&trace.statement),
            effect: match trace.effect {
                Effect::Allow => "Allow",
                Effect::Deny => "Deny",
            },
            matched: trace.matched,
            failed_part: trace.failed_part.to_owned(),
            detail: trace.detail.clone(),
        }
    }
}

/// The answer, the tree, the advice.
pub(crate) fn write_explanation(out: &mut impl Write, explanation: &ExplanationObject) -> anyhow::Result<()> {
    write_answer(out, &explanation.answer)?;
    writeln!(out)?;
    for (at, layer) in explanation.layers.iter().enumerate() {
        write_layer(out, layer, at + 1 == explanation.layers.len())?;
    }
    if explanation.layers.is_empty() {
        writeln!(out, "no policy applies to this request")?;
    }
    if !explanation.advice.is_empty() {
        writeln!(out, "\nWhat would have to change:")?;
        for sentence in &explanation.advice {
            writeln!(out, "  - {}", visible(sentence))?;
        }
    }
    Ok(())
}

fn write_layer(out: &mut impl Write, layer: &LayerObject, last: bool) -> anyhow::Result<()> {
    let (fork, rail) = if last { ("└─", "   ") } else { ("├─", "│  ") };
    let style = if layer.outcome == "allow" { GOOD } else { BAD };
    let note =
        if layer.note.is_empty() { String::new() } else { format!("  {DIM}{}{DIM:#}", visible(&layer.note)) };
    writeln!(out, "{fork} {}: {style}{}{style:#}{note}", layer.layer, layer.outcome)?;
    if layer.statements.is_empty() {
        writeln!(out, "{rail}└─ {DIM}no statement{DIM:#}")?;
    }
    for (at, statement) in layer.statements.iter().enumerate() {
        write_statement(out, statement, rail, at + 1 == layer.statements.len())?;
    }
    Ok(())
}

fn write_statement(
    out: &mut impl Write,
    trace: &StatementObject,
    rail: &str,
    last: bool,
) -> anyhow::Result<()> {
    let (fork, inner) = if last { ("└─", "   ") } else { ("├─", "│  ") };
    let verdict = match (trace.matched, trace.effect) {
        (true, "Allow") => format!("{GOOD}matched{GOOD:#}"),
        (true, _) => format!("{BAD}matched{BAD:#}"),
        (false, _) => "no match".to_owned(),
    };
    writeln!(out, "{rail}{fork} {} {verdict}: {}", trace.effect, trace.statement.phrase())?;
    if trace.matched {
        return Ok(());
    }
    let detail =
        if trace.detail.is_empty() { String::new() } else { format!(": {}", visible(&trace.detail)) };
    writeln!(out, "{rail}{inner}└─ {} did not match{detail}", trace.failed_part)?;
    Ok(())
}
