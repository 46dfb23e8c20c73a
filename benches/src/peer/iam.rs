//! iam-rs: the documents as they are, an evaluator for each principal.

use std::collections::{HashMap, HashSet};

use iam_rs::{
    Arn, Context, ContextValue, Decision, EvaluationOptions, IAMPolicy, IAMRequest, PolicyEvaluator,
    Principal, PrincipalId,
};
use portcullis_engine::{Instant, Reason};
use serde_json::json;

use crate::account::{Account, holder};
use crate::question::{Question, Value};

/// An account in iam-rs.
#[derive(Debug)]
pub struct Iam {
    evaluators: HashMap<String, PolicyEvaluator>,
}

impl Iam {
    /// Prepares the evaluators of some principals.
    ///
    /// # Errors
    /// A document that iam-rs does not take.
    pub fn new<'a>(account: &Account, principals: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let principals: HashSet<&str> = principals.map(holder).collect();
        let mut policies: HashMap<usize, IAMPolicy> = HashMap::new();
        let mut evaluators = HashMap::new();
        for principal in principals {
            let mut held = Vec::new();
            for number in account.held(principal) {
                if let Some(known) = policies.get(number) {
                    held.push(known.clone());
                    continue;
                }
                let statements = account.policies.get(*number).into_iter().flatten();
                let statements: Vec<_> = statements.map(|statement| statement.to_json()).collect();
                let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
                let policy =
                    IAMPolicy::from_json(&document).map_err(|error| format!("{document}: {error}"))?;
                held.push(policy.clone());
                policies.insert(*number, policy);
            }
            let options = EvaluationOptions { max_statements: usize::MAX, ..EvaluationOptions::default() };
            evaluators
                .insert(principal.to_owned(), PolicyEvaluator::with_policies(held).with_options(options));
        }
        Ok(Self { evaluators })
    }

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
        if holder(principal) == principal {
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
