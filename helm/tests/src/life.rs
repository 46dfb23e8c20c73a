//! The life of a release at a real API server: installed, read back, changed, rolled back and taken away.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::case::{Case, RELEASE};
use crate::cluster::{Cluster, Level};
use crate::manifest::{self, Look as _, Object};
use crate::rig::Rig;

/// A namespace in which helm works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) rig: &'a Rig,
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: &'a str,
}

impl<'a> Place<'a> {
    /// An empty one, whose pods have to be hardened.
    pub(crate) fn new(rig: &'a Rig, cluster: &'a Cluster, namespace: &'a str) -> anyhow::Result<Self> {
        cluster.namespace(namespace, Level::Restricted)?;
        Ok(Self { rig, cluster, namespace })
    }

    /// An empty one for pods that may do everything.
    pub(crate) fn open(rig: &'a Rig, cluster: &'a Cluster, namespace: &'a str) -> anyhow::Result<Self> {
        cluster.namespace(namespace, Level::Privileged)?;
        Ok(Self { rig, cluster, namespace })
    }

    /// The server lets the pods of a workload in, as its controller would make them.
    fn admits(self, object: &Object) -> anyhow::Result<()> {
        let Some(pod) = object.pod() else { return Ok(()) };
        let namespace = object.namespace_or(self.namespace);
        self.cluster.try_create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod.made())?;
        Ok(())
    }

    /// Runs helm at this cluster.
    pub(crate) fn helm(
        self,
        verb: &str,
        arguments: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<String> {
        let here = [
            format!("--kubeconfig={}", self.cluster.kubeconfig.display()),
            format!("--namespace={}", self.namespace),
        ];
        self.rig.helm_text(verb, arguments.into_iter().chain(here))
    }

    /// `helm install` of a case, with further flags.
    pub(crate) fn install(self, case: &Case, flags: &[&str]) -> anyhow::Result<()> {
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        self.helm("install", case.arguments(self.rig, self.namespace)?.into_iter().chain(flags))?;
        Ok(())
    }

    /// `helm upgrade` of a case, with further flags.
    pub(crate) fn upgrade(self, case: &Case, flags: &[&str]) -> anyhow::Result<()> {
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        self.helm("upgrade", case.arguments(self.rig, self.namespace)?.into_iter().chain(flags))?;
        Ok(())
    }

    /// The objects of the release as helm keeps them; tests of helm are not among them.
    pub(crate) fn manifest(self) -> anyhow::Result<Vec<Object>> {
        manifest::objects(&self.helm("get", ["manifest".to_owned(), RELEASE.to_owned()])?)
    }

    /// The tests of the release.
    pub(crate) fn hooks(self) -> anyhow::Result<Vec<Object>> {
        manifest::objects(&self.helm("get", ["hooks".to_owned(), RELEASE.to_owned()])?)
    }

    /// The workload of the release, as it is stored.
    pub(crate) fn workload(self) -> anyhow::Result<Object> {
        let objects = self.manifest()?;
        let workload = objects.iter().find(|object| object.pod().is_some()).context("no workload")?;
        self.cluster.stored(workload, self.namespace)
    }

    /// `helm uninstall`, after which nothing is left.
    pub(crate) fn uninstall(self) -> anyhow::Result<()> {
        self.helm("uninstall", [RELEASE.to_owned()])?;
        let left = self.cluster.contents(self.namespace)?;
        ensure!(left.is_empty(), "helm uninstall leaves {}", left.join(", "));
        Ok(())
    }
}

/// The server takes a case and keeps all that it says; nothing is left after it.
pub(crate) fn installed(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    let values = case.values()?;
    let elsewhere = values.text("/namespaceOverride");
    if !elsewhere.is_empty() {
        place.cluster.namespace(elsewhere, Level::Restricted)?;
    }
    place.install(case, &[])?;
    let objects = place.manifest()?;
    ensure!(!objects.is_empty() || case.name.starts_with("sidecar"), "nothing was installed");
    for object in objects.iter().chain(&place.hooks()?) {
        // helm makes a test when it is asked to.
        let stored = if object.hook().is_empty() {
            place.cluster.stored(object, place.namespace)?
        } else {
            let namespace = object.namespace_or(place.namespace);
            let collection =
                place.cluster.collection(object.text("/apiVersion"), object.kind(), namespace)?;
            Object::new(place.cluster.try_create(&collection, &object.value)?)
        };
        kept(&object.value, &stored.value).with_context(|| object.title())?;
        place.admits(&stored).with_context(|| object.title())?;
    }
    // The same again changes nothing.
    let before = place.workload().ok();
    place.upgrade(case, &[])?;
    let after = place.workload().ok();
    let generation = |workload: &Option<Object>| {
        workload.as_ref().map(|workload| workload.at("/metadata/generation").clone())
    };
    ensure!(generation(&before) == generation(&after), "the same values make another workload");
    place.uninstall()?;
    let left = if elsewhere.is_empty() { Vec::new() } else { place.cluster.contents(elsewhere)? };
    ensure!(left.is_empty(), "helm uninstall leaves {}", left.join(", "));
    Ok(())
}

/// The server does refuse pods that are not hardened: what it admits says something.
pub(crate) fn unhardened(place: Place<'_>) -> anyhow::Result<()> {
    let workloads = std::fs::read_to_string(Rig::here().join("workloads.yaml"))?;
    let objects = manifest::objects(&workloads)?;
    // The volumes of a StatefulSet are its controller's to add.
    for object in objects.iter().filter(|object| object.pod().is_some() && object.kind() != "StatefulSet") {
        let said = place.admits(object).err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains("violates PodSecurity"), "{} is admitted: {said}", object.title());
    }
    Ok(())
}

/// The server takes objects that are written by hand.
pub(crate) fn applied(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    for object in case.render(place.rig)? {
        let collection =
            place.cluster.collection(object.text("/apiVersion"), object.kind(), place.namespace)?;
        let mut value = object.value.clone();
        if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.remove("namespace");
        }
        let stored = place.cluster.create(&collection, &value)?;
        kept(&value, &stored).with_context(|| object.title())?;
        place.admits(&Object::new(stored)).with_context(|| object.title())?;
    }
    Ok(())
}

/// All that was asked for is in what is stored; the server adds to it.
pub(crate) fn kept(asked: &Value, stored: &Value) -> anyhow::Result<()> {
    match (asked, stored) {
        (Value::Null, _) => Ok(()),
        (Value::Object(asked), Value::Object(stored)) => asked.iter().try_for_each(|(key, value)| {
            kept(value, stored.get(key).unwrap_or(&Value::Null)).with_context(|| key.clone())
        }),
        (Value::Array(asked), Value::Array(stored)) => {
            ensure!(asked.len() == stored.len(), "{} entries became {}", asked.len(), stored.len());
            let mut pairs = asked.iter().zip(stored).enumerate();
            pairs.try_for_each(|(index, (one, other))| kept(one, other).with_context(|| index.to_string()))
        }
        // Nothing is as good as an empty list or map.
        (Value::Array(list), Value::Null) if list.is_empty() => Ok(()),
        (Value::Object(map), Value::Null) if map.is_empty() => Ok(()),
        (Value::String(text), Value::Null) if text.is_empty() => Ok(()),
        _ => {
            ensure!(asked == stored, "{asked} became {stored}");
            Ok(())
        }
    }
}

/// From the chart before this one, with the values of its users: the way up and back.
pub(crate) fn upgraded(place: Place<'_>) -> anyhow::Result<()> {
    let folder = Rig::here().join("previous");
    let of = |file: &str| folder.join(file).display().to_string();
    let values = format!("--values={}", of("values.yaml"));
    place.helm("install", [RELEASE.to_owned(), of("portcullis-0.1.0.tgz"), values.clone()])?;
    let before = place.workload()?;
    place.helm("upgrade", [RELEASE.to_owned(), Rig::chart().display().to_string(), values])?;
    let after = place.workload()?;
    for place in
        ["/metadata/uid", "/spec/selector", "/spec/replicas", "/spec/template/spec/serviceAccountName"]
    {
        ensure!(before.at(place) == after.at(place), "{place} is another after the upgrade");
    }
    for object in place.manifest()? {
        kept(&object.value, &place.cluster.stored(&object, place.namespace)?.value)?;
    }
    place.helm("rollback", [RELEASE.to_owned(), "1".to_owned()])?;
    let back = place.workload()?;
    ensure!(
        before.at("/spec") == back.at("/spec"),
        "the rollback leaves another workload: {}",
        back.at("/spec")
    );
    for object in place.manifest()? {
        kept(&object.value, &place.cluster.stored(&object, place.namespace)?.value)?;
    }
    // The same without the file of values.
    let flag = "--reset-then-reuse-values".to_owned();
    place.helm("upgrade", [RELEASE.to_owned(), Rig::chart().display().to_string(), flag])?;
    ensure!(
        place.workload()?.at("/spec") == after.at("/spec"),
        "the values that helm keeps make another workload"
    );
    place.uninstall()
}

/// What may be changed in a release, and whether its pods are replaced.
const CHANGES: [(&str, bool); 14] = [
    ("policies.inline.users\\.json=changed", false),
    ("replicaCount=4", false),
    ("networkPolicy.from.matchLabels.a=b", false),
    ("podDisruptionBudget.maxUnavailable=2", false),
    ("service.annotations.a=b", false),
    ("test.enabled=false", false),
    ("revisionHistoryLimit=3", false),
    ("log=debug", true),
    ("policies.loadMode=strict", true),
    ("policies.pollIntervalMs=1000", true),
    ("config.requests_in_flight_max=100", true),
    ("audit.to=stdout", true),
    ("image.tag=0.1.1", true),
    ("drain.ms=9000", true),
];

/// A change of policies changes no pod; one of the configuration does, and a rollback takes it back.
pub(crate) fn replaced(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    let base = "--set-string=policies.inline.users\\.json=first";
    let flags = [base, "--set-string=policies.configMap="];
    place.install(case, &flags)?;
    let template = || -> anyhow::Result<Value> { Ok(place.workload()?.at("/spec/template").clone()) };
    let first = template()?;
    for (change, replaces) in CHANGES {
        let change = format!("--set={change}");
        place.upgrade(case, &[flags.as_slice(), &[&change]].concat())?;
        let changed = template()? != first;
        ensure!(changed == replaces, "{change}: pods are {}replaced", if changed { "" } else { "not " });
        place.helm("rollback", [RELEASE.to_owned()])?;
        ensure!(template()? == first, "{change}: the rollback leaves other pods");
    }
    let mut arguments = case.arguments(place.rig, place.namespace)?;
    if let Some(chart) = arguments.get_mut(1) {
        *chart = place.rig.newer_chart()?.display().to_string();
    }
    place.helm("upgrade", arguments.into_iter().chain(flags.map(str::to_owned)))?;
    ensure!(template()? == first, "a chart that is only newer replaces pods");
    place.uninstall()
}
