//! The policy set: which one, how old, what was refused.

use std::fmt::Error;
use std::time::SystemTime;

use portcullis_store::Status;

use super::family::Families;

pub(super) fn write(families: &mut Families<'_>, status: &Status) -> Result<(), Error> {
    let revision = status.revision.map(|revision| revision.to_string()).unwrap_or_default();
    if status.generation > 0 {
        let help = "The revision of the policy set that is served; always 1";
        families.info("portcullis_policy_info", help, &[("revision", &revision)])?;
    }
    let help = "Publications of a policy set in this process; 0 before the first";
    families.gauge("portcullis_policy_generation", help, status.generation as f64)?;
    let loaded_at = status.loaded_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let help = "When the served policy set was published, in seconds since 1970; 0 before the first";
    let seconds = loaded_at.map_or(0.0, |since| since.as_secs_f64());
    families.gauge("portcullis_policy_loaded_timestamp_seconds", help, seconds)?;
    let counts = status.counts.unwrap_or_default();
    for (name, help, count) in [
        ("portcullis_policy_users", "Users in the served policy set", counts.users),
        ("portcullis_policy_groups", "Groups in the served policy set", counts.groups),
        ("portcullis_policy_roles", "Roles in the served policy set", counts.roles),
        ("portcullis_policy_documents", "Policies in the served policy set", counts.policies),
        ("portcullis_policy_statements", "Statements in the served policy set", counts.statements),
    ] {
        families.gauge(name, help, count.into())?;
    }
    let help =
        "1 while changes of the policy directory are noticed by events, 0 while only the poll notices them";
    families.gauge("portcullis_policy_watching", help, f64::from(u8::from(status.watching)))?;
    let help = "How often the policy directory has been read to the end";
    families.counter("portcullis_policy_scans", help, status.scans)
}
