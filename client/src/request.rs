//! A question in the caller's terms.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// The value of a context key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One text.
    Text(String),
    /// A multi-valued key, even with one value or none.
    List(Vec<String>),
    /// A boolean.
    Bool(bool),
    /// A number as its decimal text.
    Number(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Bool(boolean)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<Vec<String>> for Value {
    fn from(values: Vec<String>) -> Self {
        Self::List(values)
    }
}

/// What is known about temporary credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// Inline session policy documents.
    pub policies: Vec<String>,
    /// Managed policies used as session policies.
    pub policy_arns: Vec<String>,
    /// Session tags.
    pub tags: BTreeMap<String, String>,
    /// Keys of the tags that pass on to the next role.
    pub transitive_tag_keys: Vec<String>,
    /// When the credentials were issued.
    pub issued_at: Option<SystemTime>,
    /// When the caller authenticated with MFA.
    pub mfa_authenticated_at: Option<SystemTime>,
    /// Source identity.
    pub source_identity: Option<String>,
    /// Identity provider.
    pub federated_provider: Option<String>,
    /// ARN of the user that called GetFederationToken.
    pub issuer: Option<String>,
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// ARN, service name or `anonymous`.
    pub principal: String,
    /// `vendor:Name`.
    pub action: String,
    /// ARN or `*`.
    pub resource: String,
    /// Condition keys and their values.
    pub context: BTreeMap<String, Value>,
    /// Owner of the resource, when its ARN does not say.
    pub resource_account: Option<String>,
    /// Temporary credentials.
    pub session: Option<Session>,
    /// Refuse an answer from a policy set older than this.
    pub min_generation: u64,
    /// Ask for the determining statements as well.
    pub with_statements: bool,
}

impl Request {
    /// A question without context.
    #[must_use]
    pub fn new(principal: impl Into<String>, action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self {
            principal: principal.into(),
            action: action.into(),
            resource: resource.into(),
            context: BTreeMap::new(),
            resource_account: None,
            session: None,
            min_generation: 0,
            with_statements: false,
        }
    }

    /// With one more context key.
    #[must_use]
    pub fn context(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.context.insert(key.into(), value.into());
        self
    }

    /// About a resource of this account.
    #[must_use]
    pub fn resource_account(mut self, account: impl Into<String>) -> Self {
        self.resource_account = Some(account.into());
        self
    }

    /// With temporary credentials.
    #[must_use]
    pub fn session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// Answered from this generation or a later one.
    #[must_use]
    pub fn min_generation(mut self, generation: u64) -> Self {
        self.min_generation = generation;
        self
    }

    /// With the determining statements in the answer.
    #[must_use]
    pub fn with_statements(mut self) -> Self {
        self.with_statements = true;
        self
    }
}
