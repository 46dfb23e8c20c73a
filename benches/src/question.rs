//! A question to the engine that owns its texts, with the answer that is right.

use portcullis_engine::{ContextValue, Instant, OwnedKeys, PolicySet, Reason, Request, RequestInput};

/// 2026-05-06T07:08:09Z, the clock of questions that do not bring their own.
const NOW_SECONDS: i64 = 1_778_051_289;

/// A context value that owns its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text or a number.
    Text(String),
    /// A multi-valued key.
    List(Vec<String>),
    /// A boolean.
    Bool(bool),
}

/// One request and its right answer.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asks.
    pub principal: String,
    /// What for.
    pub action: String,
    /// On what.
    pub resource: String,
    /// Under which circumstances.
    pub context: Vec<(String, Value)>,
    /// The right answer.
    pub expected: Reason,
}

impl Question {
    /// The context in the form that a request borrows.
    #[must_use]
    pub fn context(&self) -> Vec<(&str, ContextValue<'_>)> {
        self.context.iter().map(|(key, value)| (key.as_str(), value.borrow())).collect()
    }

    /// What a request is parsed from.
    #[must_use]
    pub fn input<'a>(&'a self, context: &'a [(&'a str, ContextValue<'a>)]) -> RequestInput<'a> {
        RequestInput {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            resource_account: None,
            context,
            session: None,
            now: Instant::new(NOW_SECONDS, 0),
            owned_keys: OwnedKeys::Override,
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// What is wrong with the question itself.
    pub fn ask(&self, policy_set: &PolicySet) -> Result<Reason, String> {
        let context = self.context();
        let request =
            Request::parse(self.input(&context)).map_err(|violations| format!("{self:?}: {violations:?}"))?;
        Ok(policy_set.authorize(&request).reason)
    }
}

impl Value {
    fn borrow(&self) -> ContextValue<'_> {
        match self {
            Self::Text(text) => ContextValue::Text(text),
            Self::List(list) => ContextValue::List(list),
            Self::Bool(value) => ContextValue::Bool(*value),
        }
    }
}
