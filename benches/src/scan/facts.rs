//! What a request says, by folded key: its context and what follows from who asks, on what and when.

use portcullis_engine::Reason;

use crate::account::holder;
use crate::question::{Question, Value};

/// A value as an operator sees it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fact<'a> {
    One(&'a str),
    Many(&'a [String]),
    Seconds(i64),
}

/// All keys of a request.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    keys: Vec<(String, Fact<'a>)>,
    /// The ARN of the role whose session asks, as the worlds name roles: without a path.
    role: String,
}

impl<'a> Facts<'a> {
    /// Derived keys come last, so that a context that may hold them goes first.
    pub(super) fn new(question: &'a Question) -> Self {
        debug_assert_ne!(question.expected, Reason::EvaluationLimit);
        let text = |flag: bool| if flag { "true" } else { "false" };
        let mut keys: Vec<(String, Fact<'a>)> = Vec::with_capacity(question.context.len() + 6);
        for (key, value) in &question.context {
            let fact = match value {
                Value::Text(text) => Fact::One(text),
                Value::List(list) if list.is_empty() => continue,
                Value::List(list) => Fact::Many(list),
                Value::Bool(flag) => Fact::One(text(*flag)),
            };
            keys.push((key.to_ascii_lowercase(), fact));
        }
        let principal = question.principal.as_str();
        let account = principal.split(':').nth(4).unwrap_or_default();
        let mut role = String::new();
        let mut derive = |key: &str, fact| keys.push((key.to_owned(), fact));
        if question.mfa {
            derive("aws:multifactorauthpresent", Fact::One("true"));
        }
        derive("aws:currenttime", Fact::Seconds(question.now));
        derive("aws:epochtime", Fact::Seconds(question.now));
        derive("aws:principalaccount", Fact::One(account));
        if principal.contains(":user/") {
            derive("aws:username", Fact::One(principal.rsplit('/').next().unwrap_or_default()));
            derive("aws:principalarn", Fact::One(principal));
            derive("aws:principaltype", Fact::One("User"));
        } else {
            derive("aws:principaltype", Fact::One("AssumedRole"));
            let name = holder(principal).rsplit('/').next().unwrap_or_default();
            role = format!("arn:aws:iam::{account}:role/{name}");
        }
        let owner = question.resource.split(':').nth(4).filter(|owner| !owner.is_empty());
        derive("aws:resourceaccount", Fact::One(owner.unwrap_or(account)));
        derive("aws:principalisawsservice", Fact::One("false"));
        Self { keys, role }
    }

    pub(super) fn of(&self, folded: &str) -> Option<Fact<'_>> {
        let sent = self.keys.iter().find(|(key, _)| key == folded).map(|(_, fact)| *fact);
        let role = (folded == "aws:principalarn" && !self.role.is_empty()).then_some(Fact::One(&self.role));
        sent.or(role)
    }

    /// The value of a variable: a single-valued key.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        match self.of(&name.trim().to_ascii_lowercase()) {
            Some(Fact::One(text)) => Some(text),
            _ => None,
        }
    }
}
