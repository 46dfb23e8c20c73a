//! The condition keys the engine knows: type, valuedness and owner (semantics.md section 5).

use crate::word::equals_folded;

/// How a key's value reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are IAM's own")]
pub enum KeyType {
    String,
    Arn,
    Bool,
    Date,
    Numeric,
    Ip,
}

/// What is known about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFacts {
    /// How its value reads.
    pub kind: KeyType,
    /// Whether it holds a list (C-17).
    pub multi_valued: bool,
    /// Whether only the engine may set it (K-1).
    pub engine_owned: bool,
}

const fn facts_of(kind: KeyType, multi_valued: bool, engine_owned: bool) -> KeyFacts {
    KeyFacts { kind, multi_valued, engine_owned }
}

const CALLER: bool = false;
const ENGINE: bool = true;
const ONE: bool = false;
const MANY: bool = true;

/// Folded names with their facts; tag keys and provider keys are in [`facts`].
static TABLE: [(&str, KeyFacts); 57] = [
    ("aws:principalarn", facts_of(KeyType::Arn, ONE, ENGINE)),
    ("aws:principalaccount", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:principalorgid", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:principalorgpaths", facts_of(KeyType::String, MANY, ENGINE)),
    ("aws:principalisawsservice", facts_of(KeyType::Bool, ONE, ENGINE)),
    ("aws:principalservicename", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:principalservicenameslist", facts_of(KeyType::String, MANY, ENGINE)),
    ("aws:principaltype", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:userid", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:username", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:tokenissuetime", facts_of(KeyType::Date, ONE, ENGINE)),
    ("aws:multifactorauthpresent", facts_of(KeyType::Bool, ONE, ENGINE)),
    ("aws:multifactorauthage", facts_of(KeyType::Numeric, ONE, ENGINE)),
    ("aws:sourceidentity", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:federatedprovider", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:currenttime", facts_of(KeyType::Date, ONE, ENGINE)),
    ("aws:epochtime", facts_of(KeyType::Date, ONE, ENGINE)),
    ("aws:resourceaccount", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:resourceorgid", facts_of(KeyType::String, ONE, ENGINE)),
    ("aws:resourceorgpaths", facts_of(KeyType::String, MANY, ENGINE)),
    ("aws:assumedroot", facts_of(KeyType::Bool, ONE, ENGINE)),
    ("aws:chatbotsourcearn", facts_of(KeyType::Arn, ONE, CALLER)),
    ("aws:ec2instancesourcevpc", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:ec2instancesourceprivateipv4", facts_of(KeyType::Ip, ONE, CALLER)),
    ("ec2:roledelivery", facts_of(KeyType::Numeric, ONE, CALLER)),
    ("ec2:sourceinstancearn", facts_of(KeyType::Arn, ONE, CALLER)),
    ("lambda:sourcefunctionarn", facts_of(KeyType::Arn, ONE, CALLER)),
    ("ssm:sourceinstancearn", facts_of(KeyType::Arn, ONE, CALLER)),
    ("aws:sourceip", facts_of(KeyType::Ip, ONE, CALLER)),
    ("aws:sourcevpc", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:sourcevpcarn", facts_of(KeyType::Arn, ONE, CALLER)),
    ("aws:sourcevpce", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:vpcsourceip", facts_of(KeyType::Ip, ONE, CALLER)),
    ("aws:vpceaccount", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:vpceorgid", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:vpceorgpaths", facts_of(KeyType::String, MANY, CALLER)),
    ("aws:securetransport", facts_of(KeyType::Bool, ONE, CALLER)),
    ("aws:requestedregion", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:useragent", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:referer", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:tagkeys", facts_of(KeyType::String, MANY, CALLER)),
    ("aws:calledvia", facts_of(KeyType::String, MANY, CALLER)),
    ("aws:calledviafirst", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:calledvialast", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:viaawsservice", facts_of(KeyType::Bool, ONE, CALLER)),
    ("aws:sourcearn", facts_of(KeyType::Arn, ONE, CALLER)),
    ("aws:sourceaccount", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:sourceorgid", facts_of(KeyType::String, ONE, CALLER)),
    ("aws:sourceorgpaths", facts_of(KeyType::String, MANY, CALLER)),
    ("sts:externalid", facts_of(KeyType::String, ONE, CALLER)),
    ("sts:rolesessionname", facts_of(KeyType::String, ONE, CALLER)),
    ("sts:sourceidentity", facts_of(KeyType::String, ONE, CALLER)),
    ("sts:transitivetagkeys", facts_of(KeyType::String, MANY, CALLER)),
    ("sts:requestcontextproviders", facts_of(KeyType::Arn, MANY, CALLER)),
    ("sts:durationseconds", facts_of(KeyType::Numeric, ONE, CALLER)),
    ("saml:cn", facts_of(KeyType::String, MANY, CALLER)),
    ("saml:edupersonaffiliation", facts_of(KeyType::String, MANY, CALLER)),
];

/// Places in [`HEADS`].
const SLOTS: usize = 256;
const NONE: u8 = u8::MAX;

/// Rows of [`TABLE`] by length and last letter, which tells nearly all names apart: every key of every request is
/// looked up. The first row of each slot, and the row after each row.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse")]
const CHAINS: ([u8; SLOTS], [u8; TABLE.len()]) = {
    let (mut heads, mut next) = ([NONE; SLOTS], [NONE; TABLE.len()]);
    let mut row = 0;
    while row < TABLE.len() {
        let slot = slot(TABLE[row].0);
        next[row] = heads[slot];
        heads[slot] = row as u8;
        row += 1;
    }
    (heads, next)
};
static HEADS: [u8; SLOTS] = CHAINS.0;
static NEXT: [u8; TABLE.len()] = CHAINS.1;

const fn slot(key: &str) -> usize {
    match key.as_bytes().last() {
        Some(last) => (key.len() * 8 + last.to_ascii_lowercase() as usize) % SLOTS,
        None => 0,
    }
}

/// The row of [`TABLE`] for a key in whatever case.
fn row(key: &str) -> Option<KeyFacts> {
    let mut at = HEADS.get(slot(key)).copied()?;
    while let Some((name, facts)) = TABLE.get(usize::from(at)) {
        if equals_folded(key, name) {
            return Some(*facts);
        }
        at = NEXT.get(usize::from(at)).copied()?;
    }
    None
}

/// What the engine knows about a key, in whatever case; `None` for keys of services and of users.
#[must_use]
pub fn facts(key: &str) -> Option<KeyFacts> {
    if let Some(facts) = row(key) {
        return Some(facts);
    }
    let starts = |prefix: &str| key.get(..prefix.len()).is_some_and(|start| equals_folded(start, prefix));
    if starts("aws:") {
        if starts("aws:principaltag/") {
            return Some(facts_of(KeyType::String, ONE, ENGINE));
        }
        if starts("aws:resourcetag/") || starts("aws:requesttag/") {
            return Some(facts_of(KeyType::String, ONE, CALLER));
        }
    }
    // The `amr` claim of an OIDC provider is a list (K-11).
    let end = key.len().checked_sub(4).and_then(|at| key.get(at..));
    end.filter(|end| equals_folded(end, ":amr")).map(|_| facts_of(KeyType::String, MANY, CALLER))
}

/// Where the value of a key comes from when the engine derives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Derived {
    PrincipalArn,
    PrincipalAccount,
    PrincipalOrgId,
    PrincipalOrgPaths,
    PrincipalIsAwsService,
    PrincipalServiceName,
    PrincipalServiceNames,
    PrincipalType,
    UserId,
    UserName,
    TokenIssueTime,
    MfaPresent,
    MfaAge,
    SourceIdentity,
    FederatedProvider,
    CurrentTime,
    EpochTime,
    ResourceAccount,
    ResourceOrgId,
    ResourceOrgPaths,
    ViaAwsService,
    /// Folded tag key.
    PrincipalTag(Box<str>),
    /// Folded tag key.
    ResourceTag(Box<str>),
    /// The caller supplies it.
    No,
}

impl Derived {
    pub(crate) fn of(folded: &str) -> Self {
        if let Some(tag) = folded.strip_prefix("aws:principaltag/") {
            return Self::PrincipalTag(tag.into());
        }
        let tag = folded.strip_prefix("aws:resourcetag/").or_else(|| folded.strip_prefix("iam:resourcetag/"));
        if let Some(tag) = tag {
            return Self::ResourceTag(tag.into());
        }
        match folded {
            "aws:principalarn" => Self::PrincipalArn,
            "aws:principalaccount" => Self::PrincipalAccount,
            "aws:principalorgid" => Self::PrincipalOrgId,
            "aws:principalorgpaths" => Self::PrincipalOrgPaths,
            "aws:principalisawsservice" => Self::PrincipalIsAwsService,
            "aws:principalservicename" => Self::PrincipalServiceName,
            "aws:principalservicenameslist" => Self::PrincipalServiceNames,
            "aws:principaltype" => Self::PrincipalType,
            "aws:userid" => Self::UserId,
            "aws:username" => Self::UserName,
            "aws:tokenissuetime" => Self::TokenIssueTime,
            "aws:multifactorauthpresent" => Self::MfaPresent,
            "aws:multifactorauthage" => Self::MfaAge,
            "aws:sourceidentity" => Self::SourceIdentity,
            "aws:federatedprovider" => Self::FederatedProvider,
            "aws:currenttime" => Self::CurrentTime,
            "aws:epochtime" => Self::EpochTime,
            "aws:resourceaccount" => Self::ResourceAccount,
            "aws:resourceorgid" => Self::ResourceOrgId,
            "aws:resourceorgpaths" => Self::ResourceOrgPaths,
            "aws:viaawsservice" => Self::ViaAwsService,
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_caller_sends_what_tells_who_asks() {
        let names = [
            "aws:PrincipalArn",
            "aws:PrincipalOrgPaths",
            "aws:PrincipalTag/team",
            "aws:userid",
            "aws:MultiFactorAuthAge",
            "aws:FederatedProvider",
            "aws:AssumedRoot",
            "aws:EpochTime",
            "aws:ResourceOrgID",
        ];
        for name in names {
            assert!(facts(name).is_some_and(|facts| facts.engine_owned), "{name}");
        }
    }
}
