//! The entities of one policy-directory file (interfaces.md section 1): users, groups, roles, policies, resources,
//! endpoints and the organization, as the text says, before references are resolved.

pub mod parse;

use crate::diagnostic::Span;
use crate::policy::{Document, Spanned};

/// What one file defines.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the members of the format")]
pub struct Entities {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
    pub roles: Vec<Role>,
    pub policies: Vec<ManagedPolicy>,
    pub resources: Vec<Resource>,
    pub endpoints: Vec<Endpoint>,
    pub organization: Option<Organization>,
}

/// A named policy in an entity.
#[derive(Debug)]
pub struct InlinePolicy {
    /// `PolicyName`.
    pub name: String,
    /// Its document.
    pub document: Document,
}

/// An IAM user.
#[derive(Debug)]
pub struct User {
    /// Name without path.
    pub name: String,
    /// Full ARN; its span is the entry's.
    pub arn: Spanned<String>,
    /// 12 digits.
    pub account: String,
    /// `AIDA...`, when given.
    pub id: Option<String>,
    /// Group names.
    pub groups: Vec<Spanned<String>>,
    /// Inline policies.
    pub inline: Vec<InlinePolicy>,
    /// ARNs of attached managed policies.
    pub attached: Vec<Spanned<String>>,
    /// ARN of the boundary.
    pub boundary: Option<Spanned<String>>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
}

/// An IAM group.
#[derive(Debug)]
pub struct Group {
    /// Name without path.
    pub name: String,
    /// Full ARN.
    pub arn: Spanned<String>,
    /// 12 digits.
    pub account: String,
    /// Inline policies.
    pub inline: Vec<InlinePolicy>,
    /// ARNs of attached managed policies.
    pub attached: Vec<Spanned<String>>,
}

/// An IAM role.
#[derive(Debug)]
pub struct Role {
    /// Name without path.
    pub name: String,
    /// Full ARN.
    pub arn: Spanned<String>,
    /// 12 digits.
    pub account: String,
    /// `AROA...`, when given.
    pub id: Option<String>,
    /// The trust policy; without one nobody may assume the role.
    pub trust: Option<Document>,
    /// Inline policies.
    pub inline: Vec<InlinePolicy>,
    /// ARNs of attached managed policies.
    pub attached: Vec<Spanned<String>>,
    /// ARN of the boundary.
    pub boundary: Option<Spanned<String>>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
}

/// A managed policy: its default version only (I-7).
#[derive(Debug)]
pub struct ManagedPolicy {
    /// Full ARN.
    pub arn: Spanned<String>,
    /// The document of the default version.
    pub document: Document,
}

/// An entry of `ResourceDetailList`.
#[derive(Debug)]
pub struct Resource {
    /// ARN patterns.
    pub patterns: Vec<Spanned<String>>,
    /// 12 digits, when given.
    pub owner: Option<String>,
    /// The resource policy, when it has one.
    pub policy: Option<Document>,
    /// Keys and values; `None` when the entry does not say.
    pub tags: Option<Vec<(String, String)>>,
    /// Whether only the resource policy can open the door (E-30 to E-33).
    pub delegating: bool,
    /// The entry.
    pub span: Span,
}

/// An entry of `EndpointPolicyList`.
#[derive(Debug)]
pub struct Endpoint {
    /// The value of `aws:SourceVpce`.
    pub id: Spanned<String>,
    /// Its policy.
    pub document: Document,
}

/// Which kind of organization policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrganizationPolicyType {
    /// Service control policy.
    Scp,
    /// Resource control policy.
    Rcp,
}

/// A policy of the organization.
#[derive(Debug)]
pub struct OrganizationPolicy {
    /// `p-...`.
    pub id: Spanned<String>,
    /// Display name.
    pub name: String,
    /// SCP or RCP.
    pub kind: OrganizationPolicyType,
    /// `Content`.
    pub document: Document,
}

/// The organization.
#[derive(Debug)]
pub struct Organization {
    /// `o-...`.
    pub id: String,
    /// 12 digits, when given.
    pub management_account: Option<String>,
    /// Its policies.
    pub policies: Vec<OrganizationPolicy>,
    /// Its root.
    pub root: Node,
    /// The entry.
    pub span: Span,
}

/// The root or an organizational unit; accounts are leaves.
#[derive(Debug)]
pub struct Node {
    /// `r-...`, `ou-...` or an account id.
    pub id: Spanned<String>,
    /// Attached SCP ids; `None` when the member is absent (E-14).
    pub scps: Option<Vec<Spanned<String>>>,
    /// Attached RCP ids; `None` when the member is absent.
    pub rcps: Option<Vec<Spanned<String>>>,
    /// Accounts directly below.
    pub accounts: Vec<Node>,
    /// Units directly below.
    pub units: Vec<Node>,
}
