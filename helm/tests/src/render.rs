//! Renders the chart: `helm lint --strict`, snapshots of what each case becomes, and what no case reaches.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::case::{Case, NAMESPACE};
use crate::manifest::{self, Look as _, Object};
use crate::rig::{self, Rig};

/// `helm lint --strict` with the values of a case.
pub(crate) fn lint(rig: &Rig, case: &Case) -> anyhow::Result<()> {
    let mut arguments = case.arguments(rig, NAMESPACE)?;
    // The name is for what is installed.
    arguments.remove(0);
    rig.helm_text("lint", ["--strict".to_owned(), "--quiet".to_owned()].into_iter().chain(arguments))?;
    Ok(())
}

/// What a case becomes, and what helm says after installing it, is what was reviewed.
pub(crate) fn snapshot(rig: &Rig, case: &Case) -> anyhow::Result<()> {
    let mut text = String::new();
    for object in case.render(rig)? {
        let value = shortened(&object.value);
        let template = object.template.as_deref().unwrap_or("no template");
        text.push_str(&format!("--- # {template}\n{}", serde_saphyr::to_string(&value)?));
    }
    if case.is_own() {
        text.push_str(&format!("--- # NOTES.txt\n{}\n", notes_of(rig, case)?.trim_end()));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Rig::here().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(case.said("covers").collect::<Vec<_>>().join("; "));
    settings.bind(|| insta::assert_snapshot!(case.name.as_str(), text));
    Ok(())
}

/// Helm 3, which many still have, makes the same of a case.
pub(crate) fn old_helm(rig: &Rig, case: &Case) -> anyhow::Result<()> {
    let arguments = case.arguments(rig, NAMESPACE)?.into_iter().chain(case.cluster_flags());
    // Built from its module it takes a very old Kubernetes for granted; of two versions the later one counts.
    let output =
        rig.command("helm3")?.args(["template", "--kube-version=1.37.0"]).args(arguments).output()?;
    let objects = manifest::objects(&rig::text(output, "helm 3 template")?)?;
    let values = |objects: &[Object]| objects.iter().map(|object| object.value.clone()).collect::<Vec<_>>();
    ensure!(values(&objects) == values(case.render(rig)?), "helm 3 renders something else");
    Ok(())
}

/// A file that the chart takes along unchanged needs no second copy in every snapshot.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > 2000 => {
            Value::String(format!("({} lines)", text.lines().count()))
        }
        Value::Array(list) => Value::Array(list.iter().map(shortened).collect()),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| (key.clone(), shortened(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// What helm says after installing a case says something, and holds nothing that a template left behind.
pub(crate) fn notes(rig: &Rig, case: &Case) -> anyhow::Result<()> {
    let notes = notes_of(rig, case)?;
    ensure!(notes.trim().len() > 40, "the notes say nothing: {notes:?}");
    for trace in ["<no value>", "<nil>", "%!", "map["] {
        ensure!(!notes.contains(trace), "the notes hold {trace}:\n{notes}");
    }
    // What they have typed can be typed.
    for object in case.render(rig)?.iter().filter(|object| object.hook().is_empty()) {
        let Some(pod) = object.pod() else { continue };
        let env = pod.spec().list("/containers/0/env");
        let proves = |variable: &Value| {
            ["PORTCULLIS_TLS_CERTIFICATE", "PORTCULLIS_TOKEN_FILE"].contains(&variable.text("/name"))
        };
        ensure!(
            !env.iter().any(proves) || !notes.contains("/portcullis status"),
            "status is asked for without what the sidecar wants to be shown:\n{notes}"
        );
        ensure!(
            object.text("/spec/updateStrategy/type") != "OnDelete" || !notes.contains("rollout status"),
            "a rollout that kubectl does not follow:\n{notes}"
        );
    }
    Ok(())
}

/// The text of NOTES.txt.
fn notes_of(rig: &Rig, case: &Case) -> anyhow::Result<String> {
    let flags = ["--dry-run=client".to_owned(), "--output=json".to_owned()];
    let text = rig.helm_text("install", case.arguments(rig, NAMESPACE)?.into_iter().chain(flags))?;
    let release: Value = serde_json::from_str(&text)?;
    Ok(release.text("/info/notes").to_owned())
}

/// Every template is rendered by some case.
pub(crate) fn every_template(rig: &Rig, cases: &[Case]) -> anyhow::Result<()> {
    let mut rendered = BTreeSet::new();
    for case in cases.iter().filter(|case| case.is_own()) {
        rendered.extend(case.render(rig)?.iter().filter_map(|object| object.template.clone()));
    }
    let mut missing = Vec::new();
    let mut folders = vec![Rig::chart().join("templates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let inside = path.strip_prefix(Rig::chart())?.display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if inside.ends_with(".yaml") && !rendered.contains(&format!("portcullis/{inside}")) {
                missing.push(inside);
            }
        }
    }
    ensure!(missing.is_empty(), "no case renders {}", missing.join(", "));
    Ok(())
}

/// Every named template of the chart is used: by the chart, by an example or by a chart of the checks.
pub(crate) fn every_named_template() -> anyhow::Result<()> {
    let (mut text, mut folders) = (String::new(), vec![Rig::chart().join("templates")]);
    folders.extend(["examples/deploy", "helm/tests/charts"].map(|folder| Rig::repository().join(folder)));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|ending| ending == "tpl" || ending == "yaml" || ending == "txt")
            {
                text.push_str(&without_comments(&std::fs::read_to_string(path)?));
            }
        }
    }
    let defined = text.split("define \"").skip(1).filter_map(|rest| rest.split('"').next());
    let used = |name: &str| text.contains(&format!("include \"{name}\""));
    let idle: Vec<&str> = defined.filter(|name| !used(name)).collect();
    ensure!(idle.is_empty(), "nobody includes {}", idle.join(", "));
    Ok(())
}

fn without_comments(template: &str) -> String {
    let mut parts = template.split("/*");
    let first = parts.next().unwrap_or_default();
    let rest = parts.filter_map(|part| Some(part.split_once("*/")?.1));
    std::iter::once(first).chain(rest).collect()
}
