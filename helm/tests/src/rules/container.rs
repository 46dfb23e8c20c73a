//! Rules about one container. Each returns what it finds; nothing found is a rule that is kept.

use std::collections::BTreeSet;

use serde_json::Value;

use super::containers;
use crate::manifest::{Life, Look as _, Object, Pod};

/// Asks every container, and puts its place in front of what is found.
fn each(objects: &[Object], find: impl Fn(Pod<'_>, Life, &Value) -> Vec<String>) -> Vec<String> {
    let found = containers(objects).flat_map(|(pod, life, container)| {
        let place = format!("{} container {}", pod.owner.title(), container.text("/name"));
        find(pod, life, container).into_iter().map(move |what| format!("{place}: {what}"))
    });
    found.collect()
}

/// One finding, or none.
fn unless(kept: bool, what: &str) -> Vec<String> {
    if kept { Vec::new() } else { vec![what.to_owned()] }
}

pub(super) fn privilege(objects: &[Object]) -> Vec<String> {
    each(objects, |_, _, container| {
        let security = container.at("/securityContext");
        let mut found = unless(!security.is("/privileged", true), "privileged");
        let kept = security.is("/allowPrivilegeEscalation", false);
        found.extend(unless(kept, "allowPrivilegeEscalation is not false"));
        found
    })
}

pub(super) fn capabilities(objects: &[Object]) -> Vec<String> {
    each(objects, |_, _, container| {
        let capabilities = container.at("/securityContext/capabilities");
        let dropped = capabilities.list("/drop").iter().any(|name| name.as_str() == Some("ALL"));
        let mut found = unless(dropped, "does not drop ALL");
        found.extend(unless(capabilities.list("/add").is_empty(), "adds capabilities"));
        found
    })
}

pub(super) fn read_only_root(objects: &[Object]) -> Vec<String> {
    each(objects, |_, _, container| {
        unless(
            container.is("/securityContext/readOnlyRootFilesystem", true),
            "the root filesystem can be written",
        )
    })
}

/// What counts for a container: its own word, or else that of its pod.
fn security<'a>(pod: Pod<'a>, container: &'a Value, pointer: &str) -> &'a Value {
    match container.at("/securityContext").at(pointer) {
        Value::Null => pod.spec().at("/securityContext").at(pointer),
        own => own,
    }
}

pub(super) fn non_root(objects: &[Object]) -> Vec<String> {
    each(objects, |pod, _, container| {
        let of = |pointer: &str| security(pod, container, pointer);
        let mut found = unless(of("/runAsNonRoot").as_bool() == Some(true), "runAsNonRoot is not true");
        for pointer in ["/runAsUser", "/runAsGroup"] {
            let named = of(pointer).as_u64().is_some_and(|id| id >= 10_000);
            found.extend(unless(named, &format!("{pointer} is not a number of 10000 or more")));
        }
        found
    })
}

pub(super) fn seccomp(objects: &[Object]) -> Vec<String> {
    each(objects, |pod, _, container| {
        let profile = security(pod, container, "/seccompProfile/type").as_str();
        unless(matches!(profile, Some("RuntimeDefault" | "Localhost")), "no seccomp profile")
    })
}

pub(super) fn resources(objects: &[Object]) -> Vec<String> {
    each(objects, |_, _, container| {
        let mut found = Vec::new();
        for pointer in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            let given = container.at("/resources").at(pointer);
            found.extend(unless(amount(given).is_some_and(|amount| amount > 0.0), &format!("no {pointer}")));
        }
        for resource in ["/cpu", "/memory"] {
            let of = |which: &str| amount(container.at("/resources").at(which).at(resource));
            if let (Some(request), Some(limit)) = (of("/requests"), of("/limits")) {
                found
                    .extend(unless(request <= limit, &format!("requests more than its limit of {resource}")));
            }
        }
        found
    })
}

/// A quantity of Kubernetes, as a number of its unit. None when it is not one.
pub(crate) fn amount(quantity: &Value) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 10] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("m", 0.001),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("", 1.0),
    ];
    let text = match quantity {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let (digits, factor) =
        SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)))?;
    Some(digits.parse::<f64>().ok()? * factor)
}

pub(super) fn image(objects: &[Object]) -> Vec<String> {
    each(objects, |_, _, container| {
        let image = container.text("/image");
        let (_, last) = image.rsplit_once('/').unwrap_or(("", image));
        let tag = last.split_once(':').map(|(_, tag)| tag).unwrap_or_default();
        let fixed = last.contains("@sha256:") || !matches!(tag, "" | "latest");
        unless(fixed, &format!("the image {image:?} may change under its name"))
    })
}

/// Whether a container runs until it is told to end.
fn stays(pod: Pod<'_>, life: Life) -> bool {
    pod.stays() && life != Life::Init
}

pub(super) fn liveness(objects: &[Object]) -> Vec<String> {
    each(objects, |pod, life, container| {
        unless(!stays(pod, life) || container.at("/livenessProbe").is_object(), "no liveness probe")
    })
}

pub(super) fn readiness(objects: &[Object]) -> Vec<String> {
    each(objects, |pod, life, container| {
        let (ready, alive) = (container.at("/readinessProbe"), container.at("/livenessProbe"));
        let mut found = unless(!stays(pod, life) || ready.is_object(), "no readiness probe");
        found.extend(unless(ready.is_null() || ready != alive, "one probe for being alive and being ready"));
        found
    })
}

pub(super) fn sub_path(objects: &[Object]) -> Vec<String> {
    each(objects, |_, _, container| {
        let by_path = |mount: &&Value| !mount.at("/subPath").is_null() || !mount.at("/subPathExpr").is_null();
        let mounts = container.list("/volumeMounts").iter().filter(by_path);
        mounts.map(|mount| format!("{} is mounted by subPath", mount.text("/mountPath"))).collect()
    })
}

pub(super) fn mounts(objects: &[Object]) -> Vec<String> {
    each(objects, |pod, _, container| {
        let mut found = Vec::new();
        let mut places = BTreeSet::new();
        for mount in container.list("/volumeMounts") {
            let (name, place) = (mount.text("/name"), mount.text("/mountPath"));
            found.extend(unless(places.insert(place), &format!("{place} is mounted twice")));
            let volume = pod.spec().list("/volumes").iter().find(|volume| volume.text("/name") == name);
            let Some(volume) = volume else {
                found.push(format!("{place} mounts {name}, which is no volume"));
                continue;
            };
            let fixed = ["/configMap", "/secret", "/projected", "/downwardAPI", "/image"];
            let fixed = fixed.iter().any(|kind| volume.at(kind).is_object());
            found.extend(unless(!fixed || mount.is("/readOnly", true), &format!("{place} is not read-only")));
        }
        found
    })
}

pub(super) fn secret_in_environment(objects: &[Object]) -> Vec<String> {
    each(objects, |_, _, container| {
        let one = container.list("/env").iter().any(|entry| entry.at("/valueFrom/secretKeyRef").is_object());
        let all = container.list("/envFrom").iter().any(|entry| entry.at("/secretRef").is_object());
        unless(!one && !all, "a Secret is read into the environment")
    })
}

pub(super) fn ports(objects: &[Object]) -> Vec<String> {
    let mut found = each(objects, |_, _, container| {
        let nameless = container.list("/ports").iter().filter(|port| port.text("/name").is_empty());
        nameless.map(|port| format!("port {} has no name", port.at("/containerPort"))).collect()
    });
    for pod in super::pods(objects) {
        let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for port in pod.container_ports() {
            let number = (port.at("/containerPort").as_u64(), port.text("/protocol"));
            if !names.insert(port.text("/name")) || !numbers.insert(number) {
                found.push(format!("{}: port {} is there twice", pod.owner.title(), port.text("/name")));
            }
        }
    }
    found
}
