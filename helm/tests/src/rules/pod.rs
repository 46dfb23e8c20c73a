//! Rules about one pod. Each returns what it finds; nothing found is a rule that is kept.

use serde_json::Value;

use super::pods;
use crate::manifest::{Look as _, Object, Pod, selects};

/// Asks every pod, and puts its name in front of what is found.
fn each(objects: &[Object], find: impl Fn(Pod<'_>) -> Vec<String>) -> Vec<String> {
    let found = pods(objects).flat_map(|pod| {
        let title = pod.owner.title();
        find(pod).into_iter().map(move |what| format!("{title}: {what}"))
    });
    found.collect()
}

pub(super) fn host_namespaces(objects: &[Object]) -> Vec<String> {
    each(objects, |pod| {
        let shared = ["/hostNetwork", "/hostPID", "/hostIPC", "/shareProcessNamespace"];
        let shared = shared.into_iter().filter(|pointer| pod.spec().is(pointer, true)).map(str::to_owned);
        let bound = pod.container_ports().filter(|port| !port.at("/hostPort").is_null());
        shared.chain(bound.map(|port| format!("/hostPort {}", port.at("/hostPort")))).collect()
    })
}

pub(super) fn host_path(objects: &[Object]) -> Vec<String> {
    each(objects, |pod| {
        let paths = pod.spec().list("/volumes").iter().filter(|volume| volume.at("/hostPath").is_object());
        paths.map(|volume| format!("mounts {} of its node", volume.text("/hostPath/path"))).collect()
    })
}

pub(super) fn token(objects: &[Object]) -> Vec<String> {
    let mut found = each(objects, |pod| {
        let sources = pod.spec().list("/volumes").iter().flat_map(|volume| volume.list("/projected/sources"));
        let projected = sources.filter(|source| source.at("/serviceAccountToken").is_object()).count();
        let automatic = !pod.spec().is("/automountServiceAccountToken", false);
        let automatic = automatic.then(|| "automountServiceAccountToken is not false".to_owned());
        automatic.into_iter().chain((projected > 0).then(|| "a volume holds a token".to_owned())).collect()
    });
    for account in super::of_kind(objects, "ServiceAccount") {
        if !account.is("/automountServiceAccountToken", false) {
            found.push(format!("{}: automountServiceAccountToken is not false", account.title()));
        }
    }
    found
}

pub(super) fn service_links(objects: &[Object]) -> Vec<String> {
    each(objects, |pod| {
        let kept = pod.spec().is("/enableServiceLinks", false);
        (!kept).then(|| "enableServiceLinks is not false".to_owned()).into_iter().collect()
    })
}

pub(super) fn volumes(objects: &[Object]) -> Vec<String> {
    each(objects, |pod| {
        let mut found = Vec::new();
        for volume in pod.spec().list("/volumes") {
            let name = volume.text("/name");
            let mounts = |container: &Value| {
                container.list("/volumeMounts").iter().any(|mount| mount.text("/name") == name)
            };
            if !pod.containers().any(|(_, container)| mounts(container)) {
                found.push(format!("nobody mounts the volume {name}"));
            }
            if volume.at("/emptyDir").is_object() && volume.at("/emptyDir/sizeLimit").is_null() {
                found.push(format!("the volume {name} may grow without a limit"));
            }
        }
        found
    })
}

/// The longest that a container of Portcullis may take to drain, by its variables: milliseconds.
fn drain(container: &Value) -> f64 {
    let of = |name: &str| {
        let entry = container.list("/env").iter().find(|entry| entry.text("/name") == name);
        entry.and_then(|entry| entry.text("/value").parse::<f64>().ok()).unwrap_or_default()
    };
    of("PORTCULLIS_DRAIN_DELAY_MS") + of("PORTCULLIS_DRAIN_MS")
}

pub(super) fn grace(objects: &[Object]) -> Vec<String> {
    each(objects, |pod| {
        let grace = pod.spec().at("/terminationGracePeriodSeconds").as_f64().unwrap_or(30.0) * 1000.0;
        let slow = pod.containers().filter(|(_, container)| drain(container) >= grace);
        slow.map(|(_, container)| format!("{} is killed while it drains", container.text("/name"))).collect()
    })
}

/// More than one replica, now or at the word of an autoscaler.
pub(super) fn has_replicas(objects: &[Object], workload: &Object) -> bool {
    let scaled = super::of_kind(objects, "HorizontalPodAutoscaler").any(|scaler| {
        scaler.text("/spec/scaleTargetRef/name") == workload.name()
            && scaler.text("/spec/scaleTargetRef/kind") == workload.kind()
    });
    workload.kind() == "Deployment" && (scaled || workload.at("/spec/replicas").as_u64().unwrap_or(1) > 1)
}

pub(super) fn spread(objects: &[Object]) -> Vec<String> {
    each(objects, |pod| {
        if !has_replicas(objects, pod.owner) {
            return Vec::new();
        }
        let constraints = pod.spec().list("/topologySpreadConstraints").iter();
        let constraints = constraints.map(|constraint| constraint.at("/labelSelector"));
        let anti = pod.spec().at("/affinity/podAntiAffinity");
        let hard = anti.list("/requiredDuringSchedulingIgnoredDuringExecution").iter();
        let soft = anti.list("/preferredDuringSchedulingIgnoredDuringExecution").iter();
        let terms = hard.map(|term| term.at("/labelSelector"));
        let terms = terms.chain(soft.map(|term| term.at("/podAffinityTerm/labelSelector")));
        let mine =
            constraints.chain(terms).any(|selector| selector.is_object() && selects(selector, &pod.labels()));
        (!mine).then(|| "its replicas may all land on one node".to_owned()).into_iter().collect()
    })
}
