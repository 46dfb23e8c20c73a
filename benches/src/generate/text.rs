//! The policy directory of a drawn world, in the form that the account export has.

use serde_json::{Value as Json, json};

use super::User;
use crate::statement::Statement;

pub(super) const ACCOUNT: &str = "123456789012";
const ENTITIES_PER_FILE: usize = 500;

pub(super) fn user_arn(user: usize) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/team/user{user:06}")
}

fn policy_arn(policy: usize) -> String {
    format!("arn:aws:iam::{ACCOUNT}:policy/policy{policy:06}")
}

/// File names and their texts.
pub(super) fn sources(
    policies: &[Vec<Statement>],
    groups: &[Vec<usize>],
    users: &[User],
) -> Vec<(String, Vec<u8>)> {
    let attached = |policies: &[usize]| -> Vec<Json> {
        let link = |policy: &usize| json!({"PolicyName": format!("policy{policy:06}"), "PolicyArn": policy_arn(*policy)});
        policies.iter().map(link).collect()
    };
    let user = |(number, user): (usize, &User)| {
        let groups: Vec<String> = user.groups.iter().map(|group| format!("group{group:04}")).collect();
        json!({"UserName": format!("user{number:06}"), "UserId": format!("AIDA{number:017}"), "Arn": user_arn(number),
               "Path": "/team/", "GroupList": groups, "AttachedManagedPolicies": attached(&user.policies)})
    };
    let group = |(number, policies): (usize, &Vec<usize>)| {
        let name = format!("group{number:04}");
        json!({"GroupName": name, "Arn": format!("arn:aws:iam::{ACCOUNT}:group/{name}"), "Path": "/",
               "AttachedManagedPolicies": attached(policies)})
    };
    let policy = |(number, statements): (usize, &Vec<Statement>)| {
        let statements: Vec<Json> = statements.iter().map(Statement::to_json).collect();
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        json!({"PolicyName": format!("policy{number:06}"), "Arn": policy_arn(number), "Path": "/",
               "DefaultVersionId": "v1",
               "PolicyVersionList": [{"VersionId": "v1", "IsDefaultVersion": true, "Document": document}]})
    };
    let mut sources = files("UserDetailList", users.iter().enumerate().map(user));
    sources.extend(files("GroupDetailList", groups.iter().enumerate().map(group)));
    sources.extend(files("Policies", policies.iter().enumerate().map(policy)));
    sources
}

/// A list of entities, so many to a file.
pub(crate) fn files(member: &str, entities: impl Iterator<Item = Json>) -> Vec<(String, Vec<u8>)> {
    let mut entities = entities.map(|entity| entity.to_string()).peekable();
    let mut files = Vec::new();
    while entities.peek().is_some() {
        let rows: Vec<String> = entities.by_ref().take(ENTITIES_PER_FILE).collect();
        let text = format!("{{\"{member}\":[\n{}\n]}}\n", rows.join(",\n"));
        files.push((format!("{member}-{:03}.json", files.len()), text.into_bytes()));
    }
    files
}
