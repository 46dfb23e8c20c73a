//! iam-rs: the documents as they are, an evaluator for each principal.

use std::collections::{HashMap, HashSet};

use iam_rs::{
    Arn, Context, ContextValue, Decision, EvaluationOptions, IAMPolicy, IAMRequest, PolicyEvaluator,
    Principal, PrincipalId,
};
use portcullis_engine::{Instant, Reason};
use serde_json::{Value as Json, json};

use super::{Line, Peer};
use crate::account::{Account, holder};
use crate::question::{Question, Value};
use crate::statement::Statement;

/// An account in iam-rs.
#[derive(Debug, Default)]
pub struct Iam {
    policies: HashMap<String, IAMPolicy>,
    evaluators: HashMap<String, PolicyEvaluator>,
}

impl Iam {
    /// The question as iam-rs's request: everything from texts.
    fn request(question: &Question) -> Option<IAMRequest> {
        let mut context = Context::new();
        for (key, value) in &question.context {
            let value = match value {
                Value::Text(text) => match text.parse() {
                    Ok(number) => ContextValue::Number(number),
                    Err(_) => ContextValue::String(text.clone()),
                },
                Value::List(list) => ContextValue::StringList(list.clone()),
                Value::Bool(flag) => ContextValue::Boolean(*flag),
            };
            context.insert(key.clone(), value);
        }
        let text = |text: &str| ContextValue::String(text.to_owned());
        let (principal, account) = (&question.principal, question.principal.split(':').nth(4)?);
        if principal.contains(":user/") {
            context.insert("aws:username".to_owned(), text(principal.rsplit('/').next()?));
        }
        let owner = question.resource.split(':').nth(4).filter(|owner| !owner.is_empty()).unwrap_or(account);
        context.insert("aws:PrincipalAccount".to_owned(), text(account));
        context.insert("aws:ResourceAccount".to_owned(), text(owner));
        context.insert("aws:MultiFactorAuthPresent".to_owned(), ContextValue::Boolean(question.mfa));
        let now = Instant::new(question.now, 0).to_string();
        context.insert("aws:CurrentTime".to_owned(), ContextValue::String(now));
        let principal = Principal::Aws(PrincipalId::String(principal.clone()));
        let resource = Arn::parse(&question.resource).ok()?;
        Some(IAMRequest::new_with_context(principal, question.action.clone(), resource, context))
    }

    /// From texts to a reason; `None` when iam-rs refuses the question or fails.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Option<Reason> {
        let request = Self::request(question)?;
        let result = self.evaluators.get(holder(&question.principal))?.evaluate(&request).ok()?;
        Some(match result.decision {
            Decision::Allow => Reason::Allowed,
            Decision::Deny => Reason::ExplicitDeny,
            Decision::NotApplicable => Reason::ImplicitDeny,
        })
    }
}

impl Peer for Iam {
    fn lines(account: &Account, principals: &mut dyn Iterator<Item = &str>, line: &mut dyn FnMut(Line)) {
        let mut written: HashSet<usize> = HashSet::new();
        let principals: HashSet<&str> = principals.map(holder).collect();
        for principal in principals {
            for number in account.held(principal).iter().filter(|number| written.insert(**number)) {
                let statements = account.policies.get(*number).map_or(&[][..], Vec::as_slice);
                line(Line::Text(number.to_string(), document(statements)));
            }
            let ids = account.held(principal).iter().map(usize::to_string).collect();
            line(Line::Principal(principal.to_owned(), ids));
        }
    }

    fn add(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Text(id, text) => {
                let policy = IAMPolicy::from_json(&text).map_err(|error| format!("{text}: {error}"))?;
                self.policies.insert(id, policy);
            }
            Line::Principal(principal, ids) => {
                let held = ids.iter().filter_map(|id| self.policies.get(id)).cloned().collect();
                let options =
                    EvaluationOptions { max_statements: usize::MAX, ..EvaluationOptions::default() };
                self.evaluators.insert(principal, PolicyEvaluator::with_policies(held).with_options(options));
            }
        }
        Ok(())
    }
}

/// A document of the statements that iam-rs takes: some operators it does not know.
fn document(statements: &[Statement]) -> String {
    let document =
        |statements: Vec<Json>| json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let statements: Vec<Json> = statements.iter().map(Statement::to_json).collect();
    let whole = document(statements.clone());
    if IAMPolicy::from_json(&whole).is_ok() {
        return whole;
    }
    let taken = |json: &Json| IAMPolicy::from_json(&document(vec![json.clone()])).is_ok();
    document(statements.into_iter().filter(taken).collect())
}
