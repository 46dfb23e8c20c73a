//! Which objects of a manifest have pods, and where in them.
//!
//! Knows Kubernetes' own workloads; a kind of the same name in another API group is none. Changes nothing. Invariant: what
//! may be meant as a workload and cannot be read as one is refused, not passed on without a sidecar.

use super::tree::{Content, Fault, Node};

/// On a workload or its pod template: `disabled` leaves it alone, and `enabled` is the same as nothing.
const SWITCH: &str = "portcullis.dev/inject";
/// On a pod template that a sidecar was put into, with the version that did.
pub(super) const MARK: &str = "portcullis.dev/injected";
/// On a pod whose sidecar serves metrics: by it the chart's PodMonitor selects.
pub(super) const LABEL: &str = "portcullis.dev/sidecar";

/// The kinds that have pods.
const WORKLOADS: [&str; 8] = [
    "Pod",
    "ReplicationController",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
];

/// One object of a manifest.
#[derive(Debug)]
pub(super) struct Object<'n> {
    /// `deployment/orders`.
    pub(super) title: String,
    pub(super) role: Role<'n>,
}

/// What an object is to a sidecar.
#[derive(Debug)]
pub(super) enum Role<'n> {
    /// It has pods.
    Workload(Pod<'n>),
    /// It says that it wants none.
    OptedOut,
    /// It has no pods.
    Other,
}

/// Where the pods of a workload are described.
#[derive(Debug)]
pub(super) struct Pod<'n> {
    /// Has `metadata` and `spec`.
    pub(super) template: &'n Node,
    pub(super) spec: &'n Node,
    /// Whether its pods are expected to end by themselves.
    pub(super) ends: bool,
    /// Whether the labels of its pods are its selector too, since it has no other.
    pub(super) labels_select: bool,
}

impl<'n> Pod<'n> {
    pub(super) fn annotations(&self) -> Option<&'n Node> {
        self.template.get("metadata")?.get("annotations")
    }

    pub(super) fn is_injected(&self) -> bool {
        self.annotations().is_some_and(|annotations| annotations.get(MARK).is_some())
    }

    /// The items of a list of the pod's spec.
    pub(super) fn list(&self, key: &str) -> &'n [Node] {
        self.spec.get(key).map_or(&[], Node::items)
    }
}

/// The objects of a document: itself, or the items of a `List`.
pub(super) fn objects(document: &Node) -> Result<Vec<Object<'_>>, Fault> {
    let mut objects = Vec::new();
    if !document.is_null() {
        list(document, &mut objects)?;
    }
    Ok(objects)
}

fn list<'n>(node: &'n Node, objects: &mut Vec<Object<'n>>) -> Result<(), Fault> {
    if text_of(node, "kind") != Some("List") {
        objects.push(object(node)?);
        return Ok(());
    }
    match node.get("items") {
        Some(Node { content: Content::List(items), .. }) => {
            items.iter().try_for_each(|item| list(item, objects))
        }
        None if !node.is_elsewhere() => Ok(()),
        Some(items) if items.is_null() => Ok(()),
        items => {
            Err(Fault::new(items.unwrap_or(node), "the items of this `List` are not here: write them out"))
        }
    }
}

fn object(node: &Node) -> Result<Object<'_>, Fault> {
    let Some(kind) = text_of(node, "kind") else {
        let sentence = "this is no object of Kubernetes: it has no `kind`";
        return Err(Fault::new(node, sentence));
    };
    let metadata = node.get("metadata");
    let name =
        metadata.and_then(|metadata| text_of(metadata, "name").or_else(|| text_of(metadata, "generateName")));
    let title = format!("{}/{}", kind.to_ascii_lowercase(), name.unwrap_or("(no name)"));
    let api_version = text_of(node, "apiVersion");
    if api_version.is_none() && WORKLOADS.contains(&kind) {
        return Err(Fault::new(node, format!("{title} has no `apiVersion`")));
    }
    // Such as a DeploymentList, whose items need not say their kind.
    if kind.strip_suffix("List").is_some_and(|kind| WORKLOADS.contains(&kind)) {
        return Err(Fault::new(node, format!("a `{kind}` is not taken apart: write a `List`")));
    }
    let Some(path) = path_to_template(api_version.unwrap_or_default(), kind) else {
        return Ok(Object { title, role: Role::Other });
    };
    let mut template = node;
    for step in path {
        template = below(template, step, &title)?;
    }
    let spec = below(template, "spec", &title)?;
    if spec.get("containers").is_none_or(|containers| containers.items().is_empty()) {
        return Err(Fault::new(spec, format!("{title} has no `containers` here")));
    }
    let disabled = is_disabled(node, &title)? || is_disabled(template, &title)?;
    let restarts = matches!(text_of(spec, "restartPolicy"), None | Some("Always"));
    let ends = matches!(kind, "Job" | "CronJob") || (kind == "Pod" && !restarts);
    let has_selector = node.get("spec").is_some_and(|spec| spec.get("selector").is_some());
    let labels_select = kind == "ReplicationController" && !has_selector;
    let pod = Pod { template, spec, ends, labels_select };
    let role = if disabled { Role::OptedOut } else { Role::Workload(pod) };
    Ok(Object { title, role })
}

/// The keys from the object to what has the `metadata` and `spec` of its pods.
fn path_to_template(api_version: &str, kind: &str) -> Option<&'static [&'static str]> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "ReplicationController")
        | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn below<'n>(node: &'n Node, key: &str, title: &str) -> Result<&'n Node, Fault> {
    let found = node.get(key).ok_or_else(|| Fault::new(node, format!("{title} has no `{key}` here")))?;
    if found.shared {
        let sentence = format!("`{key}` of {title} is shared through an anchor or an alias: write it out");
        return Err(Fault::new(found, sentence));
    }
    Ok(found)
}

/// What the switch says; one that cannot be read might say `disabled`.
fn is_disabled(node: &Node, title: &str) -> Result<bool, Fault> {
    let mut switch = node;
    for key in ["metadata", "annotations", SWITCH] {
        switch = match switch.get(key) {
            Some(found) => found,
            None if switch.is_elsewhere() => {
                let sentence = format!("cannot see here whether {title} has `{SWITCH}`: write it out");
                return Err(Fault::new(switch, sentence));
            }
            None => return Ok(false),
        };
    }
    match switch.text() {
        Some("disabled") => Ok(true),
        Some("enabled") => Ok(false),
        _ => Err(Fault::new(switch, format!("`{SWITCH}` of {title} must be `disabled` or `enabled`"))),
    }
}

/// The text of a scalar below a key.
pub(super) fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(key).and_then(Node::text)
}
