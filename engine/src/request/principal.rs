//! Who asks (semantics.md P-1): the kinds of principal a request can name.

use crate::arn::{Arn, is_account};
use crate::word::has_wildcard;

/// The principal of a request, borrowed from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Principal<'a> {
    Root {
        account: &'a str,
    },
    User {
        account: &'a str,
        arn: &'a str,
    },
    /// A session of a role; the path is not in the ARN (P-2).
    RoleSession {
        account: &'a str,
        partition: &'a str,
        role_name: &'a str,
        name: &'a str,
        arn: &'a str,
    },
    /// The role itself: any session of it (P-14).
    Role {
        account: &'a str,
        arn: &'a str,
    },
    FederatedUser {
        account: &'a str,
        partition: &'a str,
        name: &'a str,
        arn: &'a str,
    },
    Service(&'a str),
    Anonymous,
    /// An unsigned call with a token of this provider (T-20).
    Provider {
        name: &'a str,
        saml: bool,
    },
}

/// The built-in identity providers (G-36).
const BUILT_IN_PROVIDERS: [&str; 4] =
    ["cognito-identity.amazonaws.com", "www.amazon.com", "graph.facebook.com", "accounts.google.com"];

impl<'a> Principal<'a> {
    /// Reads a principal; `action` decides whether a built-in provider's name is a provider or a service.
    pub(crate) fn parse(text: &'a str, action: &str) -> Result<Self, &'static str> {
        if let Some(usual) = Self::parse_usual(text) {
            return Ok(usual);
        }
        if text == "anonymous" {
            return Ok(Self::Anonymous);
        }
        if text.starts_with("arn:") {
            return Self::parse_arn(text);
        }
        if BUILT_IN_PROVIDERS.contains(&text) && action.eq_ignore_ascii_case("sts:AssumeRoleWithWebIdentity")
        {
            return Ok(Self::Provider { name: text, saml: false });
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        if text.contains('.') && text.split('.').all(label) {
            return Ok(Self::Service(text));
        }
        Err(
            "must be the ARN of a user, role session, role, federated user, account root or identity provider, \
             a service name such as `ec2.amazonaws.com`, or `anonymous`",
        )
    }

    /// The forms that nearly all requests have, without taking the ARN apart; `None` for any other.
    fn parse_usual(text: &'a str) -> Option<Self> {
        let (rest, is_sts) = match text.strip_prefix("arn:aws:iam::") {
            Some(rest) => (rest, false),
            None => (text.strip_prefix("arn:aws:sts::")?, true),
        };
        let (account, rest) = rest.split_at_checked(12)?;
        if !is_account(account) {
            return None;
        }
        if !is_sts {
            let name = rest.strip_prefix(":user/")?;
            let is_fine = !name.is_empty() && !name.ends_with('/') && !has_wildcard(text);
            return is_fine.then_some(Self::User { account, arn: text });
        }
        let rest = rest.strip_prefix(":assumed-role/")?;
        let slash = memchr::memchr(b'/', rest.as_bytes())?;
        let (role_name, name) = (rest.get(..slash)?, rest.get(slash + 1..)?);
        let is_fine = !role_name.is_empty() && !name.is_empty() && !name.contains('/');
        let partition = "aws";
        is_fine.then_some(Self::RoleSession { account, partition, role_name, name, arn: text })
    }

    fn parse_arn(text: &'a str) -> Result<Self, &'static str> {
        let arn = Arn::parse(text).ok_or("is not an ARN of six components")?;
        if !is_account(arn.account) {
            return Err("must name an account of 12 digits");
        }
        let account = arn.account;
        let slash = memchr::memchr(b'/', arn.resource.as_bytes());
        let parts = slash.and_then(|at| Some((arn.resource.get(..at)?, arn.resource.get(at + 1..)?)));
        let (kind, rest) = parts.unwrap_or((arn.resource, ""));
        if matches!(kind, "user" | "role") && has_wildcard(text) {
            return Err("must name one principal, without wildcards");
        }
        let is_named = || !rest.is_empty() && !rest.ends_with('/');
        match (arn.service, kind) {
            ("iam", "root") if rest.is_empty() => Ok(Self::Root { account }),
            ("iam", "user") if is_named() => Ok(Self::User { account, arn: text }),
            ("iam", "role") if is_named() => Ok(Self::Role { account, arn: text }),
            ("iam", "oidc-provider" | "saml-provider") if !rest.is_empty() => {
                Ok(Self::Provider { name: text, saml: kind == "saml-provider" })
            }
            ("sts", "assumed-role") => match rest.split_once('/') {
                Some((role_name, name))
                    if !role_name.is_empty() && !name.is_empty() && !name.contains('/') =>
                {
                    Ok(Self::RoleSession { account, partition: arn.partition, role_name, name, arn: text })
                }
                _ => Err(
                    "must have the form `arn:aws:sts::ACCOUNT:assumed-role/ROLE-NAME/SESSION`, without the role's path",
                ),
            },
            ("sts", "federated-user") if !rest.is_empty() => {
                Ok(Self::FederatedUser { account, partition: arn.partition, name: rest, arn: text })
            }
            ("iam", "group") => Err("is a group, and a group is never a principal"),
            _ => Err("is not the ARN of a principal"),
        }
    }

    /// The account it belongs to; services, providers and anonymous callers have none.
    pub(crate) fn account(&self) -> Option<&'a str> {
        match *self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::RoleSession { account, .. }
            | Self::Role { account, .. }
            | Self::FederatedUser { account, .. } => Some(account),
            Self::Service(_) | Self::Anonymous | Self::Provider { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_what_taking_apart_says() {
        let ends = [
            "", "x", "team/x", "x/", "/", "x*", "x?", "a/b", "a/b/c", "/b", "a/", "a//", "é/ü", "x:y", "x*/y",
        ];
        let mut usual = 0;
        for kind in
            ["iam::111111111111:user/", "sts::111111111111:assumed-role/", "sts::11111111111x:assumed-role/"]
        {
            for end in ends {
                let text = format!("arn:aws:{kind}{end}");
                if let Some(read) = Principal::parse_usual(&text) {
                    assert_eq!(Ok(read), Principal::parse_arn(&text), "{text}");
                    usual += 1;
                }
            }
        }
        assert!(usual >= 8, "only {usual} usual forms");
    }
}
