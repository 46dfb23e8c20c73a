//! Runs the containers of a pod as it is stored by the API server, as a kubelet and its runtime would: their very command
//! line, environment, user and mounts, on a read-only root, in a network of the pod's own. What is not a kubelet's: images
//! are not pulled (only containers of Portcullis run, with the program of this build), limits of memory and processor are
//! not set, and names of Services are lines of `/etc/hosts`. Needs root.

mod container;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

pub(crate) use container::Container;
pub(crate) use volumes::publish;

use crate::cluster::Cluster;
use crate::guard::{Guarded, until};
use crate::manifest::{Life, Look as _, Object};
use crate::rig::{Lacking, Rig, on_path};

/// The programs of the system that make a container.
const PROGRAMS: [&str; 7] = ["bash", "chroot", "ip", "mount", "nsenter", "setpriv", "unshare"];

/// A machine with folders of its own, on which pods run one after the other or beside each other.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: String,
    program: PathBuf,
    folder: PathBuf,
}

/// A network with nothing but loopback, as a pod has it.
#[derive(Debug)]
pub(crate) struct Network(Guarded);

/// A pod with its volumes; its containers end with it.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    node: &'a Node<'a>,
    pub(crate) stored: Object,
    folder: PathBuf,
    /// Folders of this machine, by the name of the volume.
    volumes: BTreeMap<String, PathBuf>,
    pub(crate) running: Vec<Container>,
    // After the containers.
    network: std::sync::Arc<Network>,
}

impl Network {
    fn new(log: PathBuf) -> anyhow::Result<Self> {
        let words = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && sleep 86400"];
        let holder = Guarded::start(&words.map(str::to_owned), log)?;
        until("the network is up", || Ok(holder.said().contains("up").then_some(())))?;
        Ok(Self(holder))
    }

    /// A file that stands for it.
    fn path(&self) -> anyhow::Result<String> {
        Ok(format!("/proc/{}/ns/net", self.0.pid()?))
    }
}

impl<'a> Node<'a> {
    /// A machine for the pods of a namespace; the program is that of this build unless `PORTCULLIS_PROGRAM` names another.
    pub(crate) fn new(rig: &Rig, cluster: &'a Cluster, namespace: &str) -> anyhow::Result<Self> {
        let user = fs::read_to_string("/proc/self/status")?;
        let root = user.lines().any(|line| line.split_whitespace().take(3).eq(["Uid:", "0", "0"]));
        ensure!(root, Lacking("not root: pods are validated and stored, and do not run".to_owned()));
        for program in PROGRAMS {
            ensure!(on_path(program).is_some(), Lacking(format!("there is no {program}, which runs pods")));
        }
        let tried = Command::new("unshare").args(["--mount", "--net", "--pid", "--fork", "true"]).output()?;
        ensure!(tried.status.success(), Lacking("namespaces cannot be made, in which pods run".to_owned()));
        let folder = rig.scratch().join("nodes").join(namespace);
        fs::create_dir_all(&folder)?;
        Ok(Self { cluster, namespace: namespace.to_owned(), program: rig.program()?, folder })
    }

    /// The place on this machine of a folder of the node, such as one that a pod mounts by hostPath.
    pub(crate) fn host(&self, path: &str) -> PathBuf {
        self.folder.join("host").join(path.trim_start_matches('/'))
    }

    /// The place on this machine of a claim.
    pub(crate) fn claim(&self, name: &str) -> PathBuf {
        self.folder.join("claims").join(name)
    }

    /// Makes a pod of a workload as its controller would, and lays out its volumes.
    pub(crate) fn pod_of(&'a self, workload: &Object) -> anyhow::Result<Pod<'a>> {
        let pod = workload.pod().context("no pod in it")?.made();
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        self.pod(self.cluster.create(&path, &pod)?, None)
    }

    /// A pod that is stored already. In the network of another one it finds the Services that are that one's.
    pub(crate) fn pod(&'a self, stored: Value, beside: Option<&Pod<'_>>) -> anyhow::Result<Pod<'a>> {
        let stored = Object::new(stored);
        let folder = self.folder.join("pods").join(stored.name());
        fs::create_dir_all(&folder)?;
        let network = match beside {
            Some(pod) => std::sync::Arc::clone(&pod.network),
            None => std::sync::Arc::new(Network::new(folder.join("network.log"))?),
        };
        let mut pod =
            Pod { node: self, stored, folder, volumes: BTreeMap::new(), running: Vec::new(), network };
        for volume in pod.stored.list("/spec/volumes") {
            let place = pod.folder.join("volumes").join(volume.text("/name"));
            let place = volumes::lay(self, &pod.stored, volume, place)?;
            pod.volumes.insert(volume.text("/name").to_owned(), place);
        }
        Ok(pod)
    }
}

impl<'a> Pod<'a> {
    /// The folder of a volume.
    pub(crate) fn volume(&self, name: &str) -> anyhow::Result<&Path> {
        self.volumes.get(name).map(PathBuf::as_path).with_context(|| format!("there is no volume {name}"))
    }

    /// The description of a container.
    fn described(&self, name: &str) -> anyhow::Result<(Life, Value)> {
        let pod = self.stored.pod().context("no pod")?;
        let found = pod.containers().find(|(_, container)| container.text("/name") == name);
        found
            .map(|(life, value)| (life, value.clone()))
            .with_context(|| format!("there is no container {name}"))
    }

    /// Starts the containers that run Portcullis and stay, the sidecars first, each when the one before it is started as
    /// its probe says. Returns how long the first of them took until it was ready; none when there is none.
    pub(crate) fn start(&mut self) -> anyhow::Result<Option<Duration>> {
        let pod = self.stored.pod().context("no pod")?;
        let stays = pod.stays();
        let mine = pod.containers().filter(|(life, container)| {
            let starts = *life == Life::Sidecar || (*life == Life::Main && stays);
            starts && container.text("/image").split([':', '@']).next() == Some("portcullis")
        });
        let names: Vec<String> = mine.map(|(_, container)| container.text("/name").to_owned()).collect();
        let mut ready = None;
        for name in names {
            let begun = Instant::now();
            let container = self.run(&name)?;
            container.until_started()?;
            container.until_probed("/startupProbe")?;
            if ready.is_none() {
                container.until_probed("/readinessProbe")?;
                ready = Some(begun.elapsed());
            }
            self.running.push(container);
        }
        Ok(ready)
    }

    /// Starts one container.
    pub(crate) fn run(&self, name: &str) -> anyhow::Result<Container> {
        let (_, description) = self.described(name)?;
        Container::start(self, description)
    }

    /// Runs a container to its end with another program line in place of its own: what a process in its place sees.
    pub(crate) fn in_place_of(&self, name: &str, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
        let (_, mut description) = self.described(name)?;
        let fields = description.as_object_mut().context("no container")?;
        fields.insert("command".to_owned(), serde_json::json!(["/portcullis"]));
        fields.insert("args".to_owned(), serde_json::json!(arguments));
        Container::start(self, description)?.ended()
    }

    /// Runs all containers of a pod that is to end, as `helm test` does: each must end well.
    pub(crate) fn succeed(&mut self) -> anyhow::Result<()> {
        for container in self.stored.list("/spec/containers") {
            let name = container.text("/name");
            let (code, said) = self.run(name)?.ended()?;
            ensure!(code == 0, "{name} ended with {code}: {said}");
        }
        Ok(())
    }

    pub(crate) fn container(&self, name: &str) -> anyhow::Result<&Container> {
        self.running.iter().find(|one| one.name() == name).with_context(|| format!("{name} does not run"))
    }
}
