//! The whole walk behind a decision: every applicable layer, every statement, and which part of it failed.
//!
//! The decision inside an explanation is the one `authorize` gives; this file only watches.

use std::ops::ControlFlow;

use crate::authorize::{Layers, Scope, conclude, decide};
use crate::compile::PolicySet;
use crate::compile::condition::Condition;
use crate::compile::pool::{Pool, ResourcePattern, Statement};
use crate::decision::{Decision, Explanation, Layer, LayerTrace, Reason, StatementTrace};
use crate::evaluate::{Evaluation, Part};
use crate::pattern::Pattern;
use crate::policy::Effect;
use crate::request::{Request, Value};

impl PolicySet {
    /// Answers one request and keeps the whole walk.
    #[must_use]
    pub fn explain<'a>(&'a self, request: &'a Request<'a>) -> Explanation<'a> {
        let mut evaluation = Evaluation::new(self, request);
        evaluation.find_facts();
        let layers = Layers::of(&evaluation);
        let verdict = decide(&evaluation, &layers);
        let decision = conclude(&evaluation, verdict);
        let mut traces: Vec<LayerTrace<'a>> = Vec::new();
        each_scope(&evaluation, &layers, |scope| traces.push(trace(&evaluation, scope)));
        if layers.has_session() && !traces.iter().any(|trace| trace.layer == Layer::Session) {
            let note = "the session has no policy that could allow anything".to_owned();
            traces.push(LayerTrace {
                layer: Layer::Session,
                outcome: "implicit deny",
                note,
                statements: Vec::new(),
            });
        }
        let advice = advice(&decision, &traces);
        Explanation { decision, layers: traces, advice }
    }

    /// The condition keys and variables that the applicable policies mention (SIM-6), sorted.
    #[must_use]
    pub fn context_keys<'a>(&'a self, request: &'a Request<'a>) -> Vec<String> {
        let mut evaluation = Evaluation::new(self, request);
        evaluation.find_facts();
        let layers = Layers::of(&evaluation);
        let mut keys = std::collections::BTreeMap::new();
        each_scope(&evaluation, &layers, |scope| {
            for statement in scope.statements() {
                for index in mentioned(scope.pool, statement) {
                    if let Some(key) = scope.pool.keys.get(index as usize) {
                        keys.entry(&*key.folded).or_insert_with(|| key.written.to_string());
                    }
                }
            }
        });
        keys.into_values().collect()
    }
}

/// Indexes of the keys that a statement mentions.
fn mentioned(pool: &Pool, statement: &Statement) -> Vec<u32> {
    let mut keys = Vec::new();
    let mut of_pattern = |pattern: &Pattern| {
        keys.extend(
            pattern.variables().filter_map(|at| pool.variables.get(at as usize)).map(|variable| variable.key),
        );
    };
    let resources = statement.resources.and_then(|at| pool.resources.get(at as usize));
    for entry in resources.map(|resources| pool.patterns_of(resources)).unwrap_or_default() {
        if let ResourcePattern::Arn { resource, .. } = entry {
            of_pattern(resource);
        }
    }
    let block = statement.conditions.and_then(|at| pool.conditions.get(at as usize));
    for condition in block.map(|block| &**block).unwrap_or_default() {
        condition.patterns().for_each(&mut of_pattern);
    }
    keys.extend(block.map(|block| &**block).unwrap_or_default().iter().map(|condition| condition.key));
    keys
}

fn each_scope<'a>(evaluation: &Evaluation<'a>, layers: &Layers<'a>, mut show: impl FnMut(&Scope<'_, 'a>)) {
    let _: ControlFlow<()> = layers.visit(evaluation, |scope| {
        show(&scope);
        ControlFlow::Continue(())
    });
}

fn trace<'a>(evaluation: &Evaluation<'a>, scope: &Scope<'_, 'a>) -> LayerTrace<'a> {
    let statements: Vec<_> =
        scope.statements().into_iter().map(|it| statement(evaluation, scope, it)).collect();
    let matched = |effect| statements.iter().any(|statement| statement.matched && statement.effect == effect);
    let outcome = if matched(Effect::Deny) {
        "explicit deny"
    } else if matched(Effect::Allow) {
        "allow"
    } else {
        "implicit deny"
    };
    LayerTrace { layer: scope.layer, outcome, note: scope.note.to_owned(), statements }
}

fn statement<'a>(
    evaluation: &Evaluation<'a>,
    scope: &Scope<'_, 'a>,
    statement: &'a Statement,
) -> StatementTrace<'a> {
    let named = !scope.has_principals || evaluation.class(scope.pool, statement).is_some();
    let terms = scope.terms(evaluation);
    let failing = if named { evaluation.failing_part(terms, statement) } else { Some(Part::Principal) };
    let (failed_part, detail) = match failing {
        None => ("", String::new()),
        Some(Part::Principal) => ("principal", "does not name the caller".to_owned()),
        Some(Part::Action) => ("action", format!("does not cover {}", evaluation.request.input.action)),
        Some(Part::Resource) => ("resource", format!("does not cover {}", evaluation.request.input.resource)),
        Some(Part::Condition) => ("condition", condition_detail(evaluation, scope.pool, statement)),
    };
    StatementTrace {
        statement: scope.name(statement),
        effect: statement.effect,
        matched: failing.is_none(),
        failed_part,
        detail,
    }
}

/// The first condition that does not hold, with what the request has.
fn condition_detail(evaluation: &Evaluation<'_>, pool: &Pool, statement: &Statement) -> String {
    let block = statement.conditions.and_then(|at| pool.conditions.get(at as usize));
    let failing =
        block.and_then(|block| block.iter().find(|it| !evaluation.holds(pool, it, statement.effect)));
    let Some(condition) = failing else { return String::new() };
    let Some(key) = pool.keys.get(condition.key as usize) else { return String::new() };
    let has = match evaluation.lookup(key) {
        None => "is missing".to_owned(),
        Some(Value::One(text)) => format!("is `{text}`"),
        Some(list) => {
            format!("is [{}]", list.texts().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", "))
        }
    };
    format!("{} does not hold: {} {has}", operator_name(condition), key.written)
}

fn operator_name(condition: &Condition) -> String {
    let qualifier = match condition.qualifier {
        Some(crate::condition::Qualifier::ForAllValues) => "ForAllValues:",
        Some(crate::condition::Qualifier::ForAnyValue) => "ForAnyValue:",
        None => "",
    };
    let if_exists = if condition.if_exists { "IfExists" } else { "" };
    format!("{qualifier}{}{if_exists}", condition.operator.name())
}

/// What would have to change, in sentences.
fn advice(decision: &Decision<'_>, traces: &[LayerTrace<'_>]) -> Vec<String> {
    let mut sentences = Vec::new();
    match decision.reason {
        Reason::Allowed => return sentences,
        Reason::ExplicitDeny => {
            for statement in &decision.statements {
                let name = if statement.sid.is_empty() {
                    format!("#{}", statement.index)
                } else {
                    statement.sid.to_owned()
                };
                let place = if statement.file.is_empty() {
                    String::new()
                } else {
                    format!(" ({}:{})", statement.file, statement.line)
                };
                sentences.push(format!(
                    "statement {name} of {}{place} must stop matching: no allow outweighs an explicit deny",
                    statement.policy_id
                ));
            }
        }
        Reason::EvaluationLimit => {
            sentences.push("simplify the patterns: the evaluation used up its steps".to_owned());
        }
        Reason::ImplicitDeny => {
            let layer = decision.layer.as_str();
            sentences.push(format!("a statement of the {layer} layer must allow the action on the resource"));
            let near = traces
                .iter()
                .filter(|trace| trace.layer == decision.layer)
                .flat_map(|trace| &trace.statements);
            let near = near.filter(|it| {
                it.effect == Effect::Allow && matches!(it.failed_part, "condition" | "resource")
            });
            sentences.extend(near.take(3).map(|it| {
                let name = if it.statement.sid.is_empty() {
                    format!("#{}", it.statement.index)
                } else {
                    it.statement.sid.to_owned()
                };
                format!(
                    "nearest: statement {name} of {}, whose {} {}",
                    it.statement.policy_id, it.failed_part, it.detail
                )
            }));
        }
    }
    if !decision.missing_context_keys.is_empty() {
        sentences.push(format!("the request lacks {}", decision.missing_context_keys.join(", ")));
    }
    sentences
}
