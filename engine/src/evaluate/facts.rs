//! The value of a condition key in this request: sent by the caller, or derived from principal, session, clock,
//! organization and resource directory (semantics.md section 5).

use std::cell::OnceCell;
use std::fmt::{Display, Write as _};

use arrayvec::ArrayString;

use super::Evaluation;
use crate::compile::pool::Key;
use crate::compile::{seconds_between, tag};
use crate::condition::key::Derived;
use crate::condition::value::Instant;
use crate::request::{OwnedKeys, Principal, Read, Session, Target, Value};

/// Texts that are composed when first asked for.
#[derive(Debug, Default)]
pub(super) struct Texts {
    principal_arn: OnceCell<String>,
    user_id: OnceCell<String>,
    current_time: OnceCell<Moment>,
    epoch_time: OnceCell<Moment>,
    issue_time: OnceCell<Moment>,
    mfa_age: OnceCell<Moment>,
}

/// A date-time or a number of seconds, of whatever size.
type Moment = ArrayString<32>;

impl<'a> Evaluation<'a> {
    /// The value of a key; `None` when the request lacks it.
    pub(crate) fn lookup<'e>(&'e self, key: &Key) -> Option<Value<'e>> {
        self.lookup_typed(key).map(|(value, _)| value)
    }

    /// The value of a key, and what its text reads as when that is known already.
    pub(crate) fn lookup_typed<'e>(&'e self, key: &Key) -> Option<(Value<'e>, Read)> {
        let sent = || self.request.sent(&key.folded, key.multi_valued);
        let text = |value| (value, Read::Text);
        match &key.derived {
            Derived::No => sent(),
            Derived::ViaAwsService => sent().or(Some(text(Value::One("false")))),
            Derived::ResourceTag(name) => match self.resource_tags() {
                Some(tags) => tag(tags, name).map(Value::One).map(text),
                None => sent(),
            },
            derived if self.request.input.owned_keys == OwnedKeys::Override => {
                sent().or_else(|| self.derive(derived).map(text))
            }
            derived => self.derive(derived).map(text),
        }
    }

    /// The tags of the resource, when the directory knows them.
    fn resource_tags(&self) -> Option<&[(Box<str>, Box<str>)]> {
        let of_identity = self.resource_identity.map(|identity| &*identity.tags);
        of_identity.or_else(|| self.resource_entries.iter().find_map(|entry| entry.tags.as_deref()))
    }

    /// The instant that a time key means, as its text says it: to the second. Beyond the years that have four digits
    /// only the text tells.
    pub(super) fn instant(&self, key: &Key) -> Option<Instant> {
        if self.request.input.owned_keys == OwnedKeys::Override {
            return None; // perhaps sent
        }
        let instant = match key.derived {
            Derived::CurrentTime | Derived::EpochTime => self.now(),
            Derived::TokenIssueTime => self.session()?.issued_at?,
            _ => return None,
        };
        let year_10000 = 253_402_300_800;
        (0..year_10000).contains(&instant.seconds()).then(|| Instant::new(instant.seconds(), 0))
    }

    /// The one clock reading; that it was asked for is told with the decision.
    fn now(&self) -> Instant {
        self.clock_read.set(true);
        self.request.input.now
    }

    fn session(&self) -> Option<&Session<'a>> {
        self.request.input.session.as_ref()
    }

    fn derive<'e>(&'e self, derived: &Derived) -> Option<Value<'e>> {
        let principal = self.request.principal;
        let organization = self.set.organization.as_ref();
        let path_of =
            |account: Option<&str>| organization.and_then(|organization| organization.path(account?));
        match derived {
            Derived::PrincipalArn => self.principal_arn(),
            Derived::PrincipalAccount => match principal {
                Principal::Anonymous => Some(Value::One("anonymous")),
                _ => principal.account().map(Value::One),
            },
            Derived::PrincipalOrgId => path_of(principal.account())
                .and(organization)
                .map(|organization| Value::One(&organization.id)),
            Derived::PrincipalOrgPaths => path_of(principal.account()).map(Value::ListOfOne),
            Derived::PrincipalIsAwsService => match principal {
                Principal::Anonymous | Principal::Provider { .. } => None,
                Principal::Service(_) => Some(Value::One("true")),
                _ => Some(Value::One("false")),
            },
            Derived::PrincipalServiceName => match principal {
                Principal::Service(name) => Some(Value::One(name)),
                _ => None,
            },
            Derived::PrincipalServiceNames => match principal {
                Principal::Service(name) => Some(Value::ListOfOne(name)),
                _ => None,
            },
            Derived::PrincipalType => self.principal_type(),
            Derived::UserId => self.user_id(),
            Derived::UserName => match principal {
                Principal::User { arn, .. } => Some(Value::One(crate::arn::name_of(arn))),
                _ => None,
            },
            Derived::PrincipalTag(name) => self.principal_tag(name),
            Derived::ResourceAccount => self.resource_account.map(Value::One),
            Derived::ResourceOrgId => path_of(self.resource_account)
                .and(organization)
                .map(|organization| Value::One(&organization.id)),
            Derived::ResourceOrgPaths => path_of(self.resource_account).map(Value::ListOfOne),
            Derived::CurrentTime => Some(moment(&self.texts.current_time, self.now())),
            Derived::EpochTime => Some(moment(&self.texts.epoch_time, self.now().seconds())),
            Derived::TokenIssueTime => Some(moment(&self.texts.issue_time, self.session()?.issued_at?)),
            Derived::MfaPresent => self.mfa_present(),
            Derived::MfaAge => {
                let at = self.session()?.mfa_authenticated_at?;
                Some(moment(&self.texts.mfa_age, seconds_between(at, self.now())))
            }
            Derived::SourceIdentity => self.session()?.source_identity.map(Value::One),
            Derived::FederatedProvider => self.session()?.federated_provider.map(Value::One),
            Derived::ResourceTag(_) | Derived::ViaAwsService | Derived::No => None,
        }
    }

    /// K-2: the role's ARN for its sessions; composed when the directory does not know the role.
    fn principal_arn(&self) -> Option<Value<'_>> {
        match self.request.principal {
            Principal::User { arn, .. } | Principal::FederatedUser { arn, .. } => Some(Value::One(arn)),
            Principal::Role { arn, .. } => Some(Value::One(self.identity.map_or(arn, |role| &role.arn))),
            Principal::Root { .. } => Some(Value::One(self.request.input.principal)),
            Principal::RoleSession { account, partition, role_name, .. } => match self.identity {
                Some(role) => Some(Value::One(&role.arn)),
                None => Some(Value::One(
                    self.texts
                        .principal_arn
                        .get_or_init(|| format!("arn:{partition}:iam::{account}:role/{role_name}")),
                )),
            },
            Principal::Service(_) | Principal::Anonymous | Principal::Provider { .. } => None,
        }
    }

    fn principal_type(&self) -> Option<Value<'static>> {
        Some(Value::One(match self.request.principal {
            Principal::Root { .. } => "Account",
            Principal::User { .. } => "User",
            Principal::FederatedUser { .. } => "FederatedUser",
            Principal::RoleSession { .. } | Principal::Role { .. } => "AssumedRole",
            Principal::Anonymous => "Anonymous",
            Principal::Service(_) | Principal::Provider { .. } => return None,
        }))
    }

    /// K-3; absent when the directory has no unique id.
    fn user_id(&self) -> Option<Value<'_>> {
        match self.request.principal {
            Principal::Root { account } => Some(Value::One(account)),
            Principal::User { .. } => self.identity?.id.as_deref().map(Value::One),
            Principal::RoleSession { name, .. } => {
                let id = self.identity?.id.as_deref()?;
                Some(Value::One(self.texts.user_id.get_or_init(|| format!("{id}:{name}"))))
            }
            Principal::FederatedUser { account, name, .. } => {
                Some(Value::One(self.texts.user_id.get_or_init(|| format!("{account}:{name}"))))
            }
            Principal::Anonymous => Some(Value::One("anonymous")),
            Principal::Role { .. } | Principal::Service(_) | Principal::Provider { .. } => None,
        }
    }

    /// K-8: session tags override the tags of the role or of the issuing user.
    fn principal_tag(&self, folded: &str) -> Option<Value<'_>> {
        let of_session = self.session().and_then(|session| {
            let found = session.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(folded));
            found.map(|(_, value)| *value)
        });
        of_session.or_else(|| tag(&self.identity?.tags, folded)).map(Value::One)
    }

    /// K-4: absent for long-term credentials.
    fn mfa_present(&self) -> Option<Value<'static>> {
        let temporary = match self.request.principal {
            Principal::User { .. } | Principal::Root { .. } => self.session().is_some(),
            Principal::RoleSession { .. } | Principal::Role { .. } | Principal::FederatedUser { .. } => true,
            Principal::Service(_) | Principal::Anonymous | Principal::Provider { .. } => false,
        };
        let with_mfa = self.session().is_some_and(|session| session.mfa_authenticated_at.is_some());
        temporary.then_some(Value::One(if with_mfa { "true" } else { "false" }))
    }

    /// The id of the endpoint that the call came through.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        match self.request.sent("aws:sourcevpce", Some(false))? {
            (Value::One(id), _) => Some(id),
            _ => None,
        }
    }

    /// The ARN of the resource, or `*`.
    pub(crate) fn resource_text(&self) -> &str {
        match &self.request.target {
            Target::None => "*",
            Target::Arn { text, .. } => text,
        }
    }
}

/// The text of a moment, composed once.
fn moment(cell: &OnceCell<Moment>, value: impl Display) -> Value<'_> {
    Value::One(cell.get_or_init(|| {
        let mut text = Moment::new();
        // Neither the longest date nor the longest number fills it.
        let _ = write!(text, "{value}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_has_room() {
        for instant in [Instant::new(i64::MIN, 0), Instant::new(i64::MAX, 0)] {
            let cells = [OnceCell::new(), OnceCell::new()];
            assert_eq!(moment(&cells[0], instant), Value::One(&instant.to_string()));
            assert_eq!(moment(&cells[1], instant.seconds()), Value::One(&instant.seconds().to_string()));
        }
    }
}
