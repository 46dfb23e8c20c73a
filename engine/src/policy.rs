//! A policy document as a tree: what the text says, checked but not yet compiled.
//!
//! `parse` builds it, `validate` judges it for its policy type, `compile` consumes it. Strings stand as written.

pub mod parse;
pub(crate) mod validate;
pub mod variable;

use crate::diagnostic::Span;

/// The kind of a policy document (semantics.md G-49).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyType {
    /// Managed policy of an account or of AWS: attached as identity policy, boundary or session policy.
    Managed,
    /// Inline policy of a user, group or role.
    Inline,
    /// Policy that a resource carries.
    Resource,
    /// Trust policy of a role.
    Trust,
    /// Inline session policy.
    Session,
    /// Service control policy.
    Scp,
    /// Resource control policy.
    Rcp,
    /// VPC endpoint policy.
    Endpoint,
}

/// What a statement or a whole request yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// `Allow`.
    Allow,
    /// `Deny`.
    Deny,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the source.
    pub span: Span,
}

/// A whole policy document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Whether variables are variables (G-10): Version is 2012-10-17.
    pub variables: bool,
    /// In the order of the text.
    pub statements: Vec<Statement>,
    /// Where the document stands.
    pub span: Span,
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its `Sid`; an empty one is `None`.
    pub sid: Option<String>,
    /// Its `Effect`.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`.
    pub principal: Option<Principals>,
    /// `Action` or `NotAction`.
    pub actions: Patterns,
    /// `Resource` or `NotResource`; `None` in types that may leave it out.
    pub resources: Option<Patterns>,
    /// The condition block, flattened: one entry for each operator and key, in the order of the text.
    pub conditions: Vec<Condition>,
    /// Where the statement stands.
    pub span: Span,
}

/// An element with a negated twin.
#[derive(Debug, Clone)]
pub struct Patterns {
    /// Written as `NotAction` / `NotResource`.
    pub negated: bool,
    /// The entries as written. Never empty after validation in strict mode.
    pub entries: Vec<Spanned<String>>,
}

/// `Principal` or `NotPrincipal`.
#[derive(Debug, Clone)]
pub struct Principals {
    /// Written as `NotPrincipal`.
    pub negated: bool,
    /// All entries of all members.
    pub entries: Vec<PrincipalEntry>,
}

/// One value of a principal element (G-33 to G-37).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalEntry {
    /// `*` or `{"AWS": "*"}`.
    Any,
    /// A 12-digit account, or `arn:P:iam::ACCT:root`, which is that of its partition only; as written.
    Account(String),
    /// The full ARN of an IAM user.
    User(String),
    /// The full ARN of an IAM role.
    Role(String),
    /// The full ARN of an assumed-role session.
    Session(String),
    /// The full ARN of a federated user.
    FederatedUser(String),
    /// A unique id (`AIDA...`, `AROA...`).
    UniqueId(String),
    /// A service principal.
    Service(String),
    /// A SAML or OIDC provider.
    Federated(String),
    /// A canonical user id of S3.
    CanonicalUser(String),
    /// Text that some services store and that never matches (G-34).
    Inert(String),
}

/// One operator applied to one key.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Base operator.
    pub operator: crate::condition::Operator,
    /// `ForAllValues:` or `ForAnyValue:`.
    pub qualifier: Option<crate::condition::Qualifier>,
    /// `...IfExists`.
    pub if_exists: bool,
    /// The key as written.
    pub key: Spanned<String>,
    /// The values as text: booleans as `true`/`false`, numbers as their decimal text (G-40).
    pub values: Vec<Spanned<String>>,
}
