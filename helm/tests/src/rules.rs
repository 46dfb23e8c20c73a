//! The rules that every rendered object has to keep: how pods are hardened (`rules/pod.rs`, `rules/container.rs`) and that
//! objects fit each other (`rules/links.rs`, `rules/service.rs`). A rule sees all objects of one rendering and says what is
//! wrong; it does not know the chart. `rules/bad.rs` breaks each of them once.

pub(crate) mod bad;
mod container;
mod links;
mod pod;
mod service;

pub(crate) use container::amount;
pub(crate) use links::GIVEN;

use crate::manifest::{Life, Object, Pod};
use serde_json::Value;

/// A rule, its name as cases write it behind `without`, and what it asks for.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) wants: &'static str,
    pub(crate) check: fn(&[Object]) -> Vec<String>,
}

const fn rule(name: &'static str, wants: &'static str, check: fn(&[Object]) -> Vec<String>) -> Rule {
    Rule { name, wants, check }
}

/// All rules.
pub(crate) const RULES: &[Rule] = &[
    rule("privilege", "no container is privileged or may gain privileges", container::privilege),
    rule("capabilities", "every container drops all capabilities and adds none", container::capabilities),
    rule("read-only-root", "the root filesystem of every container is read-only", container::read_only_root),
    rule("non-root", "every container runs as a user that is named and is not root", container::non_root),
    rule("seccomp", "every container has the seccomp profile of its runtime", container::seccomp),
    rule(
        "resources",
        "every container requests processor and memory and limits memory",
        container::resources,
    ),
    rule("image", "every image has a fixed tag or a digest", container::image),
    rule("liveness", "every container that stays has a liveness probe", container::liveness),
    rule("readiness", "every container that stays has a readiness probe of its own", container::readiness),
    rule("sub-path", "nothing is mounted by subPath, which never sees a change", container::sub_path),
    rule("mounts", "every mount has its volume and configuration is mounted read-only", container::mounts),
    rule("secret-in-environment", "no variable comes from a Secret", container::secret_in_environment),
    rule("ports", "every port of a container has a name, and no name is there twice", container::ports),
    rule(
        "host-namespaces",
        "no pod shares the network, processes, IPC or a port of its node",
        pod::host_namespaces,
    ),
    rule("host-path", "no pod mounts a folder of its node", pod::host_path),
    rule("token", "no pod is given a token for the API server", pod::token),
    rule("service-links", "no pod gets the services of its namespace as variables", pod::service_links),
    rule(
        "volumes",
        "every volume is mounted, and one in memory or on the node's disk has a limit",
        pod::volumes,
    ),
    rule("grace", "a pod has longer to end than its containers need to drain", pod::grace),
    rule("spread", "replicas are spread over nodes", pod::spread),
    rule("selector", "a workload selects its own pods, by labels that stay", links::selector),
    rule(
        "network-policy",
        "every pod that stays is selected by a NetworkPolicy for both directions",
        links::network_policy,
    ),
    rule(
        "disruption-budget",
        "replicas have a PodDisruptionBudget, which lets one go",
        links::disruption_budget,
    ),
    rule("autoscaler", "an autoscaler scales what is there, and is alone in that", links::autoscaler),
    rule("labels", "every object has the recommended labels", links::labels),
    rule("names", "no two objects have one name, and none is put into another namespace", links::names),
    rule("no-rights", "nobody is given rights at the API server", links::no_rights),
    rule(
        "references",
        "what a pod refers to by name is rendered beside it or named in the values",
        links::references,
    ),
    rule("hooks", "what helm runs by itself is cleaned up and not started again", links::hooks),
    rule(
        "service",
        "every Service selects a pod, and each of its ports is one of the pod's",
        service::service,
    ),
    rule("port-names", "probes, policies and monitors name ports that are there", service::port_names),
    rule("monitors", "a monitor selects what is there", service::monitors),
];

/// Every container with its pod and its way to live.
fn containers(objects: &[Object]) -> impl Iterator<Item = (Pod<'_>, Life, &Value)> {
    pods(objects).flat_map(|pod| pod.containers().map(move |(life, container)| (pod, life, container)))
}

fn pods(objects: &[Object]) -> impl Iterator<Item = Pod<'_>> {
    objects.iter().filter_map(Object::pod)
}

fn of_kind<'a>(objects: &'a [Object], kind: &'a str) -> impl Iterator<Item = &'a Object> {
    objects.iter().filter(move |object| object.kind() == kind)
}
