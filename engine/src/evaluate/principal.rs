//! Whom a Principal or NotPrincipal element means, and how strong the grant is (semantics.md P-6 to P-9, P-40 to P-43).

use super::Evaluation;
use crate::arn::{Arn, name_of};
use crate::compile::pool::{Pool, Statement, account_of};
use crate::policy::{Effect, PrincipalEntry};
use crate::request::Principal;

/// The strength of a resource policy's grant; a later one is stronger (P-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Through the account: delegation.
    Account,
    /// Through the role of a session or the issuer of a federated user.
    RoleLike,
    /// To the caller itself.
    Direct,
}

impl Evaluation<'_> {
    /// The strongest class in which the statement names the caller; `None` when it does not.
    pub(crate) fn class(&self, pool: &Pool, statement: &Statement) -> Option<Class> {
        // G-50: without a principal a statement of a resource policy never matches.
        let principals = pool.principals.get(statement.principals? as usize)?;
        if !principals.negated {
            return principals.entries.iter().filter_map(|entry| self.entry_class(entry)).max();
        }
        if principals.entries.contains(&PrincipalEntry::Any) {
            return None; // P-43
        }
        let excluded = match statement.effect {
            Effect::Allow => principals.entries.iter().any(|entry| self.entry_class(entry).is_some()),
            Effect::Deny => !self.has_boundary() && self.is_exempt(&principals.entries),
        };
        if excluded { None } else { Some(Class::Direct) }
    }

    /// Whether the Principal element names the caller's account, whoever else it names (P-8).
    pub(crate) fn lists_account(&self, pool: &Pool, statement: &Statement) -> bool {
        let principals = statement.principals.and_then(|at| pool.principals.get(at as usize));
        principals.is_some_and(|it| !it.negated && it.entries.iter().any(|entry| self.is_own_account(entry)))
    }

    fn has_boundary(&self) -> bool {
        self.identity.is_some_and(|identity| identity.boundary.is_some())
    }

    /// P-40: every identity of the caller must be listed.
    fn is_exempt(&self, entries: &[PrincipalEntry]) -> bool {
        let listed = |class| entries.iter().any(|entry| self.entry_class(entry) == Some(class));
        let account_listed = || entries.iter().any(|entry| self.is_own_account(entry));
        match self.request.principal {
            Principal::User { .. } => account_listed() && listed(Class::Direct),
            Principal::RoleSession { .. } | Principal::FederatedUser { .. } => {
                account_listed() && listed(Class::RoleLike) && listed(Class::Direct)
            }
            Principal::Root { .. } => account_listed(),
            Principal::Service(_) | Principal::Provider { .. } => listed(Class::Direct),
            // A bare role is a session of unknown name (P-14), which no list can hold.
            Principal::Role { .. } | Principal::Anonymous => false,
        }
    }

    fn is_own_account(&self, entry: &PrincipalEntry) -> bool {
        let PrincipalEntry::Account(text) = entry else { return false };
        let own_partition = self.request.input.principal.split(':').nth(1);
        let same_partition = !text.starts_with("arn:") || text.split(':').nth(1) == own_partition;
        same_partition
            && self.request.principal.account().is_some_and(|account| account_of(text) == Some(account))
    }

    /// The class in which one entry names the caller (the table of P-6).
    fn entry_class(&self, entry: &PrincipalEntry) -> Option<Class> {
        let principal = self.request.principal;
        let when = |matches: bool, class| matches.then_some(class);
        match entry {
            PrincipalEntry::Any => Some(Class::Direct),
            PrincipalEntry::Account(_) => {
                let class =
                    if matches!(principal, Principal::Root { .. }) { Class::Direct } else { Class::Account };
                when(self.is_own_account(entry), class)
            }
            PrincipalEntry::User(named) => match principal {
                Principal::User { arn, .. } => when(arn == named, Class::Direct),
                Principal::FederatedUser { .. } => when(self.issuer == Some(named), Class::RoleLike),
                _ => None,
            },
            PrincipalEntry::Role(named) => when(self.is_role(named), Class::RoleLike),
            PrincipalEntry::Session(named) => match principal {
                Principal::RoleSession { arn, .. } => when(arn == named, Class::Direct),
                _ => None,
            },
            PrincipalEntry::FederatedUser(named) => match principal {
                Principal::FederatedUser { arn, .. } => when(arn == named, Class::Direct),
                _ => None,
            },
            PrincipalEntry::UniqueId(named) => {
                let own = self.identity.and_then(|identity| identity.id.as_deref()) == Some(named);
                let class =
                    if matches!(principal, Principal::User { .. }) { Class::Direct } else { Class::RoleLike };
                when(own, class)
            }
            PrincipalEntry::Service(named) => when(principal == Principal::Service(named), Class::Direct),
            PrincipalEntry::Federated(named) => match principal {
                Principal::Provider { name, .. } => when(name == named, Class::Direct),
                _ => None,
            },
            // The directory has no canonical ids, and text that some services store never matches (G-34).
            PrincipalEntry::CanonicalUser(_) | PrincipalEntry::Inert(_) => None,
        }
    }

    /// Whether the caller is a session of the named role (P-7).
    fn is_role(&self, named: &str) -> bool {
        let (account, role_name) = match self.request.principal {
            Principal::RoleSession { account, role_name, .. } => (account, role_name),
            Principal::Role { arn, .. } => {
                return same_role(self.identity.map_or(arn, |role| &role.arn), named);
            }
            _ => return false,
        };
        if let Some(role) = self.identity {
            return same_role(&role.arn, named);
        }
        Arn::parse(named).is_some_and(|arn| {
            arn.account == account && name_of(arn.resource).eq_ignore_ascii_case(role_name)
        })
    }
}

/// Whether two role ARNs name the same role: everything as written, the name ignoring case (P-6).
pub(crate) fn same_role(one: &str, other: &str) -> bool {
    match (one.rsplit_once('/'), other.rsplit_once('/')) {
        (Some((path, name)), Some((other_path, other_name))) => {
            path == other_path && name.eq_ignore_ascii_case(other_name)
        }
        _ => one == other,
    }
}
