//! Judges what a case renders by every rule. A rule that a case breaks on purpose is named in the case, with the reason;
//! a name there that breaks nothing is a finding too.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::case::Case;
use crate::manifest::Object;
use crate::rig::Rig;
use crate::rules::{GIVEN, RULES};

/// Zero findings in what a case becomes.
pub(crate) fn no_findings(rig: &Rig, case: &Case) -> anyhow::Result<()> {
    let given: Vec<&str> = case.said("given").flat_map(str::split_whitespace).collect();
    findings(case.render(rig)?, &given, &excuses(case)?)
}

/// The rules that a case does not keep, with the reasons.
fn excuses(case: &Case) -> anyhow::Result<BTreeMap<&str, &str>> {
    let mut excuses = BTreeMap::new();
    for line in case.said("without") {
        let (rule, why) = line.split_once(", ").with_context(|| format!("no reason behind {line:?}"))?;
        ensure!(RULES.iter().any(|known| known.name == rule), "there is no rule {rule}");
        excuses.insert(rule, why);
    }
    Ok(excuses)
}

/// Zero findings in objects beside others that are there already, given by their names.
pub(crate) fn findings(
    objects: &[Object],
    given: &[&str],
    excuses: &BTreeMap<&str, &str>,
) -> anyhow::Result<()> {
    let given = Object::new(json!({"kind": GIVEN, "names": given}));
    let objects = [objects, &[given]].concat();
    let mut found = Vec::new();
    for rule in RULES {
        let mine = (rule.check)(&objects);
        match excuses.get(rule.name) {
            Some(why) if mine.is_empty() => {
                found.push(format!("{}: kept, though the case says {why:?}", rule.name));
            }
            Some(_) => {}
            None => {
                found.extend(mine.into_iter().map(|what| format!("{} ({}): {what}", rule.name, rule.wants)))
            }
        }
    }
    ensure!(found.is_empty(), "{} findings\n  {}", found.len(), found.join("\n  "));
    Ok(())
}
