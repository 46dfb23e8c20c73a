//! Rules about ports and what reaches them. Each returns what it finds; nothing found is a rule that is kept.

use serde_json::Value;

use super::{containers, of_kind, pods};
use crate::manifest::{Look as _, Object, Pod, selects};

/// The pods that a Service selects; a Service selects by labels alone.
fn behind<'a>(objects: &'a [Object], service: &'a Object) -> impl Iterator<Item = Pod<'a>> {
    let wanted = service.texts("/spec/selector");
    pods(objects).filter(move |pod| {
        let labels = pod.labels();
        pod.stays() && !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
    })
}

/// Whether a pod has the port, by name or by number.
fn has_port(pod: Pod<'_>, wanted: &Value) -> bool {
    pod.container_ports().any(|port| match wanted {
        Value::String(name) => port.text("/name") == name,
        number => port.at("/containerPort") == number,
    })
}

pub(super) fn service(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for service in of_kind(objects, "Service") {
        let Some(pod) = behind(objects, service).next() else {
            found.push(format!("{} selects no pod", service.title()));
            continue;
        };
        for port in service.list("/spec/ports") {
            let target = port.at("/targetPort");
            let target = if target.is_null() { port.at("/port") } else { target };
            if !has_port(pod, target) {
                found.push(format!("{} goes to {target}, which is no port of its pods", service.title()));
            }
            if port.text("/name").is_empty() {
                found.push(format!("{} has a port without a name", service.title()));
            }
        }
    }
    found
}

pub(super) fn port_names(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for (pod, _, container) in containers(objects) {
        for probe in ["/startupProbe", "/readinessProbe", "/livenessProbe"] {
            let (http, tcp) =
                (container.at(probe).at("/httpGet/port"), container.at(probe).at("/tcpSocket/port"));
            // A probe by gRPC takes a number only.
            for port in [http, tcp, container.at(probe).at("/grpc/port")] {
                let own = container
                    .list("/ports")
                    .iter()
                    .any(|one| one.at("/name") == port || one.at("/containerPort") == port);
                if !port.is_null() && !own {
                    let (owner, name) = (pod.owner.title(), container.text("/name"));
                    found.push(format!(
                        "{owner} container {name}: {probe} asks {port}, which is no port of it"
                    ));
                }
            }
        }
    }
    for policy in of_kind(objects, "NetworkPolicy") {
        let selected = pods(objects).find(|pod| selects(policy.at("/spec/podSelector"), &pod.labels()));
        let Some(pod) = selected else { continue };
        for port in policy.list("/spec/ingress").iter().flat_map(|rule| rule.list("/ports")) {
            if !has_port(pod, port.at("/port")) {
                found.push(format!("{} opens {}, which is no port", policy.title(), port.at("/port")));
            }
        }
    }
    found
}

pub(super) fn monitors(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for monitor in of_kind(objects, "ServiceMonitor") {
        let chosen =
            |service: &&Object| selects(monitor.at("/spec/selector"), &service.texts("/metadata/labels"));
        let services: Vec<&Object> = of_kind(objects, "Service").filter(chosen).collect();
        for endpoint in monitor.list("/spec/endpoints") {
            let has = |service: &&Object| {
                service.list("/spec/ports").iter().any(|port| port.at("/name") == endpoint.at("/port"))
            };
            // Two Services of one pod would be two targets, and every counter would count twice.
            match services.iter().filter(|service| has(service)).count() {
                1 => {}
                count => found.push(format!(
                    "{} finds the port {} at {count} Services",
                    monitor.title(),
                    endpoint.at("/port")
                )),
            }
        }
    }
    for monitor in of_kind(objects, "PodMonitor") {
        for endpoint in monitor.list("/spec/podMetricsEndpoints") {
            let chosen = pods(objects).filter(|pod| pod.stays());
            let mut chosen = chosen.filter(|pod| selects(monitor.at("/spec/selector"), &pod.labels()));
            if !chosen.any(|pod| has_port(pod, endpoint.at("/port"))) {
                found.push(format!(
                    "{} finds no pod with the port {}",
                    monitor.title(),
                    endpoint.at("/port")
                ));
            }
        }
    }
    found
}
