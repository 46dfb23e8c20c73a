//! `portcullis inject`: what it puts into a pod is what the templates of the chart make for the same settings, whichever
//! workload it is given the API server takes it, and what it takes out again leaves what was there. How it edits text is
//! for the tests of the command itself.

use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::case::{Case, RELEASE};
use crate::life::{self, Place};
use crate::manifest::{self, Look as _, Object, Pod, merged};
use crate::rig::{self, Rig};
use crate::values;

/// Runs it on a text, which is given as a file.
pub(crate) fn inject(rig: &Rig, flags: &[&str], text: &str) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::new_in(rig.scratch())?;
    fs::write(&file, text)?;
    let mut command = std::process::Command::new(rig.program()?);
    rig::text(command.arg("inject").args(flags).arg(file.path()).output()?, "portcullis inject")
}

/// Settings, as flags and as values of the chart.
fn settings() -> Vec<(&'static [&'static str], Value)> {
    vec![
        (&["--policies=orders-policies"], json!({"policies": {"configMap": "orders-policies"}})),
        (
            &[
                "--policies=secret/sealed",
                "--policies=base",
                "--policies=team-a",
                "--image=registry.example/portcullis:1.2.3",
                "--http-port=9181",
                "--audit=file",
                "--set=load_mode=strict",
                "--set=uds_allowed_uids=10001",
                "--set=requests_in_flight_max=100",
                "--requests=cpu=20m,memory=48Mi",
                "--limits=cpu=2,memory=64Mi",
            ],
            json!({
                "policies": {"configMaps": ["base", "team-a"], "secrets": ["sealed"], "loadMode": "strict"},
                "image": {"repository": "registry.example/portcullis", "tag": "1.2.3"},
                "ports": {"http": 9181},
                "sidecar": {"http": true, "resources": {
                    "requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"cpu": "2", "memory": "64Mi"},
                }},
                "audit": {"to": "file"},
                "socket": {"allowedUids": [10001]},
                "config": {"requests_in_flight_max": 100},
            }),
        ),
        (
            &[
                "--policies=secret/sealed",
                "--audit=stdout",
                "--set=audit_mode=block",
                "--set=on_audit_failure=deny",
                "--set=listen=127.0.0.1:8180",
                "--set=poll_interval_ms=1000",
                "--set=log=debug",
            ],
            json!({
                "policies": {"secrets": ["sealed"], "pollIntervalMs": 1000},
                "audit": {"to": "stdout", "mode": "block", "onFailure": "deny"},
                "sidecar": {"loopbackPort": 8180},
                "log": "debug",
            }),
        ),
    ]
}

/// A chart that includes the sidecar, the name it has for this one, the list that its container is in, and flags of both
/// programs that make it so.
type Way = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const WAYS: [Way; 2] = [
    ("examples/deploy/orders-sidecar", "portcullis", "/initContainers", &[], &[]),
    ("helm/tests/charts/older-cluster", "pdp", "/containers", &["--no-native"], &["--kube-version=1.28.0"]),
];

/// For the same settings it puts in what the templates of the chart render, as a native sidecar and as a container.
pub(crate) fn like_the_chart(rig: &Rig) -> anyhow::Result<()> {
    let service = fs::read_to_string(Rig::here().join("service.yaml"))?;
    // What the charts set by themselves.
    let bare = json!({
        "mode": "sidecar", "policies": {"configMap": ""}, "sidecar": {"http": false}, "audit": {"to": "none"},
        "socket": {"allowedUids": []},
    });
    for (chart, alias, list, own, of_helm) in WAYS {
        let chart = rig.with_dependencies(std::path::Path::new(chart))?;
        for (flags, given) in settings() {
            let values = json!({alias: merged(&bare, &given)});
            let arguments = values::template_arguments(rig, &chart, &values)?.into_iter();
            let rendered =
                rig.helm_text("template", arguments.chain(of_helm.iter().map(|&flag| flag.into())))?;
            let injected = inject(rig, &[flags, own].concat(), &service)?;
            let (rendered, injected) = (put_in(&rendered, list)?, put_in(&injected, list)?);
            for (what, value) in &injected {
                let other = rendered.iter().find(|(other, _)| other == what).map(|(_, value)| value);
                ensure!(
                    other == Some(value),
                    "{flags:?} {own:?}: {what} is {value:#}, and the chart renders {other:#?}"
                );
            }
            ensure!(injected.len() == rendered.len(), "{flags:?} {own:?}: the chart renders more");
        }
    }
    Ok(())
}

/// The PodMonitor of a release for sidecars selects the pods, of which there are metrics, and the port.
pub(crate) fn scraped(rig: &Rig) -> anyhow::Result<()> {
    let values = json!({
        "mode": "sidecar", "sidecar": {"http": true}, "monitoring": {"podMonitor": {"enabled": true}},
    });
    let rendered = rig.helm_text("template", values::template_arguments(rig, &Rig::chart(), &values)?)?;
    let rendered = manifest::objects(&rendered)?;
    let monitor = rendered.iter().find(|object| object.kind() == "PodMonitor").context("no PodMonitor")?;
    let port = monitor.text("/spec/podMetricsEndpoints/0/port");
    let service = fs::read_to_string(Rig::here().join("service.yaml"))?;
    for (flags, wanted) in [
        (&["--policies=p", "--http-port=9181"] as &[_], true),
        (&["--policies=p", "--http-port=9181", "--no-native"], true),
        (&["--policies=p"], false),
    ] {
        let objects = manifest::objects(&inject(rig, flags, &service)?)?;
        let pod = objects.iter().find_map(Object::pod).context("no workload")?;
        let selected = manifest::selects(monitor.at("/spec/selector"), &pod.labels());
        let has_port = pod.container_ports().any(|one| one.text("/name") == port);
        ensure!(
            selected == wanted && has_port == wanted,
            "{flags:?}: selected {selected}, with the port {has_port}, and it should be {wanted}"
        );
    }
    Ok(())
}

/// The example without Helm is what the example's chart renders, but for comments and the order of variables.
pub(crate) fn like_the_example(rig: &Rig, chart: &Case, plain: &Case) -> anyhow::Result<()> {
    let pod = |case: &Case| -> anyhow::Result<Value> {
        let workload = case.render(rig)?.iter().find(|object| object.kind() == "Deployment");
        let mut spec = workload.and_then(Object::pod).context("no workload")?.spec().clone();
        for list in ["/initContainers", "/containers"] {
            let containers = spec.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for env in containers.filter_map(|container| container.get_mut("env")?.as_array_mut()) {
                env.sort_by_key(|variable| variable.text("/name").to_owned());
            }
        }
        // The names of the releases.
        Ok(serde_json::from_str(&spec.to_string().replace(&format!("\"{RELEASE}\""), "\"orders\""))?)
    };
    let (rendered, written) = (pod(chart)?, pod(plain)?);
    ensure!(rendered == written, "the chart renders {rendered:#}, and the manifest says {written:#}");
    Ok(())
}

/// What a pod has because of the sidecar: its container, its volumes, and the mount of the one that asks.
fn put_in(manifest: &str, list: &str) -> anyhow::Result<Vec<(String, Value)>> {
    let objects = manifest::objects(manifest)?;
    let workload = objects.iter().find(|object| object.kind() == "Deployment").context("no workload")?;
    let spec = workload.pod().context("no pod")?.spec();
    let named = |list: &str, name: &str| spec.list(list).iter().find(|one| one.text("/name") == name);
    let container = named(list, "portcullis");
    let caller = named("/containers", "orders").context("nobody asks")?;
    let mut found =
        vec![("the container".to_owned(), container.context("no container `portcullis`")?.clone())];
    let ours = |one: &&Value| one.text("/name").starts_with("portcullis-");
    for (what, all) in
        [("volume", spec.list("/volumes")), ("mount of the service", caller.list("/volumeMounts"))]
    {
        let all = all.iter().filter(ours).enumerate();
        found.extend(all.map(|(at, one)| (format!("{what} {at}"), one.clone())));
    }
    Ok(found)
}

/// The server takes workloads of every kind with it, as native sidecars and, where they do not end, as containers; twice is
/// once; and out again it is what was there, in the text as in what the server made of it.
pub(crate) fn taken(place: Place<'_>) -> anyhow::Result<()> {
    let read = |name: &str| fs::read_to_string(Rig::here().join(name));
    let (stay, end) = (read("workloads.yaml")?, read("workloads-that-end.yaml")?);
    let flags = ["--policies=orders-policies", "--policies=secret/sealed", "--audit=file"];
    let mut kinds = Vec::new();
    for (text, more) in
        [(&stay, &["--http-port=9181"] as &[_]), (&end, &["--http-port=9181"]), (&stay, &["--no-native"])]
    {
        let flags = [&flags[..], more].concat();
        let with = inject(place.rig, &flags, text)?;
        ensure!(inject(place.rig, &flags, &with)? == with, "twice is not once");
        ensure!(inject(place.rig, &["--uninject"], &with)? == *text, "out again leaves another text");
        let (bare, with) = (manifest::objects(text)?, manifest::objects(&with)?);
        ensure!(bare.len() == with.len(), "{} objects became {}", bare.len(), with.len());
        for (bare, with) in bare.iter().zip(&with) {
            stored_and_back(place, &flags, bare, with).with_context(|| with.title())?;
            kinds.push(with.kind().to_owned());
        }
    }
    for kind in [
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Pod",
        "Job",
        "CronJob",
    ] {
        ensure!(kinds.iter().any(|one| one == kind), "no {kind} was tried");
    }
    Ok(())
}

/// Stores an object with and without it, and takes it out of what was stored, as `kubectl get` shows it.
fn stored_and_back(place: Place<'_>, flags: &[&str], bare: &Object, with: &Object) -> anyhow::Result<()> {
    let collection = place.cluster.collection(with.text("/apiVersion"), with.kind(), place.namespace)?;
    let store = |object: &Object| -> anyhow::Result<Object> {
        let stored = place.cluster.try_create(&collection, &object.value)?;
        life::kept(&object.value, &stored)?;
        Ok(Object::new(stored))
    };
    let (bare, with) = (store(bare)?, store(with)?);
    let Some(pod) = with.pod() else {
        ensure!(bare.at("/spec") == with.at("/spec"), "an object without pods is changed");
        return Ok(());
    };
    let first = |list: &str| pod.spec().at(list).text("/0/name") == "portcullis";
    let native = !flags.contains(&"--no-native");
    ensure!(
        first("/initContainers") == native && first("/containers") != native,
        "the sidecar is not the first"
    );
    let shown = with.value.to_string();
    let again = inject(place.rig, flags, &shown)?;
    ensure!(inject(place.rig, flags, &again)? == again, "twice is not once in what is stored");
    let out = manifest::objects(&inject(place.rig, &["--uninject"], &again)?)?;
    let (out, bare) =
        (out.first().and_then(Object::pod).context("no pod is left")?, bare.pod().context("no pod")?);
    // The server gives some values of its own.
    let names = |pod: Pod<'_>| pod.labels().into_keys().map(str::to_owned).collect::<Vec<_>>();
    ensure!(names(out) == names(bare), "the labels are {:?}, without it {:?}", names(out), names(bare));
    let (out, bare) = (out.spec(), bare.spec());
    ensure!(out == bare, "out of what is stored: {out:#}\nwithout it: {bare:#}");
    Ok(())
}
