//! Validates rendered objects against the schemas that Kubernetes publishes for three of its versions, and against those
//! of the custom kinds (`schemas/`). Stricter than an API server: a field that the schema does not know is an error.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, bail, ensure};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::manifest::{self, Look as _, Object};
use crate::rig::Rig;

/// The versions of Kubernetes that a chart is validated for.
pub(crate) const VERSIONS: [&str; 3] = ["1.35", "1.36", "1.37"];

/// A validator for every `apiVersion/Kind`.
#[derive(Debug)]
pub(crate) struct Schemas {
    version: &'static str,
    kinds: BTreeMap<String, Validator>,
}

impl Schemas {
    /// Reads those of a version of Kubernetes, and of the custom kinds.
    pub(crate) fn read(version: &'static str) -> anyhow::Result<Self> {
        let path = Rig::here().join(format!("schemas/kubernetes-{version}.json"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let document = strict(&serde_json::from_str(&text)?);
        let mut kinds = BTreeMap::new();
        for (name, schema) in document.at("/components/schemas").as_object().context("no schemas")? {
            for known in schema.list("/x-kubernetes-group-version-kind") {
                let mut whole = document.clone();
                let reference = json!(format!("#/components/schemas/{name}"));
                whole.as_object_mut().context("no document")?.insert("$ref".to_owned(), reference);
                let (group, version) = (known.text("/group"), known.text("/version"));
                let version =
                    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
                kinds.insert(format!("{version}/{}", known.text("/kind")), validator(&whole)?);
            }
        }
        for definition in custom_kinds()? {
            let (group, kind) = (definition.text("/spec/group"), definition.text("/spec/names/kind"));
            for version in definition.list("/spec/versions") {
                let schema = strict(version.at("/schema/openAPIV3Schema"));
                kinds.insert(format!("{group}/{}/{kind}", version.text("/name")), validator(&schema)?);
            }
        }
        Ok(Self { version, kinds })
    }

    /// What is wrong with an object; nothing when it is valid.
    pub(crate) fn findings(&self, object: &Object) -> Vec<String> {
        let (name, version) = (object.title(), self.version);
        let kind = format!("{}/{}", object.text("/apiVersion"), object.kind());
        match self.kinds.get(&kind) {
            None => {
                vec![format!("{name}: Kubernetes {version} has no {kind}, or schemas/make leaves it out")]
            }
            Some(validator) => validator
                .iter_errors(&object.value)
                .map(|error| format!("{name}: {} at {}, in {version}", error, error.instance_path()))
                .collect(),
        }
    }

    /// Every object is valid.
    pub(crate) fn valid(&self, objects: &[Object]) -> anyhow::Result<()> {
        let found: Vec<String> = objects.iter().flat_map(|object| self.findings(object)).collect();
        ensure!(found.is_empty(), "{}", found.join("\n  "));
        Ok(())
    }
}

fn validator(schema: &Value) -> anyhow::Result<Validator> {
    Ok(jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(schema)?)
}

/// The definitions of the custom kinds that the chart may render, as they are published.
pub(crate) fn custom_kinds() -> anyhow::Result<Vec<Value>> {
    let mut definitions = Vec::new();
    for entry in fs::read_dir(Rig::here().join("schemas"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            definitions.push(manifest::yaml(&fs::read_to_string(path)?)?);
        }
    }
    Ok(definitions)
}

/// Closes every object whose fields are listed, unless it says that it takes others.
fn strict(schema: &Value) -> Value {
    match schema {
        Value::Array(list) => Value::Array(list.iter().map(strict).collect()),
        Value::Object(map) => {
            let mut closed: Map<String, Value> =
                map.iter().map(|(key, value)| (key.clone(), strict(value))).collect();
            // Go's way to write a pattern that takes both cases is none of JSON Schema's.
            closed.retain(|key, value| {
                key != "pattern" || !value.as_str().is_some_and(|text| text.contains("(?i)"))
            });
            let open = ["additionalProperties", "x-kubernetes-preserve-unknown-fields"];
            let listed = map.get("properties").is_some_and(Value::is_object)
                && map.get("type").and_then(Value::as_str) == Some("object");
            if listed && !open.iter().any(|word| map.contains_key(*word)) {
                closed.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            Value::Object(closed)
        }
        other => other.clone(),
    }
}

/// The schemas refuse what they should: an unknown field, a wrong type, a field that is missing, an unknown kind.
pub(crate) fn refuses() -> anyhow::Result<()> {
    let good = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo"},
        "spec": {"ports": [{"name": "grpc", "port": 8180, "targetPort": "grpc"}]},
    });
    let monitor = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "demo"},
        "spec": {"selector": {}, "endpoints": [{"port": "http"}]},
    });
    let changes = [
        (&good, "/spec/ports/0/targetport", json!("grpc")),
        (&good, "/spec/ports/0/port", json!("grpc")),
        (&good, "/spec/ports/0", json!({"name": "grpc"})),
        (&good, "/apiVersion", json!("v2")),
        (&monitor, "/spec/endpoint", json!([])),
        (&monitor, "/spec/endpoints/0/port", json!(80)),
        (&monitor, "/spec", json!({})),
    ];
    for version in VERSIONS {
        let schemas = Schemas::read(version)?;
        schemas.valid(&[Object::new(good.clone()), Object::new(monitor.clone())])?;
        for (base, place, value) in &changes {
            let mut changed = (*base).clone();
            crate::rules::bad::set(&mut changed, place, value.clone())?;
            if schemas.findings(&Object::new(changed)).is_empty() {
                bail!("{version} takes {value} at {place}");
            }
        }
    }
    Ok(())
}
