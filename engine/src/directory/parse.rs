//! From one file of a policy directory to its entities (interfaces.md section 1).
//!
//! Reads only what the file says; whether a reference resolves is decided when all files are there.
//! Invariant: an entity that is left out has an error.

mod entry;
mod fields;
mod identity;
mod organization;
#[cfg(test)]
mod tests;

use super::Entities;
use crate::LoadMode;
use crate::diagnostic::{Diagnostic, SourceText};
use crate::json::Node;
use crate::json::report::Report;
use fields::Fields;

/// The members of a file that mean something here.
const FILE_MEMBERS: [&str; 7] = [
    "UserDetailList",
    "GroupDetailList",
    "RoleDetailList",
    "Policies",
    "ResourceDetailList",
    "EndpointPolicyList",
    "Organization",
];
/// The members of a file that AWS prints around them.
const FILE_IGNORED: [&str; 3] = ["IsTruncated", "Marker", "ResponseMetadata"];

/// Parses one file; every problem becomes a finding.
pub(crate) fn entities(text: &SourceText, mode: LoadMode, findings: &mut Vec<Diagnostic>) -> Entities {
    let Some(node) = crate::json::parse(text, findings) else {
        return Entities::default();
    };
    let mut report = Report::new(text, mode, findings);
    let entities = file(&node, &mut report);
    report.finish();
    entities
}

fn file(node: &Node<'_>, report: &mut Report<'_>) -> Entities {
    let mut entities = Entities::default();
    let Some(fields) = Fields::of(node, "a policy file", &FILE_MEMBERS, &FILE_IGNORED, report) else {
        return entities;
    };
    for node in fields.list("UserDetailList", report) {
        entities.users.extend(entry::user(node, report));
    }
    for node in fields.list("GroupDetailList", report) {
        entities.groups.extend(entry::group(node, report));
    }
    for node in fields.list("RoleDetailList", report) {
        entities.roles.extend(entry::role(node, report));
    }
    for node in fields.list("Policies", report) {
        entities.policies.extend(entry::managed_policy(node, report));
    }
    for node in fields.list("ResourceDetailList", report) {
        entities.resources.extend(entry::resource(node, report));
    }
    for node in fields.list("EndpointPolicyList", report) {
        entities.endpoints.extend(entry::endpoint(node, report));
    }
    if let Some(node) = fields.get("Organization") {
        entities.organization = organization::organization(node, report);
    }
    entities
}
