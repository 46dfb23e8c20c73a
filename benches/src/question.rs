//! A question to the engine that owns its texts, with the answer that is right.

use portcullis_engine::{
    ContextValue, Instant, OwnedKeys, PolicySet, Reason, Request, RequestInput, Session,
};

/// 2026-05-06T07:08:09Z, the clock of questions that do not bring their own.
pub const NOW_SECONDS: i64 = 1_778_051_289;

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

/// One request, as a caller of a live decision sends it, and its right answer.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asks.
    pub principal: String,
    /// What for.
    pub action: String,
    /// On what.
    pub resource: String,
    /// Under which circumstances; none of the keys that the engine owns, unless `owned_keys` lets them in.
    pub context: Vec<(String, Value)>,
    /// Asked with temporary credentials got with MFA; if not, with a long-term key.
    ///
    /// A key that the worlds only ever compare with `true`: whether it is `false` or missing makes no difference to them.
    /// (Temporary credentials of a user without MFA would: they may not call IAM at all.)
    pub mfa: bool,
    /// The clock, in seconds since 1970.
    pub now: i64,
    /// Whether the context may hold the engine's own keys.
    pub owned_keys: OwnedKeys,
    /// The right answer.
    pub expected: Reason,
}

/// What a request borrows beside the texts of its question.
#[derive(Debug)]
pub struct Borrowed<'a> {
    question: &'a Question,
    context: Vec<(&'a str, ContextValue<'a>)>,
}

impl Question {
    /// The question in the form that a request is parsed from.
    #[must_use]
    pub fn borrow(&self) -> Borrowed<'_> {
        let context = self.context.iter().map(|(key, value)| (key.as_str(), value.borrow())).collect();
        Borrowed { question: self, context }
    }

    /// Asks.
    ///
    /// # Errors
    /// What is wrong with the question itself.
    pub fn ask(&self, policy_set: &PolicySet) -> Result<Reason, String> {
        let borrowed = self.borrow();
        let request =
            Request::parse(borrowed.input()).map_err(|violations| format!("{self:?}: {violations:?}"))?;
        Ok(policy_set.authorize(&request).reason)
    }

    /// The vendor of the action.
    #[must_use]
    pub fn vendor(&self) -> &str {
        self.action.split(':').next().unwrap_or_default()
    }
}

impl Borrowed<'_> {
    /// What a request is parsed from.
    #[must_use]
    pub fn input(&self) -> RequestInput<'_> {
        let Question { principal, action, resource, mfa, now, owned_keys, .. } = self.question;
        let now = Instant::new(*now, 0);
        let session = Session { mfa_authenticated_at: Some(now), ..Session::default() };
        RequestInput {
            principal,
            action,
            resource,
            resource_account: None,
            context: &self.context,
            session: mfa.then_some(session),
            now,
            owned_keys: *owned_keys,
        }
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
