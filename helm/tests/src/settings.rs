//! What the program says to the settings that a case gives it: a pod whose settings it refuses would never start. Files that
//! only a cluster has are not there, and that alone is no finding.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::case::Case;
use crate::manifest::{Look as _, Object};
use crate::rig::{self, Rig};

/// Every container that serves has settings that the program takes.
pub(crate) fn taken(rig: &Rig, case: &Case) -> anyhow::Result<()> {
    for object in case.render(rig)? {
        let pod = object.pod().into_iter().flat_map(|pod| pod.containers());
        for (_, container) in pod.filter(|(_, container)| serves(container)) {
            let refused = refused(rig, container)?;
            ensure!(refused.is_empty(), "{}: {}", object.title(), refused.join("; "));
        }
    }
    Ok(())
}

/// Every setting of the program is one that the chart decides, in some case, or that `config` takes; and `config` takes no other.
pub(crate) fn known(rig: &Rig, cases: &[Case]) -> anyhow::Result<()> {
    let output =
        Command::new(rig.program()?).args(["config", "--effective", "--output=json"]).env_clear().output()?;
    let all: Value = serde_json::from_str(&rig::text(output, "portcullis config")?)?;
    let all: BTreeSet<&str> = all.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(Rig::chart().join("values.schema.json"))?)?;
    let taken = schema.at("/properties/config/properties").as_object().into_iter().flatten();
    let taken: BTreeSet<&str> = taken.map(|(name, _)| name.as_str()).collect();
    // The directory is an argument.
    let mut decided = BTreeSet::from(["policy_directory".to_owned()]);
    for case in cases.iter().filter(|case| case.is_own()) {
        let pods = case.render(rig)?.iter().filter_map(Object::pod);
        for (_, container) in pods.flat_map(|pod| pod.containers()).filter(|(_, one)| serves(one)) {
            let names = container
                .list("/env")
                .iter()
                .filter_map(|entry| entry.text("/name").strip_prefix("PORTCULLIS_"));
            decided.extend(names.map(str::to_lowercase));
        }
    }
    let missing: Vec<_> =
        all.iter().filter(|name| !taken.contains(*name) && !decided.contains(**name)).collect();
    ensure!(missing.is_empty(), "the chart cannot set {missing:?}");
    let unknown: Vec<_> = taken.difference(&all).collect();
    ensure!(unknown.is_empty(), "config takes {unknown:?}, which the program has not");
    Ok(())
}

fn serves(container: &Value) -> bool {
    container.text("/name") == "portcullis" && container.text("/args/0") == "serve"
}

fn refused(rig: &Rig, container: &Value) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new(rig.program()?);
    command.args(["config", "--effective", "--output=json"]);
    // Behind the directory are the flags that the user adds.
    command.args(container.list("/args").iter().skip(2).filter_map(Value::as_str));
    let variables = container.list("/env").iter().filter(|entry| entry.at("/valueFrom").is_null());
    command.env_clear().envs(variables.map(|entry| (entry.text("/name"), entry.text("/value"))));
    let output = command.output()?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = Object::new(serde_json::from_str(&said).with_context(|| said.clone().into_owned())?);
    let mistakes = error.list("/Error/Diagnostics").iter().map(|mistake| mistake.text("/Message"));
    Ok(mistakes.filter(|message| !message.contains("No such file")).map(str::to_owned).collect())
}
