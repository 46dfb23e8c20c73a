//! All faults, in the order of their names.

use std::collections::BTreeSet;

use anyhow::ensure;

use crate::fault::Fault;
use crate::{attacks, calls, content, files, identity, places};

/// Every fault.
fn all() -> Vec<Fault> {
    let mut faults =
        [
        content::faults(),
        files::faults(),
        places::faults(),
        attacks::faults(),
        calls::faults(),
        identity::faults(),
    ].into_iter().flatten().collect::<Vec<_>>();
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
        assert!(names.iter().all(|name| name.len() == 3 && name.starts_with('F')), "{names:?}");
    }

    #[test]
    fn an_unknown_name_is_refused() {
        assert!(select(&["F91".to_owned()], false).is_err());
        assert_eq!(select(&["f01".to_owned()], false).unwrap().len(), 1);
    }
}
