//! A sidecar put into the pods of a manifest and taken out again.
//!
//! What is put in has names of its own, so that taking it out finds it whatever happened to the manifest in between.
//! Invariant: a pod that uses one of these names for something of its own is refused, not changed.

use serde_json::{Map, Value, json};

use super::edit::Editor;
use super::sidecar::{self, Sidecar};
use super::tree::{Fault, Node};
use super::workload::{LABEL, MARK, Pod, text_of};
use crate::configuration::SOCKET_VARIABLE;

/// The pod's lists of containers.
const CONTAINERS: [&str; 2] = ["initContainers", "containers"];

/// The containers that may ask: all that start when the sidecar answers.
fn callers<'n>(pod: &Pod<'n>, sidecar: &Sidecar) -> impl Iterator<Item = &'n Node> {
    let lists = if sidecar.native { &CONTAINERS[..] } else { &["containers"] };
    lists.iter().flat_map(|list| pod.list(list))
}

/// Puts the sidecar into a pod that has none.
pub(super) fn add(editor: &mut Editor<'_>, pod: &Pod<'_>, sidecar: &Sidecar) -> Result<(), Fault> {
    refuse_what_does_not_fit(pod, sidecar)?;
    for container in callers(pod, sidecar) {
        let mut fresh = Map::new();
        add_first(editor, container, "env", vec![sidecar::caller_variable()], &mut fresh)?;
        add_first(editor, container, "volumeMounts", vec![sidecar::caller_mount()], &mut fresh)?;
        editor.add_entries(container, fresh)?;
    }
    let mut fresh = Map::new();
    // First: what follows starts when it answers, or, where sidecars are not native, after it.
    let list = if sidecar.native { "initContainers" } else { "containers" };
    add_first(editor, pod.spec, list, vec![sidecar.container()], &mut fresh)?;
    add_first(editor, pod.spec, "volumes", sidecar.volumes(), &mut fresh)?;
    editor.add_entries(pod.spec, fresh)?;

    let mut marks = vec![("annotations", one(MARK, json!(env!("CARGO_PKG_VERSION"))))];
    if sidecar.http_port != 0 {
        marks.push(("labels", one(LABEL, json!("true"))));
    }
    let Some(metadata) = pod.template.get("metadata") else {
        let fresh = marks.into_iter().map(|(key, mark)| (key.to_owned(), Value::Object(mark)));
        return editor.add_entries(pod.template, one("metadata", Value::Object(fresh.collect())));
    };
    let mut fresh = Map::new();
    for (key, mark) in marks {
        match metadata.get(key) {
            Some(map) => editor.add_entries(map, mark)?,
            None => fresh.extend(one(key, Value::Object(mark))),
        }
    }
    editor.add_entries(metadata, fresh)
}

/// Items to the front of a list, or the list to what its mapping gets.
fn add_first(
    editor: &mut Editor<'_>,
    map: &Node,
    key: &str,
    items: Vec<Value>,
    fresh: &mut Map<String, Value>,
) -> Result<(), Fault> {
    match map.get(key) {
        Some(list) => editor.add_items(list, &items),
        None => {
            fresh.insert(key.to_owned(), Value::from(items));
            Ok(())
        }
    }
}

fn one(key: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), value)])
}

fn refuse_what_does_not_fit(pod: &Pod<'_>, sidecar: &Sidecar) -> Result<(), Fault> {
    if pod.spec.get("os").and_then(|os| text_of(os, "name")) == Some("windows") {
        return Err(Fault::new(pod.spec, "these pods run on Windows, and the sidecar does not"));
    }
    let taken = |node: &Node, what: &str| {
        Err(Fault::new(node, format!("{what} is here already, and was not put here by inject: take it out")))
    };
    for container in CONTAINERS.iter().flat_map(|list| pod.list(list)) {
        if text_of(container, "name") == Some(sidecar::CONTAINER) {
            return taken(container, "a container `portcullis`");
        }
        for port in list_of(container, "ports") {
            let number = text_of(port, "containerPort").and_then(|number| number.parse::<u16>().ok());
            if let Some(number) = number.filter(|number| *number == sidecar.http_port) {
                let sentence = format!("port {number} is this container's: choose another with --http-port");
                return Err(Fault::new(port, sentence));
            }
        }
    }
    for volume in pod.list("volumes") {
        if let Some(name) = text_of(volume, "name").filter(|name| is_ours(name)) {
            return taken(volume, &format!("a volume `{name}`"));
        }
    }
    let labels = pod.template.get("metadata").and_then(|metadata| metadata.get("labels"));
    if let Some(label) = labels.and_then(|labels| labels.get(LABEL)) {
        return taken(label, &format!("the label `{LABEL}`"));
    }
    for container in callers(pod, sidecar) {
        // One below would have no place in a volume that is mounted read-only.
        let mount = list_of(container, "volumeMounts").iter().find(|mount| {
            let below =
                text_of(mount, "mountPath").and_then(|path| path.strip_prefix(sidecar::SOCKET_DIRECTORY));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let variable = list_of(container, "env").iter().find(|variable| is_variable(variable));
        if let Some(mount) = mount {
            return taken(mount, "a mount at `/run/portcullis`");
        }
        if let Some(variable) = variable {
            return taken(variable, "a variable `PORTCULLIS_SOCKET`");
        }
    }
    Ok(())
}

/// Takes out what [`add`] put in.
pub(super) fn remove(editor: &mut Editor<'_>, pod: &Pod<'_>) -> Result<(), Fault> {
    let mut gone = Vec::new();
    for list in CONTAINERS {
        gone.extend(remove_items(editor, pod.spec, list, |item| {
            text_of(item, "name") == Some(sidecar::CONTAINER)
        })?);
    }
    let ours = |item: &Node| text_of(item, "name").is_some_and(is_ours);
    gone.extend(remove_items(editor, pod.spec, "volumes", ours)?);
    remove_entries(editor, pod.spec, gone)?;

    let callers = CONTAINERS.iter().flat_map(|list| pod.list(list));
    for container in callers.filter(|container| text_of(container, "name") != Some(sidecar::CONTAINER)) {
        let mut gone = Vec::new();
        gone.extend(remove_items(editor, container, "env", is_variable)?);
        gone.extend(remove_items(editor, container, "volumeMounts", ours)?);
        remove_entries(editor, container, gone)?;
    }
    remove_marks(editor, pod)
}

/// The mark and the label, and the mappings that hold nothing else and were made for them.
fn remove_marks(editor: &mut Editor<'_>, pod: &Pod<'_>) -> Result<(), Fault> {
    let Some(metadata) = pod.template.get("metadata") else { return Ok(()) };
    let mut gone = Vec::new();
    for (key, name) in [("annotations", MARK), ("labels", LABEL)] {
        let Some(map) = metadata.get(key) else { continue };
        let Some(position) = map.position(name) else { continue };
        if map.entries().len() == 1 && goes_when_empty(map, metadata) {
            gone.extend(metadata.position(key));
        } else {
            editor.cut(map, &[position])?;
        }
    }
    if gone.len() == metadata.entries().len() && goes_when_empty(metadata, pod.template) {
        return remove_entries(editor, pod.template, pod.template.position("metadata").into_iter().collect());
    }
    remove_entries(editor, metadata, gone)
}

/// Cuts items out of a list; when none stay, gives the list's position to cut it with its key.
fn remove_items(
    editor: &mut Editor<'_>,
    map: &Node,
    key: &str,
    goes: impl Fn(&Node) -> bool,
) -> Result<Option<usize>, Fault> {
    let Some(list) = map.get(key) else { return Ok(None) };
    let positions = list.items().iter().enumerate().filter(|(_, item)| goes(item)).map(|(at, _)| at);
    let positions: Vec<_> = positions.collect();
    if !positions.is_empty() && positions.len() == list.items().len() && goes_when_empty(list, map) {
        return Ok(map.position(key));
    }
    editor.cut(list, &positions)?;
    Ok(None)
}

fn remove_entries(editor: &mut Editor<'_>, map: &Node, mut positions: Vec<usize>) -> Result<(), Fault> {
    positions.sort_unstable();
    editor.cut(map, &positions)
}

/// An emptied `[]` or `{}` among block lines was there before: what is made for a sidecar is in the style around it.
fn goes_when_empty(collection: &Node, parent: &Node) -> bool {
    !collection.flow || parent.flow
}

fn list_of<'n>(container: &'n Node, key: &str) -> &'n [Node] {
    container.get(key).map_or(&[], Node::items)
}

fn is_ours(volume: &str) -> bool {
    let Some(name) = volume.strip_prefix(sidecar::VOLUMES) else { return false };
    let number = name.strip_prefix("policies-").unwrap_or_default();
    matches!(name, "policies" | "socket" | "audit" | "state") || number.parse::<usize>().is_ok()
}

fn is_variable(variable: &Node) -> bool {
    text_of(variable, "name") == Some(SOCKET_VARIABLE)
}
