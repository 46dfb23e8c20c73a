//! Who a record is about, in CloudTrail's words: `userIdentity`.
//!
//! Reads the principal's text only as far as its form needs; whether it exists is nothing to a record.

use portcullis_engine::Instant;

use super::escape::{escape, string};

/// What a record says about the principal's session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SessionFacts<'b> {
    pub(super) issued_at: Option<Instant>,
    pub(super) with_mfa: bool,
    pub(super) source_identity: &'b str,
    pub(super) federated_provider: &'b str,
    pub(super) issuer: &'b str,
}

/// The principal's entry in the policy directory; empty where it has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entity<'b> {
    pub(super) id: &'b str,
    pub(super) arn: &'b str,
}

/// A principal, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who<'b> {
    Root { account: &'b str },
    User { account: &'b str, name: &'b str },
    RoleSession { partition: &'b str, account: &'b str, role: &'b str, session: &'b str },
    Role { account: &'b str, name: &'b str },
    Federated { account: &'b str, name: &'b str },
    Service,
    Provider { account: &'b str, saml: bool },
    Anonymous,
    Unknown,
}

impl<'b> Who<'b> {
    pub(super) fn of(principal: &'b str) -> Self {
        if principal == "anonymous" {
            return Self::Anonymous;
        }
        let mut parts = principal.splitn(6, ':');
        let mut part = || parts.next().unwrap_or_default();
        let (scheme, partition, service, _, account, resource) =
            (part(), part(), part(), part(), part(), part());
        if scheme != "arn" {
            return if principal.contains('.') { Self::Service } else { Self::Unknown };
        }
        let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
        let name = rest.rsplit('/').next().unwrap_or_default();
        match (service, kind) {
            ("iam", "root") => Self::Root { account },
            ("iam", "user") => Self::User { account, name },
            ("iam", "role") => Self::Role { account, name },
            ("iam", "oidc-provider" | "saml-provider") => {
                Self::Provider { account, saml: kind == "saml-provider" }
            }
            ("sts", "assumed-role") => {
                let (role, session) = rest.split_once('/').unwrap_or((rest, ""));
                Self::RoleSession { partition, account, role, session }
            }
            ("sts", "federated-user") => Self::Federated { account, name: rest },
            _ => Self::Unknown,
        }
    }

    pub(super) fn account(&self) -> &'b str {
        match *self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::RoleSession { account, .. }
            | Self::Role { account, .. }
            | Self::Federated { account, .. }
            | Self::Provider { account, .. } => account,
            Self::Service | Self::Anonymous | Self::Unknown => "",
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Root { .. } => "Root",
            Self::User { .. } => "IAMUser",
            Self::RoleSession { .. } => "AssumedRole",
            Self::Role { .. } => "Role",
            Self::Federated { .. } => "FederatedUser",
            Self::Service => "AWSService",
            Self::Provider { saml: true, .. } => "SAMLUser",
            Self::Provider { saml: false, .. } => "WebIdentityUser",
            // An unsigned call is an account without a name in CloudTrail.
            Self::Anonymous => "AWSAccount",
            Self::Unknown => "Unknown",
        }
    }
}

/// Appends the whole `userIdentity` object.
pub(super) fn render(
    out: &mut Vec<u8>,
    principal: &str,
    who: Who<'_>,
    entity: Entity<'_>,
    session: Option<&SessionFacts<'_>>,
) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(who.kind().as_bytes());
    out.push(b'"');
    principal_id(out, who, entity.id);
    match who {
        Who::Service => member(out, b",\"invokedBy\":", principal),
        Who::Anonymous => {
            out.extend_from_slice(b",\"principalId\":\"\",\"accountId\":\"ANONYMOUS_PRINCIPAL\"}");
            return;
        }
        Who::Provider { .. } => member(out, b",\"identityProvider\":", principal),
        _ => member(out, b",\"arn\":", principal),
    }
    if !who.account().is_empty() {
        member(out, b",\"accountId\":", who.account());
    }
    if let Who::User { name, .. } = who {
        member(out, b",\"userName\":", name);
    }
    session_context(out, who, entity, session);
    out.push(b'}');
}

/// The unique id where the policies tell it, else what AWS composes without one.
fn principal_id(out: &mut Vec<u8>, who: Who<'_>, id: &str) {
    match who {
        Who::RoleSession { session, .. } if !id.is_empty() => {
            out.extend_from_slice(b",\"principalId\":\"");
            escape(out, id.as_bytes());
            out.push(b':');
            escape(out, session.as_bytes());
            out.push(b'"');
        }
        Who::Federated { account, name } => {
            out.extend_from_slice(b",\"principalId\":\"");
            escape(out, account.as_bytes());
            out.push(b':');
            escape(out, name.as_bytes());
            out.push(b'"');
        }
        Who::Root { account } => member(out, b",\"principalId\":", account),
        _ if !id.is_empty() => member(out, b",\"principalId\":", id),
        _ => {}
    }
}

fn session_context(out: &mut Vec<u8>, who: Who<'_>, entity: Entity<'_>, session: Option<&SessionFacts<'_>>) {
    let of_role = matches!(who, Who::RoleSession { .. });
    if session.is_none() && !of_role {
        return;
    }
    let none = SessionFacts::default();
    let facts = session.unwrap_or(&none);
    out.extend_from_slice(b",\"sessionContext\":{");
    session_issuer(out, who, entity, facts.issuer);
    if !facts.federated_provider.is_empty() {
        member(out, b"\"webIdFederationData\":{\"federatedProvider\":", facts.federated_provider);
        out.extend_from_slice(b"},");
    }
    if !facts.source_identity.is_empty() {
        member(out, b"\"sourceIdentity\":", facts.source_identity);
        out.push(b',');
    }
    out.extend_from_slice(b"\"attributes\":{");
    if let Some(issued_at) = facts.issued_at {
        member(out, b"\"creationDate\":", &issued_at.to_string());
        out.push(b',');
    }
    out.extend_from_slice(if facts.with_mfa {
        b"\"mfaAuthenticated\":\"true\"}}"
    } else {
        b"\"mfaAuthenticated\":\"false\"}}"
    });
}

/// Whose session it is: the role, or the user that called GetFederationToken.
fn session_issuer(out: &mut Vec<u8>, who: Who<'_>, entity: Entity<'_>, issuer: &str) {
    let kind = match who {
        Who::RoleSession { .. } => "Role",
        Who::Federated { .. } => "IAMUser",
        _ => return,
    };
    out.extend_from_slice(b"\"sessionIssuer\":{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    if !entity.id.is_empty() {
        member(out, b",\"principalId\":", entity.id);
    }
    match who {
        _ if !entity.arn.is_empty() => member(out, b",\"arn\":", entity.arn),
        // The session's ARN lacks the role's path, which only the directory knows.
        Who::RoleSession { partition, account, role, .. } => {
            out.extend_from_slice(b",\"arn\":\"arn:");
            escape(out, partition.as_bytes());
            out.extend_from_slice(b":iam::");
            escape(out, account.as_bytes());
            out.extend_from_slice(b":role/");
            escape(out, role.as_bytes());
            out.push(b'"');
        }
        _ if !issuer.is_empty() => member(out, b",\"arn\":", issuer),
        _ => {}
    }
    member(out, b",\"accountId\":", who.account());
    if let Who::RoleSession { role, .. } = who {
        member(out, b",\"userName\":", role);
    }
    out.extend_from_slice(b"},");
}

/// Appends a member: its name with comma and colon as given, then the text in quotes.
pub(super) fn member(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    string(out, text.as_bytes());
}
