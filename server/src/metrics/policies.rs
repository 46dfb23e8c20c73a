//! The policy set: which one, how old, what was refused.

use std::fmt::Error;
use std::time::{Duration, SystemTime};

use portcullis_store::{Keeping, Origin, Reloads, Status};

use super::family::Families;
use crate::readiness::Readiness;

pub(super) fn write(
    families: &mut Families<'_>,
    status: &Status,
    stale_max: Option<Duration>,
) -> Result<(), Error> {
    served(families, status)?;
    health(families, status, stale_max)?;
    reloads(families, status)
}

fn served(families: &mut Families<'_>, status: &Status) -> Result<(), Error> {
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
    Ok(())
}

fn health(families: &mut Families<'_>, status: &Status, stale_max: Option<Duration>) -> Result<(), Error> {
    let flag = |set: bool| f64::from(u8::from(set));
    let help = "1 while there is a policy set that is not too stale, which is what the readiness probe says until the drain";
    families.gauge("portcullis_ready", help, flag(Readiness::of(status, stale_max).is_ready()))?;
    let help =
        "For how long the served policy set has not been what the policy directory holds; 0 while it is";
    families.gauge("portcullis_policy_stale_seconds", help, status.stale().as_secs_f64())?;
    let help =
        "1 while the served policy set comes from the state directory and not from the policy directory";
    let restored = matches!(status.origin, Origin::LastGood { .. });
    families.gauge("portcullis_policy_from_last_good", help, flag(restored))?;
    if status.keeping != Keeping::Off {
        let help = "1 while the last good policy set is kept on disk, 0 while it cannot be; absent when it is not to be";
        families.gauge("portcullis_last_good_kept", help, flag(status.keeping == Keeping::Healthy))?;
    }
    let help =
        "1 while changes of the policy directory are noticed by events, 0 while only the poll notices them";
    families.gauge("portcullis_policy_watching", help, flag(status.watching))
}

fn reloads(families: &mut Families<'_>, status: &Status) -> Result<(), Error> {
    let Reloads { published, rejected, restored, slow_steps, restarts, interrupted: _ } = status.reloads;
    let help =
        "Policy sets by what became of them: published, rejected (the old one stayed), restored from disk";
    let mut counters = families.counters("portcullis_policy_reloads", help)?;
    for (result, count) in [("published", published), ("rejected", rejected), ("restored", restored)] {
        counters.value(&[("result", result)], count)?;
    }
    let help = "Steps of a reload that took longer than thirty seconds, counted every thirty seconds";
    families.counter("portcullis_policy_slow_steps", help, slow_steps)?;
    let help = "How often the reload task ended and was started again";
    families.counter("portcullis_policy_task_restarts", help, restarts)?;
    let help = "How often the policy directory has been read to the end";
    families.counter("portcullis_policy_scans", help, status.scans)
}
