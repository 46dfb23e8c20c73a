//! Judges what a case renders by every rule. A rule that a case breaks on purpose is named in the case, with the container
//! that does where it is one, and with the reason; a name there that breaks nothing is a finding too.

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::case::Case;
use crate::manifest::Object;
use crate::rig::Rig;
use crate::rules::{GIVEN, RULES};

/// A rule that is broken on purpose: by everything, or by the containers of one name.
#[derive(Debug)]
struct Excuse<'a> {
    rule: &'a str,
    container: Option<&'a str>,
    why: &'a str,
}

impl<'a> Excuse<'a> {
    /// `RULE, WHY` or `RULE of CONTAINER, WHY`.
    fn read(line: &'a str) -> anyhow::Result<Self> {
        let (what, why) = line.split_once(", ").with_context(|| format!("no reason behind {line:?}"))?;
        let (rule, container) =
            what.split_once(" of ").map_or((what, None), |(rule, name)| (rule, Some(name)));
        ensure!(RULES.iter().any(|known| known.name == rule), "there is no rule {rule}");
        Ok(Self { rule, container, why })
    }

    /// Whether it speaks of what a rule found.
    fn covers(&self, rule: &str, found: &str) -> bool {
        let mine = |name| found.contains(&format!(" container {name}: "));
        self.rule == rule && self.container.is_none_or(mine)
    }
}

/// Zero findings in what a case becomes.
pub(crate) fn no_findings(rig: &Rig, case: &Case) -> anyhow::Result<()> {
    let given: Vec<&str> = case.said("given").flat_map(str::split_whitespace).collect();
    let excuses: Vec<&str> = case.said("without").collect();
    findings(case.render(rig)?, &given, &excuses)
}

/// Zero findings in objects beside others that are there already, given by their names; but for what is excused.
pub(crate) fn findings(objects: &[Object], given: &[&str], excuses: &[&str]) -> anyhow::Result<()> {
    let excuses = excuses.iter().map(|line| Excuse::read(line)).collect::<anyhow::Result<Vec<_>>>()?;
    let given = Object::new(json!({"kind": GIVEN, "names": given}));
    let objects = [objects, &[given]].concat();
    let mut used = vec![false; excuses.len()];
    let mut found = Vec::new();
    for rule in RULES {
        for what in (rule.check)(&objects) {
            let mut excused = false;
            for (excuse, used) in excuses.iter().zip(&mut used) {
                let mine = excuse.covers(rule.name, &what);
                excused |= mine;
                *used |= mine;
            }
            if !excused {
                found.push(format!("{} ({}): {what}", rule.name, rule.wants));
            }
        }
    }
    let idle = excuses.iter().zip(used).filter(|(_, used)| !used);
    found.extend(idle.map(|(excuse, _)| format!("{}: kept, though it says {:?}", excuse.rule, excuse.why)));
    ensure!(found.is_empty(), "{} findings\n  {}", found.len(), found.join("\n  "));
    Ok(())
}
