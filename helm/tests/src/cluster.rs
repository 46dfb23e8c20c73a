//! A real API server on loopback: etcd and kube-apiserver with fresh keys, free ports and an empty store. It validates,
//! defaults and stores objects; there is no kubelet and no controller, so pods do not run and nothing is made from a
//! Deployment.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::KeyPair;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::authority::Authority;
use crate::guard::{Guarded, until};
use crate::manifest::{Look as _, Object};
use crate::rig::Rig;
use crate::schema::custom_kinds;

const TOKEN: &str = "a-token-for-loopback";

/// A running API server.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// For helm.
    pub(crate) kubeconfig: PathBuf,
    address: String,
    agent: ureq::Agent,
    // Ended in this order.
    server: Guarded,
    store: Guarded,
}

/// Ports that nobody listened on a moment ago.
fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let mut held = Vec::new();
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Keys and certificates in a folder; returns the authority, PEM.
fn credentials(folder: &Path) -> anyhow::Result<String> {
    let authority = Authority::new("cluster")?;
    let server = authority.issue("127.0.0.1")?;
    fs::write(folder.join("server.crt"), server.certificate)?;
    fs::write(folder.join("server.key"), server.key)?;
    let accounts = KeyPair::generate()?;
    fs::write(folder.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(folder.join("accounts.pub"), accounts.public_key_pem())?;
    fs::write(folder.join("tokens.csv"), format!("{TOKEN},admin,admin,system:masters\n"))?;
    Ok(authority.pem)
}

/// How much the pods of a namespace may do, by the Pod Security Standards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    /// What is hardened, and nothing else.
    Restricted,
    /// Everything, such as to mount a folder of the node.
    Privileged,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Privileged => "privileged",
        }
    }
}

impl Cluster {
    /// Starts one and waits until it answers.
    pub(crate) fn start(rig: &Rig) -> anyhow::Result<Self> {
        let (etcd, apiserver) = (rig.tool("etcd")?, rig.tool("kube-apiserver")?);
        let folder = rig.scratch().join("cluster");
        fs::create_dir(&folder)?;
        let authority = credentials(&folder)?;
        let [client, peer, port] = free_ports()?;
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let words = [vec![etcd.display().to_string()], store_arguments(&folder, &client, &peer)].concat();
        let store = Guarded::start(&words, folder.join("etcd.log"))?;
        let words =
            [vec![apiserver.display().to_string()], server_arguments(&folder, &client, port)].concat();
        let server = Guarded::start(&words, folder.join("kube-apiserver.log"))?;
        let address = format!("https://127.0.0.1:{port}");
        let kubeconfig = folder.join("kubeconfig");
        fs::write(folder.join("authority.crt"), &authority)?;
        fs::write(&kubeconfig, kubeconfig_text(&address, &folder.join("authority.crt")))?;
        let cluster = Self { kubeconfig, address, agent: agent(&authority)?, server, store };
        cluster.until_ready()?;
        cluster.add_custom_kinds()?;
        Ok(cluster)
    }

    fn until_ready(&self) -> anyhow::Result<()> {
        // The namespace comes a moment after the word.
        let ready = || self.get("/readyz").is_ok() && self.get("/api/v1/namespaces/default").is_ok();
        let look = || {
            ensure!(self.server.try_code()?.is_none() && self.store.try_code()?.is_none(), "it ended");
            Ok(ready().then_some(()))
        };
        until("the API server is ready", look)
            .with_context(|| format!("{}\n{}", self.store.last_words(), self.server.last_words()))
    }

    /// Adds the kinds of other projects that the chart may render, as they publish them.
    fn add_custom_kinds(&self) -> anyhow::Result<()> {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for definition in custom_kinds()? {
            self.create(path, &definition)?;
            let (group, plural) = (definition.text("/spec/group"), definition.text("/spec/names/plural"));
            let version = definition.text("/spec/versions/0/name");
            let list = format!("/apis/{group}/{version}/{plural}");
            until("a custom kind is served", || Ok(self.get(&list).ok()))?;
        }
        Ok(())
    }

    /// Makes an empty namespace. The server refuses pods that are above its level of Pod Security.
    pub(crate) fn namespace(&self, name: &str, level: Level) -> anyhow::Result<()> {
        let labels = serde_json::json!({"pod-security.kubernetes.io/enforce": level.as_str()});
        let namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        self.create("/api/v1/namespaces", &namespace)?;
        Ok(())
    }

    /// An object as it is stored, in the namespace that it names or else in this one.
    pub(crate) fn stored(&self, object: &Object, namespace: &str) -> anyhow::Result<Object> {
        let namespace = object.namespace_or(namespace);
        let collection = self.collection(object.text("/apiVersion"), object.kind(), namespace)?;
        Ok(Object::new(self.get(&format!("{collection}/{}", object.name()))?))
    }

    fn ask(&self, method: &str, path: &str, body: &str, media: &str) -> anyhow::Result<Value> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", media)
            .body(body.to_owned())?;
        let mut response = self.agent.run(request).with_context(|| format!("{method} {path}"))?;
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text)?;
        ensure!(response.status().is_success(), "{method} {path}: {} {text}", response.status());
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// An object, a list, or a text.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask("GET", path, "", "application/json")
    }

    /// Makes an object; an unknown field is an error. Returns it as it is stored.
    pub(crate) fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        let more = if path.contains('?') { '&' } else { '?' };
        self.ask(
            "POST",
            &format!("{path}{more}fieldValidation=Strict"),
            &object.to_string(),
            "application/json",
        )
    }

    /// The object as it would be stored.
    pub(crate) fn try_create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.create(&format!("{path}?dryRun=All"), object)
    }

    /// Puts these fields into an object that is there.
    pub(crate) fn merge(&self, path: &str, fields: &Value) -> anyhow::Result<Value> {
        self.ask("PATCH", path, &fields.to_string(), "application/merge-patch+json")
    }

    /// The path of an object's collection in a namespace, as the server lists its kinds.
    pub(crate) fn collection(&self, api: &str, kind: &str, namespace: &str) -> anyhow::Result<String> {
        let root = if api.contains('/') { format!("/apis/{api}") } else { format!("/api/{api}") };
        let list = self.get(&root)?;
        let known = list
            .list("/resources")
            .iter()
            .find(|one| one.text("/kind") == kind && !one.text("/name").contains('/'));
        let plural =
            known.with_context(|| format!("the server has no {api}/{kind}"))?.text("/name").to_owned();
        Ok(format!("{root}/namespaces/{namespace}/{plural}"))
    }

    /// Every object of a namespace that someone has put there, `Kind/name` each.
    pub(crate) fn contents(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut roots = vec!["/api/v1".to_owned()];
        for group in self.get("/apis")?.list("/groups") {
            roots.push(format!("/apis/{}", group.text("/preferredVersion/groupVersion")));
        }
        for root in roots {
            for resource in self.get(&root)?.list("/resources") {
                let lists = resource.list("/verbs").iter().any(|verb| verb.as_str() == Some("list"));
                if !lists || !resource.is("/namespaced", true) || resource.text("/kind") == "Event" {
                    continue;
                }
                let objects =
                    self.get(&format!("{root}/namespaces/{namespace}/{}", resource.text("/name")))?;
                let names = objects.list("/items").iter().map(|object| object.text("/metadata/name"));
                found.extend(names.map(|name| format!("{}/{name}", resource.text("/kind"))));
            }
        }
        Ok(found)
    }
}

fn store_arguments(folder: &Path, client: &str, peer: &str) -> Vec<String> {
    let data = folder.join("etcd").display().to_string();
    let words = [
        ("data-dir", data.as_str()),
        ("listen-client-urls", client),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", &format!("default={peer}")),
        // What is stored here need not outlive a loss of power.
        ("unsafe-no-fsync", "true"),
    ];
    words.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn server_arguments(folder: &Path, store: &str, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let words = [
        ("etcd-servers", store.to_owned()),
        ("bind-address", "127.0.0.1".to_owned()),
        // An address for documentation: nobody is led there, and the machine need not have one.
        ("advertise-address", "192.0.2.1".to_owned()),
        ("endpoint-reconciler-type", "none".to_owned()),
        ("secure-port", port.to_string()),
        ("tls-cert-file", file("server.crt")),
        ("tls-private-key-file", file("server.key")),
        ("token-auth-file", file("tokens.csv")),
        ("authorization-mode", "RBAC".to_owned()),
        ("service-cluster-ip-range", "10.0.0.0/24".to_owned()),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-signing-key-file", file("accounts.key")),
        ("service-account-key-file", file("accounts.pub")),
        // Nobody makes the default account here.
        ("disable-admission-plugins", "ServiceAccount".to_owned()),
    ];
    words.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn kubeconfig_text(address: &str, authority: &Path) -> String {
    let authority = authority.display();
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: here, cluster: {{server: {address}, certificate-authority: {authority}}}}}]
users: [{{name: here, user: {{token: {TOKEN}}}}}]
contexts: [{{name: here, context: {{cluster: here, user: here}}}}]
current-context: here
"
    )
}

fn agent(authority: &str) -> anyhow::Result<ureq::Agent> {
    let root = Certificate::from_pem(authority.as_bytes())?.to_owned();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls);
    Ok(config.timeout_global(Some(Duration::from_secs(60))).build().into())
}
