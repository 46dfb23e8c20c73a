//! Breaks every rule, one thing at a time, in objects that keep them all (`good.yaml`): a rule that finds nothing when it
//! should is worth nothing.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::RULES;
use crate::manifest::{self, Look as _, Object};

/// A change to one object that one rule has to find.
struct Break {
    rule: &'static str,
    object: &'static str,
    at: &'static str,
    /// Null takes away what is there.
    to: Value,
}

fn change(rule: &'static str, object: &'static str, at: &'static str, to: Value) -> Break {
    Break { rule, object, at, to }
}

const DEPLOYMENT: &str = "Deployment/demo";
const POD: &str = "Pod/demo-test";

fn of_containers() -> Vec<Break> {
    let first = |rule, at, to| change(rule, DEPLOYMENT, at, to);
    let none = Value::Null;
    vec![
        first("privilege", "/spec/template/spec/containers/0/securityContext/privileged", json!(true)),
        first(
            "privilege",
            "/spec/template/spec/containers/0/securityContext/allowPrivilegeEscalation",
            none.clone(),
        ),
        first(
            "capabilities",
            "/spec/template/spec/containers/0/securityContext/capabilities/drop",
            json!(["KILL"]),
        ),
        first(
            "capabilities",
            "/spec/template/spec/containers/0/securityContext/capabilities/add",
            json!(["CHOWN"]),
        ),
        first(
            "read-only-root",
            "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem",
            json!(false),
        ),
        first("non-root", "/spec/template/spec/securityContext/runAsNonRoot", none.clone()),
        first("non-root", "/spec/template/spec/containers/0/securityContext/runAsUser", json!(0)),
        first("seccomp", "/spec/template/spec/securityContext/seccompProfile", none.clone()),
        first("resources", "/spec/template/spec/containers/0/resources/limits", none.clone()),
        first("resources", "/spec/template/spec/containers/0/resources/requests/memory", json!("1Gi")),
        first("image", "/spec/template/spec/containers/0/image", json!("registry.example:5000/portcullis")),
        first("image", "/spec/template/spec/containers/0/image", json!("portcullis:latest")),
        first("liveness", "/spec/template/spec/containers/0/livenessProbe", none.clone()),
        first("readiness", "/spec/template/spec/containers/0/readinessProbe", none.clone()),
        first(
            "readiness",
            "/spec/template/spec/containers/0/readinessProbe",
            json!({"httpGet": {"path": "/livez", "port": "http"}}),
        ),
        first("sub-path", "/spec/template/spec/containers/0/volumeMounts/0/subPath", json!("users.json")),
        first("mounts", "/spec/template/spec/containers/0/volumeMounts/0/readOnly", none.clone()),
        first("mounts", "/spec/template/spec/containers/0/volumeMounts/1/mountPath", json!("/policies")),
        first(
            "secret-in-environment",
            "/spec/template/spec/containers/0/env/0",
            json!({"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "policies", "key": "k"}}}),
        ),
        first("ports", "/spec/template/spec/containers/0/ports/0/name", none),
        first("ports", "/spec/template/spec/containers/0/ports/1/containerPort", json!(8180)),
    ]
}

fn of_pods() -> Vec<Break> {
    let first = |rule, at, to| change(rule, DEPLOYMENT, at, to);
    vec![
        first("host-namespaces", "/spec/template/spec/hostNetwork", json!(true)),
        first("host-namespaces", "/spec/template/spec/containers/0/ports/0/hostPort", json!(8180)),
        first(
            "host-path",
            "/spec/template/spec/volumes/1",
            json!({"name": "audit", "hostPath": {"path": "/var"}}),
        ),
        first("token", "/spec/template/spec/automountServiceAccountToken", Value::Null),
        change("token", "ServiceAccount/demo", "/automountServiceAccountToken", json!(true)),
        first("service-links", "/spec/template/spec/enableServiceLinks", Value::Null),
        first("volumes", "/spec/template/spec/volumes/1/emptyDir/sizeLimit", Value::Null),
        first("volumes", "/spec/template/spec/containers/0/volumeMounts/1", json!({})),
        first("grace", "/spec/template/spec/terminationGracePeriodSeconds", json!(15)),
        first("spread", "/spec/template/spec/topologySpreadConstraints", Value::Null),
    ]
}

fn of_links() -> Vec<Break> {
    vec![
        change("selector", DEPLOYMENT, "/spec/selector/matchLabels/app.kubernetes.io~1name", json!("other")),
        change("selector", DEPLOYMENT, "/spec/selector/matchLabels/helm.sh~1chart", json!("portcullis-1")),
        change("network-policy", "NetworkPolicy/demo", "/spec/policyTypes", json!(["Ingress"])),
        change("network-policy", "NetworkPolicy/demo", "/spec/podSelector/matchLabels/a", json!("b")),
        change("network-policy", "NetworkPolicy/demo", "/spec/egress", json!([{}])),
        change("disruption-budget", "PodDisruptionBudget/demo", "/spec/selector/matchLabels/a", json!("b")),
        change("disruption-budget", "PodDisruptionBudget/demo", "/spec/maxUnavailable", json!(0)),
        change("autoscaler", "HorizontalPodAutoscaler/demo", "/spec/scaleTargetRef/name", json!("other")),
        change("autoscaler", "HorizontalPodAutoscaler/demo", "/spec/minReplicas", json!(5)),
        change("autoscaler", DEPLOYMENT, "/spec/replicas", json!(2)),
        change("labels", "Service/demo", "/metadata/labels/app.kubernetes.io~1name", Value::Null),
        change("names", "Service/demo", "/metadata/namespace", json!("kube-system")),
        change("names", "Service/demo", "/metadata/name", json!("")),
        change("no-rights", "ServiceAccount/demo", "/kind", json!("ClusterRole")),
        change("references", DEPLOYMENT, "/spec/template/spec/volumes/0/configMap/name", json!("other")),
        change("hooks", POD, "/metadata/annotations/helm.sh~1hook-delete-policy", Value::Null),
        change("hooks", POD, "/spec/restartPolicy", json!("OnFailure")),
        change("service", "Service/demo", "/spec/ports/0/targetPort", json!("https")),
        change("service", "Service/demo", "/spec/selector/app.kubernetes.io~1name", json!("other")),
        change(
            "port-names",
            DEPLOYMENT,
            "/spec/template/spec/containers/0/readinessProbe/httpGet/port",
            json!("web"),
        ),
        change("port-names", "NetworkPolicy/demo", "/spec/ingress/0/ports/0/port", json!("web")),
        change("monitors", "ServiceMonitor/demo", "/spec/endpoints/0/port", json!("web")),
        change("monitors", "PodMonitor/demo", "/spec/podMetricsEndpoints/0/port", json!("web")),
    ]
}

fn good() -> anyhow::Result<Vec<Object>> {
    manifest::objects(include_str!("good.yaml"))
}

/// The good objects keep every rule, each change breaks its rule, and every rule is broken by some change.
pub(crate) fn every_rule_fires() -> anyhow::Result<()> {
    for rule in RULES {
        let found = (rule.check)(&good()?);
        ensure!(found.is_empty(), "{} finds in what is good: {}", rule.name, found.join("; "));
    }
    let mut broken = BTreeSet::new();
    for one in of_containers().into_iter().chain(of_pods()).chain(of_links()) {
        let rule = RULES.iter().find(|rule| rule.name == one.rule).context("there is no such rule")?;
        let mut objects = good()?;
        let object = objects.iter_mut().find(|object| object.title() == one.object);
        set(&mut object.context(one.object)?.value, one.at, one.to.clone())?;
        ensure!(!(rule.check)(&objects).is_empty(), "{} does not see {} as {}", one.rule, one.at, one.to);
        broken.insert(one.rule);
    }
    let never: Vec<&str> = RULES.iter().map(|rule| rule.name).filter(|name| !broken.contains(name)).collect();
    ensure!(never.is_empty(), "nothing breaks {}", never.join(", "));
    Ok(())
}

/// Puts a value at a place of an object or a list that is there.
pub(crate) fn set(value: &mut Value, at: &str, to: Value) -> anyhow::Result<()> {
    let (parent, last) = at.rsplit_once('/').context("no pointer")?;
    let last = last.replace("~1", "/");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) if to.is_null() => {
            map.remove(&last).with_context(|| format!("{at} is not there"))?;
        }
        Some(Value::Object(map)) => {
            map.insert(last, to);
        }
        Some(Value::Array(list)) => {
            let slot = list.get_mut(last.parse::<usize>()?).with_context(|| format!("{at} is not there"))?;
            *slot = to;
        }
        _ => bail!("{at} is not there, in {}", value.at("/kind")),
    }
    Ok(())
}
