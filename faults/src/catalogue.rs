//! All faults, in the order of their names.

use std::collections::BTreeSet;

use anyhow::ensure;

use crate::fault::Fault;
use crate::{
    attacks, caller, calls, config_map, content, ending, files, identity, means, places, process, secrets,
    system, trail,
};

/// Every fault.
fn all() -> Vec<Fault> {
    let mut faults = [
        content::faults(),
        files::faults(),
        config_map::faults(),
        places::faults(),
        system::faults(),
        attacks::faults(),
        calls::faults(),
        identity::faults(),
        process::faults(),
        means::faults(),
        ending::faults(),
        trail::faults(),
        secrets::faults(),
        caller::faults(),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    faults.sort_by_key(|fault| fault.id);
    faults
}

/// The chosen ones; all when none is named.
pub(crate) fn select(only: &[String], quick: bool) -> anyhow::Result<Vec<Fault>> {
    let wanted: BTreeSet<String> = only.iter().map(|id| id.trim().to_ascii_uppercase()).collect();
    let all = all();
    let known: BTreeSet<_> = all.iter().map(|fault| fault.id.to_owned()).collect();
    let unknown: Vec<_> = wanted.difference(&known).cloned().collect();
    ensure!(unknown.is_empty(), "there is no fault {}", unknown.join(", "));
    let chosen = all.into_iter().filter(|fault| wanted.is_empty() || wanted.contains(fault.id));
    Ok(chosen.filter(|fault| !quick || fault.quick).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_in_its_form() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|fault| fault.id).collect();
        assert_eq!(names.len(), all.len(), "a name is there twice");
        let expected: BTreeSet<_> = (1..=90).map(|number| format!("F{number:02}")).collect();
        assert_eq!(names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn an_unknown_name_is_refused() {
        assert!(select(&["F91".to_owned()], false).is_err());
        assert_eq!(select(&["f01".to_owned()], false).unwrap().len(), 1);
    }
}
