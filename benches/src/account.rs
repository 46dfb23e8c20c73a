//! An account read plainly: who holds which statements. Built without the engine, so that answers and peers are
//! independent of it.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use crate::statement::Statement;

/// Statements of managed policies and who has them.
#[derive(Debug, Default)]
pub struct Account {
    /// The statements of each policy.
    pub policies: Vec<Vec<Statement>>,
    /// For each principal without its session name, the policies attached to it or to one of its groups.
    holders: HashMap<String, Vec<usize>>,
}

impl Account {
    /// Reads the files of a policy directory in the form of the account export.
    ///
    /// # Errors
    /// What is not in that form, with its file.
    pub fn read(sources: &[(String, Vec<u8>)]) -> Result<Self, String> {
        let mut entities: HashMap<&str, Vec<Json>> = HashMap::new();
        for (file, text) in sources {
            let mut file: Json = serde_json::from_slice(text).map_err(|error| format!("{file}: {error}"))?;
            for member in ["Policies", "GroupDetailList", "UserDetailList", "RoleDetailList"] {
                if let Some(Json::Array(list)) = file.get_mut(member).map(Json::take) {
                    entities.entry(member).or_default().extend(list);
                }
            }
        }
        let mut account = Self::default();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for policy in entities.remove("Policies").unwrap_or_default() {
            let arn = text(&policy, "Arn")?;
            let statements = statements(&policy).map_err(|problem| format!("{arn}: {problem}"))?;
            numbers.insert(arn, account.policies.len());
            account.policies.push(statements);
        }
        let attached = |entity: &Json| -> Result<Vec<usize>, String> {
            let list = entity.get("AttachedManagedPolicies").and_then(Json::as_array);
            list.into_iter()
                .flatten()
                .map(|policy| {
                    let arn = text(policy, "PolicyArn")?;
                    numbers.get(&arn).copied().ok_or_else(|| format!("{arn} is attached and not there"))
                })
                .collect()
        };
        let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
        for group in entities.remove("GroupDetailList").unwrap_or_default() {
            groups.insert(text(&group, "GroupName")?, attached(&group)?);
        }
        for user in entities.remove("UserDetailList").unwrap_or_default() {
            let mut policies = attached(&user)?;
            for group in user.get("GroupList").and_then(Json::as_array).into_iter().flatten() {
                policies.extend(group.as_str().and_then(|name| groups.get(name)).into_iter().flatten());
            }
            account.hold(text(&user, "Arn")?, policies);
        }
        for role in entities.remove("RoleDetailList").unwrap_or_default() {
            let (arn, name) = (text(&role, "Arn")?, text(&role, "RoleName")?);
            let number = arn.split(':').nth(4).unwrap_or_default();
            account.hold(format!("arn:aws:sts::{number}:assumed-role/{name}"), attached(&role)?);
        }
        Ok(account)
    }

    /// An account of policies and of who has which, its own first.
    #[must_use]
    pub fn new(
        policies: Vec<Vec<Statement>>,
        holders: impl IntoIterator<Item = (String, Vec<usize>)>,
    ) -> Self {
        let mut account = Self { policies, holders: HashMap::new() };
        for (principal, held) in holders {
            account.hold(principal, held);
        }
        account
    }

    fn hold(&mut self, principal: String, policies: Vec<usize>) {
        let mut seen = HashSet::new();
        self.holders.insert(principal, policies.into_iter().filter(|policy| seen.insert(*policy)).collect());
    }

    /// The policies that a principal has, its own first.
    #[must_use]
    pub fn held(&self, principal: &str) -> &[usize] {
        self.holders.get(holder(principal)).map_or(&[], Vec::as_slice)
    }

    /// The statements that apply to a principal.
    pub fn applying(&self, principal: &str) -> impl Iterator<Item = &Statement> {
        self.held(principal).iter().filter_map(|policy| self.policies.get(*policy)).flatten()
    }

    /// Everyone who holds policies.
    pub fn principals(&self) -> impl Iterator<Item = &str> {
        self.holders.keys().map(String::as_str)
    }
}

/// The principal without the name of its session.
#[must_use]
pub fn holder(principal: &str) -> &str {
    match principal.rsplit_once('/') {
        Some((role, _)) if principal.contains(":assumed-role/") && role.contains('/') => role,
        _ => principal,
    }
}

fn text(entity: &Json, member: &str) -> Result<String, String> {
    let text = entity.get(member).and_then(Json::as_str);
    text.map(str::to_owned).ok_or_else(|| format!("no {member} in {entity}"))
}

/// The statements of a policy's default version.
fn statements(policy: &Json) -> Result<Vec<Statement>, String> {
    let versions = policy.get("PolicyVersionList").and_then(Json::as_array);
    let default = |version: &&Json| version.get("IsDefaultVersion") == Some(&Json::Bool(true));
    let document = match versions {
        Some(versions) => versions.iter().find(default).and_then(|version| version.get("Document")),
        None => policy.get("PolicyDocument"),
    };
    match document.and_then(|document| document.get("Statement")) {
        Some(Json::Array(statements)) => statements.iter().map(Statement::of_json).collect(),
        Some(statement) => Ok(vec![Statement::of_json(statement)?]),
        None => Err("no statements".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::holder;

    #[test]
    fn a_session_is_its_role() {
        let role = "arn:aws:sts::123456789012:assumed-role/build";
        assert_eq!(holder(&format!("{role}/ann")), role);
        assert_eq!(holder(role), role);
        assert_eq!(
            holder("arn:aws:iam::123456789012:user/team/ann"),
            "arn:aws:iam::123456789012:user/team/ann"
        );
    }
}
