//! What a pod gets: the sidecar's container and volumes, and for each container a mount and a variable.
//!
//! The same as the chart's templates for a sidecar render with their defaults. Knows nothing of the manifest that it is put
//! into.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::args::{Inject, InjectAudit};
use crate::configuration::{SOCKET_VARIABLE, variable_of};

pub(super) const CONTAINER: &str = "portcullis";
/// With this the names of all its volumes begin.
pub(super) const VOLUMES: &str = "portcullis-";
pub(super) const SOCKET_DIRECTORY: &str = "/run/portcullis";
const SOCKET: &str = "/run/portcullis/pdp.sock";
const HTTP: &str = "portcullis-http";
const USER: u32 = 65_532;

/// A ConfigMap or a Secret with policy files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    ConfigMap(String),
    Secret(String),
}

/// What the sidecar is like.
#[derive(Debug, Clone)]
pub(super) struct Sidecar {
    pub(super) image: String,
    /// As an init container that stays, which Kubernetes knows by default since 1.29.
    pub(super) native: bool,
    /// ConfigMaps before Secrets.
    pub(super) policies: Vec<Source>,
    /// Health, status and metrics over HTTP; 0 is no listener.
    pub(super) http_port: u16,
    pub(super) audit: InjectAudit,
    /// Settings of `serve` by their names.
    pub(super) settings: BTreeMap<String, String>,
    pub(super) requests: Map<String, Value>,
    pub(super) limits: Map<String, Value>,
}

impl Sidecar {
    /// What the flags say, with the settings that make it a sidecar.
    pub(super) fn new(inject: &Inject, mut policies: Vec<Source>, given: BTreeMap<String, String>) -> Self {
        policies.sort_by_key(|source| matches!(source, Source::Secret(_)));
        let http =
            if inject.http_port == 0 { String::new() } else { format!("0.0.0.0:{}", inject.http_port) };
        let mut settings: BTreeMap<_, _> = [
            ("load_mode", "lenient"),
            ("poll_interval_ms", "5000"),
            ("log", "info"),
            ("log_format", "json"),
            ("drain_ms", "10000"),
            // The socket is all it listens on: pods in the network of their node would fight for a port.
            ("listen", ""),
            ("http_listen", &http),
            ("uds", SOCKET),
            // The volume is the fence: it is open to everybody in the pod, and the callers run as other users.
            ("uds_access", "all"),
            ("state_directory", "/state"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let audit_file = match inject.audit {
            InjectAudit::None => None,
            InjectAudit::Stdout => Some("-"),
            InjectAudit::File => Some("/audit/$(POD_NAME).jsonl"),
        };
        if let Some(file) = audit_file {
            let recorded = [("audit_file", file), ("audit_mode", "block"), ("on_audit_failure", "allow")];
            settings.extend(recorded.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        settings.extend(given);
        let fenced = ["uds_allowed_uids", "uds_allowed_gids"];
        if fenced.iter().any(|name| settings.get(*name).is_some_and(|ids| !ids.trim().is_empty())) {
            let uids = settings.entry("uds_allowed_uids".to_owned()).or_default();
            *uids = with_own_user(uids);
        }
        Self {
            image: inject
                .image
                .clone()
                .unwrap_or_else(|| concat!("portcullis:", env!("CARGO_PKG_VERSION")).to_owned()),
            native: !inject.no_native,
            policies,
            http_port: inject.http_port,
            audit: inject.audit,
            settings,
            requests: Map::new(),
            limits: Map::new(),
        }
    }

    /// The variables that say the settings.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        self.settings.iter().map(|(name, value)| (variable_of(name), value.clone())).collect()
    }

    /// The container itself.
    pub(super) fn container(&self) -> Value {
        let mut container = Map::new();
        let mut put = |key: &str, value: Value| container.insert(key.to_owned(), value);
        put("name", json!(CONTAINER));
        put("image", json!(self.image));
        put("imagePullPolicy", json!("IfNotPresent"));
        if self.native {
            put("restartPolicy", json!("Always"));
        }
        put("args", json!(["serve", "/policies"]));
        put("env", Value::from(self.env()));
        if self.http_port != 0 {
            put("ports", json!([{ "name": HTTP, "containerPort": self.http_port }]));
        }
        put("startupProbe", self.probe("/readyz", "healthcheck", [1, 2, 300]));
        put("readinessProbe", self.probe("/readyz", "healthcheck", [5, 2, 2]));
        // Whatever the policies are, it answers.
        put("livenessProbe", self.probe("/livez", "status", [10, 5, 3]));
        put(
            "securityContext",
            json!({
                "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
            }),
        );
        put("resources", json!({ "requests": self.requests, "limits": self.limits }));
        put("volumeMounts", Value::from(self.mounts()));
        Value::Object(container)
    }

    fn env(&self) -> Vec<Value> {
        let mut env = Vec::new();
        if self.audit == InjectAudit::File {
            let name = json!({ "fieldRef": { "fieldPath": "metadata.name" } });
            env.push(json!({ "name": "POD_NAME", "valueFrom": name }));
        }
        let variables = self.variables();
        env.extend(variables.iter().map(|(name, value)| json!({ "name": name, "value": value })));
        // For whoever runs `portcullis status` in this container.
        env.push(caller_variable());
        if !self.native && !self.settings.contains_key("drain_delay_ms") {
            // No order is kept at the end: it answers on while the service ends.
            env.push(json!({ "name": variable_of("drain_delay_ms"), "value": "5000" }));
        }
        env
    }

    /// Over HTTP where it is served, else the program over the socket.
    fn probe(&self, path: &str, command: &str, [period, timeout, failures]: [u32; 3]) -> Value {
        let (kind, action) = if self.http_port == 0 {
            ("exec", json!({ "command": ["/portcullis", command, "--uds", SOCKET] }))
        } else {
            ("httpGet", json!({ "path": path, "port": HTTP }))
        };
        json!({
            kind: action, "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures,
        })
    }

    /// The name of each source's volume, and where it is mounted: alone as the policy directory, else as a folder of it.
    fn sources(&self) -> Vec<(String, String, &Source)> {
        let alone = self.policies.len() == 1;
        let named = self.policies.iter().enumerate().map(|(at, source)| {
            if alone {
                return ("portcullis-policies".to_owned(), "/policies".to_owned(), source);
            }
            let path = match source {
                Source::ConfigMap(name) => format!("/policies/configmap-{name}"),
                Source::Secret(name) => format!("/policies/secret-{name}"),
            };
            (format!("portcullis-policies-{at}"), path, source)
        });
        named.collect()
    }

    fn mounts(&self) -> Vec<Value> {
        let sources = self.sources();
        // Directories, never a subPath, which does not see changes.
        let mut mounts: Vec<_> = sources
            .iter()
            .map(|(name, path, _)| json!({ "name": name, "mountPath": path, "readOnly": true }))
            .collect();
        mounts.push(json!({ "name": "portcullis-socket", "mountPath": SOCKET_DIRECTORY }));
        if self.audit == InjectAudit::File {
            mounts.push(json!({ "name": "portcullis-audit", "mountPath": "/audit" }));
        }
        mounts.push(json!({ "name": "portcullis-state", "mountPath": "/state" }));
        mounts
    }

    /// The pod's volumes.
    pub(super) fn volumes(&self) -> Vec<Value> {
        let mut volumes: Vec<_> = self
            .sources()
            .into_iter()
            .map(|(volume, _, source)| match source {
                Source::ConfigMap(name) => json!({ "name": volume, "configMap": { "name": name } }),
                Source::Secret(name) => json!({ "name": volume, "secret": { "secretName": name } }),
            })
            .collect();
        let memory = json!({ "medium": "Memory", "sizeLimit": "1Mi" });
        volumes.push(json!({ "name": "portcullis-socket", "emptyDir": memory }));
        if self.audit == InjectAudit::File {
            volumes.push(json!({ "name": "portcullis-audit", "emptyDir": { "sizeLimit": "3Gi" } }));
        }
        volumes.push(json!({ "name": "portcullis-state", "emptyDir": { "sizeLimit": "256Mi" } }));
        volumes
    }
}

/// User ids with its own among them, as which its probes ask.
fn with_own_user(uids: &str) -> String {
    let own = USER.to_string();
    let mut uids: Vec<_> = uids.split(',').map(str::trim).filter(|uid| !uid.is_empty()).collect();
    if !uids.contains(&own.as_str()) {
        uids.push(&own);
    }
    uids.join(",")
}

/// The mount of a container that asks: read-only, so that it can connect and cannot replace the socket.
pub(super) fn caller_mount() -> Value {
    json!({ "name": "portcullis-socket", "mountPath": SOCKET_DIRECTORY, "readOnly": true })
}

/// The variable by which a container that asks finds the socket.
pub(super) fn caller_variable() -> Value {
    json!({ "name": SOCKET_VARIABLE, "value": SOCKET })
}
