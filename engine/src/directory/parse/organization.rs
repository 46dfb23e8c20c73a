//! The organization: its policies and the tree of units and accounts that they are attached to.

use super::entry::required_document;
use super::fields::{Fields, Text};
use crate::diagnostic::Code;
use crate::directory::{Node as OrganizationNode, Organization, OrganizationPolicy, OrganizationPolicyType};
use crate::json::report::{Report, closest, quoted};
use crate::json::{Node, Value};
use crate::policy::PolicyType;
use crate::policy::parse::is_account;
use crate::policy::validate::{ORGANIZATION_CHARS_MAX, length};

/// The members of the organization.
const MEMBERS: [&str; 4] = ["Id", "ManagementAccountId", "Policies", "Root"];
/// What Organizations prints in its own objects that means nothing here.
const IGNORED: [&str; 7] =
    ["Arn", "Description", "Email", "JoinedMethod", "JoinedTimestamp", "Name", "Status"];
/// The members of the root and of a unit.
const UNIT_MEMBERS: [&str; 5] =
    ["Id", "ServiceControlPolicies", "ResourceControlPolicies", "Accounts", "OrganizationalUnits"];
/// The members of an account.
const ACCOUNT_MEMBERS: [&str; 3] = ["Id", "ServiceControlPolicies", "ResourceControlPolicies"];
/// The values of `Type`.
const POLICY_TYPES: [&str; 2] = ["SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"];

/// `Organization`: an object, or a list of one.
pub(super) fn organization(node: &Node<'_>, report: &mut Report<'_>) -> Option<Organization> {
    let node = match &node.value {
        Value::Array(elements) => match elements.as_slice() {
            [] => return None,
            [only] => only,
            [_, second, ..] => {
                let message = "a policy set has one organization".to_owned();
                report.error(Code::DuplicateOrganization, second.span, message);
                return None;
            }
        },
        _ => node,
    };
    let fields = Fields::of(node, "the organization", &MEMBERS, &IGNORED, report)?;
    let id = fields.required_text("Id", report);
    if let Some(id) = id.filter(|id| !id.value.starts_with("o-")) {
        let message = format!("the id {} of the organization must begin with `o-`", quoted(id.value));
        report.strict(Code::InvalidOrganization, id.span, message);
    }
    let management = fields.text("ManagementAccountId", report).filter(|id| account_id(*id, report));
    let mut policies = Vec::new();
    for node in fields.list("Policies", report) {
        policies.extend(policy(node, report));
    }
    let Some(root) = fields.get("Root") else {
        fields.missing("Root", report);
        return None;
    };
    let root = unit(root, "the root", "r-", report);
    Some(Organization {
        id: id?.value.to_owned(),
        management_account: management.map(|id| id.value.to_owned()),
        policies,
        root: root?,
        span: fields.span,
    })
}

fn account_id(id: Text<'_>, report: &mut Report<'_>) -> bool {
    let valid = is_account(id.value);
    if !valid {
        report.error(
            Code::InvalidAccount,
            id.span,
            format!("{} is not a 12-digit account id", quoted(id.value)),
        );
    }
    valid
}

fn policy(node: &Node<'_>, report: &mut Report<'_>) -> Option<OrganizationPolicy> {
    let known = ["Id", "Name", "Type", "Content"];
    let ignored = ["Arn", "AwsManaged", "Description"];
    let fields = Fields::of(node, "a policy of the organization", &known, &ignored, report)?;
    let id = fields.required_text("Id", report);
    let name = fields.text("Name", report);
    let written = fields.required_text("Type", report)?;
    let (kind, policy_type) = match written.value {
        "SERVICE_CONTROL_POLICY" => (OrganizationPolicyType::Scp, PolicyType::Scp),
        "RESOURCE_CONTROL_POLICY" => (OrganizationPolicyType::Rcp, PolicyType::Rcp),
        other => {
            let message = format!("{} is not a type of organization policy", quoted(other));
            let help = match closest(other, &POLICY_TYPES) {
                Some(candidate) => format!("did you mean `{candidate}`?"),
                None => format!("the types are {}", POLICY_TYPES.join(" and ")),
            };
            report.error_with(Code::InvalidOrganization, written.span, message, help);
            return None;
        }
    };
    let (document, raw) = required_document(&fields, "Content", policy_type, report)?;
    length(&[raw], ORGANIZATION_CHARS_MAX, "a policy of an organization", document.span, report);
    let id = id?;
    let name = name.map_or(id.value, |name| name.value).to_owned();
    Some(OrganizationPolicy { id: id.to_spanned(), name, kind, document })
}

/// The root or a unit; the depth is bounded by the depth of the JSON text.
fn unit(
    node: &Node<'_>,
    what: &'static str,
    prefix: &str,
    report: &mut Report<'_>,
) -> Option<OrganizationNode> {
    let fields = Fields::of(node, what, &UNIT_MEMBERS, &IGNORED, report)?;
    let id = fields.required_text("Id", report);
    if let Some(id) = id.filter(|id| !id.value.starts_with(prefix)) {
        let message = format!("the id {} of {what} must begin with `{prefix}`", quoted(id.value));
        report.strict(Code::InvalidOrganization, id.span, message);
    }
    let mut accounts = Vec::new();
    for node in fields.list("Accounts", report) {
        accounts.extend(account(node, report));
    }
    let mut units = Vec::new();
    for node in fields.list("OrganizationalUnits", report) {
        units.extend(unit(node, "an organizational unit", "ou-", report));
    }
    Some(OrganizationNode { accounts, units, ..leaf(&fields, id?, report) })
}

fn account(node: &Node<'_>, report: &mut Report<'_>) -> Option<OrganizationNode> {
    let fields = Fields::of(node, "an account", &ACCOUNT_MEMBERS, &IGNORED, report)?;
    let id = fields.required_text("Id", report).filter(|id| account_id(*id, report));
    Some(leaf(&fields, id?, report))
}

fn leaf(fields: &Fields<'_, '_>, id: Text<'_>, report: &mut Report<'_>) -> OrganizationNode {
    OrganizationNode {
        id: id.to_spanned(),
        scps: fields.texts("ServiceControlPolicies", report),
        rcps: fields.texts("ResourceControlPolicies", report),
        accounts: Vec::new(),
        units: Vec::new(),
    }
}
