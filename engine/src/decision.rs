//! What a decision says: a value that explains itself.

pub use crate::policy::Effect;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Every layer that had to allow did.
    Allowed,
    /// A matching Deny statement.
    ExplicitDeny,
    /// Nothing allowed it.
    ImplicitDeny,
    /// The request cost more steps than [`crate::limit::EVALUATION_STEPS_MAX`]; denied without a full evaluation.
    EvaluationLimit,
}

/// The policy type that decided (interfaces.md section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Layer {
    Identity,
    Resource,
    Boundary,
    Session,
    Scp,
    Rcp,
    Endpoint,
    Trust,
}

impl Layer {
    /// `identity`, `resource`, `boundary`, `session`, `scp`, `rcp`, `endpoint`, `trust`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Resource => "resource",
            Self::Boundary => "boundary",
            Self::Session => "session",
            Self::Scp => "scp",
            Self::Rcp => "rcp",
            Self::Endpoint => "endpoint",
            Self::Trust => "trust",
        }
    }
}

impl Reason {
    /// `Allowed`, `ExplicitDeny`, `ImplicitDeny`, `EvaluationLimit`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "Allowed",
            Self::ExplicitDeny => "ExplicitDeny",
            Self::ImplicitDeny => "ImplicitDeny",
            Self::EvaluationLimit => "EvaluationLimit",
        }
    }
}

/// A statement named for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementRef<'a> {
    /// ARN of the managed policy, `<entity ARN>/<policy name>` of an inline one, id of an organization policy,
    /// the resource pattern of a resource policy, the role ARN of a trust policy, `session` for session policies.
    pub policy_id: &'a str,
    /// Its Sid; empty when it has none.
    pub sid: &'a str,
    /// Position in its document, from 0.
    pub index: u32,
    /// Source file; empty for built-in and session policies.
    pub file: &'a str,
    /// Line, from 1; 0 when unknown.
    pub line: u32,
    /// Column, from 1; 0 when unknown.
    pub column: u32,
    /// The layer it was evaluated in.
    pub layer: Layer,
}

/// A user or role of the directory, named for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrincipalRef<'a> {
    /// Its ARN, with its path.
    pub arn: &'a str,
    /// Its unique id, when the directory tells one.
    pub id: Option<&'a str>,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Allow or Deny.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The policy type that decided: the one that denied, the first that did not allow, or the one that granted.
    pub layer: Layer,
    /// The statements that decided; empty for an implicit deny.
    pub statements: smallvec::SmallVec<[StatementRef<'a>; 2]>,
    /// The principal's own entry in the directory; for a session that of its role, for a federated user that of the user
    /// behind it.
    pub principal: Option<PrincipalRef<'a>>,
    /// For a deny: keys that the statements in question mention and the request lacks, as written in the policy; at
    /// most [`crate::limit::MISSING_KEYS_MAX`].
    pub missing_context_keys: smallvec::SmallVec<[&'a str; 4]>,
    /// Whether the clock was read on the way: while this is false, the same request gets the same decision at any time.
    pub depends_on_time: bool,
}

/// One layer of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTrace<'a> {
    /// Which layer; SCP and RCP appear once for each level.
    pub layer: Layer,
    /// `allow`, `explicit deny` or `implicit deny` of this layer alone.
    pub outcome: &'static str,
    /// A short remark (the organization node, the grant class), or empty.
    pub note: String,
    /// Every statement of the layer, matching or not.
    pub statements: Vec<StatementTrace<'a>>,
}

/// How one statement fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementTrace<'a> {
    /// Which.
    pub statement: StatementRef<'a>,
    /// Its effect.
    pub effect: Effect,
    /// Whether all parts matched.
    pub matched: bool,
    /// The part that failed first: `principal`, `action`, `resource`, `condition`; empty when it matched.
    pub failed_part: &'static str,
    /// More about the failing part: the condition with its operator, key and the request's value.
    pub detail: String,
}

/// The whole walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The decision, the same as [`crate::PolicySet::authorize`] gives.
    pub decision: Decision<'a>,
    /// Every applicable layer in the order of E-5.
    pub layers: Vec<LayerTrace<'a>>,
    /// What would have to change, in sentences.
    pub advice: Vec<String>,
}
