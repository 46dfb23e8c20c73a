//! Pods of releases, run as they are stored: what they answer, how they are confined, and how fast a change of policies is
//! enforced after a kubelet's swap.

pub(crate) mod sizes;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::case::{Case, RELEASE};
use crate::guard::until;
use crate::inject::inject;
use crate::kubelet::{self, Container, Node, Pod};
use crate::life::Place;
use crate::manifest::{self, Look as _, Object};
use crate::rig::Rig;
use crate::schema::Schemas;
use crate::{judge, rules};

/// A question of the example in `examples/quickstart`, which allows it.
const QUESTION: [&str; 3] = [
    "--principal=arn:aws:iam::123456789012:user/devops-engineer",
    "--action=s3:PutObject",
    "--resource=arn:aws:s3:::app-assets/site/index.html",
];

/// A question of the example in `examples/orders-service`, which allows it.
const ORDER: [&str; 3] = [
    "--principal=arn:aws:sts::123456789012:assumed-role/order-desk/anna",
    "--action=orders:GetOrder",
    "--resource=arn:acme:orders:eu-1:123456789012:order/42",
];

/// Says a measured number. It is no verdict: others may use this machine too.
fn measured(what: &str, time: Duration) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "measured: {what} {} ms", time.as_millis())?)
}

/// The policies of an example, as `kubectl create configmap --from-file` takes them.
fn policies(place: Place<'_>, name: &str, example: &str) -> anyhow::Result<()> {
    let mut data = serde_json::Map::new();
    for entry in fs::read_dir(Rig::repository().join("examples").join(example))? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        data.insert(entry.file_name().to_string_lossy().into_owned(), text.into());
    }
    create(place, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
}

fn create(place: Place<'_>, object: &Value) -> anyhow::Result<()> {
    let collection =
        place.cluster.collection(object.text("/apiVersion"), object.text("/kind"), place.namespace)?;
    place.cluster.create(&collection, object)?;
    Ok(())
}

fn secret(place: Place<'_>, name: &str, files: &[(&str, &str)]) -> anyhow::Result<()> {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data: serde_json::Map<_, _> =
        files.iter().map(|(key, text)| ((*key).to_owned(), encode(text).into())).collect();
    create(place, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}))
}

/// Writes other policies into a ConfigMap: every word is replaced in every file.
fn rewrite(place: Place<'_>, name: &str, word: &str, by: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{}/configmaps/{name}", place.namespace);
    let stored = place.cluster.get(&path)?;
    let data: serde_json::Map<_, _> = stored
        .texts("/data")
        .into_iter()
        .map(|(key, text)| (key.to_owned(), Value::String(text.replace(word, by))))
        .collect();
    place.cluster.merge(&path, &json!({"data": data}))?;
    Ok(())
}

/// Asks the process in a container by its own program; whether the answer is the expected one.
fn answers(container: &Container, place: &str, question: &[&str], expected: &str) -> anyhow::Result<bool> {
    let expected = format!("--expect={expected}");
    let command = [&["/portcullis", "authorize", place][..], question, &[&expected]].concat();
    Ok(container.exec(&command)?.0 == 0)
}

/// The pod of the release's workload.
fn workload<'a>(place: Place<'_>, node: &'a Node<'a>) -> anyhow::Result<Pod<'a>> {
    node.pod_of(&place.workload()?)
}

/// Starts a pod, asks all its probes, and looks at how the kernel confines it.
fn confined(pod: &mut Pod<'_>, what: &str) -> anyhow::Result<()> {
    let ready = pod.start()?.context("no container of this pod is Portcullis")?;
    measured(&format!("{what} is ready after"), ready)?;
    for container in &pod.running {
        for probe in ["/startupProbe", "/readinessProbe", "/livenessProbe"] {
            ensure!(container.probe(probe)?, "{probe} of {} fails", container.name());
        }
        let user = container.kernel_says("Uid")?;
        ensure!(!user.split(' ').any(|id| id == "0"), "{} runs as {user}", container.name());
        ensure!(container.kernel_says("CapEff")?.chars().all(|digit| digit == '0'), "it has capabilities");
        ensure!(container.kernel_says("NoNewPrivs")? == "1", "it may gain privileges");
        ensure!(container.mount_options("/")?.split(',').any(|one| one == "ro"), "its root can be written");
        let limit = pod.stored.pod().into_iter().flat_map(|pod| pod.containers());
        let limit = limit.filter(|(_, one)| one.text("/name") == container.name());
        let limit = limit.filter_map(|(_, one)| rules::amount(one.at("/resources/limits/memory"))).next();
        let resident = container.resident()?;
        ensure!(
            (resident as f64) < limit.context("no limit")?,
            "it needs {resident} bytes, which is its limit"
        );
    }
    Ok(())
}

/// `helm test`: helm makes the pod, and it is run beside the pod that it asks.
fn tested(place: Place<'_>, node: &Node<'_>, beside: Option<&Pod<'_>>) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let helm = scope.spawn(|| place.helm("test", [RELEASE.to_owned(), "--timeout=200s".to_owned()]));
        let collection = format!("/api/v1/namespaces/{}/pods", place.namespace);
        let path = until("helm makes the pod of its test", || {
            ensure!(!helm.is_finished(), "helm test ended without a pod");
            let pods = place.cluster.get(&collection)?;
            let mut tests =
                pods.list("/items").iter().filter(|pod| !Object::new((*pod).clone()).hook().is_empty());
            Ok(tests.next().map(|pod| format!("{collection}/{}", pod.text("/metadata/name"))))
        })?;
        let mut pod = node.pod(place.cluster.get(&path)?, beside)?;
        let ended = pod.start().and_then(|_| pod.succeed());
        let phase = if ended.is_ok() { "Succeeded" } else { "Failed" };
        place.cluster.merge(&format!("{path}/status"), &json!({"status": {"phase": phase}}))?;
        let said = helm.join().map_err(|_| anyhow::anyhow!("helm test panicked"))?;
        ended?;
        ensure!(said?.contains("Succeeded"), "helm does not see that its test succeeded");
        Ok(())
    })
}

/// A deployment: it answers, takes up a change, keeps the good policies when the next ones are broken, and ends in time.
pub(crate) fn deployment(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    policies(place, "policies", "orders-service")?;
    place.install(case, &[])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod = workload(place, &node)?;
    confined(&mut pod, "a pod of a deployment")?;
    tested(place, &node, Some(&pod))?;
    let container = pod.container("portcullis")?;
    let here = "--server=127.0.0.1:8180";
    ensure!(answers(container, here, &ORDER, "allow")?, "what is allowed is denied");

    rewrite(place, "policies", "\"Allow\"", "\"Deny\"")?;
    let begun = Instant::now();
    kubelet::publish(&pod, &policy_volume(&pod)?)?;
    until("the change is enforced", || Ok(answers(container, here, &ORDER, "deny")?.then_some(())))?;
    measured("a change of policies is enforced after", begun.elapsed())?;

    rewrite(place, "policies", "\"Statement\"", "\"Statemant\"")?;
    kubelet::publish(&pod, &policy_volume(&pod)?)?;
    until("the broken policies are refused", || {
        let (code, said) = container.exec(&["/portcullis", "status", "--server", "127.0.0.1:8180"])?;
        Ok((code == 0 && said.contains("rejected")).then_some(()))
    })?;
    ensure!(answers(container, here, &ORDER, "deny")?, "the good policies are gone");
    ensure!(container.probe("/readinessProbe")?, "it is not ready for what it refused");

    let begun = Instant::now();
    ensure!(container.terminate()? == 0, "it does not end well");
    let grace = pod.stored.at("/spec/terminationGracePeriodSeconds").as_u64().context("no grace")?;
    ensure!(begun.elapsed() < Duration::from_secs(grace), "it would have been killed");
    measured("it ended after", begun.elapsed())
}

/// The volume with the policies, when it is one.
fn policy_volume(pod: &Pod<'_>) -> anyhow::Result<String> {
    let described = pod.stored.pod().context("no pod")?;
    let mut mounts = described.containers().flat_map(|(_, container)| container.list("/volumeMounts"));
    let mount = mounts.find(|mount| mount.text("/mountPath") == "/policies");
    Ok(mount.context("nothing is mounted at /policies")?.text("/name").to_owned())
}

/// A service with a sidecar, from its own chart: asked from the service's container, by its user.
pub(crate) fn sidecar(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    policies(place, "orders-policies", "orders-service")?;
    place.install(case, &[])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod = workload(place, &node)?;
    // A chart may leave the test out.
    if !place.hooks()?.is_empty() {
        tested(place, &node, None)?;
    }
    asked_from_the_service(place, &mut pod, &format!("a sidecar ({})", case.name))
}

/// The same from a manifest without helm.
pub(crate) fn plain_sidecar(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    policies(place, "orders-policies", "orders-service")?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let workload =
        case.render(place.rig)?.iter().find(|object| object.pod().is_some()).context("no workload")?;
    let mut pod = node.pod_of(workload)?;
    asked_from_the_service(place, &mut pod, "a sidecar without helm")
}

fn asked_from_the_service(place: Place<'_>, pod: &mut Pod<'_>, what: &str) -> anyhow::Result<()> {
    confined(pod, what)?;
    let ask = |expected: &str| -> anyhow::Result<bool> {
        let expected = format!("--expect={expected}");
        let question = [&["authorize", "--uds=/run/portcullis/pdp.sock"][..], &ORDER, &[&expected]].concat();
        Ok(pod.in_place_of("orders", &question)?.0 == 0)
    };
    ensure!(ask("allow")?, "the service is not allowed what it is");
    rewrite(place, "orders-policies", "\"Allow\"", "\"Deny\"")?;
    let begun = Instant::now();
    kubelet::publish(pod, &policy_volume(pod)?)?;
    until("the change is enforced", || Ok(ask("deny")?.then_some(())))?;
    measured(&format!("{what} enforces a change of policies after"), begun.elapsed())?;
    ensure!(pod.container("portcullis")?.terminate()? == 0, "it does not end well");
    Ok(())
}

/// Mutual TLS by Secrets: `helm test` asks with its certificate, and who shows none gets no answer.
pub(crate) fn mutual_tls(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    policies(place, "policies", "quickstart")?;
    let authority = Authority::new("callers and servers")?;
    let server = authority.issue(&format!("{RELEASE}-portcullis.{}.svc", place.namespace))?;
    let caller = authority.issue("caller.example")?;
    secret(place, "pdp-tls", &[("tls.crt", &server.certificate), ("tls.key", &server.key)])?;
    secret(place, "pdp-callers", &[("ca.crt", &authority.pem)])?;
    let files =
        [("ca.crt", authority.pem.as_str()), ("tls.crt", &caller.certificate), ("tls.key", &caller.key)];
    secret(place, "pdp-test", &files)?;
    place.install(case, &[])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod = workload(place, &node)?;
    confined(&mut pod, "a pod with mutual TLS")?;
    tested(place, &node, Some(&pod))?;
    let container = pod.container("portcullis")?;
    for nobody in ["--server=127.0.0.1:8180", "--server=https://127.0.0.1:8180"] {
        let command = [&["/portcullis", "authorize", nobody][..], &QUESTION].concat();
        let (code, said) = container.exec(&command)?;
        ensure!(code != 0 && !said.contains("Allow"), "who proves nothing is answered: {said}");
    }
    Ok(())
}

/// A process of the node behind a socket: the pod that may ask is answered, another user is not.
pub(crate) fn node_socket(place: Place<'_>, case: &Case, caller: &Case) -> anyhow::Result<()> {
    policies(place, "policies", "quickstart")?;
    place.install(case, &[])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    prepared(&node.host("/run/portcullis"))?;
    let mut pod = workload(place, &node)?;
    confined(&mut pod, "a pod of a daemonset")?;
    tested(place, &node, None)?;
    let ask = [&["authorize", "--uds=/run/portcullis/pdp.sock"][..], &QUESTION, &["--expect=allow"]].concat();
    let object = caller.render(place.rig)?.first().context("no caller")?;
    for (user, may) in [(10001, true), (10002, false)] {
        let mut object = object.value.clone();
        for field in ["runAsUser", "runAsGroup"] {
            rules::bad::set(&mut object, &format!("/spec/securityContext/{field}"), json!(user))?;
        }
        rules::bad::set(&mut object, "/metadata/name", json!(format!("caller-{user}")))?;
        let path = format!("/api/v1/namespaces/{}/pods", place.namespace);
        let caller = node.pod(place.cluster.create(&path, &object)?, None)?;
        let (code, said) = caller.in_place_of("caller", &ask)?;
        ensure!((code == 0) == may, "the user {user} gets {code}: {said}");
    }
    Ok(())
}

/// The folder of the example's `portcullis.conf`: `d PATH MODE UID GID`.
fn prepared(folder: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(Rig::repository().join("examples/deploy/node-socket/portcullis.conf"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("d ")).context("no folder in portcullis.conf")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, mode, user, group] = words.as_slice() else {
        anyhow::bail!("four words are expected in {line:?}")
    };
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(u32::from_str_radix(mode, 8)?))?;
    Ok(chown(folder, Some(user.parse()?), Some(group.parse()?))?)
}

/// Policies and the audit file on claims: the second container says what was decided.
pub(crate) fn audited(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    place.install(case, &[])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let folder = node.claim("archive").join("policies/production");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(Rig::repository().join("examples/quickstart"))? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let mut pod = workload(place, &node)?;
    confined(&mut pod, "a pod with an audit file")?;
    let container = pod.container("portcullis")?;
    ensure!(answers(container, "--server=127.0.0.1:8180", &QUESTION, "allow")?, "what is allowed is denied");
    let copier = pod.container("portcullis-audit")?;
    until("the record is copied", || Ok(copier.said().contains("devops-engineer").then_some(())))
}

/// What sidecars share, installed by itself: its test has a sidecar of its own.
pub(crate) fn shared(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    place.install(case, &[])?;
    tested(place, &Node::new(place.rig, place.cluster, place.namespace)?, None)
}

/// Policies of several sources are folders of one policy directory.
pub(crate) fn sources(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    let file = |name: &str| fs::read_to_string(Rig::repository().join("examples/quickstart").join(name));
    for (name, file, text) in [
        ("policies", "users.json", file("users.json")?),
        ("base", "policies.json", file("policies.json")?),
        ("team-a", "roles.json", file("roles.json")?),
    ] {
        create(
            place,
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {file: text}}),
        )?;
    }
    secret(place, "sealed", &[("resources.json", &file("resources.json")?)])?;
    place.install(case, &[])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod = workload(place, &node)?;
    confined(&mut pod, "a pod with six sources")?;
    let container = pod.container("portcullis")?;
    ensure!(answers(container, "--server=127.0.0.1:8180", &QUESTION, "allow")?, "what is allowed is denied");
    until("the decision is on standard output", || {
        Ok(container.said().contains("devops-engineer").then_some(()))
    })
}

/// Policies of a git repository: git-sync is not run, but what it does is done. Each commit is a folder, and one rename
/// leads the link `current` to the next one.
pub(crate) fn repository(place: Place<'_>, case: &Case) -> anyhow::Result<()> {
    secret(place, "git-credentials", &[("password", "secret")])?;
    place.install(case, &[])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod = workload(place, &node)?;
    let described = pod.stored.pod().context("no pod")?;
    let git = described.containers().find(|(_, container)| container.text("/name") == "portcullis-git");
    let mounts = git.context("no git-sync")?.1.list("/volumeMounts");
    let mount =
        mounts.iter().find(|mount| mount.text("/mountPath") == "/git").context("git-sync has no root")?;
    let root = pod.volume(mount.text("/name"))?.to_owned();
    let commit = |name: &str, by: &str| -> anyhow::Result<()> {
        let folder = root.join(".worktrees").join(name).join("policies");
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(Rig::repository().join("examples/orders-service"))? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?.replace("\"Allow\"", by);
            fs::write(folder.join(entry.file_name()), text)?;
        }
        symlink(Path::new(".worktrees").join(name), root.join("next"))?;
        Ok(fs::rename(root.join("next"), root.join("current"))?)
    };
    commit("one", "\"Allow\"")?;
    confined(&mut pod, "a pod with a git repository")?;
    let container = pod.container("portcullis")?;
    ensure!(answers(container, "--server=127.0.0.1:8180", &ORDER, "allow")?, "what is allowed is denied");
    let begun = Instant::now();
    commit("two", "\"Deny\"")?;
    until("the commit is enforced", || {
        Ok(answers(container, "--server=127.0.0.1:8180", &ORDER, "deny")?.then_some(()))
    })?;
    measured("a commit is enforced after", begun.elapsed())
}

/// A job with a sidecar, given to it by `portcullis inject`: its container asks and ends, and then the sidecar is told to.
pub(crate) fn job(place: Place<'_>) -> anyhow::Result<()> {
    policies(place, "orders-policies", "orders-service")?;
    let plain = fs::read_to_string(Rig::here().join("workloads-that-end.yaml"))?;
    // Its container runs as nobody in particular; here somebody is needed.
    let plain = plain.replace(
        "restartPolicy: Never",
        "restartPolicy: Never\n      securityContext: {runAsUser: 10001, runAsGroup: 10001}",
    );
    let objects = manifest::objects(&inject(place.rig, &["--policies=orders-policies"], &plain)?)?;
    let job = objects.iter().find(|object| object.kind() == "Job").context("no job")?;
    create(place, &job.value)?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod = node.pod_of(job)?;
    pod.start()?.context("no container of this pod is Portcullis")?;
    let question =
        [&["authorize", "--uds=/run/portcullis/pdp.sock"][..], &ORDER, &["--expect=allow"]].concat();
    let (code, said) = pod.in_place_of("orders", &question)?;
    ensure!(code == 0, "the job is not allowed what it is: {said}");
    // As a kubelet does when the containers of a pod that is to end have ended.
    ensure!(pod.container("portcullis")?.terminate()? == 0, "the sidecar does not end well");
    Ok(())
}

/// A manifest that `portcullis inject` gives a sidecar keeps every rule, is valid and answers; taken out, it is as before.
pub(crate) fn injected(place: Place<'_>, schemas: &[Schemas]) -> anyhow::Result<()> {
    let plain = fs::read_to_string(Rig::here().join("service.yaml"))?;
    let flags = ["--policies=orders-policies", "--set=uds_allowed_uids=10001"];
    let with = inject(place.rig, &flags, &plain)?;
    ensure!(with != plain, "inject changes nothing");
    ensure!(inject(place.rig, &flags, &with)? == with, "inject a second time is not the same");
    ensure!(inject(place.rig, &["--uninject"], &with)? == plain, "uninject leaves another manifest");

    let objects = manifest::objects(&with)?;
    judge::findings(&objects, &["orders-policies"], &[])?;
    schemas.iter().try_for_each(|schemas| schemas.valid(&objects))?;
    objects.iter().try_for_each(|object| create(place, &object.value))?;
    policies(place, "orders-policies", "orders-service")?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod =
        node.pod_of(objects.iter().find(|object| object.pod().is_some()).context("no workload")?)?;
    asked_from_the_service(place, &mut pod, "an injected sidecar")
}
