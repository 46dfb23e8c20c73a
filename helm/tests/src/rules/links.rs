//! Rules about how objects fit each other. Each returns what it finds; nothing found is a rule that is kept.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod::has_replicas;
use super::{of_kind, pods};
use crate::manifest::{Look as _, Object, Pod, selects};

pub(super) fn selector(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for object in objects.iter().filter(|object| object.at("/spec/selector/matchLabels").is_object()) {
        let Some(pod) = object.pod() else { continue };
        if !selects(object.at("/spec/selector"), &pod.labels()) {
            found.push(format!("{} does not select its own pods", object.title()));
        }
        // A selector cannot be changed, and these labels change with a release.
        for label in ["helm.sh/chart", "app.kubernetes.io/version"] {
            if object.at("/spec/selector/matchLabels").get(label).is_some() {
                found.push(format!("{} selects by {label}, which changes", object.title()));
            }
        }
    }
    found
}

pub(super) fn network_policy(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for pod in pods(objects).filter(|pod| pod.stays()) {
        for direction in ["Ingress", "Egress"] {
            let limits = |policy: &Object| {
                selects(policy.at("/spec/podSelector"), &pod.labels())
                    && policy.list("/spec/policyTypes").iter().any(|one| one.as_str() == Some(direction))
            };
            if !of_kind(objects, "NetworkPolicy").any(limits) {
                found.push(format!("{}: no NetworkPolicy for {direction}", pod.owner.title()));
            }
        }
    }
    for policy in of_kind(objects, "NetworkPolicy") {
        if !pods(objects).any(|pod| selects(policy.at("/spec/podSelector"), &pod.labels())) {
            found.push(format!("{} selects no pod", policy.title()));
        }
        for (direction, peer) in [("ingress", "/from"), ("egress", "/to")] {
            let open = policy
                .list(&format!("/spec/{direction}"))
                .iter()
                .any(|rule| rule.list(peer).is_empty() && rule.list("/ports").is_empty());
            if open {
                found.push(format!("{} allows all {direction}", policy.title()));
            }
        }
    }
    found
}

pub(super) fn disruption_budget(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    let budgets = || of_kind(objects, "PodDisruptionBudget");
    for pod in pods(objects).filter(|pod| has_replicas(objects, pod.owner)) {
        if !budgets().any(|budget| selects(budget.at("/spec/selector"), &pod.labels())) {
            found.push(format!("{} has no PodDisruptionBudget", pod.owner.title()));
        }
    }
    for budget in budgets() {
        let mine = |pod: &Pod<'_>| pod.stays() && selects(budget.at("/spec/selector"), &pod.labels());
        let Some(pod) = pods(objects).find(mine) else {
            found.push(format!("{} selects no pod", budget.title()));
            continue;
        };
        let scaler = of_kind(objects, "HorizontalPodAutoscaler").next();
        let replicas = scaler.map_or(pod.owner.at("/spec/replicas"), |scaler| scaler.at("/spec/minReplicas"));
        let (least, most) = (budget.at("/spec/minAvailable"), budget.at("/spec/maxUnavailable"));
        let all_needed = least.as_u64().is_some_and(|least| least >= replicas.as_u64().unwrap_or(1))
            || least.as_str() == Some("100%")
            || most.as_u64() == Some(0)
            || most.as_str() == Some("0%");
        if all_needed && pod.owner.kind() == "Deployment" {
            found.push(format!("{} never lets a pod go", budget.title()));
        }
    }
    found
}

pub(super) fn autoscaler(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for scaler in of_kind(objects, "HorizontalPodAutoscaler") {
        let target = scaler.at("/spec/scaleTargetRef");
        let scaled = of_kind(objects, target.text("/kind")).find(|one| one.name() == target.text("/name"));
        match scaled {
            None => found.push(format!("{} scales what is not there", scaler.title())),
            Some(scaled) if !scaled.at("/spec/replicas").is_null() => {
                found.push(format!("{} sets replicas, which an autoscaler does too", scaled.title()));
            }
            Some(_) => {}
        }
        let of = |pointer: &str| scaler.at(pointer).as_u64().unwrap_or(1);
        if of("/spec/minReplicas") > of("/spec/maxReplicas") {
            found.push(format!("{} has a minimum above its maximum", scaler.title()));
        }
        if scaler.list("/spec/metrics").is_empty() {
            found.push(format!("{} has no metric to scale by", scaler.title()));
        }
    }
    found
}

pub(super) fn labels(objects: &[Object]) -> Vec<String> {
    let all = ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by"];
    let mut found = Vec::new();
    for object in objects.iter().filter(|object| object.kind() != GIVEN) {
        // What a person writes has a name and no more.
        let (first, _) = all.split_at(1);
        let wanted = if object.template.is_some() { all.as_slice() } else { first };
        let labels = object.texts("/metadata/labels");
        let missing = wanted.iter().filter(|label| !labels.contains_key(*label));
        found.extend(missing.map(|label| format!("{} has no label {label}", object.title())));
    }
    found
}

pub(super) fn names(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for object in objects.iter().filter(|object| object.kind() != GIVEN) {
        if !known.insert(object.title()) {
            found.push(format!("{} is there twice", object.title()));
        }
        // The name of a Service is a label of DNS.
        let longest = if object.kind() == "Service" { 63 } else { 253 };
        if object.name().is_empty() || object.name().len() > longest {
            found.push(format!("{} has no name of 1 to {longest} letters", object.title()));
        }
        let namespace = object.text("/metadata/namespace");
        if !matches!(namespace, "" | crate::case::NAMESPACE) {
            found.push(format!("{} is put into the namespace {namespace}", object.title()));
        }
    }
    found
}

pub(super) fn no_rights(objects: &[Object]) -> Vec<String> {
    let rights = ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    let given = objects.iter().filter(|object| rights.contains(&object.kind()));
    given.map(|object| format!("{} gives rights", object.title())).collect()
}

/// What a pod names: a kind and a name.
fn referred<'a>(pod: Pod<'a>) -> Vec<(&'static str, &'a str)> {
    let spec = pod.spec();
    let mut named = vec![("ServiceAccount", spec.text("/serviceAccountName"))];
    for volume in spec.list("/volumes") {
        named.push(("ConfigMap", volume.text("/configMap/name")));
        named.push(("Secret", volume.text("/secret/secretName")));
        named.push(("PersistentVolumeClaim", volume.text("/persistentVolumeClaim/claimName")));
        for source in volume.list("/projected/sources") {
            named.push(("ConfigMap", source.text("/configMap/name")));
            named.push(("Secret", source.text("/secret/name")));
        }
    }
    for entry in pod.containers().flat_map(|(_, container)| container.list("/env")) {
        named.push(("ConfigMap", entry.text("/valueFrom/configMapKeyRef/name")));
        named.push(("Secret", entry.text("/valueFrom/secretKeyRef/name")));
    }
    named.retain(|(_, name)| !name.is_empty());
    named
}

/// A case declares what is there already as an object of the kind `Given`, with the names in `names`.
pub(crate) const GIVEN: &str = "Given";

pub(super) fn references(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    let given: BTreeSet<&str> =
        of_kind(objects, GIVEN).flat_map(|object| object.list("/names")).filter_map(Value::as_str).collect();
    // cert-manager makes the Secret that a Certificate names.
    let made: BTreeSet<&str> =
        of_kind(objects, "Certificate").map(|object| object.text("/spec/secretName")).collect();
    for pod in pods(objects) {
        for (kind, name) in referred(pod) {
            let rendered = of_kind(objects, kind).any(|object| object.name() == name);
            let there = rendered || given.contains(name) || (kind == "Secret" && made.contains(name));
            if !there {
                found.push(format!("{} refers to {kind}/{name}, which is not there", pod.owner.title()));
            }
        }
    }
    found
}

pub(super) fn hooks(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for object in objects.iter().filter(|object| !object.hook().is_empty()) {
        let annotations = object.texts("/metadata/annotations");
        let policy = annotations.get("helm.sh/hook-delete-policy").copied().unwrap_or_default();
        if !policy.contains("before-hook-creation") {
            found.push(format!("{} stands in its own way the second time", object.title()));
        }
        if let Some(pod) = object.pod()
            && pod.spec().text("/restartPolicy") != "Never"
        {
            found.push(format!("{} is started again when it fails", object.title()));
        }
    }
    found
}
