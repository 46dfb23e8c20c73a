//! What a pod gets: the sidecar's container, two or three volumes, and for each container a mount and a variable.
//!
//! The same as the chart's templates render. Deliberately no knowledge of the manifest that it is put into.

use serde_json::{Map, Value, json};

use crate::configuration::SOCKET_VARIABLE;

pub(super) const CONTAINER: &str = "portcullis";
pub(super) const POLICIES: &str = "portcullis-policies";
pub(super) const SOCKETS: &str = "portcullis-socket";
pub(super) const AUDIT: &str = "portcullis-audit";
pub(super) const SOCKET_DIRECTORY: &str = "/run/portcullis";
const SOCKET: &str = "/run/portcullis/portcullis.sock";
const POLICY_DIRECTORY: &str = "/policies";
const USER: u32 = 65_532;

/// A ConfigMap or a Secret with policy files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    ConfigMap(String),
    Secret(String),
}

/// What the sidecar is like.
#[derive(Debug, Clone)]
pub(super) struct Sidecar {
    pub(super) image: String,
    /// As an init container that stays, which Kubernetes knows since 1.28 and by default since 1.29.
    pub(super) native: bool,
    pub(super) policies: Vec<Source>,
    /// Health, status and metrics over HTTP; none is no listener.
    pub(super) http_port: Option<u16>,
    /// Settings of `serve` by the names of their variables.
    pub(super) settings: Vec<(String, String)>,
    /// The directory of the audit file, which gets a volume.
    pub(super) audit_directory: Option<String>,
    pub(super) requests: Map<String, Value>,
    pub(super) limits: Map<String, Value>,
}

impl Sidecar {
    /// Every variable of the sidecar's container.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let http = self.http_port.map_or_else(String::new, |port| format!("0.0.0.0:{port}"));
        let own = [
            ("PORTCULLIS_UDS", SOCKET.to_owned()),
            // The volume is the fence: it is open to everybody in the pod, and the callers run as other users.
            ("PORTCULLIS_UDS_ACCESS", "all".to_owned()),
            // Pods in the network of their node would fight for a port.
            ("PORTCULLIS_LISTEN", String::new()),
            ("PORTCULLIS_HTTP_LISTEN", http),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(self.settings.iter().cloned()).collect()
    }

    /// The container itself.
    pub(super) fn container(&self) -> Value {
        let mut container = Map::new();
        let mut put = |key: &str, value: Value| container.insert(key.to_owned(), value);
        put("name", json!(CONTAINER));
        put("image", json!(self.image));
        if self.native {
            put("restartPolicy", json!("Always"));
        }
        put("args", json!(["serve", POLICY_DIRECTORY]));
        let variables = self.variables();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        put("env", json!(variables));
        if let Some(port) = self.http_port {
            put("ports", json!([{ "name": "portcullis-http", "containerPort": port }]));
        }
        put("startupProbe", probe(self.readiness(), &[("periodSeconds", 1), ("failureThreshold", 60)]));
        put("readinessProbe", probe(self.readiness(), &[("periodSeconds", 5)]));
        // Without HTTP there is none: a sidecar that has lost its policies must not be restarted for it.
        if self.http_port.is_some() {
            let alive = json!({ "path": "/livez", "port": "portcullis-http" });
            put("livenessProbe", probe(("httpGet", alive), &[("periodSeconds", 10)]));
        }
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

    fn readiness(&self) -> (&'static str, Value) {
        if self.http_port.is_some() {
            ("httpGet", json!({ "path": "/readyz", "port": "portcullis-http" }))
        } else {
            ("exec", json!({ "command": ["/portcullis", "healthcheck", "--uds", SOCKET] }))
        }
    }

    fn mounts(&self) -> Vec<Value> {
        let mut mounts = vec![
            // A directory, never a subPath, which does not see changes.
            json!({ "name": POLICIES, "mountPath": POLICY_DIRECTORY, "readOnly": true }),
            json!({ "name": SOCKETS, "mountPath": SOCKET_DIRECTORY }),
        ];
        mounts.extend(self.audit_directory.iter().map(|path| json!({ "name": AUDIT, "mountPath": path })));
        mounts
    }

    /// The pod's volumes.
    pub(super) fn volumes(&self) -> Vec<Value> {
        let policies = match self.policies.as_slice() {
            [Source::ConfigMap(name)] => json!({ "name": POLICIES, "configMap": { "name": name } }),
            [Source::Secret(name)] => json!({ "name": POLICIES, "secret": { "secretName": name } }),
            sources => {
                let sources: Vec<_> = sources.iter().map(projection).collect();
                json!({ "name": POLICIES, "projected": { "sources": sources } })
            }
        };
        let sockets = json!({ "name": SOCKETS, "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } });
        let audit = self.audit_directory.as_ref().map(|_| json!({ "name": AUDIT, "emptyDir": {} }));
        [policies, sockets].into_iter().chain(audit).collect()
    }
}

/// The mount of a container that asks: read-only, so that it can connect and cannot replace the socket.
pub(super) fn caller_mount() -> Value {
    json!({ "name": SOCKETS, "mountPath": SOCKET_DIRECTORY, "readOnly": true })
}

/// The variable by which a container that asks finds the socket.
pub(super) fn caller_variable() -> Value {
    json!({ "name": SOCKET_VARIABLE, "value": SOCKET })
}

fn projection(source: &Source) -> Value {
    match source {
        Source::ConfigMap(name) => json!({ "configMap": { "name": name } }),
        Source::Secret(name) => json!({ "secret": { "name": name } }),
    }
}

fn probe((kind, action): (&str, Value), times: &[(&str, u32)]) -> Value {
    let mut probe = Map::new();
    probe.insert(kind.to_owned(), action);
    probe.extend(times.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    Value::Object(probe)
}
