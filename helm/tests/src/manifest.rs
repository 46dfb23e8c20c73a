//! Kubernetes objects as JSON values, and short ways to look into them. Knows nothing of the chart. What is absent reads
//! as null, as an empty text or as an empty list: a rule that needs it then finds that it is not there.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

/// Looks at a place of a value by its JSON pointer.
pub(crate) trait Look {
    fn at(&self, pointer: &str) -> &Value;

    fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn is(&self, pointer: &str, wanted: bool) -> bool {
        self.at(pointer).as_bool() == Some(wanted)
    }

    /// A map of texts, as labels are.
    fn texts(&self, pointer: &str) -> BTreeMap<&str, &str> {
        let pairs = self.at(pointer).as_object().into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
    }
}

impl Look for Value {
    fn at(&self, pointer: &str) -> &Value {
        self.pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// One object of a rendered manifest.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) value: Value,
    /// The template it comes from, where helm says so.
    pub(crate) template: Option<String>,
}

impl Look for Object {
    fn at(&self, pointer: &str) -> &Value {
        self.value.at(pointer)
    }
}

/// A pod that an object describes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    pub(crate) owner: &'a Object,
    /// Has `metadata` and `spec`.
    pub(crate) template: &'a Value,
}

/// How a container lives in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that goes on beside the others.
    Sidecar,
    Main,
}

impl Object {
    pub(crate) fn new(value: Value) -> Self {
        Self { value, template: None }
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The namespace that it names, or else this one.
    pub(crate) fn namespace_or<'a>(&'a self, other: &'a str) -> &'a str {
        Some(self.text("/metadata/namespace")).filter(|own| !own.is_empty()).unwrap_or(other)
    }

    /// `Kind/name`, for messages.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// The hook of helm that it is; empty for an object that stays.
    pub(crate) fn hook(&self) -> &str {
        self.at("/metadata/annotations").get("helm.sh/hook").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn pod(&self) -> Option<Pod<'_>> {
        let template = match self.kind() {
            "Pod" => &self.value,
            "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
                self.at("/spec/template")
            }
            "CronJob" => self.at("/spec/jobTemplate/spec/template"),
            _ => return None,
        };
        Some(Pod { owner: self, template })
    }
}

impl<'a> Pod<'a> {
    pub(crate) fn spec(self) -> &'a Value {
        self.template.at("/spec")
    }

    /// The pod that a controller makes of it.
    pub(crate) fn made(self) -> Value {
        let mut metadata = self.template.at("/metadata").clone();
        if let Some(fields) = metadata.as_object_mut() {
            fields.insert("generateName".to_owned(), format!("{}-", self.owner.name()).into());
            // What the server added to a template, or to a pod that is stored already.
            for name in ["creationTimestamp", "name", "resourceVersion", "uid"] {
                fields.remove(name);
            }
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec()})
    }

    pub(crate) fn labels(self) -> BTreeMap<&'a str, &'a str> {
        self.template.texts("/metadata/labels")
    }

    pub(crate) fn containers(self) -> impl Iterator<Item = (Life, &'a Value)> {
        let life = |container: &Value| match container.text("/restartPolicy") {
            "Always" => Life::Sidecar,
            _ => Life::Init,
        };
        let init =
            self.spec().list("/initContainers").iter().map(move |container| (life(container), container));
        init.chain(self.spec().list("/containers").iter().map(|container| (Life::Main, container)))
    }

    /// Whether it serves until it is told to end; a job or a test of helm does not.
    pub(crate) fn stays(self) -> bool {
        matches!(self.owner.kind(), "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet")
            || (self.owner.kind() == "Pod" && self.owner.hook().is_empty())
    }

    pub(crate) fn container_ports(self) -> impl Iterator<Item = &'a Value> {
        self.containers().flat_map(|(_, container)| container.list("/ports"))
    }
}

/// Whether a label selector takes these labels. `matchExpressions` is read too; an empty selector takes all.
pub(crate) fn selects(selector: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    let has = |(key, value): (&str, &str)| labels.get(key) == Some(&value);
    selector.texts("/matchLabels").into_iter().all(has)
        && selector.list("/matchExpressions").iter().all(|expression| {
            let value = labels.get(expression.text("/key"));
            let listed = value.is_some_and(|value| {
                expression.list("/values").iter().any(|one| one.as_str() == Some(*value))
            });
            match expression.text("/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Laid over other values as helm lays them: maps key by key, all else whole.
pub(crate) fn merged(under: &Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            let mut both = under.clone();
            for (key, value) in over {
                both.insert(key.clone(), merged(under.get(key).unwrap_or(&Value::Null), value));
            }
            Value::Object(both)
        }
        _ => over.clone(),
    }
}

/// Reads one YAML document, numbers that begin with 0 as octal, as Kubernetes does.
pub(crate) fn yaml(text: &str) -> anyhow::Result<Value> {
    let options = serde_saphyr::options! { budget: None, legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options(text, options).context("this is not YAML")
}

/// Reads a stream of objects; documents of nothing but comments are left out. A list is taken apart.
pub(crate) fn objects(text: &str) -> anyhow::Result<Vec<Object>> {
    let mut found = Vec::new();
    for document in documents(text) {
        let template = document.lines().find_map(|line| line.strip_prefix("# Source: ")).map(str::to_owned);
        if document.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            continue;
        }
        let value = yaml(document).with_context(|| document.to_owned())?;
        match value.text("/kind") {
            "List" => found.extend(value.list("/items").iter().cloned().map(Object::new)),
            _ => found.push(Object { value, template }),
        }
    }
    Ok(found)
}

fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.strip_prefix("---\n").unwrap_or(text).split("\n---\n")
}
