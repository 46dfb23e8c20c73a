//! `inject`: the sidecar in plain Kubernetes manifests.
//!
//! Reads everything, then writes everything: at a mistake in any manifest nothing is written. Talks to no cluster.

mod edit;
mod pod;
mod resources;
mod sidecar;
mod tree;
mod workload;
mod write;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};

use self::edit::Editor;
use self::sidecar::{Sidecar, Source};
use self::tree::Fault;
use self::workload::{Pod, Role};
use crate::args::Inject;
use crate::configuration;
use crate::exit::{Exit, usage};

pub(super) fn run(inject: &Inject) -> anyhow::Result<Exit> {
    let sidecar = if inject.uninject { None } else { Some(sidecar_of(inject)?) };
    let mut manifests = String::new();
    let mut report = String::new();
    for file in &inject.files {
        let (name, text) = read(file)?;
        let changed = change(&text, sidecar.as_ref(), &mut report)
            .map_err(|Fault { place, sentence }| anyhow!("{name}:{place}: {sentence}"))?;
        if !manifests.is_empty() && !changed.starts_with("---") {
            manifests.push_str("---\n");
        }
        manifests.push_str(&changed);
        if inject.files.len() > 1 && !manifests.ends_with('\n') {
            manifests.push('\n');
        }
    }
    anstream::stdout().lock().write_all(manifests.as_bytes())?;
    write!(anstream::stderr().lock(), "{report}")?;
    Ok(Exit::Ok)
}

fn read(file: &Path) -> anyhow::Result<(String, String)> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(("(standard input)".to_owned(), text));
    }
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    Ok((name, text))
}

/// One text with the sidecar in its pods, or without when there is none to put in.
fn change(text: &str, sidecar: Option<&Sidecar>, report: &mut String) -> Result<String, Fault> {
    let mut said = String::new();
    let bare = each_pod(text, &mut said, |editor, _, pod| {
        if !pod.is_injected() {
            return Ok("skipped: has no sidecar that inject put in");
        }
        pod::remove(editor, pod)?;
        Ok("uninjected")
    })?;
    let Some(sidecar) = sidecar else {
        report.push_str(&said);
        return Ok(bare);
    };
    let injected = each_pod(&bare, report, |editor, title, pod| {
        if pod.ends && !sidecar.native {
            let sentence = format!("{title} would never end with --no-native: disable it there");
            return Err(Fault::new(pod.spec, sentence));
        }
        if pod.labels_select && sidecar.http_port != 0 {
            let sentence = format!("{title} has no `selector`, so that a label would become one: write it");
            return Err(Fault::new(pod.template, sentence));
        }
        pod::add(editor, pod, sidecar)?;
        Ok("injected")
    })?;
    can_be_taken_out(&bare, &injected)?;
    Ok(injected)
}

/// Edits every pod that is not switched off, and reports a word on each object.
fn each_pod(
    text: &str,
    report: &mut String,
    mut edit: impl FnMut(&mut Editor<'_>, &str, &Pod<'_>) -> Result<&'static str, Fault>,
) -> Result<String, Fault> {
    let documents = tree::documents(text)?;
    let mut editor = Editor::new(text);
    for document in &documents {
        for object in workload::objects(document)? {
            let word = match &object.role {
                Role::Other => "skipped: has no pods",
                Role::OptedOut => "skipped: portcullis.dev/inject is disabled",
                Role::Workload(pod) => edit(&mut editor, &object.title, pod)?,
            };
            report.push_str(&format!("{} {word}\n", object.title));
        }
    }
    Ok(editor.finish())
}

/// The manifest must be there again when the sidecar is taken out: nothing that was misread is written.
fn can_be_taken_out(bare: &str, injected: &str) -> Result<(), Fault> {
    let out = change(injected, None, &mut String::new())?;
    let (before, after) = (tree::documents(bare)?, tree::documents(&out)?);
    let differs = before.iter().zip(&after).find(|(before, after)| !before.says_the_same(after));
    match (differs, before.first()) {
        (Some((document, _)), _) => Err(Fault::new(document, "cannot be changed in place: write it plainly")),
        (None, Some(first)) if before.len() != after.len() => {
            Err(Fault::new(first, "cannot be changed in place: write it plainly"))
        }
        _ => Ok(()),
    }
}

/// Settings that are what the other flags say.
const DECIDED: [(&str, &str); 5] = [
    ("policy_directory", "--policies says where policies are"),
    ("http_listen", "--http-port says where HTTP is served"),
    ("audit_file", "--audit says where decisions are recorded"),
    ("uds", "callers and probes look for the socket where it is"),
    ("token_file", "a sidecar asks for no token; `uds_allowed_uids` says who may connect"),
];

/// What the flags say, checked as the sidecar and the API server would.
fn sidecar_of(inject: &Inject) -> anyhow::Result<Sidecar> {
    let mut policies = Vec::new();
    for text in &inject.policies {
        let source = source(text)?;
        if !policies.contains(&source) {
            policies.push(source);
        }
    }
    if inject.image.as_ref().is_some_and(|image| image.is_empty() || image.contains(char::is_whitespace)) {
        return Err(usage("--image must name an image"));
    }
    if matches!(inject.http_port, 1..1024) {
        return Err(usage("--http-port must be 1024 or more, or 0"));
    }
    let mut sidecar = Sidecar::new(inject, policies, settings(&inject.set)?);
    (sidecar.requests, sidecar.limits) = resources::of_flags(&inject.requests, &inject.limits)?;
    configuration::check_variables(&sidecar.variables())?;
    Ok(sidecar)
}

fn settings(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for text in given {
        let (name, value) = pair(text)?;
        let name = name.to_ascii_lowercase();
        if let Some((name, why)) = DECIDED.iter().find(|(decided, _)| *decided == name) {
            return Err(usage(format!("`{name}` cannot be set here: {why}")));
        }
        settings.insert(name, value.to_owned());
    }
    Ok(settings)
}

fn pair(given: &str) -> anyhow::Result<(&str, &str)> {
    given.split_once('=').ok_or_else(|| usage(format!("`{given}` must be NAME=VALUE")))
}

fn source(text: &str) -> anyhow::Result<Source> {
    let (kind, name) = text.split_once('/').unwrap_or(("configmap", text));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = name.len() <= 253
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || matches!(c, '-' | '.'));
    match kind {
        "configmap" if is_name => Ok(Source::ConfigMap(name.to_owned())),
        "secret" if is_name => Ok(Source::Secret(name.to_owned())),
        _ => Err(usage(format!("--policies `{text}` must be NAME or secret/NAME"))),
    }
}

#[cfg(test)]
mod tests;
