//! Answers that AWS gives whatever the policies say (semantics.md E-40 to E-43, T-5, G-53).

use super::Layers;
use crate::decision::Layer;
use crate::evaluate::Evaluation;
use crate::request::Principal;

/// E-40.
pub(super) fn always_allowed(evaluation: &Evaluation<'_>) -> bool {
    let request = evaluation.request;
    if !request.action.has_exceptions {
        return false;
    }
    match &*request.action.folded() {
        "sts:getcalleridentity" => {
            !matches!(request.principal, Principal::Anonymous | Principal::Provider { .. })
        }
        "sts:getsessiontoken" => {
            matches!(request.principal, Principal::User { .. }) && request.input.session.is_none()
        }
        _ => false,
    }
}

/// The layer that an implicit deny is reported in, when no policy could allow the call.
pub(super) fn never_allowed(evaluation: &Evaluation<'_>, layers: &Layers<'_>) -> Option<Layer> {
    let request = evaluation.request;
    if let Principal::Provider { saml, .. } = request.principal
        && !(evaluation.is_trust && pairs(saml, &request.action.folded()))
    {
        return Some(layers.resource_layer);
    }
    if !request.action.has_exceptions {
        return None;
    }
    let action = request.action.folded();
    let (vendor, name) = action.split_at_checked(request.action.vendor_length)?;
    // T-5
    let assumes = evaluation.is_trust && name.starts_with("assumerole");
    if assumes && matches!(request.principal, Principal::Root { .. } | Principal::Anonymous) {
        return Some(layers.resource_layer);
    }
    if is_aws_owned(evaluation.resource_text(), vendor, name) {
        return Some(Layer::Identity);
    }
    limited_session(evaluation, vendor, name).then_some(Layer::Session)
}

/// G-53, T-20: SAML pairs with AssumeRoleWithSAML, OIDC with AssumeRoleWithWebIdentity, both with what such a call needs
/// besides (T-9 to T-11); a token is the caller of nothing else.
fn pairs(saml: bool, action: &str) -> bool {
    match action {
        "sts:assumerolewithsaml" => saml,
        "sts:assumerolewithwebidentity" => !saml,
        "sts:tagsession" | "sts:setsourceidentity" | "sts:setcontext" => true,
        _ => false,
    }
}

/// E-43: what temporary credentials cannot call; `vendor` has its colon.
fn limited_session(evaluation: &Evaluation<'_>, vendor: &str, name: &str) -> bool {
    let session = evaluation.request.input.session.as_ref();
    match evaluation.request.principal {
        Principal::FederatedUser { .. } => {
            vendor == "iam:" || (vendor == "sts:" && name != "getcalleridentity")
        }
        Principal::User { .. } => session.is_some_and(|session| {
            let without_mfa = session.mfa_authenticated_at.is_none();
            (vendor == "iam:" && without_mfa)
                || (vendor == "sts:" && name != "assumerole" && name != "getcalleridentity")
        }),
        Principal::RoleSession { .. } | Principal::Role { .. } => {
            vendor == "sts:" && matches!(name, "getfederationtoken" | "getsessiontoken")
        }
        _ => false,
    }
}

/// E-41: what only AWS changes; `vendor` has its colon.
fn is_aws_owned(resource: &str, vendor: &str, name: &str) -> bool {
    if !matches!(vendor, "iam:" | "kms:") {
        return false;
    }
    let part = resource.splitn(6, ':').nth(5).unwrap_or_default();
    let account = resource.split(':').nth(4).unwrap_or_default();
    match vendor {
        "iam:" if account.eq_ignore_ascii_case("aws") && part.starts_with("policy/") => matches!(
            name,
            "createpolicyversion"
                | "deletepolicy"
                | "deletepolicyversion"
                | "setdefaultpolicyversion"
                | "tagpolicy"
                | "untagpolicy"
        ),
        "iam:" if part.starts_with("role/aws-reserved/") => {
            !name.starts_with("get") && !name.starts_with("list") && name != "passrole"
        }
        "kms:" => {
            matches!(name, "createalias" | "updatealias" | "deletealias") && part.starts_with("alias/aws/")
        }
        _ => false,
    }
}
