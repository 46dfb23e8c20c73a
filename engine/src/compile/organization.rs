//! The organization as a decision needs it: for each account its path and its levels of SCPs and RCPs (E-13, E-16).

use super::Map;

/// Levels from the root to the account: name of the node and index of the view.
pub(crate) type Levels = [(Box<str>, u32)];

/// One account of the organization.
#[derive(Debug)]
pub(crate) struct OrganizationAccount {
    /// `o-ID/r-ID/ou-ID/`.
    pub(crate) path: Box<str>,
    /// `None`: no such layer (E-14).
    pub(crate) scps: Option<Box<Levels>>,
    /// The same for RCPs.
    pub(crate) rcps: Option<Box<Levels>>,
}

/// The whole organization.
#[derive(Debug)]
pub(crate) struct OrganizationIndex {
    pub(crate) id: Box<str>,
    pub(crate) management_account: Option<Box<str>>,
    pub(crate) root_path: Box<str>,
    pub(crate) accounts: Map<Box<str>, OrganizationAccount>,
}

impl OrganizationIndex {
    /// The path of an account; `None` when it is not in the organization.
    pub(crate) fn path(&self, account: &str) -> Option<&str> {
        let listed = self.accounts.get(account).map(|account| &*account.path);
        listed.or_else(|| self.is_management(account).then_some(&*self.root_path))
    }

    pub(crate) fn is_management(&self, account: &str) -> bool {
        self.management_account.as_deref() == Some(account)
    }

    /// The account, when SCPs and RCPs can apply to it: a member, not the management account (E-12, E-15).
    pub(crate) fn member(&self, account: &str) -> Option<&OrganizationAccount> {
        if self.is_management(account) { None } else { self.accounts.get(account) }
    }
}
